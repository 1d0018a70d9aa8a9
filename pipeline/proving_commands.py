"""The commands that show and test what a job file does before it runs: explain, report, test."""

from __future__ import annotations

import os
import sys
import time
from typing import Literal

import click

from capybeam.pipeline.command_line import fail, load_or_exit, moment
from capybeam.pipeline.log_lines import say


@click.command(epilog="Exit code 0; 2 where the job file or the input is at fault, or has no such event.")
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
    from capybeam.pipeline.output_files import CommandError
    from capybeam.pipeline.run.terminal import console
    from capybeam.pipeline.sample_rows import name_of_sample, placed_sample_rows

    job = load_or_exit(config)
    explainer = Explainer(job, time.time() if now is None else moment("--now", now), show_values)
    wanted, screen, count = Wanted(id_, line), console(), 0
    try:
        with placed_sample_rows(input_) as rows:
            for explained in explanations(explainer, rows, wanted):
                if format_ == "json":
                    sys.stdout.buffer.write(orjson.dumps(explained, option=orjson.OPT_APPEND_NEWLINE))
                    sys.stdout.buffer.flush()
                else:
                    if count:
                        screen.print()
                    show(explained, screen)
                count += 1
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except CommandError as error:
        fail(str(error))
    if not count:
        named = [f"with the messageId of --id{'' if line is None else ','}"] if id_ is not None else []
        named += [f"on line {line}"] if line is not None else []
        fail(f"{name_of_sample(input_)}: there is no event {' '.join(named)}".rstrip())


@click.command(
    short_help="Shows the match quality of a job's conversions, and what a run did.",
    epilog="Exit code 0; 2 where a job file or an input is at fault; 3 where Meta refused an answer to --quality. Where"
    " an input breaks off, the report is of what comes before, says so, and the exit code is 2.",
)
@click.option("--config", "config", default=None, type=click.Path(), help="The job file, for --input and --quality.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    help="Events (repeatable): what `map` reads, or bigquery:PROJECT.DATASET.TABLE; - is stdin, JSON lines, and the"
    " default where nothing else is asked for.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Read the first N rows of a table. Files are read whole.",
)
@click.option("--compare", default=None, type=click.Path(), help="Another job file: shows before → after.")
@click.option("--run", "run_", default=None, type=click.Path(), help="What `run --report` wrote.")
@click.option("--quality", is_flag=True, help="Ask Meta for the quality of the events that it has.")
@click.option(
    "--quality-from", default=None, type=click.Path(), help="The same from what `quality --format json` printed."
)
@click.option("--output", default=None, help="Default: report.html, or stdout with --format json; - is stdout.")
@click.option("--force", is_flag=True, help="Overwrite --output.")
@click.option("--format", "format_", type=click.Choice(["html", "json"]), default="html", show_default=True)
@click.option("--now", default=None, help="The time that ages are judged by (ISO 8601 or Unix seconds); default: now.")
def report(
    config: str | None,
    inputs: tuple[str, ...],
    sample: int,
    compare: str | None,
    run_: str | None,
    quality: bool,
    quality_from: str | None,
    output: str | None,
    force: bool,
    format_: str,
    now: str | None,
) -> None:
    """Shows how good the conversions of a job are, and sends nothing.

    By destination and event name: which match keys conversions have, what is dropped and rejected, and why; purchases
    that lack something; values that do not look like the others; ages; event_ids. And the three changes that would help
    most. With --run also what a run did, and with --quality what Meta says of the events that it has; both also without
    events. The page works without a network and holds no values of events, only their shapes (aaa@aaa.aaa) and counts.

    \b
    capybeam report --config conversions.yaml --input events.jsonl
    capybeam report --config conversions.yaml --compare other.yaml --input 'events/*.jsonl.gz'
    capybeam report --run run.json
    """
    from capybeam.pipeline.output_files import CommandError
    from capybeam.pipeline.quality_report.command import NamedJob, Request, write_report

    if quality and quality_from is not None:
        fail("--quality asks Meta, and --quality-from reads an earlier answer: give one of them")
    if not inputs and compare is None and run_ is None and not quality and quality_from is None:
        inputs = ("-",)
    if compare is not None and not inputs:
        fail("--compare: two job files are compared over events: give --input")
    if config is None and (inputs or quality):
        fail("--config FILE is needed: a job file, for --input and --quality")
    if config is not None and not inputs and not quality:
        fail("--config: there is nothing to do with it; give --input (- for standard input) or --quality")
    jobs = [NamedJob(path, load_or_exit(path)) for path in (config, compare) if path is not None]
    moment_ = time.time() if now is None else moment("--now", now)
    kind: Literal["html", "json"] = "json" if format_ == "json" else "html"
    try:
        written = write_report(Request(jobs, inputs, sample, run_, quality, quality_from, output, kind, force, moment_))
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except CommandError as error:
        fail(str(error))
    if written.incomplete:
        fail(written.incomplete)
    if written.refused:
        sys.exit(3)


@click.command(
    "test",
    short_help="Tests a job file by cases beside it.",
    epilog="Exit code 0: all cases pass; 1: some fail; 2: the job file or a test file is wrong, or there are no cases.",
)
@click.option("--config", "config", required=True, type=click.Path(), help="The job file.")
@click.argument("files", nargs=-1, type=click.Path())
@click.option("-k", "named", default="", metavar="TEXT", help="Only cases that have this in their name.")
@click.option("--update", is_flag=True, help="Rewrite the expectations that fail to what comes out, in place.")
@click.option("--show-values", is_flag=True, help="Show personal values as they are, rather than by their shape.")
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

    job = load_or_exit(config)
    try:
        cases = load_files(find_files(config, files), job, named)
        sys.exit(0 if run_files(cases, job, Options(named, update, show_values), console()) else 1)
    except TestFileError as error:
        for problem in error.problems:
            say(problem, "error")
        count = len(error.problems)
        fail(f"{count} problem{'s' if count > 1 else ''} in the test files.")
    except NoTests as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
