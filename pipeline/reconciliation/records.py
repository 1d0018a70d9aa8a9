"""Receipts and dead letters of earlier runs, read back from tables and files, also of runs that were killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from capybeam.pipeline.schemes import FILES, UnknownScheme, find_scheme
from capybeam.pipeline.sources import NoInput, UnreadableFile
from capybeam.pipeline.sources.file_chunks import chunks_of, display_name, open_file, read_chunks, split_packing
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.pipeline.sources.gzip_members import GzipMembers
from capybeam.transforms.core.events import UnreadableRow, is_blank
from capybeam.transforms.core.processed import Names
from capybeam.transforms.standards.json_text import load_json

_TABLE: Final = "bigquery:"
_BEGINNINGS: Final = (b'{"destination":', b'{"dead_lettered_at":')  # of a receipt, and of a dead letter


class Record(NamedTuple):
    """A receipt or a dead letter.

    Attributes:
        place: for messages: "Line 7 of receipts.jsonl".
        line: its JSON.
        row: the same, decoded.
    """

    place: str
    line: bytes
    row: Mapping[str, Any]

    @property
    def is_receipt(self) -> bool:
        return "delivered_at" in self.row and type(self.row.get("events")) is int

    @property
    def is_dead_letter(self) -> bool:
        return "dead_lettered_at" in self.row and "stage" in self.row


class Records:
    """The receipts and dead letters of several places.

    Args:
        places: as `resolved` gives them.

    Attributes:
        torn: by file, lines of which only a part is there: what was being written when a run was killed.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = places
        self.torn: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Record]:
        """Raises NoInput for a line that is neither."""
        for place in self._places:
            records = _of_table(place) if place.startswith(_TABLE) else self._of_file(place)
            for record in records:
                if not (record.is_receipt or record.is_dead_letter):
                    raise NoInput(f"{record.place} is neither a receipt nor a dead letter of capybeam")
                yield record

    def _of_file(self, path: str) -> Iterator[Record]:
        name, found = display_name(path), False
        try:
            for number, line in enumerate(self._lines(path, name), 1):
                if isinstance(line, UnreadableRow):
                    self.torn[name] += 1
                    continue
                if is_blank(line):
                    continue
                record = self._record(line, f"Line {number:,} of {name}", name)
                if record is not None:
                    found = True
                    yield record
        except UnreadableFile as error:
            raise NoInput(str(error)) from None
        if self.torn[name] and not found:
            raise NoInput(f"{name}: holds neither receipts nor dead letters of capybeam")

    def _record(self, line: bytes, place: str, name: str) -> Record | None:
        """None for a line that is torn. What another process has written behind it on the same line is kept."""
        start = 0
        while True:
            try:
                row = load_json(line[start:])
            except orjson.JSONDecodeError:
                self.torn[name] += start == 0
            else:
                record = Record(place, line[start:], row if isinstance(row, dict) else {})
                if start == 0 or record.is_receipt or record.is_dead_letter:
                    return record
            later = [at for beginning in _BEGINNINGS if (at := line.find(beginning, start + 1)) > 0]
            if not later:
                return None
            start = min(later)

    def _lines(self, path: str, name: str) -> Iterator[bytes | UnreadableRow]:
        if split_packing(path)[1] != ".gz":
            yield from lines_of(chunks_of(path), name)
            return
        members = GzipMembers()
        yield from lines_of(_unpacked(path, members), name)
        self.torn[name] += members.torn


def _unpacked(path: str, members: GzipMembers) -> Iterator[bytes]:
    from capybeam.pipeline.file_systems import reason_of

    try:
        with open_file(path) as file:
            for chunk in read_chunks(file):
                yield from members.feed(chunk)
    except Exception as error:  # file systems raise what their clients raise
        raise UnreadableFile(f"{display_name(path)} cannot be read to its end ({reason_of(error)})") from None
    yield from members.end()


def _of_table(place: str) -> Iterator[Record]:
    from capybeam.pipeline.sources.bigquery.records import record_lines

    for line in record_lines(place):
        yield Record(f"A row of {place}", line, load_json(line))


def resolved(texts: Sequence[str], option: str) -> tuple[str, ...]:
    """The places that are meant: globs become the files that are there now. Raises NoInput."""
    places: dict[str, None] = {}
    for text in texts:
        try:
            scheme = find_scheme(text)
        except UnknownScheme as error:
            raise NoInput(f"{option} {text}: {error}") from None
        if scheme is FILES:
            from capybeam.pipeline.sources.files import matching

            places.update(dict.fromkeys(sorted(matching(text))))
        elif text.startswith(_TABLE):
            places[text] = None
        else:
            raise NoInput(f"{option} {text}: receipts and dead letters are read from files and {_TABLE} tables")
    return tuple(places)


def conversions_of(receipt: Record) -> Iterator[tuple[Names, Sequence[str]]]:
    """What a receipt says was delivered: events with the same names, by their identities. Raises NoInput."""
    row = receipt.row
    groups = [load_json(group) if isinstance(group, str) else group for group in row.get("conversions") or ()]
    event_ids = row.get("event_ids") or ()
    if len(event_ids) != row["events"] or sum(group["events"] for group in groups) != row["events"]:
        raise NoInput(
            f"{receipt.place} does not name its events: it was written with `receipts: brief`, or by an earlier"
            " version, so what it delivered is not known"
        )
    start = 0
    for group in groups:
        names = Names(row["destination"], row["dataset_id"], group["subscription"], group["event_name"])
        yield names, event_ids[start : start + group["events"]]
        start += group["events"]
