"""Packed files of which a kill has torn members: what is whole is read, wherever it is."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.pipeline.sinks.line_writer import pack
from capybeam.pipeline.sources import gzip_members
from capybeam.pipeline.sources.gzip_members import GzipMembers

LINES = [b'{"destination":"web","event_ids":["%032x"]}\n' % (n * 2**100 + 7) for n in range(1, 9)]


def unpacked(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    members = GzipMembers()
    text = b"".join(part for piece in pieces for part in members.feed(piece))
    text += b"".join(members.end())
    return text, members.torn


@settings(deadline=None)
@given(st.integers(0, len(pack(LINES[0])) - 1), st.integers(0, 7), st.integers(1, 70))
def test_a_member_that_is_torn_anywhere_costs_itself_alone(kept: int, torn: int, size: int) -> None:
    """Others have gone on behind it."""
    members = [pack(line) for line in LINES]
    members[torn] = members[torn][:kept]
    data = b"".join(members)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    others = b"".join(line for number, line in enumerate(LINES) if number != torn)
    assert unpacked(pieces) == (others, 1 if kept else 0)


def test_several_that_are_torn_in_a_row_are_counted() -> None:
    first, second, third = (pack(line) for line in LINES[:3])
    assert unpacked([first[:20] + second[:30] + third]) == (LINES[2], 2)


def test_a_file_that_was_packed_again_as_a_whole_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gzip.compress(b"".join(LINES) * 100)
    assert unpacked([whole]) == (b"".join(LINES) * 100, 0)
    monkeypatch.setattr(gzip_members, "_LARGE", 1000)  # beyond which it is handed on as it comes
    text, torn = unpacked([whole[at : at + 64] for at in range(0, len(whole) - 20, 64)])
    assert text.startswith(b"".join(LINES) * 20)
    assert torn == 1


def test_what_is_not_packed_at_all_is_torn() -> None:
    assert unpacked([b"".join(LINES)]) == (b"", 1)
