"""A run's report as a section of a quality report: as `run --report` wrote it, without the folders of its files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pydantic

from capybeam.pipeline.output_files import CommandError
from capybeam.pipeline.quality_report.inputs import file_name
from capybeam.pipeline.run.report_model import ReportModel

_FOLDERS: Final = re.compile(r"""(?<![\w:/.~-])(?:~|\.\.?)?/(?:[^\s/'"]+/)+""")  # of a path in a sentence
_CUT: Final = "…/"


def read_run(path: str) -> dict[str, Any]:
    """The document, by the schema of a run's report. Raises CommandError."""
    try:
        model = ReportModel.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(
            f"{path}: is not the report of a run, as `capybeam run --report` writes it"
            f" ({f'{where}: ' if where else ''}{first['msg']})"
        ) from None
    return _without_folders(model.model_dump())


def _without_folders(run: dict[str, Any]) -> dict[str, Any]:
    """The same with names of files in place of their paths: a folder may have a person's name."""
    job, inputs = run["job"], run["inputs"]
    paths = [path for path in (job["file"], *(each["name"] for each in inputs)) if path]

    def cut(sentences: Iterable[str]) -> list[str]:
        return [_cut(sentence, paths) for sentence in sentences]

    destinations = {
        name: {
            **destination,
            "refusals": [{**each, "problem": _cut(each["problem"], paths)} for each in destination["refusals"]],
        }
        for name, destination in run["destinations"].items()
    }
    return {
        **run,
        "job": {**job, "file": job["file"] and file_name(job["file"])},
        "inputs": [{**each, "name": file_name(each["name"])} for each in inputs],
        "problems": cut(run["problems"]),
        "unfinished": cut(run["unfinished"]),
        "no_event": run["no_event"] and _cut(run["no_event"], paths),
        "replay": run["replay"] and " ".join(_arguments(run["replay"])),
        "destinations": destinations,
    }


def _cut(sentence: str, paths: Iterable[str]) -> str:
    """A sentence without the folders of known paths, which may have blanks, and of whatever else looks like a path."""
    for path in sorted(paths, key=len, reverse=True):
        name = file_name(path)
        if name != path:
            sentence = sentence.replace(path, f"{_CUT}{name}")
    return _FOLDERS.sub(_CUT, sentence)


def _arguments(command: str) -> Iterator[str]:
    try:
        arguments = shlex.split(command)
    except ValueError:  # nothing that capybeam has written
        return
    for argument in arguments:
        name = file_name(argument)
        yield argument if name == argument else f"{_CUT}{shlex.quote(name)}"
