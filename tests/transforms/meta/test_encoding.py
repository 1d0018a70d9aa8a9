"""What leaves: nothing unhashed or in the clear, whichever way an event came."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from capybeam.transforms.core.conversions import Conversion
from capybeam.transforms.core.envelope import Envelope, Ready
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine
from capybeam.transforms.meta import clearing, encoding
from tests.transforms.shop import BROWSER, NOW, Json, sha256, subscription

# --- the door: whichever way an event came ----------------------------------------------------------------------

DIGEST = sha256("jane@example.com")
PREHASHED = {  # user_data, and the key that is in the clear
    "nothing": ({"em": DIGEST, "ph": [DIGEST, DIGEST], "external_id": [DIGEST], "client_user_agent": BROWSER}, None),
    "nothing, in capitals": ({"em": DIGEST.upper()}, None),
    "nothing, with a suffix": ({"em": f"{DIGEST}.AQ", "ph": f"{DIGEST}.AQEAAQEA"}, None),
    "an email": ({"em": "jane@example.com"}, "em"),
    "one of several": ({"em": DIGEST, "ph": [DIGEST, "12025550143"]}, "ph"),
    "a number": ({"em": DIGEST, "ph": 12025550143}, "ph"),
    "an object": ({"em": {"a": DIGEST}}, "em"),
    "nothing at all": ({"em": []}, "em"),
    "null": ({"fn": None, "em": DIGEST}, "fn"),
    "64 other characters": ({"em": "j" * 64}, "em"),
    "a digit too few": ({"em": DIGEST[:-1]}, "em"),
    "another suffix": ({"em": f"{DIGEST}.jane"}, "em"),
    "a user id": ({"external_id": ["user-1"], "em": DIGEST}, "external_id"),
}  # fmt: skip


@pytest.mark.parametrize(("user_data", "key"), PREHASHED.values(), ids=PREHASHED)
@pytest.mark.parametrize("unseen", [False, True], ids=["hashed just now", "come back"])
def test_nothing_leaves_unhashed_that_has_to_be_hashed(user_data: Json, key: str | None, unseen: bool) -> None:
    leads = subscription("leads")
    event = {"event_name": "Lead", "event_time": NOW, "event_id": "m", "action_source": "email", "user_data": user_data}
    conversion = Conversion("web/leads", "Lead", "1", None, event)

    def made() -> Ready:
        return Engine([leads], 4096, is_edited=unseen).validate(conversion, NOW, lambda _: None)

    if key is None:
        assert json.loads(Envelope.decode(made().line).body)["user_data"] == user_data
        return
    with pytest.raises(Rejected) as caught:
        made()
    assert (caught.value.code, caught.value.message) == (
        "unhashed_user_data",
        f"user_data.{key} is not SHA-256 in 64 hexadecimal digits.",
    )
    assert caught.value.payload == event


def test_digests_are_counted_one_by_one_where_an_event_comes_back() -> None:
    with pytest.raises(Rejected, match=r"unhashed_user_data: user_data\.ph "):
        encoding.check_hashed({"em": DIGEST, "ph": DIGEST[:60], "zp": DIGEST + "9410"})


@pytest.mark.parametrize("key", ["email", "firstName", "dateOfBirth", "customer_phone", "jane@example.com"])
def test_a_key_of_personal_data_that_meta_does_not_know_leaves_hashed_or_not_at_all(key: str) -> None:
    with pytest.raises(Rejected) as caught:
        encoding.check_hashed({"em": DIGEST, key: "Jane"})

    assert caught.value.code == "unhashed_user_data"
    assert key not in caught.value.message
    encoding.check_hashed({"em": DIGEST, key: DIGEST, "partner_id": "5"})


@pytest.mark.parametrize(
    ("match_keys", "key"),
    [
        ({"email": [DIGEST], "gen": DIGEST, "lead_id": 5, "madid": "m"}, None),
        ({"email": ["jane@example.com"]}, "match_keys.email"),
        ({"extern_id": "user-1"}, "match_keys.extern_id"),
        ({"doby": "1990"}, "match_keys.doby"),
        ({"first_name": "Jane"}, "A key of match_keys that Meta does not know"),
    ],
)
def test_the_same_holds_for_match_keys_of_the_older_wire(match_keys: Json, key: str | None) -> None:
    stores = subscription("leads", wire="offline_events")
    made = stores.compile_revalidation(4096)
    event = {"event_time": NOW, "event_name": "Lead", "match_keys": match_keys}
    if key is None:
        assert json.loads(Envelope.decode(made("1", event, NOW, lambda _: None).line).body) == event
        return
    with pytest.raises(Rejected) as caught:
        made("1", event, NOW, lambda _: None)
    assert (caught.value.code, caught.value.message) == (
        "unhashed_user_data",
        f"{key} is not SHA-256 in 64 hexadecimal digits.",
    )


def test_an_event_that_comes_back_is_looked_through_whole() -> None:
    notes: Counter[str] = Counter()

    def count(name: str) -> None:
        notes[name] += 1

    event = {
        "event_time": NOW,
        "custom_data": {"guests.0.email": "x", "note": "to jane@example.com", "order_id": {"email": "x", "n": 1}},
        "event_name": "Lead to jane@example.com",
        "event_id": "jane%40example.com",
        "action_source": "website",
        "user_data": {"em": DIGEST, "client_user_agent": BROWSER, "anon_id": "jane@example.com"},
        "event_source_url": "https://shop.example/?email=x&p=2",
        "referrer_url": "https://shop.example/?q=jane%40example.com",
        "original_event_data": {"event_name": "Lead", "order_id": "jane@example.com"},
        "store_data": {"store_code": "jane@example.com", "store_page_id": "5"},
        "app_data": {"extinfo": ["a2", "jane@example.com", "1"], "token": "x"},
        "email": "jane@example.com",
        "phone": ["x"],
        "data_processing_options": ["LDU"],
    }
    made = subscription("leads").compile_revalidation(4096)

    body = Envelope.decode(made("1", event, NOW, count).line).body

    assert json.loads(body) == {
        "event_time": NOW,
        "event_name": "Lead to",
        "event_id": sha256("jane%40example.com")[:32],
        "action_source": "website",
        "custom_data": {"note": "to", "order_id": {"n": 1}},
        "user_data": {"em": DIGEST, "client_user_agent": BROWSER},
        "event_source_url": "https://shop.example/?p=2",
        "referrer_url": "https://shop.example/",
        "original_event_data": {"event_name": "Lead"},
        "store_data": {"store_page_id": "5"},
        "app_data": {"extinfo": ["a2", "", "1"]},
        "data_processing_options": ["LDU"],
    }
    assert body.startswith(b'{"event_time":1795341600,"event_name":"Lead to","event_id":')
    assert notes == {
        "removed_from_custom_data": 3,
        "removed_from_event_name": 1,
        "hashed_event_id": 1,
        "dropped_anon_id": 1,
        "removed_from_event_source_url": 1,
        "removed_from_referrer_url": 1,
        "removed_from_original_event_data": 1,
        "removed_from_store_data": 1,
        "removed_from_app_data": 2,
        "removed_from_event": 2,
    }


def test_nothing_is_made_of_an_event_whose_name_is_an_email_address() -> None:
    event = {"event_time": NOW, "event_name": "jane@example.com", "event_id": "m", "action_source": "email",
             "user_data": {"em": DIGEST}}  # fmt: skip
    with pytest.raises(Rejected) as caught:
        subscription("leads").compile_revalidation(4096)("1", event, NOW, lambda _: None)

    assert (caught.value.code, caught.value.payload) == ("missing_required_field", event)


@pytest.mark.parametrize("nonsense", [None, 5, "text", ["list"], {"a": {"b": [None, 1.5, {"c": ""}]}}], ids=repr)
@pytest.mark.parametrize("name", ["custom_data", "event_source_url", "event_id", "app_data", "jane@example.com"])
def test_whatever_was_put_into_an_event_never_crashes_the_door(name: str, nonsense: Any) -> None:
    event = {"event_time": NOW, "event_name": "Lead", "event_id": "m", "action_source": "email",
             "user_data": {"em": DIGEST}, name: nonsense}  # fmt: skip
    look = clearing.compile_look_through(subscription("leads"))

    assert look(event, lambda _: None).get(name, nonsense) == nonsense
