"""Records: what is there by attributes, what is not, and the way back to dictionaries."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from capybeam.transforms.language.records import Items, Shape, is_written_plainly
from capybeam.transforms.standards.javascript import MISSING

NAMES = ("a", "class", "__class__", "_x", "a b", "1", "", "ﬁ", "fi", "key0", "_0", "é", "a.b", "x'")


@pytest.fixture
def shape() -> Shape:
    page = Shape({"url": str, "size": int | None})
    return Shape(
        {"id": str, "context": Shape({"page": page}), "items": Items(Shape({"sku": str})), "tags": list[str]},
        certain=("id",),
    )


def decoded(shape: Shape, line: bytes) -> Any:
    return msgspec.json.decode(line, type=shape.type)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id":"i"}', {"id": "i"}),
        (b'{"id":"i","context":{}}', {"id": "i", "context": {}}),
        (b'{"id":"i","context":{"page":{"url":"u","other":1}}}', {"id": "i", "context": {"page": {"url": "u"}}}),
        (b'{"id":"i","context":{"page":{"size":null}}}', {"id": "i", "context": {"page": {"size": None}}}),
        (b'{"id":"i","items":[{"sku":"s"},{}],"tags":[]}', {"id": "i", "items": [{"sku": "s"}, {}], "tags": []}),
    ],
)
def test_a_record_as_a_dictionary_has_what_was_there(shape: Shape, line: bytes, expected: dict[str, Any]) -> None:
    assert shape.plain(decoded(shape, line)) == expected


def test_a_record_that_is_not_there_can_be_looked_into(shape: Shape) -> None:
    record = decoded(shape, b'{"id":"i"}')
    assert record.context is shape.records["context"].absent
    assert record.context.page.url is record.items is MISSING


def test_an_object_that_is_empty_is_there(shape: Shape) -> None:
    assert decoded(shape, b'{"id":"i","context":{}}').context is not shape.records["context"].absent


def test_a_key_that_is_certain_has_to_be_there(shape: Shape) -> None:
    with pytest.raises(msgspec.ValidationError):
        decoded(shape, b'{"tags":[]}')


def test_keys_of_all_spellings_are_kept_apart() -> None:
    shape = Shape(dict.fromkeys(NAMES, int))
    numbers = {name: number for number, name in enumerate(NAMES)}
    assert shape.plain(decoded(shape, msgspec.json.encode(numbers))) == numbers
    assert all(attribute.isascii() and attribute.isidentifier() for attribute in shape.attributes.values())


@pytest.mark.parametrize("key", ['"', "\\", "\n", "\x00", "\u2028", "a\tb"])
def test_a_key_that_json_may_escape_is_in_no_record(key: str) -> None:
    assert not is_written_plainly(key)


@pytest.mark.parametrize("key", ["a", "a b", "é", "日本", "x'", "$", "{"])
def test_other_keys_are_written_plainly(key: str) -> None:
    assert is_written_plainly(key)


@pytest.mark.parametrize(
    ("keys", "attributes", "left"),
    [
        (["id"], ["id"], []),
        (["context", "page", "url"], ["context", "page", "url"], []),
        (["context", "page", "url", "0", "x"], ["context", "page", "url"], ["0", "x"]),
        (["tags", "0"], ["tags"], ["0"]),
    ],
)
def test_a_path_leads_through_records_to_a_value(
    shape: Shape, keys: list[str], attributes: list[str], left: list[str]
) -> None:
    assert shape.place(keys) == (attributes, left)
