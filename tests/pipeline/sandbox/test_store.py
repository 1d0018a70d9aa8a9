"""What the sandbox takes, counts and remembers."""

from __future__ import annotations

import pytest
import requests

from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.sandbox.senders import DATASET, DAY, NOW, Clock, Json, event, offline, post, refusal, upload


def test_one_invalid_event_refuses_the_batch_and_the_answer_does_not_say_which(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(), event(event_id="order-2", event_time=NOW - 8 * DAY), event(event_id="order-3"))

    error = response.json()["error"]
    trace = error.pop("fbtrace_id")
    assert error == {
        "message": "Invalid parameter",
        "type": "OAuthException",
        "code": 100,
        "error_subcode": 2804003,
        "is_transient": False,
        "error_user_title": "Event Timestamp Too Old",
        "error_user_msg": "event_time is over 7 days ago",
    }
    stats = sandbox.stats()
    assert (stats["events_received"], stats["events_stored"], stats["refused_requests"]) == (0, 0, 1)
    assert sandbox.event_ids(DATASET) == []
    assert stats["errors"] == [
        {
            "time": NOW,
            "dataset": DATASET,
            "code": 100,
            "subcode": 2804003,
            "reason": "event_time is over 7 days ago",
            "where": "event 2 of 3",
            "fbtrace_id": trace,
        }
    ]


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({"test_event_code": "TEST123"}, True),
        ({"partner_agent": "capybeam", "upload_tag": "May", "upload_id": "1", "upload_source": "s"}, True),
        ({"partner_agent": "a" * 23}, False),
        ({"partner_agent": "a1"}, False),
        ({"dry_run": True}, False),
        ({"data": []}, False),
        ({"data": {}}, False),
    ],
)
def test_top_level_parameters_are_checked(sandbox: SandboxServer, parameters: Json, accepted: bool) -> None:
    response = post(sandbox, event(), **parameters)

    if accepted:
        assert response.status_code == 200
    else:
        assert refusal(response) == (400, 100, None)


def test_a_thousand_events_are_taken_and_one_more_is_too_many(sandbox: SandboxServer) -> None:
    events = [event(event_id=f"order-{n}") for n in range(1001)]

    assert refusal(post(sandbox, *events)) == (400, 105, None)
    assert post(sandbox, *events[:1000]).json()["events_received"] == 1000
    assert sandbox.event_ids(DATASET) == [("Purchase", f"order-{n}") for n in range(1000)]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v26.0", None),
        ("v21.0", None),
        ("v20.0", (400, 2635, None)),
        ("v16.0", (400, 2635, None)),
        ("25", (400, 2500, None)),
    ],
)
def test_dead_versions_are_refused(
    sandbox: SandboxServer, version: str, expected: tuple[int, int, int | None] | None
) -> None:
    response = post(sandbox, event(), version=version)

    assert (None if response.status_code == 200 else refusal(response)) == expected


@pytest.mark.parametrize("dataset", ["999", "abc", "12x"])
def test_unknown_datasets_are_refused(dataset: str) -> None:
    with SandboxServer(SandboxSettings(datasets=frozenset({DATASET}), clock=Clock())) as sandbox:
        assert post(sandbox, event()).status_code == 200
        assert refusal(post(sandbox, event(), dataset=dataset)) == (400, 100, 33)


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({}, None),
        ({"upload_tag": ""}, (400, 100, None)),
        ({"test_event_code": "TEST1"}, (400, 100, None)),
        ({"version": "v15.0"}, (400, 2635, None)),
        ({"version": "v20.0"}, (400, 2635, None)),
        ({"version": "v25.0"}, (400, 100, 2804019)),
    ],
)
def test_the_older_format_is_spoken_on_its_last_version_with_a_tag(
    sandbox: SandboxServer, parameters: Json, answer: tuple[int, int, int | None] | None
) -> None:
    response = upload(sandbox, offline(), **parameters)

    assert (None if response.status_code == 200 else refusal(response)) == answer


def test_a_request_in_the_older_format_needs_an_upload_tag(sandbox: SandboxServer) -> None:
    assert refusal(post(sandbox, offline(), version="v16.0")) == (400, 100, None)


def test_two_thousand_events_of_the_older_format_are_taken_and_one_more_is_too_many(sandbox: SandboxServer) -> None:
    events = [offline(order_id=f"o-{n}") for n in range(2001)]

    assert refusal(upload(sandbox, *events)) == (400, 105, None)
    assert upload(sandbox, *events[:2000]).json()["events_received"] == 2000


def test_stats_cover_the_older_format_too(sandbox: SandboxServer) -> None:
    anonymous = offline(event_name="Lead", order_id=None, value=None, currency=None)
    upload(sandbox, offline(), offline(), offline(event_time=NOW - 61))
    upload(sandbox, anonymous, anonymous, dataset="555", upload_tag="stores")

    stats = sandbox.stats()
    kept = (
        "events_received", "events_stored", "duplicates", "without_event_id", "by_event", "match_keys", "upload_tags",
        "purchase_value",
    )  # fmt: skip
    assert {name: stats[name] for name in kept} == {
        "events_received": 5,
        "events_stored": 3,
        "duplicates": 2,
        "without_event_id": 0,
        "by_event": {DATASET: {"Purchase": 2}, "555": {"Lead": 1}},
        "match_keys": {"email": 3, "ln": 3, "lead_id": 3},
        "upload_tags": {"Segment": 3, "stores": 2},
        "purchase_value": {DATASET: {"USD": 25.0}},
    }


def test_stats_show_what_was_stored(sandbox: SandboxServer) -> None:
    first = event(custom_data__value=10)
    second = event(event_name="AddToCart", event_source_url=None, user_data__fbp="fb.1.1558571054389.1")
    third = event(event_name="Quiz", event_id=None, user_data={"external_id": "u1"}, custom_data=None)
    post(sandbox, first, second)
    post(sandbox, third, dataset="555")

    assert requests.get(f"{sandbox.url}/sandbox/stats", timeout=10).json() == sandbox.stats()
    assert sandbox.stats() == {
        "requests": 2,
        "events_received": 3,
        "events_stored": 3,
        "duplicates": 0,
        "refused_requests": 0,
        "tokens_in_url": 0,
        "raw_pii": 0,
        "pii_in_custom_data": 0,
        "pii_in_urls": 0,
        "website_without_url": 1,
        "without_event_id": 1,
        "by_event": {DATASET: {"Purchase": 1, "AddToCart": 1}, "555": {"Quiz": 1}},
        "match_keys": {"em": 2, "client_user_agent": 2, "fbp": 1, "external_id": 1},
        "upload_tags": {},
        "purchase_value": {DATASET: {"USD": 10.0}},
        "refusals": {},
        "errors": [],
        "last_events": [{"dataset": DATASET, **first}, {"dataset": DATASET, **second}, {"dataset": "555", **third}],
        "faults": {name: f.default for name, f in Faults.__dataclass_fields__.items()},
        "active_faults": {},
        "injected_faults": {},
        "null": False,
    }


@pytest.mark.parametrize(
    ("again", "dataset", "stored"),
    [
        ({}, DATASET, 1),
        ({"custom_data__value": 99}, DATASET, 1),
        ({"event_id": "order-2"}, DATASET, 2),
        ({"event_name": "Subscribe"}, DATASET, 2),
        ({}, "555", 2),
    ],
)
def test_the_same_name_and_id_in_one_dataset_is_received_and_dropped(
    sandbox: SandboxServer, again: Json, dataset: str, stored: int
) -> None:
    post(sandbox, event())

    assert post(sandbox, event(**again), dataset=dataset).json()["events_received"] == 1
    stats = sandbox.stats()
    assert (stats["events_received"], stats["events_stored"], stats["duplicates"]) == (2, stored, 2 - stored)


def test_events_without_id_are_all_stored(sandbox: SandboxServer) -> None:
    post(sandbox, event(event_id=None), event(event_id=None))

    stats = sandbox.stats()
    assert (stats["events_stored"], stats["duplicates"], stats["without_event_id"]) == (2, 0, 2)


def test_a_duplicate_counts_anew_after_48_hours() -> None:
    clock = Clock()
    with SandboxServer(SandboxSettings(clock=clock)) as sandbox:
        stored = []
        for hours in (0, 47, 48, 95, 96):
            clock.now = NOW + hours * 3600
            post(sandbox, event())
            stored.append(sandbox.stats()["events_stored"])

    assert stored == [1, 1, 2, 2, 3]


def test_memory_is_bounded_by_forgetting_the_oldest_ids() -> None:
    with SandboxServer(SandboxSettings(clock=Clock(), max_ids=4)) as sandbox:
        for n in range(60):
            post(sandbox, event(event_id=f"order-{n}"))
            post(sandbox, event(event_time=n))

        stats = sandbox.stats()
        assert sandbox.event_ids(DATASET) == [("Purchase", f"order-{n}") for n in range(57, 60)]
        assert (stats["events_stored"], len(stats["last_events"]), len(stats["errors"])) == (60, 20, 50)


def test_reset_forgets_events_and_keeps_faults(sandbox: SandboxServer) -> None:
    empty = sandbox.stats()
    post(sandbox, event(), event(event_id=None))
    post(sandbox, event(event_time=1))
    sandbox.set_faults(latency=0.001)

    requests.post(f"{sandbox.url}/sandbox/reset", timeout=10)
    faults = {"faults": {**empty["faults"], "latency": 0.001}, "active_faults": {"latency": 0.001}}
    assert sandbox.stats() == {**empty, **faults}
    assert sandbox.event_ids(DATASET) == []


def test_null_mode_counts_without_checking() -> None:
    with SandboxServer(SandboxSettings(null=True)) as sandbox:
        tricky = event(original_event_data={"event_name": "Lead"}, custom_data__note='"user_data": {}', event_time=1)

        assert post(sandbox, tricky, tricky, tricky).json()["events_received"] == 3
        sandbox.set_faults(short_rate=1)
        assert post(sandbox, tricky, tricky, tricky).json()["events_received"] == 2
        stats = sandbox.stats()
        assert (stats["requests"], stats["events_received"], stats["events_stored"]) == (2, 5, 0)


def test_tokens_are_not_shown_by_the_settings() -> None:
    settings = SandboxSettings(tokens=frozenset({"secret"}), expired_tokens=frozenset({"former"}))

    assert [token for token in ("secret", "former") if token in repr(settings)] == []
