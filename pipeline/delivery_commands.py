"""The commands that deliver: run, replay."""

from __future__ import annotations

import difflib
import logging
import sys

import click

from capybeam.pipeline.command_line import begin, byte_count, fail
from capybeam.pipeline.job.models import duration
from capybeam.pipeline.run.exit_codes import INTERRUPTED
from capybeam.pipeline.run.options import MOST_WORKERS, REPLAYED_DEAD_LETTERS, REPLAYED_RECEIPTS, option
from capybeam.pipeline.time_options import GivenTimes, time_options, time_range
from capybeam.transforms.core.rejections import CODES


def _seconds(option: str, text: str | None) -> float | None:
    try:
        return None if text is None else duration(text)
    except ValueError as error:
        fail(f"{option} {text}: {error}")


@click.command(
    short_help="Delivers events, and accounts for every one.",
    context_settings={"ignore_unknown_options": True},
    epilog="--verbose shows Beam's own log; --allow-unsafe-runner runs on runners that are known to lose events.\n\n"
    "Exit code 0: all delivered or filtered, or no more bad events than --tolerate; 1: some events were bad, and are"
    " dead letters; 2: job file, token or input at fault; 3: a destination refused everything (token, permission);"
    " 4: the run failed; 5: events were given up for an outage, and a replay delivers them; 130: stopped by Ctrl-C,"
    " SIGTERM or SIGHUP.",
)
@option("config", type=click.Path())
@option("input", "inputs", multiple=True)
@time_options
@option("overlap", metavar="TIME")
@option("max-bytes-billed", metavar="BYTES")
@option("dead-letters")
@option("receipts")
@option("resume", multiple=True, metavar="RECEIPTS")
@option("keep", type=click.IntRange(min=0), metavar="N")
@option("report", "--books", type=click.Path())
@option("tolerate", metavar="SHARE|COUNT")
@option("workers", type=click.IntRange(1, MOST_WORKERS), metavar="N")
@option("metrics", metavar="PORT")
@option("window-books", metavar="PLACE")
@option("until-idle", metavar="TIME")
@option("no-wait", is_flag=True)
@option("dry-run", "--dry_run", "is_dry", is_flag=True)
@option("id-attribute")
@option("timestamp-attribute")
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[ANY BEAM OPTION]...")
def run(
    config: str,
    inputs: tuple[str, ...],
    since: str | None,
    until: str | None,
    time_zone: str,
    time_column: str | None,
    overlap: str | None,
    max_bytes_billed: str | None,
    dead_letters: str,
    receipts: str,
    resume: tuple[str, ...],
    keep: int | None,
    report: str | None,
    tolerate: str | None,
    workers: int | None,
    metrics: str | None,
    window_books: str | None,
    until_idle: str | None,
    no_wait: bool,
    is_dry: bool,
    id_attribute: str | None,
    timestamp_attribute: str | None,
    beam_options: tuple[str, ...],
) -> None:
    """Delivers events: reads, filters, maps, hashes, checks, batches, sends, and accounts for every one.

    Runs on this machine (FnApiRunner) unless Beam's --runner says otherwise. Ctrl-C stops reading, delivers what has
    been read and shows the books so far.
    """
    job, tolerance = begin("run", config, report, tolerate)
    between, last = time_range(GivenTimes(since, until, time_zone, time_column, overlap))
    max_bytes = byte_count("--max-bytes-billed", max_bytes_billed)
    try:
        logging.disable(logging.WARNING)  # Beam warns at import of extras that are not installed
        from capybeam.pipeline.run.execute import run_job  # Beam takes two seconds to import
        from capybeam.pipeline.run.request import Outputs, RunRequest
        from capybeam.pipeline.sources.message_attributes import MessageAttributes

        logging.disable(logging.NOTSET)
        request = RunRequest(
            job,
            inputs,
            Outputs(dead_letters, receipts, report, window_books),
            beam_options,
            until_idle=_seconds("--until-idle", until_idle),
            attributes=MessageAttributes(id_attribute, timestamp_attribute),
            between=between,
            since_last=last,
            max_bytes=max_bytes,
            wait=not no_wait,
            config=config,
            tolerate=tolerance,
            resume=resume,
            keep=keep,
            metrics=metrics,
            workers=workers,
            is_dry=is_dry,
        )
        sys.exit(run_job(request))
    except KeyboardInterrupt:  # before the run has begun, or after it has ended
        sys.exit(INTERRUPTED)


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Exit codes are those of `run`. The dead letters that are read stay as they are.",
)
@click.option("--config", required=True, type=click.Path(), help="The corrected job file.")
@click.option(
    "--from",
    "sources",
    required=True,
    multiple=True,
    help="Dead letters: path, glob or URL, .gz too; repeatable. bigquery:PROJECT.DATASET.TABLE, or"
    " pubsub:projects/P/subscriptions/S.",
)
@time_options
@option("max-bytes-billed", metavar="BYTES")
@click.option("--only", "codes", multiple=True, metavar="CODE", help="Only those rejected with this code. Repeatable.")
@click.option("--retryable", is_flag=True, help="Only those where the destination was at fault, not the event.")
@click.option(
    "--dead-letters",
    default=REPLAYED_DEAD_LETTERS,
    show_default=True,
    help="What was rejected again, and why; must not be the file that is read.",
)
@click.option(
    "--receipts",
    default=REPLAYED_RECEIPTS,
    show_default=True,
    help="What Meta accepted, one line per request, with its event_ids.",
)
@option("resume", multiple=True, metavar="RECEIPTS")
@option("keep", type=click.IntRange(min=0), metavar="N")
@option("report", "--books", type=click.Path())
@option("tolerate", metavar="SHARE|COUNT")
@option("workers", type=click.IntRange(1, MOST_WORKERS), metavar="N")
@option("metrics", metavar="PORT")
@option("window-books", metavar="PLACE")
@option("until-idle", metavar="TIME")
@option("dry-run", "--dry_run", "is_dry", is_flag=True)
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[ANY BEAM OPTION]...")
def replay(
    config: str,
    sources: tuple[str, ...],
    since: str | None,
    until: str | None,
    time_zone: str,
    time_column: str | None,
    max_bytes_billed: str | None,
    codes: tuple[str, ...],
    retryable: bool,
    dead_letters: str,
    receipts: str,
    resume: tuple[str, ...],
    keep: int | None,
    report: str | None,
    tolerate: str | None,
    workers: int | None,
    metrics: str | None,
    window_books: str | None,
    until_idle: str | None,
    is_dry: bool,
    beam_options: tuple[str, ...],
) -> None:
    """Delivers dead letters, by the job file as it is now.

    What was rejected up to mapping is mapped again, for the subscription that rejected it; what was rejected after it
    is checked and sent as it is, with the same event_id, so that Meta drops what it has had.
    """
    job, tolerance = begin("replay", config, report, tolerate)
    between, last = time_range(GivenTimes(since, until, time_zone, time_column))
    if last is not None:
        fail("--since last is for run: a replay has no receipts of a last one to go on from")
    max_bytes = byte_count("--max-bytes-billed", max_bytes_billed)
    for code in codes:
        if code not in CODES:
            close = difflib.get_close_matches(code, CODES, n=1)
            fail(f"--only: unknown code '{code}'" + (f"; did you mean {close[0]}?" if close else ""))
    try:
        logging.disable(logging.WARNING)
        from capybeam.pipeline.run.execute import replay_job
        from capybeam.pipeline.run.request import Outputs, RunRequest
        from capybeam.transforms.core.dead_letters import ReplayFilter

        logging.disable(logging.NOTSET)
        replay_filter = ReplayFilter(frozenset(codes), retryable)
        request = RunRequest(
            job,
            sources,
            Outputs(dead_letters, receipts, report, window_books),
            beam_options,
            until_idle=_seconds("--until-idle", until_idle),
            between=between,
            max_bytes=max_bytes,
            config=config,
            tolerate=tolerance,
            resume=resume,
            keep=keep,
            metrics=metrics,
            workers=workers,
            is_dry=is_dry,
        )
        sys.exit(replay_job(request, replay_filter))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
