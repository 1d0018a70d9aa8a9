"""``--since last``: where the last run that succeeded has ended, by input, kept in the place of its receipts.

Beside receipts in a file is one of JSON, ``receipts.watermarks.json``, which only its owner may read; beside those at a
URL, the same there. A table of receipts has them as labels, which cost no query and are changed one after the other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from capybeam.pipeline.moments import as_text
from capybeam.pipeline.run.request import RunRequest
from capybeam.pipeline.schemes import FILES, find_scheme, is_local, strip_file_scheme
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sinks.local_files import MODE, beyond, own_descriptor, refuse_link, stem_and_ending, sync_folder
from capybeam.pipeline.sinks.tables import BIGQUERY, parts_of
from capybeam.pipeline.sources import NoInput, SinceLast

WHAT: Final = "The watermark"
_FORMAT: Final = "capybeam watermarks 1"
_DEDUPLICATED: Final = 48 * 3600  # seconds within which Meta drops repeats


class Store(Protocol):
    """Where watermarks are kept: Unix seconds, by input."""

    def load(self) -> dict[str, int]:
        """All that there are. Raises SinkError."""
        ...

    def save(self, marks: Mapping[str, int]) -> None:
        """Adds some, each of which only ever goes forward. Raises SinkError."""
        ...

    def earlier(self, place: str, column: str, since: float) -> list[str]:
        """Places of receipts or dead letters that may have been written since then, as ``--resume`` takes them.

        Args:
            place: the output; of the same kind as that of the receipts or not.
            column: of a table, in which the time is.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Continuation:
    """How a run goes on from the last one.

    Attributes:
        since: by input, when its rows begin.
        marks: what is kept once it has succeeded.
        resume: places of receipts and dead letters that name what the overlap repeats.
    """

    store: Store
    since: Mapping[str, float]
    marks: Mapping[str, int]
    resume: Sequence[str]

    def keep(self) -> str | None:
        """Keeps the watermarks of a run that has succeeded; why they cannot be kept."""
        try:
            self.store.save(self.marks)
        except SinkError as error:
            return f"{error}. The next --since last begins where this one did"
        return None


def key_of(text: str, column: str | None) -> str:
    """An input as a watermark names it. A query's text may hold anything, and is named by its digest."""
    by = f" by {column}" if column else ""
    given = text.removeprefix(BIGQUERY).strip()
    if len(given.split()) > 1:
        return f"{BIGQUERY} a query {hashlib.sha256(given.encode()).hexdigest()[:16]}{by}"
    return f"{BIGQUERY}{given.replace('`', '')}{by}"


def continued(request: RunRequest, last: SinceLast, say: Callable[[str], None]) -> Continuation:
    """How a run goes on; says so. Raises NoInput where an input has no watermark, and SinkError."""
    column, zone = request.between.column, request.between.zone
    others = [text for text in request.inputs if not text.startswith(BIGQUERY)]
    if others:
        raise NoInput(f"{others[0]}: --since and --until are for {BIGQUERY} inputs")
    store = store_of(request.outputs.receipts)
    known, since = store.load(), dict[str, float]()
    until = request.between.until
    assert until is not None  # which is now where none is given
    for text in request.inputs:
        mark = known.get(key_of(text, column))
        if mark is None and last.first is None:
            raise NoInput(
                f"--since last: no run with these receipts ({request.outputs.receipts}) has left a watermark for"
                f" {_named(text)}. For the first one, say how far back it reads: --since last,2d"
            )
        if mark is None:
            assert last.first is not None
            since[text] = last.first
            say(f"{_named(text)}: no watermark yet; from {as_text(last.first, zone)}.")
        else:
            since[text] = mark - last.overlap
            say(
                f"{_named(text)}: the last run ended at {as_text(mark, zone)}; from {as_text(since[text], zone)}, an"
                f" overlap of {last.overlap:,.0f} s."
            )
        if since[text] >= until:
            raise NoInput(
                f"{_named(text)}: --until is not after {as_text(since[text], zone)}, where --since last begins"
            )
    if column is None:
        say(
            "Rows are chosen by the time of their events. Those that land later than the overlap are not read: with"
            " --time-column they are chosen by when they have landed, for example by received_at or loaded_at."
        )
    marks = {key_of(text, column): int(min(until, last.now)) for text in request.inputs}
    return Continuation(store, since, marks, _earlier(request, store, min(since.values()), last, say))


def _named(text: str) -> str:
    return key_of(text, None)


def _earlier(
    request: RunRequest, store: Store, since: float, last: SinceLast, say: Callable[[str], None]
) -> tuple[str, ...]:
    """What earlier runs have written that may name rows which are read again."""
    if request.job.delivery.receipts == "brief":
        old = last.now - since > _DEDUPLICATED
        more = "; some of it is older than that: give --resume what names it" if old else ""
        say(f"Receipts are brief: what is read again is sent again, which Meta drops for 48 hours{more}.")
        return ()
    outputs = request.outputs
    return (
        *store.earlier(outputs.receipts, "delivered_at", since),
        *store_of(outputs.dead_letters, is_needed=False).earlier(outputs.dead_letters, "dead_lettered_at", since),
    )


def store_of(place: str, is_needed: bool = True) -> Store:
    """The store in the place of receipts. Raises SinkError for one that keeps none.

    Args:
        is_needed: whether watermarks are to be kept there; otherwise a place that keeps none has nothing.
    """
    if place.startswith(BIGQUERY):
        return _Labels(place)
    path = strip_file_scheme(place)
    if find_scheme(place) is FILES and not (is_local(path) and _is_device(path)):
        return _LocalFile(path) if is_local(path) else _RemoteFile(path)
    if not is_needed:
        return _Nowhere()
    raise SinkError(
        f"{WHAT} cannot be kept beside {place}: --since last needs receipts in a file, at a URL or in a table of"
        " BigQuery"
    )


def _is_device(path: str) -> bool:
    return own_descriptor(path) is not None or path.startswith("/dev/")


def _beside(path: str) -> str:
    """The file of watermarks.

    >>> _beside("out/receipts.jsonl.gz")
    'out/receipts.watermarks.json'
    """
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{stem_and_ending(name)[0]}.watermarks.json"


def _decoded(data: bytes, place: str) -> dict[str, int]:
    try:
        found = json.loads(data)
        if found["format"] == _FORMAT:
            return {each["input"]: int(each["until"]) for each in found["watermarks"]}
    except (ValueError, KeyError, TypeError):
        pass
    raise SinkError(f"{place} holds no watermarks of capybeam; move it away, and begin with --since last,2d")


def _encoded(marks: Mapping[str, int]) -> bytes:
    rows = [{"input": key, "until": at, "until_text": as_text(at)} for key, at in sorted(marks.items())]
    return json.dumps({"format": _FORMAT, "watermarks": rows}, indent=2).encode() + b"\n"


def _forward(before: Mapping[str, int], marks: Mapping[str, int]) -> dict[str, int]:
    return {**before, **{key: max(at, before.get(key, at)) for key, at in marks.items()}}


class _Nowhere:
    def load(self) -> dict[str, int]:
        return {}

    def save(self, marks: Mapping[str, int]) -> None:
        pass

    def earlier(self, place: str, column: str, since: float) -> list[str]:
        return []


@dataclasses.dataclass(frozen=True)
class _LocalFile:
    """Beside a file of this machine, which is there whole or not at all."""

    path: str

    def load(self) -> dict[str, int]:
        place = _beside(self.path)
        try:
            refuse_link(place)
            return _decoded(Path(place).read_bytes(), place)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SinkError(f"{WHAT} cannot be read from {place}: {error.strerror}") from None

    def save(self, marks: Mapping[str, int]) -> None:
        place = _beside(self.path)
        data = _encoded(_forward(self.load(), marks))
        written = f"{place}.{secrets.token_hex(4)}"
        try:
            file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE)
            try:
                os.write(file, data)
                os.fsync(file)
            finally:
                os.close(file)
            os.replace(written, place)
            sync_folder(Path(place).parent)
        except OSError as error:
            Path(written).unlink(missing_ok=True)
            raise SinkError(f"{WHAT} cannot be kept in {place}: {error.strerror}") from None

    def earlier(self, place: str, column: str, since: float) -> list[str]:
        path = strip_file_scheme(place)
        files = [path, *beyond(path, 0, ())]
        return [
            each for each in files if os.path.isfile(each) and os.path.getmtime(each) >= since and os.path.getsize(each)
        ]


@dataclasses.dataclass(frozen=True)
class _RemoteFile:
    """Beside receipts at a URL: an object, which is there whole or not at all."""

    path: str

    def load(self) -> dict[str, int]:
        from apache_beam.io.filesystems import FileSystems

        place = _beside(self.path)
        try:
            if not FileSystems.exists(place):
                return {}
            with FileSystems.open(place) as file:
                data = file.read()
        except Exception as error:  # file systems raise what their clients raise
            raise SinkError(f"{WHAT} cannot be read from {place}: {_reason(error)}") from None
        return _decoded(data, place)

    def save(self, marks: Mapping[str, int]) -> None:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        place = _beside(self.path)
        data = _encoded(_forward(self.load(), marks))
        try:
            with FileSystems.create(place, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.write(data)
        except Exception as error:
            raise SinkError(f"{WHAT} cannot be kept in {place}: {_reason(error)}") from None

    def earlier(self, place: str, column: str, since: float) -> list[str]:
        from apache_beam.io.filesystems import FileSystems

        folder, _, name = strip_file_scheme(place).rpartition("/")
        stem = stem_and_ending(name)[0]
        try:
            (found,) = FileSystems.match([f"{folder}/{stem}-*"])
        except Exception as error:
            raise SinkError(f"Earlier files of {place} cannot be found: {_reason(error)}") from None
        return [each.path for each in found.metadata_list if (each.last_updated_in_seconds or since) >= since]


def _reason(error: BaseException) -> str:
    from capybeam.pipeline.file_systems import reason_of

    return reason_of(error)


@dataclasses.dataclass(frozen=True)
class _Labels:
    """Labels of a table: ``capybeam_`` and a digest of the input → Unix seconds. A table has up to 64."""

    place: str

    def load(self) -> dict[str, int]:
        table = self._table()
        return _ByDigest({} if table is None else table.labels)

    def save(self, marks: Mapping[str, int]) -> None:
        from google.api_core.exceptions import PreconditionFailed

        for attempt in range(_ATTEMPTS):
            table = self._table()
            if table is None:
                raise SinkError(f"{WHAT} cannot be kept as a label of {self.place}: there is no such table")
            before = _ByDigest(table.labels)
            table.labels = {
                **table.labels,
                **{_label(key): str(max(at, before.get(key) or at)) for key, at in marks.items()},
            }
            try:
                with self._errors():
                    self._client().update_table(table, ["labels"])
                return
            except PreconditionFailed:  # somebody else has changed the table meanwhile
                time.sleep(0.5 * (attempt + 1))
        raise SinkError(f"{WHAT} cannot be kept as a label of {self.place}: others keep changing the table")

    def earlier(self, place: str, column: str, since: float) -> list[str]:
        if self._table() is None:
            return []
        at = as_text(int(since))
        return [f"{BIGQUERY}SELECT * FROM `{'.'.join(self._parts())}` WHERE `{column}` >= TIMESTAMP '{at}'"]

    def _parts(self) -> tuple[str, str, str]:
        return parts_of(self.place, WHAT)

    def _client(self) -> Any:
        from capybeam.pipeline.sources.bigquery.client import new_client

        try:
            return new_client(self.place, self._parts()[0])
        except NoInput as error:
            raise SinkError(f"{WHAT} cannot be kept: {error}") from None

    def _table(self) -> Any:
        from google.api_core.exceptions import NotFound

        try:
            with self._errors():
                return self._client().get_table(".".join(self._parts()))
        except NotFound:
            return None

    def _errors(self) -> _Errors:
        return _Errors(self.place)


_ATTEMPTS: Final = 5


class _ByDigest(dict[str, int]):
    """Watermarks by input, of labels that have a digest of it."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        found = {name: int(value) for name, value in labels.items() if name.startswith(_PREFIX) and value.isdigit()}
        super().__init__(found)

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(_label(key), default)


_PREFIX: Final = "capybeam_"


def _label(key: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class _Errors:
    """A context manager: errors of BigQuery become SinkError, but for a table that is not there or was changed."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed, RetryError
        from google.auth.exceptions import GoogleAuthError

        from capybeam.pipeline.bigquery_reasons import reason_of

        if isinstance(error, (GoogleAPICallError, GoogleAuthError, RetryError)) and not isinstance(
            error, (NotFound, PreconditionFailed)
        ):
            raise SinkError(f"{WHAT} cannot be kept as a label of {self._place}: {reason_of(error)}") from None
