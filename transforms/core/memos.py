"""The results of a function for recurring texts, within a bound of bytes.

For texts of events only: a job's own texts are processed once and need no memo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

LONGEST: Final = 64  # characters of a text that is remembered; what is longer hardly comes again
MAX_BYTES: Final = 8 * 1024 * 1024  # of one memo: some 30,000 names and their hashes
FEW: Final = 1024 * 1024  # bytes of one for texts of which there are few, such as countries
_ENTRY: Final = 320  # bytes of an entry with its digest, apart from the text's characters, of up to four bytes each


class Memo(dict[str, T]):
    """The results of a function of one text, asked as ``memo[text]``: a hit costs no Python call.

    Is cleared when full, which hardly happens with recurring texts.
    """

    def __init__(self, function: Callable[[str], T], max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._function, self._max_bytes, self._left = function, max_bytes, max_bytes

    def __missing__(self, text: str) -> T:
        result = self._function(text)
        length = len(text)
        if length <= LONGEST:
            size = 4 * length + _ENTRY
            self._left -= size
            if self._left < 0:
                self.clear()
                self._left = self._max_bytes - size
            self[text] = result
        return result
