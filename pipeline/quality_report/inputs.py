"""The rows of all inputs of a report, one input after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from capybeam.pipeline.output_files import CommandError
from capybeam.pipeline.sample_rows import TABLE, name_of_sample, sample_rows
from capybeam.pipeline.schemes import STDIN
from capybeam.transforms.core.message_formats import Row

_END: Final = object()


class Inputs:
    """Reads inputs: files, globs, URLs, standard input, and the first rows of BigQuery tables.

    Args:
        most: rows of a table.

    Attributes:
        broken: a sentence on each input that could not be read to its end.
    """

    def __init__(self, texts: Sequence[str], most: int) -> None:
        self._texts, self._most = texts, most
        self.broken: list[str] = []

    def names(self) -> tuple[str, ...]:
        """What the inputs are called, without their folders."""
        return tuple(
            f"{each} (its first {self._most:,} rows)" if each.startswith(TABLE) else file_name(name_of_sample(each))
            for each in self._texts
        )

    def rows(self) -> Iterator[Row]:
        """All rows. Raises CommandError before the first one where an input cannot be read, or all are empty."""
        if self._texts.count(STDIN) > 1:
            raise CommandError("standard input can be read once; give --input - once")
        opened = [(rows, next(rows, _END)) for rows in map(self._rows, self._texts)]
        if all(first is _END for _, first in opened):
            raise CommandError(f"{', '.join(map(name_of_sample, self._texts))}: holds no events")
        for rows, first in opened:
            if first is _END:
                continue
            yield first  # type: ignore[misc]
            try:
                yield from rows
            except CommandError as error:
                self.broken.append(str(error))

    def _rows(self, text: str) -> Iterator[Row]:
        with sample_rows(text, self._most) as rows:
            yield from rows


def file_name(path: str) -> str:
    """Without its folder, which may have a person's name."""
    return path.rstrip("/").rpartition("/")[2] or path
