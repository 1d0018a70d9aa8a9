"""Terraform files as plain data, as far as the values are in them: literals, ``jsonencode``, defaults, locals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from capybeam.pipeline.segment.expressions import Expression, UnreadableExport, expressions

_ESCAPE: Final = re.compile(r"""\\(["\\nrt]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|([$%])\2(?=\{)""")
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_CALL: Final = re.compile(r"jsonencode\s*\((.*)\)", re.DOTALL)
_MERGE: Final = re.compile(r"merge\s*\((.*)\)", re.DOTALL)
_NAME: Final = re.compile(r"""(var|local)\.([\w-]+)((?:\.[\w-]+|\["[^"\]]*"\])*)""")
_KEY: Final = re.compile(r"""\.([\w-]+)|\["([^"\]]*)"\]""")


def read_terraform(text: str, name: str) -> dict[str, Any]:
    """The resources of a file, by type and label; what is not known before Terraform runs is an `Expression`."""
    return _Reader(_parse(text, name)).resources()


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        import hcl2
    except ImportError:
        raise UnreadableExport(
            f"{name}: reading Terraform needs python-hcl2: pip install 'capybeam[terraform]'"
        ) from None
    options = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, preserve_heredocs=False)
    try:
        parsed: dict[str, Any] = hcl2.loads(text if text.endswith("\n") else f"{text}\n", serialization_options=options)
    except RecursionError:
        raise
    except Exception as error:  # lark's, whose texts repeat the file
        line = getattr(error, "line", None)
        at = f":{line}" if isinstance(line, int) and line > 0 else ""
        raise UnreadableExport(f"{name}{at}: is not valid Terraform") from None
    return parsed


class _Reader:
    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self._parsed = parsed
        self._names: dict[tuple[str, str], Any] = {}
        self._open: set[tuple[str, str]] = set()  # names whose value is being looked up
        for block in parsed.get("variable", ()):
            for label, body in block.items():
                if isinstance(body, dict) and "default" in body:
                    self._names["var", _bare(label)] = body["default"]
        for block in parsed.get("locals", ()):
            self._names.update({("local", _bare(label)): value for label, value in block.items()})

    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for block in self._parsed.get("resource", ()):
            for kind, labelled in block.items():
                if _bare(kind) in ("segment_destination", "segment_destination_subscription"):
                    for label, body in labelled.items():
                        found.setdefault(_bare(kind), {})[_bare(label)] = self._resource(body)
        return found

    def _resource(self, body: Mapping[str, Any]) -> dict[str, Any]:
        resource = {_bare(key): self._value(value) for key, value in body.items() if _bare(key) != "settings"}
        return {**resource, "settings": self._settings(body.get("settings"))}

    def _settings(self, value: Any) -> Any:
        """A mapping: ``jsonencode`` is taken off, so that expressions inside it are found where they are."""
        inner = _CALL.fullmatch(_inner(value)) if isinstance(value, str) else None
        if inner:
            try:
                return self._value(_reparsed(inner[1]))
            except UnreadableExport:  # more than one call
                return Expression(_inner(value))
        value = self._value(value)
        if isinstance(value, str) and not isinstance(value, Expression):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {_bare(key): self._value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, str):
            return value
        if len(value) > 1 and value[0] == value[-1] == '"':
            return self._text(value[1:-1])
        return self._expression(_inner(value))

    def _text(self, text: str) -> Any:
        parts = re.split(r"(?<!\$)\$\{([^{}]*)\}", text)
        for index in range(1, len(parts), 2):
            value = self._expression(parts[index].strip())
            if isinstance(value, Expression) or not isinstance(value, (str, int, float)):
                return Expression(_without_escapes(text))
            written = value if isinstance(value, str) else json.dumps(value)
            parts[index] = written.replace("\\", "\\\\")
        joined = "".join(parts)
        if re.search(r"(?<!\$)\$\{|(?<!%)%\{", joined):
            return Expression(_without_escapes(text))
        return _ESCAPE.sub(_unescaped, joined)

    def _expression(self, text: str) -> Any:
        named = _NAME.fullmatch(text)
        name = (named[1], named[2]) if named else None
        if named and name in self._names and name not in self._open:
            self._open.add(name)
            value = self._value(self._names[name])
            self._open.discard(name)
            for key in _KEY.finditer(named[3]):
                value = value.get(key[1] or key[2], Expression(text)) if isinstance(value, dict) else Expression(text)
            return value
        try:
            return json.loads(text)  # numbers that are kept as text
        except ValueError:
            return self._call(text)

    def _call(self, text: str) -> Any:
        """A call of a function, if it is one whose result follows from the file."""
        call, merge = _CALL.fullmatch(text), _MERGE.fullmatch(text)
        try:
            if call:
                value = self._value(_reparsed(call[1]))
                return Expression(text) if next(expressions(value), None) else json.dumps(value)
            objects = self._value(_reparsed(f"[{merge[1]}]")) if merge else []
        except UnreadableExport:  # more than one call
            return Expression(text)
        known = [each for each in objects if isinstance(each, dict)]
        if merge is None or len(known) < len(objects):
            return Expression(text)
        return {key: item for each in known for key, item in each.items()}


def _reparsed(text: str) -> Any:
    return _parse(f"value = {text}\n", "jsonencode")["value"]


def _inner(text: str) -> str:
    return text[2:-1].strip() if text.startswith("${") and text.endswith("}") else text


def _bare(key: Any) -> str:
    text = str(key)
    return _ESCAPE.sub(_unescaped, text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


def _without_escapes(text: str) -> str:
    """A text with expressions in it, as people read it."""
    return _ESCAPE.sub(lambda found: found[0] if found[2] else _unescaped(found), text)


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        return found[2]
    escape = found[1]
    return _ESCAPED[escape] if escape in _ESCAPED else chr(int(escape[1:], 16))
