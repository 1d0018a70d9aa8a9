"""``capybeam reconcile``: the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from capybeam.pipeline.command_line import fail, load_or_exit
from capybeam.pipeline.log_lines import json_lines, say
from capybeam.pipeline.run.options import option
from capybeam.pipeline.time_options import GivenTimes, time_options, time_range


@click.command(
    short_help="Says where every conversion of an input is.",
    epilog="Exit code 0: nothing is nowhere; 1: something is, or an input breaks off; 2: the job file, an input or a"
    " receipt is at fault. The input may also be bigquery:PROJECT.DATASET.TABLE or bigquery:SELECT …",
)
@option("config", type=click.Path())
@option("input", "inputs", multiple=True)
@time_options
@click.option(
    "--receipts",
    multiple=True,
    required=True,
    metavar="RECEIPTS",
    help="Receipts of all runs over the input: path, glob or URL, or bigquery:PROJECT.DATASET.TABLE. Repeatable.",
)
@click.option(
    "--dead-letters",
    multiple=True,
    metavar="DEAD_LETTERS",
    help="Dead letters of all those runs, likewise. Repeatable.",
)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--output", default=None, type=click.Path(), help="List what is nowhere, as JSON lines; - is stdout.")
def reconcile(
    config: str,
    inputs: tuple[str, ...],
    since: str | None,
    until: str | None,
    time_zone: str,
    time_column: str | None,
    receipts: tuple[str, ...],
    dead_letters: tuple[str, ...],
    format_: str,
    output: str | None,
) -> None:
    """Says of every conversion that an input makes where it is: delivered, a dead letter, or nowhere. Sends nothing.

    The input is mapped with the job file as it is now, and each conversion is looked up, by its event_id, in the
    receipts and dead letters that are given. What is nowhere is what `run --resume` would send.

    \b
    capybeam reconcile --config conversions.yaml --input events.jsonl \\
      --receipts 'receipts*.jsonl.gz' --dead-letters 'dead-letters*.jsonl'
    """
    import orjson

    from capybeam.pipeline.reconciliation.display import rendered
    from capybeam.pipeline.reconciliation.index import ProcessedIndex
    from capybeam.pipeline.reconciliation.inputs import rows_of
    from capybeam.pipeline.reconciliation.reconcile import Reconciliation
    from capybeam.pipeline.reconciliation.records import Records, resolved
    from capybeam.pipeline.run.terminal import console
    from capybeam.pipeline.sources import NoEvents, NoInput, UnreadableFile
    from capybeam.transforms.engine.engine import Engine

    if output == "-" and format_ == "json":
        fail("--output - and --format json would both write to standard output; give --output a file")
    job = load_or_exit(config)
    between, last = time_range(GivenTimes(since, until, time_zone, time_column))
    if last is not None:
        fail("--since last is for run")
    engine, broken = Engine(job.subscriptions, unwrap=job.unwrap), list[str]()
    try:
        places = (*resolved(receipts, "--receipts"), *resolved(dead_letters, "--dead-letters"))
        index = ProcessedIndex(Records(places), engine)
        found = Reconciliation(engine, index)
        with _listing(output) as listed:
            for place, row in rows_of(inputs, between, broken.append):
                for nowhere in found.add(place, row):
                    if listed is not None:
                        listed.write(orjson.dumps(nowhere, option=orjson.OPT_APPEND_NEWLINE))
        found.finish()
    except BrokenPipeError:  # whoever read the output has seen enough
        os._exit(0)  # without the flush at exit, which would break the pipe once more
    except (NoInput, NoEvents, UnreadableFile) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror}")
    for sentence in (*index.remarks(), *broken):
        say(f"capybeam: {sentence}", "warning")
    if format_ == "json":
        sys.stdout.buffer.write(orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    elif output == "-" and json_lines() is not None:
        say("Reconciled.", counts=found.as_json())
    else:
        console(stderr=output == "-").print(rendered(found.as_json()))
    sys.exit(1 if found.total.conversions["nowhere"] or broken else 0)


@contextmanager
def _listing(output: str | None) -> Iterator[IO[bytes] | None]:
    """Where conversions are listed. Only their owner may read a file of them: event_ids are personal data."""
    if output is None:
        yield None
    elif output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with open(output, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            yield file
