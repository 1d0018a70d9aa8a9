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
_NAME: Final = re.compile(r"(var|local)\.([\w-]+)")


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
            return self._value(_reparsed(inner[1]))
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
            if isinstance(value, Expression) or not isinstance(value, str):
                return Expression(text)
            parts[index] = value.replace("\\", "\\\\")
        joined = "".join(parts)
        if re.search(r"(?<!\$)\$\{|(?<!%)%\{", joined):
            return Expression(text)
        return _ESCAPE.sub(_unescaped, joined)

    def _expression(self, text: str) -> Any:
        named = _NAME.fullmatch(text)
        name = (named[1], named[2]) if named else None
        if name in self._names and name not in self._open:
            self._open.add(name)
            value = self._value(self._names[name])
            self._open.discard(name)
            return value
        call = _CALL.fullmatch(text)
        if call:
            value = self._value(_reparsed(call[1]))
            return Expression(text) if next(expressions(value), None) else json.dumps(value)
        try:
            return json.loads(text)  # numbers that are kept as text
        except ValueError:
            return Expression(text)


def _reparsed(text: str) -> Any:
    return _parse(f"value = {text}\n", "jsonencode")["value"]


def _inner(text: str) -> str:
    return text[2:-1].strip() if text.startswith("${") and text.endswith("}") else text


def _bare(key: Any) -> str:
    text = str(key)
    return _ESCAPE.sub(_unescaped, text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        return found[2]
    escape = found[1]
    return _ESCAPED[escape] if escape in _ESCAPED else chr(int(escape[1:], 16))
