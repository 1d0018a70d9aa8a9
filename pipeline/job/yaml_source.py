"""YAML documents as plain data that knows the position of everything.

YAML 1.2's core schema, so that JSON is YAML and ``NO`` is Norway: only true and false are booleans, only null, ~ and
nothing are null, and dates are text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

Loc = tuple[str | int, ...]
Position = tuple[int, int]

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_VALUES: Final = 100_000  # of a document, once its aliases and merges are followed
MAX_LEVELS: Final = 200  # of objects and lists
_MERGE: Final = "<<"
_NO_KEY: Final = 'a key must be a text; put a template in quotes: "{{…}}"'
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclasses.dataclass(frozen=True)
class Document:
    """The data of a document and the positions in it: lines and columns count from 1.

    Attributes:
        data: the plain data; None where the text is not YAML at all.
        keys: the position of every key and item.
        values: the position of every value.
        problems: what is wrong with the YAML itself.
    """

    source: str
    text: str
    data: Any
    keys: Mapping[Loc, Position]
    values: Mapping[Loc, Position]
    problems: tuple[tuple[Position, str], ...] = ()

    def position(self, loc: Loc) -> Position:
        """The position of the key or item at `loc`, or of the nearest one around it."""
        while loc and loc not in self.keys:
            loc = loc[:-1]
        return self.keys.get(loc, (1, 1))

    def inside(self, loc: Loc, offset: int) -> Position:
        """The position of a character in a text value; of the value itself where the text is a block."""
        line, column = self.values.get(loc, self.position(loc))
        start = self.text.splitlines()[line - 1][column - 1 :]
        if start[:1] in ("|", ">"):
            return line, column
        if start[:1] in ("'", '"'):  # an escape is one character of the value
            escape = re.compile(r"''|." if start[0] == "'" else r"\\u....|\\x..|\\.|.", re.DOTALL)
            written = [found.end() for found in escape.finditer(start, 1)]
            return line, column + (written[offset - 1] if 0 < offset <= len(written) else 1)
        return line, column + offset


def value_at(data: Any, loc: Iterable[str | int]) -> Any:
    """What is at a place of plain data; None where there is no such place."""
    for key in loc:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def read(text: str, source: str) -> Document:
    """The document of a YAML (or JSON) text."""
    reader = _Reader()
    try:
        root = yaml.compose(_SURROGATES.sub(_paired, text), Loader=_Loader)
        data = None if root is None else reader.plain(root, ())
    except _TooLarge as error:
        return Document(source, text, None, {}, {}, ((error.position, str(error)),))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"this is not valid YAML: {error.problem}{_hint(text, position, str(error.problem))}"
        return Document(source, text, None, {}, {}, ((position, message),))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            error = ValueError("it is nested too deeply")
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Document(source, text, None, {}, {}, (((1, 1), f"this is not valid YAML: {reason}"),))
    problems = tuple(reader.problems) if root is not None else (((1, 1), "the file is empty"),)
    return Document(source, text, data, reader.keys, reader.values, problems)


def read_data(text: str) -> Any:
    """The data of a text of ours, such as a preset, without positions: what has several aliases is read once."""
    root = yaml.compose(text, Loader=_Loader)
    return None if root is None else _DataReader().plain(root, ())


def _hint(text: str, position: Position, problem: str) -> str:
    """What to do about an error of YAML's that has to do with quotes."""
    line, column = position
    lines = text.splitlines()
    rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    if "cannot start any token" in problem:
        if rest[:1] == "\t":
            return "; indent with blanks, not with tabs"
        written = re.match(r"@\w+", rest)
        return f'; quote it: "{written[0]}"' if written else "; put the text in quotes"
    if "mapping values are not allowed" in problem:
        return "; put a text that holds a colon and a blank in quotes"
    if rest[:1] in ("*", "&", "!") or "alias" in problem:
        return f"; put a text that begins with {rest[:1] or '*'} in quotes"
    return ""


_SURROGATES: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


def _paired(found: re.Match[str]) -> str:
    """JSON writes characters beyond 16 bits as two escapes; YAML wants one."""
    high, low = int(found[2], 16), int(found[3], 16)
    return f"{found[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"


class _TooLarge(Exception):
    """A document whose values would take far more time and memory than its text."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.position = _position(node)


class _Reader:
    def __init__(self) -> None:
        self.keys: dict[Loc, Position] = {}
        self.values: dict[Loc, Position] = {}
        self.problems: list[tuple[Position, str]] = []
        self._around: list[yaml.Node] = []
        self._read = 0

    def plain(self, node: yaml.Node, loc: Loc) -> Any:
        self._read += 1 + len(loc) // 20  # the path to a deep one takes more room
        if self._read > MAX_VALUES:
            raise _TooLarge(
                node, f"the file has more than {MAX_VALUES:,} values at this point, counting aliases and merges"
            )
        self.values[loc] = _position(node)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if len(self._around) >= MAX_LEVELS:
            raise _TooLarge(node, f"this is nested more than {MAX_LEVELS} levels deep")
        if any(outer is node for outer in self._around):
            self.problems.append((_position(node), "an anchor must not contain itself"))
            return None
        self._around.append(node)
        data = self._items(node, loc) if isinstance(node, yaml.SequenceNode) else self._entries(node, loc)
        self._around.pop()
        return data

    def _items(self, node: yaml.SequenceNode, loc: Loc) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            at = (*loc, index)
            self.keys[at] = _position(item)
            items.append(self.plain(item, at))
        return items

    def _entries(self, node: yaml.Node, loc: Loc) -> dict[str, Any]:
        merged: list[dict[str, Any]] = []
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append((_position(key_node), _NO_KEY))
                continue
            key = str(key_node.value)
            if key == _MERGE and not key_node.style:
                merged += [self.plain(source, loc) or {} for source in self._merged(value_node)]
                continue
            at = (*loc, key)
            if key in own:
                first = self.keys[at][0]
                self.problems.append((_position(key_node), f"the key {key!r} is already given at line {first}"))
                continue
            self.keys[at] = _position(key_node)
            own[key] = self.plain(value_node, at)
        entries: dict[str, Any] = {}
        for source in (*reversed(merged), own):  # the earlier of several wins, and a key given here wins over all
            entries.update(source)
        return entries

    def _merged(self, node: yaml.Node) -> Iterator[yaml.Node]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                yield source
            else:
                self.problems.append((_position(source), "<< takes objects only"))


class _DataReader(_Reader):
    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, Any] = {}

    def plain(self, node: yaml.Node, loc: Loc) -> Any:
        if id(node) not in self._known:
            self._known[id(node)] = super().plain(node, ())
        return self._known[id(node)]


def _position(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style:  # quoted or a block
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 4000 else text
    return float(text) if _FLOAT.fullmatch(text) else text
