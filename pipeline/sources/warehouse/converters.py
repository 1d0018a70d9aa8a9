"""Values of a warehouse's columns → what JSON would hold, by the column's type."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.transforms.core.warehouse_rows import number, parsed
from capybeam.transforms.standards.json_text import load_json

UTC: Final = orjson.OPT_UTC_Z


def converter_of(column: Column) -> Callable[[Any], Any]:
    """The function from a value that is not null to what JSON would hold, by a column's type.

    Its input is what the BigQuery Storage API gives in Python.
    """
    convert = _record(column.fields) if column.type in ("RECORD", "STRUCT") else _CONVERTERS.get(column.type, _scalar)
    if not column.repeated:
        return convert
    return lambda items: [None if item is None else convert(item) for item in items]


def _record(fields: Sequence[Column]) -> Callable[[Any], Any]:
    converters = [(field.name, converter_of(field)) for field in fields]

    def convert(record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: convert(record[name]) for name, convert in converters if record[name] not in (None, [])}

    return convert


def object_of(value: Any) -> dict[str, Any]:
    found = load_json(value) if isinstance(value, (str, bytes)) else value
    if type(found) is not dict:
        raise TypeError("no object")
    return found


def _text(value: str) -> Any:
    return parsed(value) if value[:1] == "[" else value


def _decimal(value: Decimal) -> float | int:
    whole = int(value)
    return whole if whole == value and -(2**63) <= whole < 2**63 else float(value)


def _timestamp(value: dt.datetime) -> str:
    """As Segment's libraries write it: in UTC, with milliseconds; finer where the column is.

    By orjson, as isoformat() takes several times as long with a time zone. It leaves out a fraction that is zero.
    """
    text: str = orjson.loads(orjson.dumps(value, option=UTC).replace(b'000Z"', b'Z"'))
    return text if len(text) > len("2026-11-22T17:16:43Z") else f"{text[:-1]}.000Z"


def _datetime(value: dt.datetime | str) -> str:
    """Without a time zone, as the column has none. BigQuery returns it as text."""
    return value if isinstance(value, str) else value.replace(tzinfo=None).isoformat()


def _isoformat(value: dt.date | dt.time) -> str:
    return value.isoformat()


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _scalar(value: Any) -> Any:
    return value if type(value) in (str, int, float, bool, dict) else str(value)


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "STRING": _text,
    "FLOAT": number,
    "FLOAT64": number,
    "NUMERIC": _decimal,
    "BIGNUMERIC": _decimal,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "DATE": _isoformat,
    "TIME": _isoformat,
    "BYTES": _bytes,
    "JSON": load_json,
}
