"""What each part of a mapping looks up, and whether it is there."""

from __future__ import annotations

from typing import Any

from capybeam.transforms.language.lookups import Lookup, MappedPart, mapped_parts
from capybeam.transforms.standards.javascript import MISSING

EVENT = {"userId": "u", "properties": {"total": 5, "products": [{"id": 1}, {"id": 2, "price": 3}]}}


def parts(mapping: dict[str, Any]) -> list[MappedPart]:
    return list(mapped_parts(mapping, EVENT, EVENT))


def test_a_field_has_its_path_what_is_there_and_what_it_yields() -> None:
    mapping = {"value": {"@path": "$.properties.total"}, "source": "shop", "user_data": {"zip": {"@path": "$.zip"}}}
    assert parts(mapping) == [
        MappedPart(("value",), ("@path",), (Lookup("$.properties.total", 5),), 5),
        MappedPart(("source",), (), (), "shop"),
        MappedPart(("user_data", "zip"), ("@path",), (Lookup("$.zip", MISSING),), MISSING),
    ]  # fmt: skip


def test_every_path_of_a_directive_and_of_a_template_is_looked_up_once() -> None:
    node = {"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.a"}, "else": {"@template": "{{userId}}-{{x.y}}"}}}
    assert parts({"id": node}) == [
        MappedPart(
            ("id",),
            ("@if", "@path", "@template"),
            (Lookup("$.a", MISSING), Lookup("$.userId", "u"), Lookup("$.x.y", MISSING)),
            "u-",
        )
    ]


def test_the_shape_of_a_list_is_looked_up_in_its_items() -> None:
    node = {"@arrayPath": ["$.properties.products", {"price": {"@path": "$.price"}, "sku": {"@path": "$.sku"}}]}
    (part,) = parts({"contents": node})
    assert part.lookups[1:] == (
        Lookup("$.properties.products[*].price", 3, found=1, items=2),
        Lookup("$.properties.products[*].sku", MISSING, found=0, items=2),
    )


def test_a_part_that_cannot_be_applied_says_why_and_the_others_go_on() -> None:
    broken, fine = parts({"a": {"@path": {"@path": "$.properties.total"}}, "b": {"@path": "$.userId"}})
    assert broken.value is MISSING
    assert "@path" in broken.error
    assert fine.value == "u"


def test_user_data_is_looked_up_in_what_is_the_persons() -> None:
    mapping = {"user_data": {"email": {"@path": "$.traits.email"}}, "note": {"@path": "$.traits.email"}}
    found = mapped_parts(mapping, {"traits": {"email": "acme@example.com"}}, {"traits": {}})
    assert [part.value for part in found] == [MISSING, "acme@example.com"]


def test_a_mapping_that_is_one_directive_is_one_part() -> None:
    (part,) = parts({"@merge": {"direction": "right", "objects": [{"value": {"@path": "$.properties.total"}}]}})
    assert (part.path, part.value, part.lookups) == ((), {"value": 5}, (Lookup("$.properties.total", 5),))
