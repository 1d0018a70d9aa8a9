"""The `report` command, without the command line: one pass over the inputs, then the page or the JSON."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson

from capybeam import __version__
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.comparison import comparison
from capybeam.pipeline.quality_report.inputs import Inputs, file_name
from capybeam.pipeline.quality_report.meta_section import Document, meta_section, read_quality
from capybeam.pipeline.quality_report.numbers import JobNumbers, Report, share_of
from capybeam.pipeline.quality_report.run_section import read_run

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
        inputs: as they are given; () where no events are read.
        sample: rows of a BigQuery table.
        run: the file of a run's report.
        quality: whether Meta is asked about the datasets of the first job.
        quality_from: the file of what it answered before.
        now: Unix seconds, for the age limits.
        output: None for the format's own.
    """

    jobs: Sequence[NamedJob]
    inputs: Sequence[str]
    sample: int
    run: str | None
    quality: bool
    quality_from: str | None
    output: str | None
    format: Format
    force: bool
    now: float


class Written(NamedTuple):
    """How writing a report went.

    Attributes:
        incomplete: why an input could not be read to its end, "" where all were.
        refused: whether Meta refused to answer about a dataset.
    """

    incomplete: str
    refused: bool


def write_report(request: Request) -> Written:
    """Reads what a report is of, and writes it.

    Raises:
        CommandError: nothing has been written.
    """
    output = DEFAULT_OUTPUT[request.format] if request.output is None else request.output
    check_output(output, request.force)
    _check_not_read(output, request)
    render = _renderer(request.format)
    run = read_run(request.run) if request.run else None
    documents, refused = _quality(request)
    report = _report(request, run, documents)
    text = render(report)
    write_output(output, text, request.force)
    written = "" if output == STDOUT else f"{output} ({len(text.encode()) // 1000:,} kB): "
    say(f"{written}{'; '.join(_summary(report))}.")
    return Written(report.incomplete, refused)


def _check_not_read(output: str, request: Request) -> None:
    """Raises CommandError where the report would overwrite what it is made of."""
    named = [*request.inputs, *filter(None, (request.run, request.quality_from))]
    found = [path for text in request.inputs for path in glob.glob(text, recursive=True)]
    for path in [*named, *found, *(each.path for each in request.jobs)]:
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


def _quality(request: Request) -> tuple[list[Document], bool]:
    """What Meta says now or has said, and whether it refused to answer now."""
    if request.quality_from:
        return read_quality(request.quality_from), False
    if not request.quality:
        return [], False
    from capybeam.pipeline.inspect_meta.datasets import targets
    from capybeam.pipeline.inspect_meta.quality import ask_all
    from capybeam.pipeline.inspect_meta.quality_display import as_json

    job = request.jobs[0].job
    found = list(ask_all(targets(job), job.delivery))
    if not found:
        raise CommandError("--quality: the job file has no destination at Meta")
    return [as_json(name, each) for name, each in found], any(each.answer.kind != "delivered" for _, each in found)


def _report(request: Request, run: Mapping[str, Any] | None, documents: Sequence[Document]) -> Report:
    inputs = Inputs(request.inputs, request.sample)
    numbers = _numbers(request, inputs) if request.inputs else []
    job, compared = (*numbers, None, None)[:2]
    return Report(
        version=__version__,
        now=int(request.now),
        inputs=inputs.names(),
        incomplete=" ".join(inputs.broken),
        job=job,
        compared=compared,
        comparison=comparison(job, compared) if job and compared else (),
        run=run,
        meta=meta_section(documents, job),
    )


def _numbers(request: Request, inputs: Inputs) -> list[JobNumbers]:
    """What each job makes of the inputs."""
    collectors = [Collector(each.job, request.now) for each in request.jobs]
    for row in inputs.rows():
        for collector in collectors:
            collector.add(row)
    return [collector.numbers(file_name(each.path)) for collector, each in zip(collectors, request.jobs, strict=True)]


def _summary(report: Report) -> Iterator[str]:
    """A few words on each part."""
    if report.run is not None:
        yield f"the run {report.run['state'].replace('_', ' ')}, {report.run['delivered']:,} conversions delivered"
    if report.job is not None:
        job = report.job
        strong, examined = sum(each.strength["strong"] for each in job.groups), sum(e.examined for e in job.groups)
        share = f", {share_of(strong, examined)} with a strong match key" if examined else ""
        yield f"{job.events:,} events, {job.conversions:,} conversions{share}"
    if report.meta:
        yield f"quality at Meta of {len(report.meta):,} dataset{'s' * (len(report.meta) > 1)}"
