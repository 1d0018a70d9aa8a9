"""The datasets of an event, chosen by a value of it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.routing import Routing, compile_routing

BY_BRAND = Routing({"@path": "$.properties.brand"}, {"mugs": ("111",), "hats": ("222", "333"), "7": ("777",)})


@pytest.mark.parametrize(
    ("brand", "datasets"), [("mugs", ("111",)), ("hats", ("222", "333")), (7, ("777",)), ("7", ("777",))]
)
def test_an_event_goes_where_its_value_is_listed(brand: Any, datasets: tuple[str, ...]) -> None:
    assert compile_routing(pickle.loads(pickle.dumps(BY_BRAND)))({"properties": {"brand": brand}}) == datasets


LOOKED_FOR = "so the event goes to no dataset (looked for $.properties.brand)."


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"properties": {"brand": "shoes"}}, f"dataset_id has a value that dataset_ids does not list, {LOOKED_FOR}"),
        ({"properties": {"brand": "111"}}, f"dataset_id has a value that dataset_ids does not list, {LOOKED_FOR}"),
        ({"properties": {"brand": "Mugs"}}, f"dataset_id has a value that dataset_ids does not list, {LOOKED_FOR}"),
        ({"properties": {"brand": "mugs "}}, f"dataset_id has a value that dataset_ids does not list, {LOOKED_FOR}"),
        ({"properties": {"brand": True}}, f"dataset_id has a value that dataset_ids does not list, {LOOKED_FOR}"),
        ({"properties": {"brand": ["mugs"]}}, f"dataset_id is not a text, {LOOKED_FOR}"),
        ({"properties": {"brand": {"a": 1}}}, f"dataset_id is not a text, {LOOKED_FOR}"),
        ({"properties": {"brand": None}}, f"dataset_id has no value, {LOOKED_FOR}"),
        ({"properties": {"brand": ""}}, f"dataset_id has no value, {LOOKED_FOR}"),
        ({"properties": "mugs"}, f"dataset_id has no value, {LOOKED_FOR}"),
        ({}, f"dataset_id has no value, {LOOKED_FOR}"),
    ],
)
def test_any_other_value_is_a_rejection_that_does_not_quote_it(event: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected) as caught:
        compile_routing(BY_BRAND)(event)

    assert (caught.value.code, caught.value.message) == ("unlisted_dataset", message)


def test_a_mapping_may_have_a_dataset_for_all_others() -> None:
    mapping = {"@coalesce": [{"@path": "$.properties.dataset"}, {"@literal": "999"}]}
    datasets_of = compile_routing(Routing(mapping, {"111": ("111",), "999": ("999",)}))

    assert [datasets_of({"properties": {"dataset": 111}}), datasets_of({})] == [("111",), ("999",)]
