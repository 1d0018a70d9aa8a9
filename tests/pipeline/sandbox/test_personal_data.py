"""Personal data in the clear, over HTTP, as a sender sees it: refused, counted, never shown."""

from __future__ import annotations

import hashlib
import json
import time

import pytest

from capybeam.pipeline.sandbox.server import SandboxServer
from tests.pipeline.sandbox.senders import DIGEST, Json, event, offline, post, refusal, upload


@pytest.mark.parametrize(
    ("changes", "raw_pii", "pii_in_custom_data"),
    [
        ({"match_keys__email": ["jane@example.com"]}, 1, 0),
        ({"match_keys__extern_id": "user-1"}, 1, 0),
        ({"match_keys__firstName": "Jane"}, 1, 0),
        ({"custom_data__email": "jane@example.com"}, 0, 1),
        ({"event_time": 1}, 0, 0),
    ],
)
def test_personal_data_in_the_clear_is_counted_in_the_older_format(
    sandbox: SandboxServer, changes: Json, raw_pii: int, pii_in_custom_data: int
) -> None:
    response = upload(sandbox, offline(**changes))

    assert "jane@example.com" not in response.text + json.dumps(sandbox.stats())
    assert (sandbox.stats()["raw_pii"], sandbox.stats()["pii_in_custom_data"]) == (raw_pii, pii_in_custom_data)


@pytest.mark.parametrize(
    ("changes", "raw_pii", "pii_in_custom_data"),
    [
        ({"user_data__em": "jane@example.com"}, 1, 0),
        ({"user_data__ph": 16505551212}, 1, 0),
        ({"user_data__ph": [DIGEST, "16505551212"], "event_time": 1}, 1, 0),
        ({"user_data__email": "jane@example.com"}, 1, 0),
        ({"email": "jane@example.com"}, 1, 0),
        ({"user_data__em": DIGEST.upper()}, 0, 0),
        ({"user_data__em": []}, 0, 0),
        ({"custom_data__email": "jane@example.com", "event_time": 1}, 0, 1),
        ({"custom_data__customer": {"contact": [{"firstName": "Jane"}]}}, 0, 1),
        ({"custom_data__guests.0.email": "x"}, 0, 1),
        ({"custom_data__note": "jane@example.com"}, 0, 1),
        ({"event_id": "jane@example.com"}, 1, 0),
        ({"user_data__anon_id": "jane@example.com"}, 1, 0),
        ({"event_time": 1}, 0, 0),
    ],
)
def test_personal_data_in_the_clear_is_counted_and_never_shown(
    sandbox: SandboxServer, changes: Json, raw_pii: int, pii_in_custom_data: int
) -> None:
    response = post(sandbox, event(**changes))

    stats = sandbox.stats()
    assert response.status_code == 400
    assert (stats["raw_pii"], stats["pii_in_custom_data"]) == (raw_pii, pii_in_custom_data)
    seen = response.text + json.dumps(stats)
    assert not [secret for secret in ("jane@example.com", "16505551212", "Jane") if secret in seen]


def test_personal_data_is_counted_behind_any_other_fault_of_the_batch(sandbox: SandboxServer) -> None:
    hidden = event(user_data__lead_id="none", user_data__em="jane@example.com", custom_data__email="jane@example.com")
    post(sandbox, event(event_time=1), hidden, event(), None)

    stats = sandbox.stats()
    assert (stats["raw_pii"], stats["pii_in_custom_data"]) == (1, 1)
    assert stats["errors"][0]["reason"] == "event_time is over 7 days ago"


def test_personal_data_in_urls_is_counted(sandbox: SandboxServer) -> None:
    urls = ("?email=jane@example.com", "?p=2", "?q=jane%40example.com")
    response = post(sandbox, *(event(event_source_url=f"https://shop.example/{tail}") for tail in urls))

    stats = sandbox.stats()
    assert (stats["raw_pii"], stats["pii_in_custom_data"], stats["pii_in_urls"]) == (0, 0, 2)
    assert response.json()["error"]["error_user_msg"] == "event_source_url must not carry personal data"
    assert "example.com" not in json.dumps(stats)


JANE = {
    "ph": hashlib.sha256(b"16505551212").hexdigest(),
    "fn": [hashlib.sha256(b"jane").hexdigest()],
    "ln": hashlib.sha256(b"oconnor").hexdigest(),
    "ct": hashlib.sha256(b"paris").hexdigest(),
    "zp": hashlib.sha256(b"75001").hexdigest(),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_data__note": "call +1 (650) 555-1212"},
        {"custom_data__note": 16505551212},
        {"custom_data__search_string": "16505551212"},
        {"custom_data__note": ["for Jane O'Connor"]},
        {"custom_data__note": "O’Connor, Jane"},
        {"custom_data__note": "75001 Paris"},
        {"custom_data__note": "Jane"},
        {"event_source_url": "https://shop.example/?who=Jane+O%27Connor"},
        {"event_source_url": "https://shop.example/?n=%2B16505551212"},
        {"referrer_url": "https://shop.example/?who=jane"},
    ],
    ids=repr,
)
def test_what_user_data_has_hashed_is_found_in_texts_by_hashing_their_pieces(
    sandbox: SandboxServer, changes: Json
) -> None:
    made = event(**changes)
    made["user_data"].update(JANE)

    assert refusal(post(sandbox, made)) == (400, 100, 2804019)
    assert sandbox.stats()["pii_in_custom_data"] + sandbox.stats()["pii_in_urls"] == 1
    del made["user_data"]["ph"], made["user_data"]["fn"], made["user_data"]["zp"]
    assert post(sandbox, made).status_code == 200, "it is about somebody else"


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_data__order_id": "16505551212"},
        {"custom_data__contents": [{"id": "16505551212"}]},
        {"custom_data__note": "9916505551212"},
        {"custom_data__content_name": "Jane"},
        {"custom_data__search_string": "Paris 2026"},
        {"custom_data__note": "Jane shoes by O'Connor"},
        {"event_source_url": "https://shop.example/jane?utm_campaign=jane"},
    ],
    ids=repr,
)
def test_what_only_looks_like_it_is_taken(sandbox: SandboxServer, changes: Json) -> None:
    made = event(**changes)
    made["user_data"].update(JANE)

    assert post(sandbox, made).status_code == 200


def test_hashing_the_pieces_of_texts_has_a_bound(sandbox: SandboxServer) -> None:
    made = event(custom_data__note="a b " * 100_000, custom_data__more=["1 " * 100_000] * 3)
    made["user_data"].update(JANE)
    started = time.process_time()

    assert post(sandbox, made).status_code == 200
    assert time.process_time() - started < 5


def test_keys_that_may_be_data_are_not_shown(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(**{"user_data__jane@example.com": "x"}))

    assert response.json()["error"]["error_user_msg"] == "user_data.(a key that is not a name) is not a known field"
