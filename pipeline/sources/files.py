"""Events from files: JSON lines, gzipped ones too, by path, glob or any URL that Beam's file systems know."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.filesystems import FileSystems

from transforms.stopping import STOPPING


class NoInput(Exception):
    """There is nothing to read at a path: says which and why."""


@dataclasses.dataclass
class ReadLines(beam.PTransform):
    """The lines of all files that `pattern` matches, as bytes without their line ends.

    Once the process is asked to stop, the lines that are left are passed over.
    """

    pattern: str

    def expand(self, root: Any) -> beam.PCollection:
        return (
            root
            | "Read" >> beam.io.ReadFromText(_anchored(self.pattern), coder=BytesCoder(), validate=False)
            | "UntilStopped" >> beam.ParDo(_UntilStopped())
        )


class _UntilStopped(beam.DoFn):
    """A class, because it is pickled by name: a lambda would take a copy of STOPPING along."""

    def process(self, element: bytes) -> list[bytes] | None:
        return None if STOPPING.is_set() else [element]


def check_input(pattern: str) -> int:
    """The size in bytes of all that `pattern` matches. Raises NoInput where that is nothing that can be read."""
    try:
        (match,) = FileSystems.match([_anchored(pattern)])
    except Exception as error:  # file systems raise what their clients raise
        raise NoInput(f"{pattern}: cannot be read ({_reason(error)})") from None
    if not match.metadata_list:
        raise NoInput(f"{pattern}: no such file")
    for found in match.metadata_list:
        try:
            FileSystems.open(found.path).close()
        except Exception as error:
            raise NoInput(f"{found.path}: cannot be read ({_reason(error)})") from None
    return sum(found.size_in_bytes for found in match.metadata_list)


def _anchored(pattern: str) -> str:
    """The pattern with a folder in front: Beam looks for a bare glob nowhere."""
    return pattern if "/" in pattern or "\\" in pattern else f"./{pattern}"


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return getattr(error, "strerror", None) or type(error).__name__
