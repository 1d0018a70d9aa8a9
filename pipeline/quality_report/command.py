"""The `report` command, without the command line: one pass over the input, then the page or the JSON."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import click
import orjson

from capybeam import __version__
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.comparison import comparison
from capybeam.pipeline.quality_report.numbers import JobNumbers, Report
from capybeam.pipeline.sample_rows import name_of_sample, placed_sample_rows

Format = Literal["html", "json"]
DEFAULT_OUTPUT: Final[dict[Format, str]] = {"html": "report.html", "json": STDOUT}
_NEEDS_JINJA: Final = (
    "the page needs jinja2: pip install 'capybeam[report]'; --format json has the same numbers without it"
)


@dataclasses.dataclass(frozen=True)
class NamedJob:
    """A job, and the path of its file."""

    path: str
    job: Job


@dataclasses.dataclass(frozen=True)
class Request:
    """What a report is of, and where it goes.

    Attributes:
        jobs: of --config, and of --compare if it is given.
        now: Unix seconds, for the age limits.
        output: None for the format's own.
    """

    jobs: Sequence[NamedJob]
    input: str
    output: str | None
    format: Format
    force: bool
    now: float


def write_report(request: Request) -> str:
    """Reads the input, writes the report; gives back why the input could not be read to its end, "" where it was.

    Raises:
        CommandError: nothing has been written.
    """
    output = DEFAULT_OUTPUT[request.format] if request.output is None else request.output
    check_output(output, request.force)
    _check_not_read(output, request)
    render = _renderer(request.format)
    report = _report(request)
    text = render(report)
    write_output(output, text, request.force)
    job = report.job
    strong, examined = sum(each.strength["strong"] for each in job.groups), sum(each.examined for each in job.groups)
    share = f", {100 * strong / examined:.0f} % with a strong match key" if examined else ""
    written = "" if output == STDOUT else f"{output} ({len(text.encode()) // 1000:,} kB): "
    click.echo(f"{written}{job.events:,} events, {job.conversions:,} conversions{share}.", err=True)
    return report.incomplete


def _check_not_read(output: str, request: Request) -> None:
    """Raises CommandError where the report would overwrite what it is made of."""
    read = [request.input, *glob.glob(request.input, recursive=True), *(each.path for each in request.jobs)]
    for path in read:
        if output != STDOUT and Path(path).exists() and Path(output).exists() and Path(path).samefile(output):
            raise CommandError(f"{output}: this is read for the report; choose another --output")


def _renderer(format_: Format) -> Callable[[Report], str]:
    if format_ == "json":
        return lambda report: orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    try:
        from capybeam.pipeline.quality_report.page import page
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        raise CommandError(_NEEDS_JINJA) from None
    return page


def _report(request: Request) -> Report:
    collectors = [Collector(each.job, request.now) for each in request.jobs]
    rows_read, incomplete = 0, ""
    try:
        with placed_sample_rows(request.input) as rows:
            for _, row in rows:
                rows_read += 1
                for collector in collectors:
                    collector.add(row)
    except CommandError as error:
        if not rows_read:
            raise
        incomplete = str(error)
    name = name_of_sample(request.input)
    if not rows_read:
        raise CommandError(f"{name}: holds no events")
    numbers = [
        collector.numbers(_file_name(each.path)) for collector, each in zip(collectors, request.jobs, strict=True)
    ]
    job, others = numbers[0], numbers[1:]
    compared: JobNumbers | None = others[0] if others else None
    return Report(
        version=__version__,
        now=int(request.now),
        input=_file_name(name),
        incomplete=incomplete,
        job=job,
        compared=compared,
        comparison=comparison(job, compared) if compared else (),
    )


def _file_name(path: str) -> str:
    """Without its folder, which may have a person's name."""
    return path.rstrip("/").rpartition("/")[2] or path
