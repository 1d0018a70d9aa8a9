"""Fields of an action: which values each type takes, what they become, and one message with all that is wrong."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language import fields
from capybeam.transforms.language.fields import Field, FieldError, compile_check, compile_fields
from tests.transforms.edits import JUNK

NAN, INFINITY = float("nan"), float("inf")
WRONG = object()
LEFT_OUT = object()

TYPES: list[tuple[str, Any, Any]] = [
    # number
    ("number", 5, 5),
    ("number", 12.5, 12.5),
    ("number", -3, -3),
    ("number", 0, 0),
    ("number", "12.12", 12.12),
    ("number", " 12 ", 12),
    ("number", "1e3", 1000),
    ("number", "-0.5", -0.5),
    ("number", "+7", 7),
    ("number", ".5", 0.5),
    ("number", "$12", WRONG),
    ("number", "abc", WRONG),
    ("number", "1,000", WRONG),
    ("number", "12 USD", WRONG),
    ("number", "  ", WRONG),
    ("number", "Infinity", WRONG),
    ("number", "-Infinity", WRONG),
    ("number", "inf", WRONG),
    ("number", "NaN", WRONG),
    ("number", "1e999", WRONG),
    ("number", "1_000", WRONG),
    ("number", "1" * 20_000 + "x", WRONG),
    ("number", "1" * 300_000, WRONG),
    ("number", "0" * 20_000 + "7.50", 7.5),
    ("number", "0." + "3" * 20_000, 0.3333333333333333),
    ("number", " " * 20_000 + "7", 7),
    ("number", "١٢", WRONG),
    ("number", NAN, WRONG),
    ("number", INFINITY, WRONG),
    ("number", True, WRONG),
    ("number", False, WRONG),
    ("number", {}, WRONG),
    ("number", [5], WRONG),
    # integer
    ("integer", 5, 5),
    ("integer", 5.0, 5),
    ("integer", "5", 5),
    ("integer", " 5 ", 5),
    ("integer", "1e3", 1000),
    ("integer", "12345678901234567", 12345678901234567),
    ("integer", "0" * 20_000 + "5", 5),
    ("integer", "-" + "0" * 20_000 + "12345678901234567", -12345678901234567),
    ("integer", "9" * 300, int("9" * 300)),
    ("integer", "9" * 5_000, WRONG),
    ("integer", "0" * 20_000 + "x", WRONG),
    ("integer", 2.5, WRONG),
    ("integer", "2.5", WRONG),
    ("integer", "five", WRONG),
    ("integer", True, WRONG),
    ("integer", NAN, WRONG),
    ("integer", INFINITY, WRONG),
    # boolean
    ("boolean", True, True),
    ("boolean", "true", True),
    ("boolean", 1, True),
    ("boolean", False, False),
    ("boolean", "false", False),
    ("boolean", 0, False),
    ("boolean", "yes", WRONG),
    ("boolean", "TRUE", WRONG),
    ("boolean", 2, WRONG),
    ("boolean", {}, WRONG),
    ("boolean", [], WRONG),
    # string
    ("string", "x", "x"),
    ("string", " x ", " x "),
    ("string", 5, "5"),
    ("string", 5.5, "5.5"),
    ("string", 5.0, "5"),
    ("string", 1.5e-07, "1.5e-7"),
    ("string", 1e21, "1e+21"),
    ("string", 0, "0"),
    ("string", True, "true"),
    ("string", False, "false"),
    ("string", {}, WRONG),
    ("string", {"a": 1}, WRONG),
    ("string", ["x"], WRONG),
    # strings: one or several
    ("strings", "x", "x"),
    ("strings", 5, "5"),
    ("strings", ["x", 5, None], ["x", "5"]),
    ("strings", {"a": 1}, WRONG),
    ("strings", ["x", {}], ["x"]),
    ("strings", [["x"]], []),
    # object
    ("object", {"a": {"b": [None, ""]}}, {"a": {"b": [None, ""]}}),
    ("object", {}, {}),
    ("object", "x", WRONG),
    ("object", 5, WRONG),
    ("object", [{}], WRONG),
    # time: Unix seconds
    ("time", 1_790_000_000, 1_790_000_000),
    ("time", "1790000000", 1_790_000_000),
    ("time", " 1790000000 ", 1_790_000_000),
    ("time", 1_790_000_000.9, 1_790_000_000),
    ("time", "1790000000.9", 1_790_000_000),
    ("time", 1_790_000_000_123, 1_790_000_000),
    ("time", "1790000000123", 1_790_000_000),
    ("time", 999_999_999_999, 999_999_999),  # milliseconds of 2001
    ("time", 1_790_000_000_123_456, 1_790_000_000),
    ("time", "1790000000123456", 1_790_000_000),
    ("time", 1_790_000_000_999_999_999, 1_790_000_000),
    ("time", -1_790_000_000_123_456, -1_790_000_001),
    ("time", 10**20, WRONG),
    ("time", "1e400", WRONG),
    ("time", "2026-09-21T13:33:20Z", 1_789_997_600),
    ("time", "2026-09-21T13:33:20.999Z", 1_789_997_600),
    ("time", "2026-09-21T15:33:20+02:00", 1_789_997_600),
    ("time", "2026-09-21T15:33:20+0200", 1_789_997_600),
    ("time", "2026-09-21T13:33:20", 1_789_997_600),
    ("time", "20260921T133320Z", 1_789_997_600),
    ("time", "2026-09-21", 1_789_948_800),
    # as warehouses write it
    ("time", "2026-09-21 13:33:20.000 +0000", 1_789_997_600),
    ("time", "2026-09-21 15:33:20.999 +02:00", 1_789_997_600),
    ("time", "2026-09-21 05:33:20 -0800", 1_789_997_600),
    ("time", "2026-09-21 05:33:20-08", 1_789_997_600),
    ("time", "2026-09-21 13:33:20.123456789 Z", 1_789_997_600),
    ("time", "2026-09-21 13:33:20.123456 UTC", 1_789_997_600),
    ("time", " 2026-09-21 13:33:20 ", 1_789_997_600),
    ("time", "2026-09-21 13:33:20  UTC", WRONG),
    ("time", "2026-09-21 13:33:20 CET", WRONG),
    ("time", "2026-09-21 +0000", WRONG),
    ("time", " + ", WRONG),
    ("time", 0, 0),
    ("time", "2026-09-21T13:33:20." + "9" * 20_000 + "Z", 1_789_997_600),
    ("time", 10**400, WRONG),
    ("time", "9" * 300, WRONG),
    ("time", "9" * 20_000, WRONG),
    ("time", "yesterday", WRONG),
    ("time", "21/09/2026", WRONG),
    ("time", "2026-13-01T00:00:00Z", WRONG),
    ("time", "  ", WRONG),
    ("time", True, WRONG),
    ("time", False, WRONG),
    ("time", {}, WRONG),
    ("time", [1_790_000_000], WRONG),
    ("time", NAN, WRONG),
    ("time", INFINITY, WRONG),
    ("time", "Infinity", WRONG),
    # currency
    ("currency", "USD", "USD"),
    ("currency", "usd", "USD"),
    ("currency", " eur ", "EUR"),
    ("currency", "FAKE", WRONG),
    ("currency", "US", WRONG),
    ("currency", "$", WRONG),
    ("currency", "ZZZ", WRONG),
    ("currency", 840, WRONG),
    ("currency", ["USD"], WRONG),
    # no value at all
    *((kind, None, LEFT_OUT) for kind in ("number", "boolean", "string", "strings", "object", "time", "currency")),
    *((kind, "", LEFT_OUT) for kind in ("number", "boolean", "string", "strings", "object", "time", "currency")),
]


@pytest.mark.parametrize(
    ("kind", "value", "becomes"), [pytest.param(*row, id=f"{row[0]} {str(row[1])[:30]!r}") for row in TYPES]
)
def test_a_value_becomes_its_type_or_is_refused(kind: str, value: Any, becomes: Any) -> None:
    checked = compile_fields([Field("f", kind)])
    if becomes is WRONG:
        with pytest.raises(Rejected) as raised:
            checked({"f": value})
        assert raised.value.code == "invalid_field"
        assert raised.value.message.startswith("f ")
    else:
        expected = {} if becomes is LEFT_OUT else {"f": becomes}
        assert json.dumps(checked({"f": value})) == json.dumps(expected)  # 1 is not true, nor 5 "5"


@pytest.mark.parametrize("value", ["12", "12.5", 7])
def test_an_amount_stays_exact(value: Any) -> None:
    assert json.dumps(compile_fields([Field("f", "number")])({"f": value})["f"]) == str(value)


# --- presence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [{}, {"value": None}, {"value": ""}], ids=["missing", "null", "empty text"])
def test_a_required_field_without_a_value_is_missing(mapped: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as raised:
        compile_fields([Field("value", "number", required=True)])(mapped)
    assert raised.value.code == "missing_required_field"
    assert raised.value.message == "The required field 'value' has no value."


def test_zero_and_false_are_values() -> None:
    checked = compile_fields([Field("value", "number", required=True), Field("on", "boolean", required=True)])
    assert checked({"value": 0, "on": False}) == {"value": 0, "on": False}


def test_unknown_fields_are_dropped() -> None:
    assert compile_fields([Field("a", "string")])({"a": "x", "b": "y"}) == {"a": "x"}


def test_a_field_that_is_not_required_may_be_absent() -> None:
    assert compile_fields([Field("a", "string")])({}) == {}


def test_all_that_is_wrong_is_reported_in_one_message() -> None:
    fields = [
        Field("currency", "currency", required=True),
        Field("value", "number", required=True),
        Field("num_items", "integer"),
        Field("source", "string", choices=("email", "website")),
        Field("user_data", "object", required=True, properties=(Field("leadID", "integer"),)),
    ]
    with pytest.raises(Rejected) as raised:
        compile_fields(fields)({"value": "$5", "num_items": 2.5, "source": "fax", "user_data": {"leadID": "x"}})
    assert raised.value.code == "missing_required_field"
    for name in ("currency", "value", "num_items", "source"):
        assert name in raised.value.message
    assert "user_data" not in raised.value.message, "where it would be left out"


def test_the_message_never_quotes_the_value() -> None:
    fields = [
        Field("value", "number"),
        Field("currency", "currency"),
        Field("event_time", "time"),
        Field("user_data", "object"),
        Field("source", "string", choices=("email",)),
    ]
    for field in fields:
        with pytest.raises(Rejected) as raised:
            compile_fields(fields)({field.name: "jane@example.com"})
        assert "jane" not in raised.value.message


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        pytest.param(Field("currency", "currency"), "FAKE", "invalid_currency", id="currency"),
        pytest.param(Field("event_time", "time"), "soon", "invalid_event_time", id="event_time"),
        pytest.param(Field("value", "number"), "$5", "invalid_field", id="anything else"),
        pytest.param(
            Field("data_processing_options_state", "integer", choices=(0, 1000)),
            999,
            "invalid_data_processing_options",
            id="state",
        ),
        pytest.param(
            Field("data_processing_options_country", "integer", choices=(0, 1)),
            2,
            "invalid_data_processing_options",
            id="country",
        ),
    ],
)
def test_a_field_with_a_code_of_its_own_is_rejected_with_it(field: Field, value: Any, code: str) -> None:
    with pytest.raises(Rejected) as raised:
        compile_fields([field])({field.name: value})
    assert raised.value.code == code


# --- choices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [
        (Field("f", "string", choices=("email", "website")), "email", "email"),
        (Field("f", "string", choices=("email", "website")), "Email", WRONG),
        (Field("f", "string", choices=("email", "website")), "fax", WRONG),
        (Field("f", "integer", choices=(0, 1)), 1, 1),
        (Field("f", "integer", choices=(0, 1)), "1", 1),
        (Field("f", "integer", choices=(0, 1)), 0, 0),
        (Field("f", "integer", choices=(0, 1)), 2, WRONG),
        (Field("f", "integer", choices=(0, 1)), True, WRONG),
        (Field("f", "string", choices=("email",)), "", LEFT_OUT),
    ],
)
def test_a_field_with_choices_takes_no_other_value(field: Field, value: Any, becomes: Any) -> None:
    checked = compile_fields([field])
    if becomes is WRONG:
        with pytest.raises(Rejected) as raised:
            checked({"f": value})
        assert raised.value.code == "invalid_field"
        assert raised.value.message in {
            f"f must be one of {', '.join(map(str, field.choices))}.",
            "f should be a number.",
        }
    else:
        assert json.dumps(checked({"f": value})) == json.dumps({} if becomes is LEFT_OUT else {"f": becomes})


# --- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        pytest.param("a", ["a"], id="one text"),
        pytest.param(123, ["123"], id="one number"),
        pytest.param("a,b", ["a,b"], id="a comma separates nothing"),
        pytest.param(["a", 2], ["a", "2"], id="several"),
        pytest.param(["a", None, "b"], ["a", "b"], id="null items are dropped"),
        pytest.param([], LEFT_OUT, id="an empty list is left out"),
        pytest.param([None], LEFT_OUT, id="as is a list of nulls"),
        pytest.param(None, LEFT_OUT, id="null"),
        pytest.param("", LEFT_OUT, id="empty text"),
        pytest.param([{"id": 1}, "a"], ["a"], id="as is an object"),
        pytest.param(["", "undefined", "NULL", "a"], ["a"], id="and a text that says there is none"),
    ],
)
def test_content_ids_are_a_list_of_text(value: Any, becomes: Any) -> None:
    checked = compile_fields([Field("content_ids", "string", multiple=True)])
    assert checked({"content_ids": value}) == ({} if becomes is LEFT_OUT else {"content_ids": becomes})


CONTENTS = Field(
    "contents",
    "object",
    multiple=True,
    properties=(
        Field("id", "string", required=True),
        Field("quantity", "integer"),
        Field("item_price", "number"),
        Field("delivery_category", "string", choices=("in_store", "curbside", "home_delivery")),
    ),
)


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        pytest.param(
            [{"id": "p1", "quantity": 2, "item_price": 9.5}],
            [{"id": "p1", "quantity": 2, "item_price": 9.5}],
            id="complete",
        ),
        pytest.param({"id": "p1"}, [{"id": "p1"}], id="one object"),
        pytest.param(
            [{"id": 5, "quantity": "2", "item_price": "9.5"}],
            [{"id": "5", "quantity": 2, "item_price": 9.5}],
            id="converted",
        ),
        pytest.param(
            [{"id": "p1", "quantity": None, "item_price": None}], [{"id": "p1"}], id="null is left out, and no 0"
        ),
        pytest.param([{"id": "p1", "sku": "x", "brand": {}}], [{"id": "p1"}], id="unknown keys are dropped"),
        pytest.param([{"quantity": 1}, {"id": "p2"}], [{"id": "p2"}], id="an item without an id is left out"),
        pytest.param([{"id": None}, {"id": ""}, {"id": "p3"}], [{"id": "p3"}], id="as is one with a blank id"),
        pytest.param([{"quantity": 1}, {"item_price": 5}], LEFT_OUT, id="no item left, no contents"),
        pytest.param([], LEFT_OUT, id="an empty list"),
        pytest.param([None, {"id": "p1"}], [{"id": "p1"}], id="a null item"),
        pytest.param(
            [{"id": "p1", "delivery_category": "curbside"}],
            [{"id": "p1", "delivery_category": "curbside"}],
            id="curbside",
        ),
        pytest.param(
            [{"id": "p1", "delivery_category": "in_store"}],
            [{"id": "p1", "delivery_category": "in_store"}],
            id="in_store",
        ),
        pytest.param(
            [{"id": "p1", "delivery_category": "home_delivery"}],
            [{"id": "p1", "delivery_category": "home_delivery"}],
            id="home",
        ),
        pytest.param([{"id": 0}], [{"id": "0"}], id="zero is an id"),
    ],
)
def test_contents_are_a_list_of_items_that_have_an_id(value: Any, becomes: Any) -> None:
    expected = {} if becomes is LEFT_OUT else {"contents": becomes}
    assert compile_fields([CONTENTS])({"contents": value}) == expected


def test_an_item_with_a_value_that_is_no_choice_rejects_the_event_and_says_which() -> None:
    with pytest.raises(Rejected) as raised:
        compile_fields([CONTENTS])({"contents": [{"id": "p1"}, {"id": "p2", "delivery_category": "drone"}]})

    assert raised.value.code == "invalid_delivery_category"
    assert raised.value.message == ("contents[1].delivery_category must be one of in_store, curbside, home_delivery.")


# --- what is left out, and counted ------------------------------------------------------------------------------

IDS = Field("content_ids", "string", multiple=True)
STORE = Field("store_data", "object", properties=(Field("store_code", "string"),))


@pytest.mark.parametrize(
    ("field", "value", "becomes", "notes"),
    [
        # an item that can be nothing to Meta
        (CONTENTS, [{"sku": "a"}, {"id": "b"}], [{"id": "b"}], ["contents_without_id"]),
        (CONTENTS, [{"id": None}, {"id": ""}, {"id": "null"}], LEFT_OUT, ["contents_without_id"] * 3),
        (CONTENTS, [{"id": {"a": 1}}, {"id": ["b"]}], LEFT_OUT, ["contents_without_id"] * 2),
        (CONTENTS, [{"id": None, "quantity": 1.5, "sku": "a"}], LEFT_OUT, ["contents_without_id"]),
        (CONTENTS, ["a", 5, None, ["b"], "undefined"], LEFT_OUT, ["contents_without_id"] * 5),
        (CONTENTS, "a", LEFT_OUT, ["contents_without_id"]),
        (CONTENTS, {"0": {"id": "a"}}, LEFT_OUT, ["contents_without_id"]),
        (IDS, ["a", None, {"id": "b"}, ["c"], "", "N/A"], ["a"], ["dropped_content_ids"] * 5),
        (IDS, {"id": "a"}, LEFT_OUT, ["dropped_content_ids"]),
        # one value of an item
        (CONTENTS, [{"id": "a", "quantity": 1.5}], [{"id": "a"}], ["dropped_contents_quantity"]),
        (CONTENTS, [{"id": "a", "item_price": "Free"}], [{"id": "a"}], ["dropped_contents_item_price"]),
        (CONTENTS, [{"id": "a", "delivery_category": {}}], [{"id": "a"}], ["dropped_contents_delivery_category"]),
        (CONTENTS, [{"id": "a", "sku": "b", "brand": 5, "title": None}], [{"id": "a"}], ["dropped_from_contents"] * 2),
        # one value of an object
        ("user_data", {"email": {"a": 1}, "leadID": 5}, {"leadID": 5}, ["dropped_em"]),
        ("user_data", {"email": ["a@example.com", {}, None]}, {"email": ["a@example.com"]}, ["dropped_em"]),
        ("user_data", {"leadID": "l:1", "email": True}, {"email": "true"}, ["dropped_lead_id"]),
        ("user_data", {"client_ip_address": ["192.0.2.1"]}, {}, ["dropped_client_ip_address"]),
        ("user_data", {"fax": "1", "email": "a@example.com"}, {"email": "a@example.com"}, ["dropped_from_user_data"]),
        (STORE, {"store_code": ["1"]}, {}, ["dropped_store_data_store_code"]),
        (STORE, {"city": "Oslo", "zip": None}, {}, ["dropped_from_store_data"]),
        # nothing to leave out
        (CONTENTS, [], LEFT_OUT, []),
        (IDS, [], LEFT_OUT, []),
        ("user_data", {"email": None, "leadID": None, "fax": None}, {}, []),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted(field: Any, value: Any, becomes: Any, notes: list[str]) -> None:
    field = USER_DATA if field == "user_data" else field
    counted: list[str] = []

    checked = compile_fields([field])({field.name: value}, counted.append)

    assert checked == ({} if becomes is LEFT_OUT else {field.name: becomes})
    assert counted == notes


def test_nothing_is_counted_of_an_event_that_is_rejected() -> None:
    counted: list[str] = []

    with pytest.raises(Rejected):
        compile_fields([CONTENTS, Field("value", "number")])({"contents": ["a"], "value": "$5"}, counted.append)

    assert counted == []


def test_an_item_that_is_incidental_is_not_counted() -> None:
    counted: list[str] = []

    checked = compile_fields([replace(CONTENTS, incidental=True)])({"contents": {"item_price": 5}}, counted.append)

    assert (checked, counted) == ({}, [])


# --- objects ----------------------------------------------------------------------------------------------------

USER_DATA = Field(
    "user_data",
    "object",
    required=True,
    properties=(
        Field("email", "strings", counted_as="em"),
        Field("client_ip_address", "string", counted_as="client_ip_address"),
        Field("leadID", "integer", counted_as="lead_id"),
    ),
)


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        pytest.param(
            {"email": "a@example.com", "leadID": "5"}, {"email": "a@example.com", "leadID": 5}, id="converted"
        ),
        pytest.param({"email": "a@example.com", "em": "x"}, {"email": "a@example.com"}, id="unknown keys are dropped"),
        pytest.param(
            {"email": None, "client_ip_address": "192.0.2.1"}, {"client_ip_address": "192.0.2.1"}, id="null is left out"
        ),
        pytest.param({"email": ["a@example.com", None]}, {"email": ["a@example.com"]}, id="a list"),
        pytest.param({"email": 5}, {"email": "5"}, id="a number"),
        pytest.param({"fax": "x"}, {}, id="nothing known"),
        pytest.param({}, {}, id="empty"),
    ],
)
def test_an_object_keeps_the_fields_it_knows(value: Any, becomes: Any) -> None:
    assert compile_fields([USER_DATA])({"user_data": value}) == {"user_data": becomes}


def test_an_object_without_listed_fields_keeps_everything() -> None:
    custom_data = {"plan": "pro", "seats": None, "deep": {"list": [1, {"x": ""}]}}
    assert compile_fields([Field("custom_data", "object")])({"custom_data": custom_data}) == {
        "custom_data": custom_data
    }


def test_the_mapped_values_are_not_changed() -> None:
    mapped = {"user_data": {"email": None, "fax": "x", "leadID": "5"}, "contents": [{"id": 5, "quantity": None}, {}]}
    before = json.dumps(mapped)
    compile_fields([USER_DATA, CONTENTS])(mapped)
    assert json.dumps(mapped) == before


# --- laws -------------------------------------------------------------------------------------------------------

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["1e3", "12.5", " 7 ", "USD", "2026-09-21T10:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "quantity", "email", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_KINDS = ["number", "integer", "boolean", "string", "strings", "object", "time", "currency"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*(Field("f", kind) for kind in _KINDS), CONTENTS, USER_DATA]), _values)
def test_any_value_is_taken_or_rejected_and_what_was_taken_is_taken_again(field: Field, value: Any) -> None:
    checked = compile_fields([field])
    once = _taken(checked, {field.name: value})
    if once is None:
        return
    if field.type == "time":  # 100000000000 ms are 100000000 s, so once more would be something else
        assert [type(moment) for moment in once.values()] == [int] * len(once)
    else:
        assert checked(once) == once


def _taken(checked: Any, mapped: dict[str, Any]) -> dict[str, Any] | None:
    """The checked fields; None where they are rejected. Nothing but Rejected may be raised."""
    try:
        taken: dict[str, Any] = checked(mapped)
    except Rejected:
        return None
    return taken


def test_what_is_missing_says_where_it_was_looked_for() -> None:
    check = compile_fields([Field("value", "number", required=True)], None, {"value": "$.a, $.b"})

    with pytest.raises(Rejected) as raised:
        check({})

    assert raised.value.message == "The required field 'value' has no value (looked for $.a, $.b)."


@pytest.mark.parametrize("multiple", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("kind", sorted(fields.TYPES))
def test_whatever_a_value_is_a_field_takes_it_or_says_what_it_should_be(kind: str, multiple: bool) -> None:
    check = compile_check(Field("x", kind, multiple=multiple))
    for text in JUNK:
        with contextlib.suppress(FieldError):
            check(orjson.loads(text))


def test_an_integer_may_have_any_number_of_leading_zeros() -> None:
    assert compile_check(Field("x", "integer"))("0" * 5000 + "12") == 12
