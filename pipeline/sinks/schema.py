"""The schema of a BigQuery table, made from the dataclass of its rows."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Final

Column = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Schema:
    """Columns, and the one of type TIMESTAMP by whose day the table is partitioned.

    Attributes:
        columns: name, BigQuery's type, and mode.
    """

    columns: tuple[Column, ...]
    day: str

    @classmethod
    def of(cls, row: type, day: str, *more: Column) -> Schema:
        """The schema of a table whose rows are instances of a dataclass, with what is written beside its fields.

        What has a default may be left out of a row.
        """
        hints = typing.get_type_hints(row)
        fields = [field for field in dataclasses.fields(row) if field.metadata.get("column", True)]
        columns = [_column(field.name, hints[field.name]) for field in fields]
        defaults = {field.name for field in fields if field.default is not dataclasses.MISSING}
        optional = [
            (name, type_, "NULLABLE" if mode == "REQUIRED" and name in defaults else mode)
            for name, type_, mode in columns
        ]
        return cls((*optional, *more), day)

    def as_json(self) -> dict[str, Any]:
        return {"fields": [{"name": name, "type": type_, "mode": mode} for name, type_, mode in self.columns]}


_TYPES: Final = {str: "STRING", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
_TIMES: Final = ("_at", "_time")  # how names of times end, in Unix seconds


def _column(name: str, hint: Any) -> Column:
    mode = "REQUIRED"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        mode, hint = "NULLABLE", typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        mode, hint = "REPEATED", str
    if hint is Any:  # a payload, as JSON text: the type JSON refuses numbers that it cannot hold exactly
        mode, hint = "NULLABLE", str
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    return name, "TIMESTAMP" if hint is int and name.endswith(_TIMES) else _TYPES[hint], mode
