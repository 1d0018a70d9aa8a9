"""What can be read of the sandbox's Graph API: the quality of events, datasets, tokens."""

from __future__ import annotations

import hashlib
import hmac
from email.utils import formatdate
from typing import Any

import pytest
import requests

from capybeam.pipeline.sandbox.dataset_quality import NOTE
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.sandbox.senders import DATASET, DIGEST, NOW, Clock, event, post, refusal

UNKNOWN = "(#100) Tried accessing nonexisting field (%s) on node type (%s)"


def get(sandbox: SandboxServer, path: str = "dataset_quality", version: str = "v25.0", **query: str) -> Any:
    token = {"Authorization": "Bearer a-token"}
    return requests.get(f"{sandbox.url}/{version}/{path}", params=query, headers=token, timeout=10)


def quality(sandbox: SandboxServer, fields: str = "", **query: str) -> Any:
    answer = get(sandbox, dataset_id=DATASET, **({"fields": fields} if fields else {}), **query)
    return answer.json()["web"] if answer.status_code == 200 else answer.json()["error"]


def test_match_quality_is_computed_from_what_is_stored(sandbox: SandboxServer) -> None:
    post(sandbox, event(), event(event_id="2", user_data={"em": DIGEST, "ph": DIGEST, "client_user_agent": "x"}))
    post(sandbox, event(event_name="Lead", event_id="3", user_data={"external_id": "u"}))
    post(sandbox, event(event_name="Lead", event_id="4", action_source="chat", event_source_url=None))  # not of the web

    answer = get(sandbox, dataset_id=DATASET, fields="web{event_match_quality{composite_score},event_name}").json()
    assert answer == {
        "web": [
            {"event_match_quality": {"composite_score": 1.5}, "event_name": "Lead"},
            {"event_match_quality": {"composite_score": 4.5}, "event_name": "Purchase"},
        ],
        "sandbox": NOTE,
    }
    coverage = "web{event_match_quality{match_key_feedback{identifier,coverage{percentage}}}}"
    assert quality(sandbox, coverage)[1]["event_match_quality"]["match_key_feedback"] == [
        {"identifier": "user_agent", "coverage": {"percentage": 100.0}},
        {"identifier": "email", "coverage": {"percentage": 100.0}},
        {"identifier": "phone", "coverage": {"percentage": 50.0}},
    ]


def test_dedupe_keys_coverage_and_freshness_are_told_as_far_as_they_are_known(sandbox: SandboxServer) -> None:
    person = {"external_id": ["u"], "fbp": "fb.1.1558571054389.1", "client_user_agent": "x"}
    post(sandbox, event(user_data=person), event(event_id=None), event(event_id="2", event_time=NOW - 6 * 3600))
    post(sandbox, event(event_id="3"))

    (purchase,) = quality(sandbox, "web{dedupe_key_feedback,data_freshness{upload_frequency},event_coverage}")
    assert [
        (row["dedupe_key"], row["server_events_with_dedupe_key"]["percentage"])
        for row in purchase["dedupe_key_feedback"]
    ] == [("event_id", 75.0), ("external_id", 25.0), ("fbp", 25.0)]
    assert purchase["data_freshness"] == {"upload_frequency": "hourly"}
    assert "percentage" not in purchase["event_coverage"]  # there are no browsers' events here
    assert purchase["event_coverage"]["goal_percentage"] == 75


def test_events_of_one_partner_agent_can_be_asked_for(sandbox: SandboxServer) -> None:
    post(sandbox, event(), partner_agent="Acme-1")
    post(sandbox, event(event_name="Lead"))

    def names(**query: str) -> list[str]:
        return [row["event_name"] for row in quality(sandbox, "web{event_name}", **query)]

    assert (names(), names(agent_name="acme-1"), names(agent_name="other")) == (["Lead", "Purchase"], ["Purchase"], [])


def test_what_is_asked_for_without_its_parts_comes_whole(sandbox: SandboxServer) -> None:
    post(sandbox, event())

    assert quality(sandbox, "web{data_freshness}")[0]["data_freshness"].keys() == {"upload_frequency", "description"}
    assert quality(sandbox)[0].keys() == {"event_name", "event_match_quality"}


@pytest.mark.parametrize(
    ("query", "expected", "message"),
    [
        ({"fields": "web{emq}"}, (400, 100, None), UNKNOWN % ("emq", "web")),
        ({"fields": "web{dedup_key_feedback}"}, (400, 100, None), UNKNOWN % ("dedup_key_feedback", "web")),
        ({"fields": "web{event_coverage{share}}"}, (400, 100, None), UNKNOWN % ("share", "event_coverage")),
        ({"fields": "webs"}, (400, 100, None), UNKNOWN % ("webs", "DatasetQuality")),
        ({"fields": "web{acr{nothing}}"}, (400, 100, None), UNKNOWN % ("nothing", "acr")),  # which has no data
        ({"fields": "web{acr"}, (400, 2500, None), "Syntax error: unexpected end of string at character 7: fields"),
        ({"fields": "web}"}, (400, 2500, None), 'Syntax error: unexpected "}" at character 3: fields'),
        ({"fields": "web,,x"}, (400, 2500, None), 'Syntax error: unexpected "," at character 4: fields'),
        ({"fields": "we b%"}, (400, 2500, None), None),
        ({"fields": "a{" * 1000}, (400, 2500, None), None),
        ({"dataset_id": ""}, (400, 100, None), "(#100) The parameter dataset_id is required"),
        ({"dataset_id": "abc"}, (400, 100, 33), None),
        ({"version": "v16.0"}, (400, 2635, None), None),
        ({"version": "vier"}, (400, 2500, None), "Unknown path components"),
    ],
)  # fmt: skip
def test_what_meta_refuses_is_refused(
    sandbox: SandboxServer, query: dict[str, str], expected: tuple[int, int, int | None], message: str | None
) -> None:
    post(sandbox, event())

    answer = get(sandbox, **{"dataset_id": DATASET, "fields": "web", **query})
    assert refusal(answer) == expected
    if message:
        assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(
    ("scopes", "ok"),
    [
        (("ads_read", "ads_management"), True),
        (("ads_read", "business_management"), True),
        (("ads_read",), False),
        (("ads_management",), False),
        ((), False),
    ],
)
def test_the_quality_of_events_needs_permissions(scopes: tuple[str, ...], ok: bool) -> None:
    with SandboxServer(SandboxSettings(scopes=scopes, clock=Clock())) as sandbox:
        answer = get(sandbox, dataset_id=DATASET)
        assert (answer.status_code == 200) is ok
        if not ok:
            assert refusal(answer) == (400, 200, None)
        assert get(sandbox, "debug_token", input_token="a-token").json()["data"]["scopes"] == list(scopes)


def test_tokens_and_proofs_are_checked_and_none_needs_to_be_in_a_url() -> None:
    proof = hmac.new(b"shh", b"good", hashlib.sha256).hexdigest()
    settings = SandboxSettings(
        tokens=frozenset({"good"}), expired_tokens=frozenset({"old"}), app_secret="shh", clock=Clock()
    )
    with SandboxServer(settings) as sandbox:
        url = f"{sandbox.url}/v25.0/debug_token"

        def ask(token: str, of: str = "good", proved: str = proof) -> requests.Response:
            form = {"method": "get", "input_token": of, "appsecret_proof": proved}
            return requests.post(url, form, headers={"Authorization": f"Bearer {token}"}, timeout=10)

        assert ask("good").json()["data"]["is_valid"] is True
        assert ask("good", of="old").json()["data"] == {
            "error": {"code": 190, "subcode": 463, "message": "Error validating access token: Session has expired"},
            "is_valid": False,
            "scopes": [],
        }
        assert refusal(ask("bad")) == (400, 190, None)
        assert refusal(ask("old")) == (400, 190, 463)
        assert refusal(ask("good", proved="0")) == (400, 100, None)
        assert sandbox.stats()["tokens_in_url"] == 0
        requests.get(url, {"input_token": "good", "access_token": "good"}, timeout=10)
        assert sandbox.stats()["tokens_in_url"] == 1


def test_a_dataset_is_told_with_its_last_event_and_the_time_of_the_server(sandbox: SandboxServer) -> None:
    assert get(sandbox, DATASET).json() == {"id": DATASET, "name": f"Dataset {DATASET} of the sandbox"}
    assert get(sandbox, DATASET, fields="last_fired_time").json() == {"id": DATASET}
    post(sandbox, event())

    answer = get(sandbox, DATASET, fields="last_fired_time,is_unavailable")
    assert answer.json() == {"id": DATASET, "last_fired_time": "2026-09-21T14:13:20+0000", "is_unavailable": False}
    assert answer.headers["Date"] == formatdate(NOW, usegmt=True)
    assert "X-App-Usage" in answer.headers
    assert refusal(get(sandbox, DATASET, fields="owner")) == (400, 100, None)


def test_only_known_datasets_are_found() -> None:
    with SandboxServer(SandboxSettings(datasets=frozenset({"1"}), clock=Clock())) as sandbox:
        assert refusal(get(sandbox, "2")) == (400, 100, 33)
        assert refusal(get(sandbox, dataset_id="2")) == (400, 100, 33)
        assert get(sandbox, dataset_id="1").json()["web"] == []


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"dead_token": True}, (400, 190, 463)),
        ({"error_rate": 1}, (500, 2, None)),
        ({"throttle_next": 1, "throttle_status": 429}, (429, 80004, 2446079)),
        ({"refused_code": 10}, (400, 10, None)),
    ],
)
def test_faults_concern_reading_too(
    sandbox: SandboxServer, faults: dict[str, Any], expected: tuple[int, int, int | None]
) -> None:
    sandbox.set_faults(**faults)

    for path in ("dataset_quality", DATASET, "debug_token"):
        if faults.get("throttle_next"):
            sandbox.set_faults(throttle_next=1)
        assert refusal(get(sandbox, path, dataset_id=DATASET, input_token="x")) == expected
