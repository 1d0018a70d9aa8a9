"""Files that are one JSON document over many lines, or one array, where JSON lines are expected.

None of their lines is an event, so every line would be a dead letter. What they begin with shows it before anything is
sent.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final, Literal

import orjson

from capybeam.pipeline.sources import NoEvents
from capybeam.pipeline.sources.file_chunks import LookAhead
from capybeam.transforms.core.events import without_mark

HEAD: Final = 1 << 18  # bytes that are looked at, at most
_MARK: Final = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Document:
    """What a file holds in the place of lines.

    Attributes:
        array: whether it is an array, of objects.
        pretty: whether it goes over several lines.
    """

    array: bool
    pretty: bool


class NoLines(NoEvents):
    """An input that is one JSON document; the message says how to convert it to lines."""

    def __init__(self, document: Document, name: str) -> None:
        kind = "pretty-printed JSON document" if document.pretty else "JSON array"
        array = ", an array," if document.array and document.pretty else ""
        super().__init__(f"it is one {kind}{array} and not JSON lines with one event each. {_advice(document, name)}")


def checked(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The same chunks, where they begin as JSON lines may. Looks at as many of the first as that takes, at once.

    What reading them raises comes after the chunks that were read before it.

    Args:
        name: of the input, for the message; - is standard input.

    Raises:
        NoLines
    """
    ahead = LookAhead(chunks)
    head, enough, found = bytearray(), 1, None
    try:
        for chunk in ahead.look():
            head += chunk
            if len(head) >= min(enough, HEAD):
                enough = 2 * len(head)  # so that looking costs no more than reading, however small the chunks are
                found = _look(bytes(head), complete=False)
            if found is not None or len(head) >= HEAD:
                break
        else:
            found = _look(bytes(head), complete=True)
    except Exception:  # raised again when that is read
        found = _look(bytes(head), complete=False)
    if isinstance(found, Document):
        raise NoLines(found, name)
    return ahead.all()


def _look(head: bytes, complete: bool) -> Document | Literal["lines"] | None:
    """What a text is, by its beginning; None where more of it is needed.

    Args:
        complete: whether that is all of it.
    """
    text = without_mark(head).lstrip()
    if not text or text in _MARK:
        return "lines" if complete else None
    if text[:1] not in (b"{", b"["):
        return "lines"
    first, newline, rest = text.partition(b"\n")
    if newline or complete:
        value = _loads(first)
        if isinstance(value, list):
            return _array_on_a_line(value, rest.lstrip(), complete)
        if value is not None:
            return "lines"
    elif len(head) < HEAD:
        return None
    decoded = text.decode(errors="replace")
    return _array(decoded, complete) if text[:1] == b"[" else _object(decoded, complete)


def _array_on_a_line(items: list[Any], following: bytes, complete: bool) -> Document | Literal["lines"] | None:
    """An array on one line among others is one bad line; a file of nothing else is a document."""
    if not items or not all(isinstance(item, dict) for item in items):
        return "lines"
    if following:
        return Document(array=True, pretty=False) if following[:1] == b"[" else "lines"
    return Document(array=True, pretty=False) if complete else None


def _array(text: str, complete: bool) -> Document | Literal["lines"] | None:
    """An array that goes on behind its first line, or its first quarter of a megabyte."""
    items = text[1:].lstrip()
    if items[:1] != "{":
        return "lines" if items or complete else None
    end = _end(items)
    if end is None:
        return None
    behind = items[end:].lstrip()[:1] if end else ""
    if behind and behind in ",]":
        return Document(array=True, pretty="\n" in text)
    return "lines" if behind or complete or not end else None


def _object(text: str, complete: bool) -> Document | Literal["lines"] | None:
    first, _, rest = text.partition("\n")
    following = rest.lstrip()
    if first.strip() == "{" and following[:1] == '"':  # neither line is JSON, and together they are
        return Document(array=False, pretty=True)
    end = _end(text)
    if end is None:
        return "lines" if complete else None
    return Document(array=False, pretty=True) if "\n" in text[:end] else "lines"


def _end(text: str) -> int | None:
    """Where the JSON object ends that a text begins with: 0 where it is broken, None where it goes on."""
    try:
        return json.JSONDecoder().raw_decode(text)[1]
    except json.JSONDecodeError as error:
        goes_on = error.msg.startswith("Unterminated string") or error.pos >= len(text.rstrip()) - len("false")
        return None if goes_on else 0
    except (ValueError, RecursionError):  # thousands of digits, or of levels
        return 0


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


_UNPACKING: Final = {".gz": "gzip -dc", ".bz2": "bzip2 -dc"}


def _advice(document: Document, name: str) -> str:
    """How to make JSON lines of a document."""
    jq = "jq -c '.[]'" if document.array else "jq -c ."
    if name == "-":
        return f"Put {jq} in front: … | {jq} | capybeam map …"
    if "://" in name:
        return f"{jq} produces such lines."
    path = PurePath(name)
    lines = shlex.quote(f"{path.name.partition('.')[0] or 'events'}.lines.jsonl")
    unpack = _UNPACKING.get(path.suffix.lower())
    source = f"{unpack} < {shlex.quote(name)} | {jq}" if unpack else f"{jq} < {shlex.quote(name)}"
    return f"Convert it to JSON lines: {source} > {lines}"
