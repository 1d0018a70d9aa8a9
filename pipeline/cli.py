"""The command line: init, import, check, map, explain, report, test, run, replay, quality, doctor, sandbox, schema.

Exit codes: 0 fine; 1 some events were bad and became dead letters; 2 the job file, the command line or the environment
is at fault; 3 a destination refused us; 4 the run itself failed; 5 events were given up for an outage, and a replay
delivers them; 130 stopped by Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click

from capybeam import __version__
from capybeam.pipeline.command_group import Group, add_log_format
from capybeam.pipeline.command_line import fail as _fail
from capybeam.pipeline.command_line import load_or_exit as _job
from capybeam.pipeline.command_line import moment as _moment
from capybeam.pipeline.job.schema import json_schema
from capybeam.pipeline.log_lines import say

EPILOG = "Documentation: docs/ in the repository; a first job in five minutes: README.md."


ELSEWHERE = {
    "doctor": "capybeam.pipeline.meta_commands",
    "explain": "capybeam.pipeline.proving_commands",
    "quality": "capybeam.pipeline.meta_commands",
    "reconcile": "capybeam.pipeline.reconciliation.command",
    "replay": "capybeam.pipeline.delivery_commands",
    "report": "capybeam.pipeline.proving_commands",
    "run": "capybeam.pipeline.delivery_commands",
    "sandbox": "capybeam.pipeline.sandbox_command",
    "test": "capybeam.pipeline.proving_commands",
}
"""Commands and the modules that have them, which are imported when their command is asked for."""


@click.group(cls=Group, elsewhere=ELSEWHERE, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="capybeam")
def main() -> None:
    """Delivers Segment-style events to Meta's Conversions API, accounted for to the last event.

    A job file says which events go where, and as what. Look at it with `check`, see what it makes of your events with
    `map`, deliver them with `run`. `sandbox` is a local Graph API to try all that against.
    """


@main.command(
    epilog="Exit code 0, or 2 with every problem on a line of its own: file:line:column: what is wrong. Warnings end in"
    " (warning) and leave the exit code at 0, unless --strict is given. With --format json each is an object: file,"
    " line, column, severity, message. --against shows paths and counts, and never a value of an event."
)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line on stdout, for editors and CI.",
)
@click.option(
    "--against",
    default=None,
    metavar="EVENTS",
    help="Compare with a sample of events: any input that `map` reads, or bigquery:PROJECT.DATASET.TABLE.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="How many events --against reads, at most.",
)
def check(files: tuple[str, ...], strict: bool, format_: str, against: str | None, sample: int) -> None:
    """Checks a job file: format, triggers, mappings, names. Reads no token and sends nothing.

    FILE may be given several times; - is standard input. An error keeps a job from running: it rejects every event, or
    cannot be read. A warning is about what may be meant otherwise, such as a path that no event of Segment's has.

    With --against it says what the job makes of your events: which subscriptions take none of them, which paths are
    never there and what is nearest, which required fields would be missing, which traits are mapped nowhere.
    """
    from capybeam.pipeline.check import CheckOptions, check_files
    from capybeam.pipeline.output_files import CommandError
    from capybeam.pipeline.schemes import STDIN

    if [*files, against].count(STDIN) > 1:
        _fail("standard input can be read once; - is given several times")
    if against is not None and len(files) > 1 and against == STDIN:
        _fail("--against - is for one job file")
    try:
        code = check_files(files, CheckOptions(strict, format_ == "json", against, sample))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except CommandError as error:
        _fail(str(error))
    if code:
        sys.exit(code)


@main.command("map", epilog="Exit code 0, whatever happens to the events; 2 if the job file or the input is at fault.")
@click.option("--config", "config", required=True, type=click.Path(), help="The job file.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    default=["-"],
    show_default="-",
    help="JSON lines or CSV, .gz and .bz2 by their extension too: a file, a glob or a URL; - is stdin, JSON lines.",
)
@click.option("--output", default="-", show_default=True, help="JSON lines, one per outcome; - is stdout.")
@click.option(
    "--now", default=None, help="The time against which ages are measured (ISO 8601 or Unix seconds); default: now."
)
def map_(config: str, inputs: tuple[str, ...], output: str, now: str | None) -> None:
    """Shows what Meta would be sent, event by event, and sends nothing.

    Every input event has at least one line of output, in input order: "ready" with dataset and payload, "rejected" with
    stage, code and message, or "filtered" when no trigger takes it.
    """
    import orjson

    from capybeam.pipeline.preview import preview_rows
    from capybeam.pipeline.sources import NoEvents, NoInput, UnreadableFile
    from capybeam.pipeline.sources.file_rows import placed_rows

    if len(inputs) > 1:
        _fail(f"map reads one input; --input was given {len(inputs)} times")
    (input_,) = inputs
    job = _job(config)
    moment = time.time() if now is None else _moment("--now", now)
    notes: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    where = input_
    try:
        with placed_rows(input_) as found:
            if output != "-" and any(_same_file(output, path) for path in found.paths):
                _fail(f"{output}: this is the input; choose another --output")
            where = output if output != "-" else "standard output"
            with nullcontext(sys.stdout.buffer) if output == "-" else open(output, "wb") as sink:
                for outcome in preview_rows(job, found.rows, moment, notes):
                    statuses[outcome["status"]] += 1
                    sink.write(orjson.dumps(outcome, option=orjson.OPT_APPEND_NEWLINE))
                sink.flush()
    except BrokenPipeError:  # the reader of the output has closed it
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except (NoInput, UnreadableFile) as error:
        _fail(str(error))
    except NoEvents as error:
        _fail(f"{'standard input' if input_ == '-' else input_}: {error}")
    except OSError as error:
        _fail(f"{error.filename or where}: {error.strerror}")
    summary = ", ".join(f"{statuses[status]} {status}" for status in ("ready", "rejected", "filtered"))
    say(f"{summary}.")
    for note, count in sorted(notes.items()):
        say(f"  {note} {count}")


def _same_file(one: str, other: str) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)


@main.command(
    short_help="Writes a job file to start from.",
    epilog="Exit code 0, or 2 where a file is there already, or the events cannot be read.",
)
@click.option("--output", default="conversions.yaml", show_default=True, help="The job file to write; - is stdout.")
@click.option("--force", is_flag=True, help="Overwrite --output.")
@click.option(
    "--from-events", "events", default=None, metavar="FILE", help="Propose it from events: as map reads them."
)
@click.option(
    "--sample", type=click.IntRange(1, 100_000), default=10_000, show_default=True, help="Read the first N of them."
)
def init(output: str, force: bool, events: str | None, sample: int) -> None:
    """Writes a job file to start from, with comments that teach. Sends nothing, and overwrites nothing.

    With --from-events it proposes subscriptions for the events that are there: names of Segment's spec become actions,
    however they are spelt, and comments say in what share of the events each field has a value. Other values of events
    do not get into the file.
    """
    from capybeam.pipeline.initial_job_command import run_init

    sys.exit(_attempt(lambda: run_init(output, force, events, sample)))


@main.group("import", short_help="Makes a job file of another product's settings.")
def import_() -> None:
    """Makes a job file of another product's settings."""


@import_.command(
    "segment",
    short_help="Makes a job file of Segment's subscriptions.",
    epilog="Exit code 0: all that is enabled at Segment was carried over; 1: some of it was not, and the report says"
    " what; 2: there is nothing to import, or a file cannot be read.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--output", default="-", show_default=True, help="The job file to write; - is stdout.")
@click.option("--force", is_flag=True, help="Overwrite --output.")
@click.option(
    "--action", "actions", multiple=True, metavar="ID=NAME", help="What an action ID of Segment's means. Repeatable."
)
@click.option("--dataset-id", default=None, help="Meta's dataset (pixel) ID, where the export does not have it.")
@click.option(
    "--compare",
    default=None,
    metavar="EVENTS",
    help="Show what these events become here and at Segment, and why it differs: any input that `map` reads, or"
    " bigquery:PROJECT.DATASET.TABLE. The job file is then written only where --output names one.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="How many rows --compare reads, at most.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How --compare shows what it has found.",
)
def import_segment_(
    files: tuple[str, ...],
    output: str,
    force: bool,
    actions: tuple[str, ...],
    dataset_id: str | None,
    compare: str | None,
    sample: int,
    format_: str,
) -> None:
    """Makes a job file of the subscriptions of Segment's "Facebook Conversions API (Actions)".

    \b
    FILE is what Segment gives out, in any of these forms; several files are read together:
      the answer of its Public API to GET /destinations/{id}/subscriptions (and GET /destinations/{id})
      Terraform with segment_destination_subscription, or its state as JSON (extra: terraform)

    Triggers, names and mappings stay as they are. Disabled subscriptions, and what cannot be carried over, become
    comments. Secrets of the export are not written. The report on stderr says what was done, and what will come out
    otherwise than at Segment.

    With --compare it maps events, last week's for example, both as Segment does and as the job file does, and shows by
    subscription and field what differs, how often, and by which rule. Values of people are shown by their shape only.
    """
    from capybeam.pipeline.segment.commands import ImportOptions, run_import

    options = ImportOptions(output, force, actions, dataset_id, compare, sample, format_ == "json")
    sys.exit(_attempt(lambda: run_import(files, options)))


def _attempt(command: Callable[[], int]) -> int:
    """What a command returns; a mistake of the user's ends the process with its sentence."""
    from capybeam.pipeline.output_files import CommandError

    try:
        return command()
    except CommandError as error:
        _fail(str(error))


@main.command(short_help="Prints the JSON Schema of the job file, or of a run's report.")
@click.option("--output", type=click.Path(), default="-", help="Where to write it; - is stdout.")
@click.option("--report", "of_report", is_flag=True, help="That of what `run --report` writes.")
def schema(output: str, of_report: bool) -> None:
    """Prints the JSON Schema of the job file, for editors that check YAML as you type.

    With --report it is that of the report of a run, for programs that read it.
    """
    import orjson

    from capybeam.pipeline.run import report_model

    found = report_model.json_schema() if of_report else json_schema()
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if output == "-":
        sys.stdout.buffer.write(text)
    else:
        try:
            Path(output).write_bytes(text)
        except OSError as error:
            _fail(f"{output}: {error.strerror}")


add_log_format(main)


if __name__ == "__main__":
    main()
