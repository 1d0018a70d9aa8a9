"""Files named after a table of Segment's warehouse, such as ``pages.jsonl``: only the name says which calls the rows
are, as ``pages`` has no column for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

from capybeam.transforms.core.message_formats import Row, row_certainty
from capybeam.transforms.core.warehouse_rows import TABLES, event_of
from capybeam.transforms.standards.json_text import load_json


def table_of(file: str) -> str:
    """The table that a file is called after, or would be.

    >>> table_of("gs://acme/export/PAGES_view.jsonl.gz")
    'pages'
    """
    return re.split(r"[/\\]", file)[-1].partition(".")[0].lower().removesuffix("_view")


def rows_of_table(lines: Iterable[Row], file: str) -> Iterator[Row]:
    """The lines of a file; of one that is called after a table, rows of that table as their events."""
    kind = TABLES.get(table_of(file))
    return iter(lines) if kind is None else (_event_of(line, kind) for line in lines)


def _event_of(line: Row, kind: str) -> Row:
    if type(line) is not bytes or b'"messageId"' in line:  # an event has that, as a rule, and a row has not
        return line
    try:
        row = load_json(line)
    except orjson.JSONDecodeError:
        return line
    event = event_of(row, kind) if type(row) is dict and row_certainty(row) else None
    return line if event is None else event
