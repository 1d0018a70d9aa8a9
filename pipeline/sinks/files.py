"""Lines of bytes to files, by path or URL."""

from __future__ import annotations

import dataclasses
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder

from capybeam.pipeline.file_systems import unavailable_reason
from capybeam.pipeline.schemes import is_local, join_names, strip_file_scheme
from capybeam.pipeline.sinks import SinkError, Writers, examples
from capybeam.pipeline.sinks.line_writer import LineWriter
from capybeam.pipeline.sinks.local_files import rotate_previous
from capybeam.pipeline.sinks.records import RecordType


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> str | None:
    """Makes an empty file for a new run where the path is a local one. As `sinks.prepare`."""
    what = record_type.name
    if not writers.local and is_local(path):
        raise SinkError(
            f"{what} of {writers.runner} cannot go to {path}: its workers are elsewhere; give a URL (gs://…),"
            f" {', '.join(examples())}, or file:///… where this machine and all"
            " workers have the folder at the same path"
        )
    if writers.endless and not is_local(path):
        places = [*(["a local file"] if writers.local else []), *examples()]
        raise SinkError(
            f"{what} of a subscription cannot go to {path}: files there are written when the input ends; give"
            f" {join_names(places, 'or')}"
        )
    if reason := unavailable_reason(strip_file_scheme(path)):
        raise SinkError(f"{what} cannot be written to {path}: {reason}")
    return rotate_previous(path, what)


def write(records: beam.PCollection, path: str, record_type: RecordType[Any]) -> Any:
    """Records → JSON lines."""
    encoded = records | "Encode" >> beam.Map(record_type.encode).with_output_types(bytes)
    return encoded | "Write" >> WriteLines(path, record_type.name)


@dataclasses.dataclass
class WriteLines(beam.PTransform):
    """Bytes → lines of a file.

    A local path is one file, appended to line by line as it happens, so that it can be followed, and a run that is
    killed leaves what it had; so is ``file:///…``, which says that workers elsewhere have the folder as well. Lines
    are packed where the path ends in ``.gz``.
    Elsewhere (``gs://…``) Beam writes shards named after the path.

    Args:
        path: where to.
        what: the name of what is written, for errors.
    """

    path: str
    what: str

    def expand(self, lines: beam.PCollection) -> Any:
        path = strip_file_scheme(self.path)
        if is_local(path):
            return lines | "Append" >> beam.ParDo(_Append(path, self.what))
        return lines | beam.io.WriteToText(self.path, coder=BytesCoder())


class _Append(beam.DoFn):
    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what

    def setup(self) -> None:
        self._writer = LineWriter(self._path, self._what)
        self._writer.open()

    def process(self, element: bytes) -> None:
        self._writer.write(element)

    def teardown(self) -> None:
        self._writer.close()
