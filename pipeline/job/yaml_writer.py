"""Job files as text that people go on with: YAML with comments, which `yaml_source` reads back as the same data.

PyYAML writes no comments, and quotes by other rules than those that `yaml_source` reads by (there, ``NO`` is text).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

WIDTH: Final = 110  # characters; what is longer is written over several lines

_PLAIN: Final = re.compile(r"[A-Za-z][\w ./$()'\"*+<>=!?@:-]*", re.ASCII)
_PATH: Final = re.compile(r"\$(?:\.[\w-]+)+", re.ASCII)
_WORDS: Final = frozenset("null true false".split())
_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


@dataclasses.dataclass(frozen=True)
class Commented:
    """A value with a comment behind its key, or above it where it has several lines."""

    value: Any
    comment: str


@dataclasses.dataclass(frozen=True)
class Remark:
    """Lines of comment that stand among the entries of an object or a list, in place of an entry."""

    lines: tuple[str, ...]


def as_comment(lines: Iterable[str]) -> Iterator[str]:
    """Lines as comments; a character that ends a line, or that is not for display, becomes a space."""
    for line in lines:
        yield f"# {''.join(each if each.isprintable() else ' ' for each in line)}".rstrip()


def scalar(value: Any) -> str:
    """A value without parts, such that it is read back as it is."""
    if not isinstance(value, str):
        return json.dumps(value)
    if value.lower() not in _WORDS and (_PATH.fullmatch(value) or _is_plain(value)):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and ": " not in text and text[-1] not in ": "


def flow(value: Any) -> str:
    """A value on one line, as JSON has it: inside of braces a plain text would need more care."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_flow_key(key)}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z][\w.-]*|\$(?:\.[\w-]+)+", value, re.ASCII):
        return _quoted(value)
    return scalar(value)


def _flow_key(key: str) -> str:
    is_plain = re.fullmatch(r"[A-Za-z][\w-]*", key, re.ASCII) and key.lower() not in _WORDS
    return key if is_plain else _quoted(key)


def _quoted(text: str) -> str:
    return _ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(text, ensure_ascii=False))


def lines(value: Any, indent: int = 0) -> Iterator[str]:
    """The lines of an object or a list that is not empty.

    Besides plain data it may have a `Commented` as a value, and a `Remark` as a value (its key is not written) or item.
    """
    pad = " " * indent
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(key, item, indent)
        return
    for item in value:
        if isinstance(item, Remark):
            yield from (f"{pad}{line}".rstrip() for line in as_comment(item.lines))
            continue
        item, comment = _taken_apart(item)
        if not _is_broken(item, indent + 2):
            yield f"{pad}- {flow(item) if _has_parts(item) else scalar(item)}{comment}"
            continue
        first, *rest = lines(item, indent + 2)
        if comment or first.lstrip().startswith("#"):
            yield f"{pad}-{comment}"
            yield from (first, *rest)
        else:
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest


def _entry(key: str, item: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(item, Remark):
        yield from (f"{pad}{line}".rstrip() for line in as_comment(item.lines))
        return
    item, comment = _taken_apart(item)
    name = _flow_key(key)
    if _is_broken(item, indent + len(name) + 2):
        yield f"{pad}{name}:{comment}"
        yield from lines(item, indent + 2)
    else:
        yield f"{pad}{name}: {flow(item) if _has_parts(item) else scalar(item)}{comment}"


def _taken_apart(item: Any) -> tuple[Any, str]:
    if isinstance(item, Commented):
        return item.value, f" {next(as_comment([item.comment]))}"
    return item, ""


def _has_parts(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _is_broken(value: Any, column: int) -> bool:
    """Whether a value takes several lines: with comments, a long one, or an object that is not a directive."""
    if not _has_parts(value) or not value:
        return False
    if _is_commented(value):
        return True
    is_directive = isinstance(value, Mapping) and any(key.startswith("@") for key in value)
    return column + len(flow(value)) > WIDTH or (isinstance(value, Mapping) and not is_directive and column < 12)


def _is_commented(value: Any) -> bool:
    if isinstance(value, (Commented, Remark)):
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return any(map(_is_commented, parts))
