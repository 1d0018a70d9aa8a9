"""Lines of bytes to files, by path or URL."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.schemes import is_local, join_names, strip_file_scheme
from capybeam.pipeline.sinks import ReadBack, SinkError, Writers, examples
from capybeam.pipeline.sinks.line_writer import LineWriter, pack
from capybeam.pipeline.sinks.local_files import own_descriptor, plan_of_file, rotate_previous, sibling
from capybeam.pipeline.sinks.records import RecordType
from capybeam.transforms.base import run_of


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> str | None:
    """Makes an empty file for a new run where the path is a local one. As `sinks.prepare`."""
    _check(path, record_type, writers)
    if reason := unavailable_reason(strip_file_scheme(path)):
        raise SinkError(f"{record_type.name} cannot be written to {path}: {reason}")
    return rotate_previous(path, record_type.name)


def plan(path: str, record_type: RecordType[Any], writers: Writers) -> str:
    """As `sinks.plan`."""
    _check(path, record_type, writers)
    local = strip_file_scheme(path)
    if is_local(local):
        return plan_of_file(local, record_type.name)
    name = f"{path}-TIME-NUMBER" if record_type.is_prompt else f"{path}-NUMBER-of-TOTAL"
    return f"files are made there, named {name}"


def _check(path: str, record_type: RecordType[Any], writers: Writers) -> None:
    """Raises SinkError where a file of that place cannot be written by these workers."""
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


def write(records: beam.PCollection, path: str, record_type: RecordType[Any]) -> Any:
    """Records → JSON lines."""
    lines = WriteLines(path, record_type.name, record_type.is_prompt, record_type.series, record_type.encode)
    return records | "Write" >> lines


def read_back(path: str) -> ReadBack | None:
    """As `sinks.read_back`. Workers elsewhere write to a URL, and so does their replay."""
    local = strip_file_scheme(path)
    if is_local(local):
        if own_descriptor(local) is not None or local.startswith("/dev/"):
            return None
        return ReadBack(path, None if path == local else sibling(path, "replayed"))
    return ReadBack(f"{path}-?????-of-?????", f"{path}-replayed")  # Beam's shards


@dataclasses.dataclass
class WriteLines(beam.PTransform):
    """Elements → lines of a file.

    A local path is one file, appended to line by line as it happens, so that it can be followed, and a run that is
    killed leaves what it had; so is ``file:///…``, which says that workers elsewhere have the folder as well. Lines
    are packed where the path ends in ``.gz``.
    Elsewhere (``gs://…``) there are files named after the path: Beam's shards when the input ends, or parts meanwhile.

    Args:
        path: where to.
        what: the name of what is written, for errors.
        is_prompt: whether files elsewhere are written in parts.
        series: as of `RecordType`.
        encode: from an element to its line.
    """

    path: str
    what: str
    is_prompt: bool = False
    series: int = 0
    encode: Callable[[Any], bytes] = bytes

    def expand(self, elements: beam.PCollection) -> Any:
        path = strip_file_scheme(self.path)
        if is_local(path):
            return elements | "Append" >> beam.ParDo(_Append(path, self.what, self.encode))
        lines = elements | "Encode" >> beam.Map(self.encode).with_output_types(bytes)
        if self.is_prompt:
            return lines | "Parts" >> beam.ParDo(_WriteParts(self.path, self.what, run_of(lines).run_id))
        return lines | beam.io.WriteToText(self.path, coder=BytesCoder(), **_shards(self.series, run_of(lines).shard))


def _shards(series: int, process: int | None) -> dict[str, Any]:
    """How Beam's files are called: as `read_back` finds them, and each writer's otherwise than all others'.

    Args:
        process: as `RunHandle.shard`.
    """
    if process is None:
        return {"shard_name_template": f"-{series}SSSS-of-NNNNN"}
    return {"num_shards": 1, "shard_name_template": f"-{series}{process:03d}S-of-NNNNN"}


class _Append(beam.DoFn):
    def __init__(self, path: str, what: str, encode: Callable[[Any], bytes]) -> None:
        self._path, self._what, self._encode = path, what, encode

    def setup(self) -> None:
        self._writer = LineWriter(self._path, self._what)
        self._writer.open()

    def process(self, element: Any) -> None:
        self._writer.write(self._encode(element))

    def teardown(self) -> None:
        self._writer.close()


def run_part(run_id: str) -> str:
    """What the names of a run's parts have in common."""
    return run_id[:12]


def parts_of(path: str, run_id: str) -> str:
    """The glob of the parts that a run writes of an output at a URL.

    >>> parts_of("gs://acme/out/receipts.jsonl.gz", "0123456789abcdef")
    'gs://acme/out/receipts-*-0123456789ab*.jsonl.gz'
    """
    return sibling(path, f"*-{run_part(run_id)}*")


_PART_SECONDS: Final = 10.0  # until a part is written, where there is anything to write
_PART_BYTES: Final = 1 << 23


class _WriteParts(beam.DoFn):
    """Lines → files of their own, which are there whole or not at all, before the bundle ends.

    Work that is lost with its worker leaves all parts but the one that was being filled.
    """

    def __init__(self, path: str, what: str, run_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._what, self._run_id, self._clock = path, what, run_id, clock

    def start_bundle(self) -> None:
        self._lines, self._size, self._since = list[bytes](), 0, self._clock()

    def process(self, element: bytes) -> None:
        self._lines.append(element + b"\n")
        self._size += len(element)
        if self._size >= _PART_BYTES or self._clock() - self._since >= _PART_SECONDS:
            self._write()

    def finish_bundle(self) -> None:
        self._write()

    def _write(self) -> None:
        data = b"".join(self._lines)
        self._lines, self._size, self._since = [], 0, self._clock()
        if not data:
            return
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        part = sibling(self._path, f"{moment}-{run_part(self._run_id)}{secrets.token_hex(6)}")
        try:
            with FileSystems.create(part, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(pack(data) if part.endswith(".gz") else data)
        except Exception as error:  # file systems raise what their clients raise
            raise SinkError(f"{self._what} cannot be written to {self._path}: {reason_of(error)}") from None
