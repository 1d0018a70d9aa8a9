"""Kinds of files that are not what is read here: named as what they are, with what to do about it."""

from __future__ import annotations

import re
from typing import Final

import orjson

from capybeam.transforms.core.events import CALLS

HEAD: Final = 512  # bytes in which a kind shows itself

# No line of JSON, CSV or YAML begins with any of these. Numbers are from the formats' own specifications.
_KINDS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"PK\x03\x04", "a .zip archive; unpack it first (.xlsx is one as well: save it as CSV)"),
    (0, b"PK\x05\x06", "an empty .zip archive"),
    (0, b"\x1f\x8b", "packed by gzip; unpack it first"),
    (0, b"BZh", "packed by bzip2; unpack it first"),
    (0, b"\xfd7zXZ\x00", "packed by xz; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "packed by Zstandard; unpack it first"),
    (0, b"\x04\x22\x4d\x18", "packed by LZ4; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a .7z archive; unpack it first"),
    (0, b"Rar!\x1a\x07", "a .rar archive; unpack it first"),
    (257, b"ustar", "a .tar archive; unpack it first"),
    (0, b"PAR1", "a Parquet file; read it as a table of BigQuery, or write its rows as JSON lines"),
    (0, b"Obj\x01", "an Avro file; read it as a table of BigQuery, or write its records as JSON lines"),
    (0, b"ORC", "an ORC file; read it as a table of BigQuery, or write its rows as JSON lines"),
    (0, b"ARROW1", "an Arrow file; write its rows as JSON lines"),
    (0, b"SQLite format 3\x00", "an SQLite database; write its rows as JSON lines"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as .xls; save it as CSV"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x89PNG", "a picture (PNG)"),
    (0, b"\xff\xd8\xff", "a picture (JPEG)"),
    (0, b"GIF8", "a picture (GIF)"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xff\xfe", "UTF-16 text; write it as UTF-8: iconv -f UTF-16 -t UTF-8"),
    (0, b"\xfe\xff", "UTF-16 text; write it as UTF-8: iconv -f UTF-16 -t UTF-8"),
)
_MARKUP: Final = (
    (b"<!doctype html", "an HTML page, such as one that asks to sign in"),
    (b"<html", "an HTML page, such as one that asks to sign in"),
    (b"<?xml", "an XML document"),
)


def kind_of(head: bytes) -> str | None:
    """What a file is that begins like this, to be put behind "it is "; None where it may be text that is read here.

    >>> kind_of(b"PK\\x03\\x04"), kind_of(b'{"type": "track"}')
    ('a .zip archive; unpack it first (.xlsx is one as well: save it as CSV)', None)
    """
    for offset, magic, kind in _KINDS:
        if head.startswith(magic, offset):
            return kind
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((kind for begins, kind in _MARKUP if start.startswith(begins)), None)


_TERRAFORM: Final = re.compile(r'^[ \t]*resource\s+"segment_', re.MULTILINE)
_IMPORT: Final = "make a job file of it: capybeam import segment FILE"


def kind_of_text(text: str) -> str | None:
    """What a text is that is no job file, to be put behind "it is "; None where it may be one, in YAML or JSON.

    >>> kind_of_text('{"type": "track", "event": "Signed Up"}')
    'a file of events; a job file says what becomes of them'
    """
    if _TERRAFORM.search(text):
        return f"Terraform; {_IMPORT}"
    if not text.lstrip().startswith(("{", "[")):
        return None
    for part in (text.lstrip().partition("\n")[0], text):  # JSON lines, or one document
        try:
            found = orjson.loads(part)
        except ValueError:
            continue
        first = found[0] if isinstance(found, list) and found else found
        if not isinstance(first, dict) or "destinations" in first:
            return None
        if first.get("type") in CALLS:
            return "a file of events; a job file says what becomes of them"
        return f"an export of Segment's; {_IMPORT}" if isinstance(first.get("data"), dict) else None
    return None
