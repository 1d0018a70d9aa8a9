"""Packed files of many members, each written by one call: what is whole of them, whatever a kill has torn.

A process that is killed while it writes leaves the beginning of a member, and others may have gone on behind it.
Python's reader would end there, or take the rest for damage.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

_GZIP: Final = 31
_BEGINNING: Final = b"\x1f\x8b\x08\x00"  # of members without a file's name, as `sinks.line_writer` makes them
_LARGE: Final = 1 << 24  # unpacked bytes of a member that are kept back until it is known to be whole


class GzipMembers:
    """Unpacks a file that comes piece by piece.

    Attributes:
        torn: members that are not whole, so far.
    """

    def __init__(self) -> None:
        self.torn = 0
        self._is_lost = False  # behind a torn member, and before the beginning of the next
        self._begin()

    def _begin(self) -> None:
        self._unpacker = zlib.decompressobj(_GZIP)
        self._packed = bytearray()  # of the member so far, or what may be the beginning of the next
        self._unpacked: list[bytes] = []
        self._size = 0  # bytes that have been unpacked

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The text of the members that end in this piece; of one that is very large as it comes."""
        while data:
            if self._is_lost:
                data = self._found_again(data)
                continue
            try:
                self._unpacked.append(self._unpacker.decompress(data))
            except zlib.error:
                data = self._after_torn(data)
                continue
            self._size += len(self._unpacked[-1])
            if self._unpacker.eof:
                data = self._unpacker.unused_data
                yield from self._unpacked
                self._begin()
                continue
            if self._size > _LARGE:
                yield from self._unpacked
                self._unpacked.clear()
                self._packed.clear()
            else:
                self._packed += data
            return

    def end(self) -> Iterator[bytes]:
        """The same, when nothing follows."""
        while not self._is_lost and (self._packed or self._size):
            yield from self.feed(self._after_torn(b""))

    def _after_torn(self, data: bytes) -> bytes:
        """Gives up the member; what there is of it behind its first byte, where the next one may begin."""
        self.torn += 1
        packed = bytes(self._packed + data)[1:]
        self._begin()
        self._is_lost = True
        return packed

    def _found_again(self, data: bytes) -> bytes:
        """What comes from the beginning of the next member on; nothing where it is not there yet."""
        data = bytes(self._packed + data)
        self._packed.clear()
        found = data.find(_BEGINNING)
        if found < 0:
            self._packed += data[1 - len(_BEGINNING) :]
            return b""
        self._is_lost = False
        return data[found:]
