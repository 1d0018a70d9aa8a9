"""Chunks of bytes as lines, however long they are."""

from __future__ import annotations

import itertools
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.sources import BrokenFile
from capybeam.pipeline.sources.file_chunks import CHUNK
from capybeam.pipeline.sources.file_lines import lines_of
from capybeam.transforms.core import events
from capybeam.transforms.core.events import LongLine, UnreadableRest

MB = 1 << 20


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def long(number: int, size: int, start: str) -> LongLine:
    return LongLine(start, f"Line {number} of a.jsonl has {size} bytes, and one of more than 0 MB is not read.")


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))), st.integers(1, 7))
def test_however_a_file_is_cut_into_chunks_its_lines_are_the_same(lines: list[bytes], size: int) -> None:
    text = b"".join(line + end for line, end in zip(lines, itertools.cycle([b"\n", b"\r\n"])))
    assert list(lines_of(cut(text, size), "a.jsonl")) == lines
    kept = [line + end for line, end in zip(lines, itertools.cycle([b"", b"\r"]))]
    assert list(lines_of(cut(text, size), "a.jsonl", with_cr=True)) == kept


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"12345678\nb", [b"12345678", b"b"]),
        (b"a\n123456789\nb\n", [b"a", long(2, 9, "1234"), b"b"]),
        (b"123456789012345678901234567890\r\nb", [long(1, 31, "1234"), b"b"]),
        (b"\n\n1234567890123", [b"", b"", long(3, 13, "1234")]),
        (b"a\n123456789012\n123456789013\n", [b"a", long(2, 12, "1234"), long(3, 12, "1234")]),
        ("ab😀😀😀\nb".encode(), [long(1, 14, "ab"), b"b"]),
    ],
)
def test_a_line_that_is_too_long_is_reported_by_its_place_its_size_and_its_start(
    monkeypatch: pytest.MonkeyPatch, text: bytes, lines: list[Any], size: int
) -> None:
    monkeypatch.setattr(events, "MAX_LINE", 8)
    monkeypatch.setattr(events, "SHOWN", 4)
    assert list(lines_of(cut(text, size), "a.jsonl")) == lines


def test_nobody_counts_the_lines_before_a_range_unless_a_message_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def before() -> int:
        asked.append(None)
        return 100

    monkeypatch.setattr(events, "MAX_LINE", 8)
    monkeypatch.setattr(events, "SHOWN", 4)
    assert list(lines_of(cut(b"abcd\nefgh\nij", 3), "a.jsonl", before=before)) == [b"abcd", b"efgh", b"ij"]
    assert asked == []
    assert list(lines_of(cut(b"ab\n123456789\n", 3), "a.jsonl", before=before)) == [b"ab", long(102, 9, "1234")]
    assert asked == [None]


def test_a_line_that_breaks_off_and_is_too_long_shows_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LINE", 8)
    monkeypatch.setattr(events, "SHOWN", 4)

    def chunks() -> Iterator[bytes]:
        yield from (b"a\n1234", b"5678", b"9012")
        raise BrokenFile("a.jsonl is incomplete.")

    assert list(lines_of(chunks(), "a.jsonl")) == [b"a", UnreadableRest(b"1234", "a.jsonl is incomplete.")]


def peak(chunks: Iterable[bytes]) -> tuple[list[Any], int]:
    """The sizes of lines, and the most bytes that were held for them."""
    tracemalloc.start()
    try:
        sizes = [len(line) if isinstance(line, bytes) else line.message for line in lines_of(chunks, "a.jsonl")]
        return sizes, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_line_is_held_once() -> None:
    chunk = b"x" * CHUNK
    sizes, most = peak(itertools.chain(itertools.repeat(chunk, 80), [b"\nb\n"]))
    assert sizes == [20 * MB, 1]
    assert most < 26 * MB


def test_a_line_of_gigabytes_takes_no_more_memory_than_the_longest_that_is_read() -> None:
    chunk = b"x" * CHUNK
    sizes, most = peak(itertools.chain([b"a\n"], itertools.repeat(chunk, 8192), [b"\nb\n"]))
    message = "Line 2 of a.jsonl has 2,147,483,648 bytes, and one of more than 64 MB is not read."
    assert sizes == [1, message, 1]
    assert most < events.MAX_LINE * 1.2


def test_a_run_that_is_shut_down_reads_no_more() -> None:
    shutdown = threading.Event()
    lines = lines_of([b"1\n2\n", b"3\n"], "a.jsonl", shutdown)
    assert next(lines) == b"1"
    shutdown.set()
    assert list(lines) == [b"2"]
