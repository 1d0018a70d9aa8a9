"""The command line: check, map, explain, test, run, replay, sandbox, schema.

Exit codes: 0 fine; 1 some events became dead letters; 2 the job file, the command line or the environment is at fault;
3 a destination refused us; 4 the run itself failed; 130 stopped by Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timezone
from pathlib import Path
from typing import Any, NoReturn

import click

from capybeam import __version__
from capybeam.pipeline.job.loader import ConfigError, Job, load_job
from capybeam.pipeline.job.models import duration
from capybeam.pipeline.job.schema import json_schema
from capybeam.pipeline.run.options import option
from capybeam.transforms.core.rejections import CODES
from capybeam.transforms.core.tokens import holds_token

EPILOG = "Documentation: docs/ in the repository; a first job in five minutes: README.md."


class _Careful(click.Group):
    """Refuses an access token on the command line, before a message repeats it; the sandbox has a use for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] != ["sandbox"]:
            for before, argument in zip(["", *args], args, strict=False):
                if holds_token(argument):
                    name = argument.partition("=")[0] if argument.startswith("--") else before
                    named = name if name.startswith("--") and not holds_token(name) else "an argument"
                    _fail(
                        f"{named} holds what looks like an access token. A token belongs in a secret, and in the job"
                        " file a reference to it: access_token: secret:projects/P/secrets/S/versions/latest"
                    )
        return super().parse_args(ctx, args)


@click.group(cls=_Careful, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="capybeam")
def main() -> None:
    """Delivers Segment-style events to Meta's Conversions API, accounted for to the last event.

    A job file says which events go where, and as what. Look at it with `check`, see what it makes of your events with
    `map`, deliver them with `run`. `sandbox` is a local Graph API to try all that against.
    """


def _job(path: str, prefix: str = "capybeam: ") -> Job:
    """The job of a job file; ends the process where it has problems.

    Args:
        prefix: of the last line, by which it is found in a log.
    """
    try:
        if "://" in path:
            from capybeam.pipeline.job.remote_loader import load_job_at  # by Beam, which takes two seconds to import

            job = load_job_at(path)
        else:
            job = load_job(path)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        count = len(error.problems)
        click.echo(f"{prefix}{count} problem{'s' if count > 1 else ''} in {path}.", err=True)
        sys.exit(2)
    for warning in job.warnings:
        click.echo(f"{warning} (warning)", err=True)
    return job


@main.command(epilog="Exit code 0, or 2 with every problem on a line of its own: file:line:column: what is wrong.")
@click.argument("file", type=click.Path())
def check(file: str) -> None:
    """Checks a job file: format, triggers, mappings, names. Reads no token and sends nothing."""
    job = _job(file, prefix="")
    destinations, subscriptions = len(job.destinations), len(job.subscriptions)
    click.echo(f"{file} is fine: {destinations} destination{'s' * (destinations != 1)},"
               f" {subscriptions} subscription{'s' * (subscriptions != 1)}.")  # fmt: skip


@main.command(
    "map", epilog="Exit code 0, whatever becomes of the events; 2 where the job file or the input is at fault."
)
@click.option("--config", "config", required=True, type=click.Path(), help="The job file.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    default=["-"],
    show_default="-",
    help="JSON lines or CSV, .gz and .bz2 too, by their names: a file, a glob or a URL; - is stdin, JSON lines.",
)
@click.option("--output", default="-", show_default=True, help="JSON lines, one per outcome; - is stdout.")
@click.option("--now", default=None, help="The time that ages are judged by (ISO 8601 or Unix seconds); default: now.")
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
                _fail(f"{output}: is the input; choose another --output")
            where = output if output != "-" else "standard output"
            with nullcontext(sys.stdout.buffer) if output == "-" else open(output, "wb") as sink:
                for outcome in preview_rows(job, found.rows, moment, notes):
                    statuses[outcome["status"]] += 1
                    sink.write(orjson.dumps(outcome, option=orjson.OPT_APPEND_NEWLINE))
                sink.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except (NoInput, UnreadableFile) as error:
        _fail(str(error))
    except NoEvents as error:
        _fail(f"{'standard input' if input_ == '-' else input_}: {error}")
    except OSError as error:
        _fail(f"{error.filename or where}: {error.strerror}")
    summary = ", ".join(f"{statuses[status]} {status}" for status in ("ready", "rejected", "filtered"))
    click.echo(f"{summary}.", err=True)
    for note, count in sorted(notes.items()):
        click.echo(f"  {note} {count}", err=True)


@main.command(epilog="Exit code 0; 2 where the job file or the input is at fault, or has no such event.")
@click.option("--config", "config", required=True, type=click.Path(), help="The job file.")
@click.option(
    "--input",
    "input_",
    default="-",
    show_default=True,
    help="Events, as `map` reads them: a file, a glob or a URL; - is stdin, JSON lines.",
)
@click.option("--id", "id_", default=None, metavar="MESSAGE_ID", help="Explain the event with this messageId.")
@click.option("--line", default=None, type=click.IntRange(1), help="Explain the event on this line of the input.")
@click.option("--now", default=None, help="The time that ages are judged by (ISO 8601 or Unix seconds); default: now.")
@click.option("--show-values", is_flag=True, help="Show personal values as they are, rather than by their shape.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(
    config: str, input_: str, id_: str | None, line: int | None, now: str | None, show_values: bool, format_: str
) -> None:
    """Shows one event's way, step by step, and sends nothing.

    Which triggers take it, and the condition that failed in those that do not; what each field of the mapping looks up
    and finds; what user_data is normalised to; what is dropped; what Meta will read, and with which events it may share
    a request. Or where it is rejected, why, and what would help. Without --id and --line it is the first event.

    \b
    capybeam explain --config conversions.yaml --input events.jsonl --id order-1042
    capybeam map … | grep rejected      # the lines of the rejected ones, for --line
    """
    import orjson

    from capybeam.pipeline.explain.command import Wanted, explanations
    from capybeam.pipeline.explain.display import show
    from capybeam.pipeline.explain.explanation import Explainer
    from capybeam.pipeline.run.terminal import console

    job = _job(config)
    explainer = Explainer(job, time.time() if now is None else _moment("--now", now), show_values)
    wanted, screen, count = Wanted(id_, line), console(), 0
    with _readable(input_) as rows:
        for explained in explanations(explainer, rows, wanted):
            if format_ == "json":
                sys.stdout.buffer.write(orjson.dumps(explained, option=orjson.OPT_APPEND_NEWLINE))
                sys.stdout.buffer.flush()
            else:
                if count:
                    screen.print()
                show(explained, screen)
            count += 1
    if not count:
        named = [f"with the messageId of --id{'' if line is None else ','}"] if id_ is not None else []
        named += [f"on line {line}"] if line is not None else []
        _fail(f"{'standard input' if input_ == '-' else input_}: there is no event {' '.join(named)}".rstrip())


@main.command(
    "test",
    epilog="Exit code 0: all cases pass; 1: some fail; 2: the job file or a test file is wrong, or there are no cases.",
)
@click.option("--config", "config", required=True, type=click.Path(), help="The job file.")
@click.argument("files", nargs=-1, type=click.Path())
@click.option("-k", "named", default="", metavar="TEXT", help="Only cases that have this in their name.")
@click.option("--update", is_flag=True, help="Rewrite the expectations that fail to what comes out, in place.")
@click.option("--show-values", is_flag=True, help="Show what was found in user_data, rather than its shape.")
def test_(config: str, files: tuple[str, ...], named: str, update: bool, show_values: bool) -> None:
    """Tests a job file by cases: given events, and what should become of them.

    FILES are test files, or folders of them; by default all *.test.yaml beside the job file. Nothing is sent.

    \b
    now: 2026-11-22T10:00:00Z
    tests:
      - name: an order goes out as Purchase
        event: {type: track, event: Order Completed, ...}
        expect:
          - subscription: web/orders     # or its name alone
            payload:                     # only these keys are compared
              custom_data: {value: 24.9}
              user_data: {em: {hash_of: jane@example.com}}
      - name: a sign-up is not sent
        event: {type: track, event: Signed Up}
        expect: filtered                 # or - {subscription: …, rejected: missing_currency}
    """
    from capybeam.pipeline.job_tests.cases import TestFileError
    from capybeam.pipeline.job_tests.command import NoTests, Options, find_files, load_files, run_files
    from capybeam.pipeline.run.terminal import console

    job = _job(config)
    try:
        cases = load_files(find_files(config, files), job, named)
        sys.exit(0 if run_files(cases, job, Options(named, update, show_values), console()) else 1)
    except TestFileError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        count = len(error.problems)
        _fail(f"{count} problem{'s' if count > 1 else ''} in the test files.")
    except NoTests as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")


@contextmanager
def _readable(input_: str) -> Iterator[Iterator[tuple[dict[str, Any], Any]]]:
    """The rows of an input; ends the process where it cannot be read."""
    from capybeam.pipeline.sources import NoEvents, NoInput, UnreadableFile
    from capybeam.pipeline.sources.file_rows import placed_rows

    try:
        with placed_rows(input_) as found:
            yield found.rows
    except BrokenPipeError:
        os._exit(0)
    except (NoInput, UnreadableFile) as error:
        _fail(str(error))
    except NoEvents as error:
        _fail(f"{'standard input' if input_ == '-' else input_}: {error}")
    except OSError as error:
        _fail(f"{error.filename or input_}: {error.strerror}")


def _same_file(one: str, other: str) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)


def _moment(option: str, text: str) -> float:
    try:
        seconds = float(text)
        if not math.isfinite(seconds):
            _fail(f"{option} {text}: neither ISO 8601 nor Unix seconds")
        return seconds
    except ValueError:
        import ciso8601

        try:
            moment = ciso8601.parse_datetime(text)
        except ValueError:
            _fail(f"{option} {text}: neither ISO 8601 nor Unix seconds")
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _seconds(option: str, text: str | None) -> float | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        _fail(f"{option} {text}: {error}")


def _fail(message: str) -> NoReturn:
    click.echo(f"capybeam: {message}", err=True)
    sys.exit(2)


@main.command(
    short_help="Delivers events, and accounts for every one.",
    context_settings={"ignore_unknown_options": True},
    epilog="--verbose shows Beam's own log; --allow-unsafe-runner runs on runners that are known to lose events.\n\n"
    "Exit code 0: all delivered or filtered; 1: some became dead letters; 2: job file, token or input at fault;"
    " 3: a destination refused us (token, permission); 4: the run failed; 130: stopped by Ctrl-C, SIGTERM or"
    " SIGHUP.",
)
@option("config", type=click.Path())
@option("input", "inputs", multiple=True)
@option("since")
@option("until")
@option("dead-letters")
@option("receipts")
@option("books", type=click.Path())
@option("until-idle", metavar="TIME")
@option("no-wait", is_flag=True)
@option("id-attribute")
@option("timestamp-attribute")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[ANY BEAM OPTION]...")
def run(
    config: str,
    inputs: tuple[str, ...],
    since: str | None,
    until: str | None,
    dead_letters: str,
    receipts: str,
    books: str | None,
    until_idle: str | None,
    no_wait: bool,
    id_attribute: str | None,
    timestamp_attribute: str | None,
    beam_options: tuple[str, ...],
) -> None:
    """Delivers events: reads, filters, maps, hashes, checks, batches, sends, and accounts for every one.

    Runs on this machine (FnApiRunner) unless Beam's --runner says otherwise. Ctrl-C stops reading, delivers what has
    been read and shows the books so far.
    """
    job = _job(config)
    since_at = None if since is None else _moment("--since", since)
    until_at = None if until is None else _moment("--until", until)
    try:
        logging.disable(logging.WARNING)  # Beam warns at import of extras that are not installed
        from capybeam.pipeline.run.execute import run_job  # Beam takes two seconds to import
        from capybeam.pipeline.run.request import Outputs, RunRequest
        from capybeam.pipeline.sources import TimeRange
        from capybeam.pipeline.sources.message_attributes import MessageAttributes

        logging.disable(logging.NOTSET)
        outputs, between = Outputs(dead_letters, receipts, books), TimeRange(since_at, until_at)
        attributes = MessageAttributes(id_attribute, timestamp_attribute)
        idle = _seconds("--until-idle", until_idle)
        request = RunRequest(job, inputs, outputs, beam_options, idle, attributes, between, wait=not no_wait)
        sys.exit(run_job(request))
    except KeyboardInterrupt:  # before the run has begun, or after it has ended
        sys.exit(130)


@main.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Exit codes are those of `run`. The dead letters that are read stay as they are.",
)
@click.option("--config", required=True, type=click.Path(), help="The job file, mended.")
@click.option(
    "--from",
    "letters",
    required=True,
    multiple=True,
    help="Dead letters: path, glob or URL, .gz too; repeatable. bigquery:PROJECT.DATASET.TABLE, or"
    " pubsub:projects/P/subscriptions/S.",
)
@click.option("--only", "codes", multiple=True, metavar="CODE", help="Only those rejected with this code. Repeatable.")
@click.option("--retryable", is_flag=True, help="Only those where the event was fine and the destination was not.")
@click.option(
    "--dead-letters",
    default="replayed-dead-letters.jsonl",
    show_default=True,
    help="What was rejected again, and why; not the file that is read.",
)
@click.option(
    "--receipts", default="replayed-receipts.jsonl", show_default=True, help="What Meta took, a line per request."
)
@click.option("--books", default=None, type=click.Path(), help="Also write the books as JSON.")
@option("until-idle", metavar="TIME")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[ANY BEAM OPTION]...")
def replay(
    config: str,
    letters: tuple[str, ...],
    codes: tuple[str, ...],
    retryable: bool,
    dead_letters: str,
    receipts: str,
    books: str | None,
    until_idle: str | None,
    beam_options: tuple[str, ...],
) -> None:
    """Delivers dead letters, by the job file as it is now.

    What was rejected up to mapping is mapped again, for the subscription that rejected it; what was rejected after it
    is checked and sent as it is, with the same event_id, so that Meta drops what it has had.
    """
    job = _job(config)
    for code in codes:
        if code not in CODES:
            close = difflib.get_close_matches(code, CODES, n=1)
            _fail(f"--only {code}: there is no such code" + (f"; did you mean {close[0]}?" if close else ""))
    try:
        logging.disable(logging.WARNING)
        from capybeam.pipeline.run.execute import replay_job
        from capybeam.pipeline.run.request import Outputs, RunRequest
        from capybeam.transforms.core.dead_letters import ReplayFilter

        logging.disable(logging.NOTSET)
        replay_filter, outputs = ReplayFilter(frozenset(codes), retryable), Outputs(dead_letters, receipts, books)
        request = RunRequest(job, letters, outputs, beam_options, _seconds("--until-idle", until_idle))
        sys.exit(replay_job(request, replay_filter))
    except KeyboardInterrupt:
        sys.exit(130)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option("--token", "tokens", multiple=True, help="Accept only this token (repeatable); by default any.")
@click.option("--dataset", "datasets", multiple=True, help="Know only this dataset (repeatable); by default any.")
@click.option("--app-secret", default=None, help="Require an appsecret_proof made with this secret.")
@click.option("--null", is_flag=True, help="Answer without checking or storing: for measuring the sender.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=VALUE",
    help="A fault switch, such as error_rate=0.1 (repeatable); --list-faults names them. Also POST /sandbox/faults.",
)
@click.option("--list-faults", is_flag=True, help="Name the fault switches and leave.")
def sandbox(
    port: int,
    tokens: tuple[str, ...],
    datasets: tuple[str, ...],
    app_secret: str | None,
    null: bool,
    faults: tuple[str, ...],
    list_faults: bool,
) -> None:
    """A local Graph API that enforces Meta's documented rules, with a page at / that shows what arrived.

    Point a destination's `endpoint` at it. Batches are refused whole for one bad event, tokens are checked, duplicates
    dropped; faults (500s, throttling, dropped connections, a dead token …) are switched on here or while it runs.
    """
    try:
        from capybeam.pipeline.sandbox.faults import Faults, parse_fault
        from capybeam.pipeline.sandbox.server import serve
        from capybeam.pipeline.sandbox.store import SandboxSettings
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        _fail("the sandbox needs aiohttp: pip install 'capybeam[sandbox]'")

    if list_faults:
        for field in dataclasses.fields(Faults):
            click.echo(f"{field.name:18} {field.metadata['help']} (default {field.default})")
        return
    try:
        changes = dict(parse_fault(fault) for fault in faults)
        settings = SandboxSettings(
            tokens=frozenset(tokens),
            datasets=frozenset(datasets),
            app_secret=app_secret,
            null=null,
            faults=Faults().changed(changes),
        )
        serve(settings, port=port)
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"port {port}: {error.strerror}")


@main.command(short_help="Prints the JSON Schema of the job file.")
@click.option("--output", type=click.Path(), default="-", help="Where to write it; - is stdout.")
def schema(output: str) -> None:
    """Prints the JSON Schema of the job file, for editors that check YAML as you type."""
    import orjson

    text = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if output == "-":
        sys.stdout.buffer.write(text)
    else:
        try:
            Path(output).write_bytes(text)
        except OSError as error:
            _fail(f"{output}: {error.strerror}")


if __name__ == "__main__":
    main()
