"""Ranges of a file: whatever bytes it holds, each line is read once, by the range in which it begins."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capybeam.pipeline.sources import UnreadableFile, file_chunks, file_ranges
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.pipeline.sources.file_ranges import WHOLE, ByteRange, LineCount, chunks_in, identity_of, ranges

PIECES = st.sampled_from([b"a", b"{}", b"\n", b"\r\n", b"\r", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"x" * 40, b"\x00"])
TEXTS = st.lists(PIECES, max_size=30).map(b"".join)


class Piecemeal(io.BytesIO):
    """A file whose reads bring few bytes, as those of a network may."""

    at_once = 3

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self.at_once)


def read(text: bytes, of: ByteRange, at_once: int) -> bytes:
    file = Piecemeal(text)
    file.at_once = at_once
    found = list(chunks_in(file, of))
    for (offset, chunk), (following, _) in itertools.pairwise(found):
        assert offset + len(chunk) == following
    assert all(text[offset : offset + len(chunk)] == chunk for offset, chunk in found)
    return b"".join(chunk for _, chunk in found)


@given(TEXTS, st.integers(1, 60), st.integers(1, 20))
@example(b"a\nb\n", 2, 1)
@example(b"x" * 50 + b"\ny", 5, 7)
@example(b"\xef\xbb\xbfa\r\nb\r\n", 3, 2)
def test_ranges_are_the_file_and_begin_where_lines_begin(text: bytes, each: int, at_once: int) -> None:
    parts = [read(text, of, at_once) for of in ranges(len(text), each)]
    assert b"".join(parts) == text
    assert all(not part or part.endswith(b"\n") for part in parts[:-1] if any(parts[parts.index(part) + 1 :]))


@given(TEXTS, st.integers(1, 60))
def test_the_lines_of_all_ranges_are_those_of_the_file(text: bytes, each: int) -> None:
    whole = list(lines_of([text], "a.jsonl"))
    found = []
    for of in ranges(len(text), each):
        found += lines_of((chunk for _, chunk in chunks_in(io.BytesIO(text), of)), "a.jsonl")
    assert found == whole


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_ranges_meet_and_leave_nothing_out(size: int, each: int) -> None:
    found = ranges(size, each)
    assert [of.end for of in found[:-1]] == [of.start for of in found[1:]]
    assert (found[0].start, found[-1].end) == (0, None)
    assert all(of.end is None or of.end > of.start for of in found)


def test_what_is_appended_meanwhile_is_of_the_last_range() -> None:
    *_, last = ranges(8, 4)
    assert read(b"aaa\nbbb\nccc\n", last, 100) == b"bbb\nccc\n"


def test_a_line_longer_than_many_ranges_is_read_to_its_end_by_one_of_them_alone() -> None:
    text = b"x" * 1000 + b"\n"
    looked_at = []
    for of in ranges(len(text), 100):
        file = Piecemeal(text)
        file.at_once = 10
        assert b"".join(chunk for _, chunk in chunks_in(file, of)) == (text if of.start == 0 else b"")
        looked_at.append(file.tell() - of.start)
    assert looked_at[0] == len(text)
    assert max(looked_at[1:]) <= 120  # and not to the end of the line


def test_a_file_that_is_gone_is_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"gone\.jsonl cannot be read to its end"):
        list(file_ranges.chunks_of_range(str(tmp_path / "gone.jsonl"), ByteRange(3, 5)))


def test_another_file_in_the_place_of_one_is_not_read(tmp_path: Path) -> None:
    path, new = tmp_path / "a.jsonl", tmp_path / "new.jsonl"
    path.write_bytes(b"a\nb\n")
    new.write_bytes(b"c\nd\n")
    identity = identity_of(str(path))
    assert b"".join(chunk for _, chunk in file_ranges.chunks_of_range(str(path), WHOLE, identity)) == b"a\nb\n"
    new.replace(path)
    with pytest.raises(UnreadableFile, match=r"a\.jsonl was replaced by another file while it was read"):
        list(file_ranges.chunks_of_range(str(path), WHOLE, identity))
    with pytest.raises(UnreadableFile, match="was replaced"):
        LineCount(str(path), identity).before(2)
    assert (identity_of(str(new)), identity_of("gs://bucket/a.jsonl")) == (None, None)


def test_lines_are_counted_from_where_they_were_counted_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_ranges, "CHUNK", 4)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a\nbb\n\nccc\n")
    count = LineCount(str(path))
    assert [count.before(offset) for offset in (0, 2, 5, 6, 10, 2, 99)] == [0, 1, 2, 3, 4, 1, 4]


def test_a_whole_file_is_the_range_that_nothing_is_left_out_of() -> None:
    assert ranges(5, 100) == [WHOLE]
    assert file_chunks.CHUNK >= 1 << 16
