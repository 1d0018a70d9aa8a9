"""Writes the files of this folder that are made from definitions in the code: metadata, and the tables' columns."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Final

from pipeline.options import TEMPLATES, metadata
from transforms.couriers import Receipt
from transforms.rejections import Rejection

HERE: Final = Path(__file__).parent
_TYPES: Final = {str: "STRING", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
_TIMES: Final = ("_at", "_time")  # how names of times end, in Unix seconds
DEAD_LETTERS: Final = (  # what `Rejection.encode` writes beside the fields
    {"name": "dead_lettered_at", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "payload_encoding", "type": "STRING", "mode": "NULLABLE"},
)


def columns(row: type) -> list[dict[str, str]]:
    """The BigQuery columns of a dataclass whose instances are rows."""
    hints = typing.get_type_hints(row)
    return [_column(field.name, hints[field.name]) for field in dataclasses.fields(row)]


def _column(name: str, hint: Any) -> dict[str, str]:
    mode = "REQUIRED"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        mode, (hint, *_) = "NULLABLE", typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        mode, hint = "REPEATED", typing.get_args(hint)[0]
        hint = typing.get_args(hint)[0] if typing.get_args(hint) else hint
    if hint is Any:  # a payload, as JSON text: the type JSON refuses numbers that it cannot hold exactly
        mode, hint = "NULLABLE", str
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    kind = "TIMESTAMP" if hint is int and name.endswith(_TIMES) else _TYPES[hint]
    return {"name": name, "type": kind, "mode": mode}


def files() -> dict[Path, str]:
    """All generated files, with their content."""
    made: dict[Path, Any] = {HERE / f"{template.name}.json": metadata(template) for template in TEMPLATES}
    schemas = HERE / "terraform" / "schemas"
    made[schemas / "dead_letters.json"] = [*columns(Rejection), *DEAD_LETTERS]
    made[schemas / "receipts.json"] = columns(Receipt)
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
