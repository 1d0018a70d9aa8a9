"""Which conversions were processed: delivered, or dead letters. Millions of them, in files that take next to no memory.

A conversion is known by a digest of 16 bytes (`conversion_digest`). Digests are sorted into a temporary file without a
name, which goes with the process, however that ends: 16 MB for a million. Its pages are read as they are needed.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

import orjson

from capybeam.transforms.core.memos import LONGEST

SIZE: Final = 16  # bytes of a digest
_BUFFERED: Final = 1 << 25  # bytes of digests in memory before they are written
_BUCKETS: Final = 256  # by the first byte; one of them is sorted in memory
_FENCES: Final = 1 << 16  # by the first two bytes


class Names(NamedTuple):
    """What conversions of one kind have in common."""

    destination: str
    dataset_id: str
    subscription: str
    event_name: str


def conversion_digest(names: Names, identity: str) -> bytes:
    """What a conversion is known by: the same in every run.

    Args:
        identity: as `Envelope.identity` has it.
    """
    begin = _begun if len(names.event_name) <= LONGEST else _begun.__wrapped__
    begun = begin(names).copy()
    begun.update(identity.encode())
    return begun.digest()


@functools.lru_cache(maxsize=4096)
def _begun(names: Names) -> hashlib.blake2b:
    return hashlib.blake2b(orjson.dumps(tuple(names)), digest_size=SIZE)


class DigestSorter:
    """Takes digests in any order, and makes `Digests` of them."""

    def __init__(self) -> None:
        self._buckets: list[list[bytes]] = [[] for _ in range(_BUCKETS)]
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]  # of what is in the file
        self._spilt: IO[bytes] | None = None
        self._buffered = 0  # bytes

    def add(self, digest: bytes) -> None:
        self._buckets[digest[0]].append(digest)
        self._buffered += SIZE
        if self._buffered >= _BUFFERED:
            self._spill()

    def sorted(self) -> Digests:
        """All that has been added. Nothing may be added any more."""
        if self._spilt is None and not self._buffered:
            return Digests(None, array("Q", bytes(8 * (_FENCES + 1))))
        fences, total = array("Q"), 0
        with tempfile.TemporaryFile() as file:
            for first in range(_BUCKETS):
                digests = self._bucket(first)
                digests.sort()
                fences.extend(
                    total + bisect_left(digests, bytes((first, second))) for second in range(_FENCES // _BUCKETS)
                )
                file.write(b"".join(digests))
                total += len(digests)
                digests.clear()
            fences.append(total)
            file.flush()
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._spilt is not None:
            self._spilt.close()
        return Digests(found, fences)

    def _spill(self) -> None:
        if self._spilt is None:
            self._spilt = tempfile.TemporaryFile()  # noqa: SIM115 closed by `sorted`
        for digests, extents in zip(self._buckets, self._extents, strict=True):
            extents.append((self._spilt.tell(), len(digests) * SIZE))
            self._spilt.write(b"".join(digests))
            digests.clear()
        self._buffered = 0

    def _bucket(self, first: int) -> list[bytes]:
        digests = self._buckets[first]
        for start, length in self._extents[first]:
            assert self._spilt is not None
            self._spilt.seek(start)
            data = self._spilt.read(length)
            digests += [data[at : at + SIZE] for at in range(0, length, SIZE)]
        return digests


class Digests:
    """A multiset of digests. Safe to use from many threads.

    Args:
        found: the sorted digests; None for none.
        fences: for each pair of first bytes the number of digests that come before it, and last of all their number.
    """

    def __init__(self, found: mmap.mmap | None, fences: array[int]) -> None:
        self._found, self._fences = found, fences

    def __len__(self) -> int:
        return self._fences[_FENCES]

    def __contains__(self, digest: bytes) -> bool:
        return self._place(digest) is not None

    def count(self, digest: bytes) -> int:
        """How often a digest was added."""
        place, count = self._place(digest), 0
        while place is not None and self._found is not None and self._found[place : place + SIZE] == digest:
            place, count = place + SIZE, count + 1
        return count

    def distinct(self) -> Iterator[tuple[bytes, int]]:
        """Each digest once, and how often it was added."""
        last, count = b"", 0
        for at in range(0, len(self) * SIZE, SIZE):
            assert self._found is not None
            digest = self._found[at : at + SIZE]
            if digest != last:
                if count:
                    yield last, count
                last, count = digest, 0
            count += 1
        if count:
            yield last, count

    def _place(self, digest: bytes) -> int | None:
        """The offset of the first digest that is equal."""
        if self._found is None:
            return None
        pair = digest[0] << 8 | digest[1]
        at, end = self._fences[pair] * SIZE, self._fences[pair + 1] * SIZE
        while True:
            at = self._found.find(digest, at, end)
            if at < 0 or at % SIZE == 0:
                return None if at < 0 else at
            at += 1  # the end of one digest and the beginning of the next, which look like this one
