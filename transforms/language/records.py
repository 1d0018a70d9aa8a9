"""Records: events, or parts of them, as objects with an attribute for each key that a job looks up.

A record takes less time to decode than a dictionary, and an attribute less than a key. Where functions are written for
records, they are told the record's shape.
"""

from __future__ import annotations

import keyword
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from capybeam.transforms.standards.javascript import MISSING

Record = msgspec.Struct


class Items(NamedTuple):
    """A list of records."""

    shape: Shape


class Shape:
    """The keys of a record, and what is at each of them: a value, another record, or a list of records.

    A key that is not there has the value `MISSING`; where a record would be it is that record's `absent`.

    Args:
        parts: by key, what a decoder is to make of what is there: a type that it knows, a shape, or `Items`. The
            decoder looks for a key where it would be next, so they are best in the order in which keys come. JSON has
            to write each key as it is: `is_written_plainly`.
        certain: keys of values that are always there; the first ones.

    Attributes:
        attributes: by key.
        records: by key, the shape of the record there.
        lists: by key, the shape of the records in the list there.
        type: what a decoder makes.
        absent: the record of an object that is not there, known by its identity. None where some keys are certain.
    """

    def __init__(self, parts: Mapping[str, Any], certain: Container[str] = ()) -> None:
        self.records = {key: part for key, part in parts.items() if isinstance(part, Shape)}
        self.lists = {key: part.shape for key, part in parts.items() if isinstance(part, Items)}
        self.attributes = _attributes(parts)
        self._parts, self._certain = dict(parts), certain
        self.type: Any = self.beside({})
        self.absent = None if certain else self.type()

    def beside(self, others: Mapping[str, Any], is_all: bool = False) -> Any:
        """The type of records that may have keys beside those of the shape, whose values nobody looks up.

        Args:
            others: by key, the type that a decoder is to make of what is there.
            is_all: whether these are all the keys that a record may have; the decoder raises for others.
        """
        parts = {**self._parts, **{key: type_ for key, type_ in others.items() if key not in self._parts}}
        attributes = _attributes(parts)
        fields = [
            (attribute, _type_of(parts[key]), *([] if key in self._certain else [self._default(key)]))
            for key, attribute in attributes.items()
        ]
        return msgspec.defstruct(
            "Record",
            fields,
            rename={attribute: key for key, attribute in attributes.items()},
            frozen=True,
            gc=False,  # it can be in no cycle
            forbid_unknown_fields=is_all,
        )

    def _default(self, key: str) -> Any:
        return msgspec.field(default=self.records[key].absent if key in self.records else MISSING)

    def place(self, keys: Sequence[str]) -> tuple[list[str], list[str]]:
        """Where a path leads: through attributes, one below the other, and the keys that are left at a value there."""
        shape, attributes, left = self, list[str](), [*keys]
        while left:
            key = left.pop(0)
            attributes.append(shape.attributes[key])
            if key not in shape.records:
                break
            shape = shape.records[key]
        return attributes, left

    def plain(self, record: Any) -> dict[str, Any]:
        """A record as a dictionary."""
        found: dict[str, Any] = {}
        for key, attribute in self.attributes.items():
            value = getattr(record, attribute)
            if key in self.records:
                shape = self.records[key]
                if value is not shape.absent:
                    found[key] = shape.plain(value)
            elif value is not MISSING:
                found[key] = [*map(self.lists[key].plain, value)] if key in self.lists else value
        return found


def _attributes(keys: Iterable[str]) -> dict[str, str]:
    return {key: key if _is_name(key) else f"_{number}" for number, key in enumerate(keys)}


def is_written_plainly(key: str) -> bool:
    """Whether JSON has a key without an escape, so that a record can have it."""
    return key.isprintable() and not {'"', "\\"} & {*key}


def _type_of(part: Any) -> Any:
    if isinstance(part, Shape):
        return part.type
    return list[part.shape.type] if isinstance(part, Items) else part


def _is_name(key: str) -> bool:
    """Whether a key can be an attribute's name as it is: Python makes one of several spellings that are not ASCII."""
    return key.isascii() and key.isidentifier() and not key.startswith("_") and not keyword.iskeyword(key)
