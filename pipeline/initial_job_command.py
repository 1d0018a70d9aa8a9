"""The `init` command, without the command line: reads the events, writes the job file."""

from __future__ import annotations

from itertools import islice

import click

from capybeam.pipeline.initial_job import initial_job, proposed_job
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.sources import NoEvents, NoInput, UnreadableFile
from capybeam.pipeline.sources.file_rows import placed_rows
from capybeam.transforms.core import events as events_of_lines
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine


def run_init(output: str, force: bool, events: str | None, sample: int) -> int:
    """Writes the job file and returns the exit code. Raises CommandError."""
    check_output(output, force)
    text = initial_job() if events is None else proposed_job(read_events(events, sample))
    write_output(output, text, force)
    if output != STDOUT:
        click.echo(f"{output} is written. Put in your dataset_id, then: capybeam check {output}", err=True)
    return 0


def read_events(file: str, most: int) -> list[Event]:
    """The first events of a file, as `map` reads it. Raises CommandError where there are none."""
    found: list[Event] = []
    others = 0
    parse = Engine(()).parse
    name = "standard input" if file == STDOUT else file
    try:
        with placed_rows(file) as placed:
            for _, row in islice(placed.rows, most):
                for each in () if _is_blank(row) else parse(row, ignore):
                    if isinstance(each, Rejected):
                        others += 1
                    else:
                        found.append(each)
    except (NoInput, UnreadableFile) as error:
        raise CommandError(str(error)) from None
    except NoEvents as error:
        raise CommandError(f"{name}: {error}") from None
    except OSError as error:
        raise CommandError(f"{error.filename or name}: {error.strerror}") from None
    if not found:
        raise CommandError(
            f"{name}: holds no events" + (f"; {others:,} of its lines are something else" if others else "")
        )
    if others:
        click.echo(f"Left out, as they are not events: {others:,} lines; capybeam map says why.", err=True)
    return found[:most]


def _is_blank(row: Row) -> bool:
    return isinstance(row, bytes) and events_of_lines.is_blank(row)
