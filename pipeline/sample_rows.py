"""The rows of a sample: what `map` reads, or the first rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from capybeam.pipeline.output_files import CommandError
from capybeam.pipeline.schemes import NAMED_STDIN, STDIN
from capybeam.pipeline.sources import NoEvents, NoInput, UnreadableFile
from capybeam.transforms.core.events import is_blank
from capybeam.transforms.core.message_formats import Row

TABLE: Final = "bigquery:"


@contextmanager
def sample_rows(text: str, most: int) -> Iterator[Iterator[Row]]:
    """The rows of a file, glob, URL or standard input, or at most `most` of a BigQuery table, without blank lines.

    Raises:
        CommandError: also while the rows are read.
    """
    if text.startswith(TABLE):
        from capybeam.pipeline.sources.bigquery.samples import first_rows

        with _errors_in_sentences(text):
            yield first_rows(text, most)
        return
    with placed_sample_rows(text) as rows:
        yield (row for _, row in rows)


@contextmanager
def placed_sample_rows(text: str) -> Iterator[Iterator[tuple[dict[str, Any], Row]]]:
    """The rows of a file, glob, URL or standard input with their places, without blank lines.

    Raises:
        CommandError: also while the rows are read.
    """
    from capybeam.pipeline.sources.file_rows import placed_rows

    with _errors_in_sentences(text), placed_rows(text) as found:
        yield ((place, row) for place, row in found.rows if not (isinstance(row, bytes) and is_blank(row)))


@contextmanager
def _errors_in_sentences(text: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of what is done with the rows
        raise
    except (NoInput, UnreadableFile) as error:
        raise CommandError(str(error)) from None
    except NoEvents as error:
        raise CommandError(f"{name_of_sample(text)}: {error}") from None
    except OSError as error:
        raise CommandError(f"{error.filename or name_of_sample(text)}: {error.strerror}") from None


def name_of_sample(text: str) -> str:
    return NAMED_STDIN if text == STDIN else text
