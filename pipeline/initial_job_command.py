"""The `init` command, without the command line: reads the events, writes the job file."""

from __future__ import annotations

from itertools import islice

from capybeam.pipeline.initial_job import initial_job, proposed_job
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.sample_rows import name_of_sample, sample_rows
from capybeam.transforms.core.conversions import ignore
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine


def run_init(output: str, force: bool, events: str | None, sample: int) -> int:
    """Writes the job file and returns the exit code. Raises CommandError."""
    check_output(output, force)
    text = initial_job() if events is None else proposed_job(read_events(events, sample))
    write_output(output, text, force)
    if output != STDOUT:
        say(f"{output} is written. Put in your dataset_id, then: capybeam check {output}")
    return 0


def read_events(file: str, most: int) -> list[Event]:
    """The first events of a file, as `map` reads it. Raises CommandError where there are none."""
    found: list[Event] = []
    others = 0
    parse = Engine(()).parse
    name = name_of_sample(file)
    with sample_rows(file, most) as rows:
        for row in islice(rows, most):
            for each in parse(row, ignore):
                if isinstance(each, Rejected):
                    others += 1
                else:
                    found.append(each)
    if not found:
        raise CommandError(
            f"{name}: holds no events" + (f"; {others:,} of its lines are something else" if others else "")
        )
    if others:
        say(f"Left out, as they are not events: {others:,} lines; capybeam map says why.")
    return found[:most]
