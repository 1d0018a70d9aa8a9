"""The report of a run as a file, also of a run that has not begun. Nothing here needs Beam."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

import orjson

from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_document import FORMAT, Ending, Input, Occasion, document, without_emails
from capybeam.pipeline.schemes import SCHEMES, strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import own_descriptor
from capybeam.pipeline.sinks.report_file import write_report
from capybeam.pipeline.sources import Source

NOTHING: Final = RunReport.from_counts({})


def record(path: str | None, occasion: Occasion, report: RunReport, ending: Ending) -> str | None:
    """Writes the report of a run, where a path is given; why it cannot be written."""
    if path is None:
        return None
    try:
        write_report(path, orjson.dumps(document(occasion, report, ending), option=_PRETTY))
    except SinkError as error:
        return str(error)
    return None


_PRETTY: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def record_early(path: str | None, occasion: Occasion, ending: Ending) -> None:
    """Writes the report of a run that ends before its outputs were checked.

    The place may be one of its inputs, by mistake: what is there is replaced only if it is an earlier report. Why it
    cannot be written is not said: the cause of the end is.
    """
    if path is not None and _is_free(strip_file_scheme(path)):
        with contextlib.suppress(OSError):
            record(path, occasion, NOTHING, ending)


def _is_free(path: str) -> bool:
    if own_descriptor(path) is not None or not os.path.lexists(path):
        return True
    if os.path.islink(path) or not os.path.isfile(path):
        return not os.path.islink(path) and not os.path.isdir(path)  # a device
    try:
        with open(path, "rb") as file:
            start = file.read(len(_START))
    except OSError:
        return False
    return start in (b"", _START)


_START: Final = orjson.dumps({"format": FORMAT}, option=orjson.OPT_INDENT_2).rstrip(b"}\n")


def inputs_of(sources: Sequence[Source]) -> tuple[Input, ...]:
    """Inputs that have been looked at."""
    return tuple(
        Input(_name(source.name, source.is_query), source.size.files, source.size.bytes, source.size.rows)
        for source in sources
    )


def inputs_by_name(names: Sequence[str]) -> tuple[Input, ...]:
    """Inputs of which nothing is known but how they were given."""
    return tuple(Input(_name(name, is_query=_is_query(name))) for name in names)


def _name(name: str, is_query: bool) -> str:
    return f"{name.partition(':')[0]}: a query" if is_query else without_emails(name)


def _is_query(name: str) -> bool:
    return name.partition(":")[0] in SCHEMES and len(name.partition(":")[2].split()) > 1
