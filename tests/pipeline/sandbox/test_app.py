"""The sandbox over HTTP: bodies, paths, tokens, the page."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from capybeam.pipeline.sandbox.app import _events_in
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.sandbox.senders import DATASET, Clock, event, post, refusal


def test_an_accepted_batch_is_answered_as_meta_does(sandbox: SandboxServer) -> None:
    response = post(sandbox, event(), event(event_id="order-2"))

    body = response.json()
    assert body.pop("fbtrace_id").startswith("A")
    assert (response.status_code, body) == (200, {"events_received": 2, "messages": []})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"data": [', "application/json"),
        (b'{"data": [{"event_time": NaN}]}', "application/json"),
        (json.dumps({"data": [event()]}).encode(), "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(sandbox: SandboxServer, body: bytes, content_type: str) -> None:
    response = requests.post(
        f"{sandbox.url}/v25.0/{DATASET}/events",
        data=body,
        headers={"Authorization": "Bearer a-token", "Content-Type": content_type},
        timeout=10,
    )

    assert refusal(response) == (400, 100, None)


def test_a_body_over_the_limit_is_refused_with_413(sandbox: SandboxServer) -> None:
    response = requests.post(
        f"{sandbox.url}/v25.0/{DATASET}/events",
        data=b" " * (64 * 2**20 + 1),
        headers={"Authorization": "Bearer a-token", "Content-Type": "application/json"},
        timeout=10,
    )

    assert response.status_code == 413


@pytest.mark.parametrize(("method", "path"), [("GET", "/v25.0/1/events"), ("POST", "/v25.0/1"), ("GET", "/nothing")])
def test_other_paths_are_unknown(sandbox: SandboxServer, method: str, path: str) -> None:
    assert refusal(requests.request(method, sandbox.url + path, timeout=10)) == (400, 2500, None)


SEND: dict[str, Callable[[str, str], requests.Response]] = {
    "header": lambda url, token: requests.post(
        url, json={"data": [event()]}, headers={"Authorization": f"Bearer {token}"}, timeout=10
    ),
    "query": lambda url, token: requests.post(
        url, json={"data": [event()]}, params={"access_token": token}, timeout=10
    ),
    "body": lambda url, token: requests.post(url, json={"data": [event()], "access_token": token}, timeout=10),
}


@pytest.mark.parametrize("way", SEND)
@pytest.mark.parametrize(
    ("token", "expected"),
    [("good", None), ("unknown", (400, 190, None)), ("old", (400, 190, 463)), ("", (400, 190, None))],
)
def test_tokens_are_checked_however_they_come_and_counted_in_urls(
    way: str, token: str, expected: tuple[int, int, int | None] | None
) -> None:
    settings = SandboxSettings(tokens=frozenset({"good"}), expired_tokens=frozenset({"old"}), clock=Clock())
    with SandboxServer(settings) as sandbox:
        response = SEND[way](f"{sandbox.url}/v25.0/{DATASET}/events", token)

        assert (None if response.status_code == 200 else refusal(response)) == expected
        assert sandbox.stats()["tokens_in_url"] == (1 if way == "query" else 0)


def test_event_ids_are_listed_line_by_line(sandbox: SandboxServer) -> None:
    post(sandbox, event(), event(event_name="Lead"), event(event_id="order-2"))

    response = requests.get(f"{sandbox.url}/sandbox/event_ids", params={"dataset": DATASET}, timeout=10)
    assert response.text == "Purchase\torder-1\nPurchase\torder-2\nLead\torder-1\n"
    assert sandbox.event_ids(DATASET) == [("Purchase", "order-1"), ("Purchase", "order-2"), ("Lead", "order-1")]
    assert sandbox.event_ids("555") == []


def test_a_sender_that_dies_in_the_middle_of_a_request_leaves_no_trace(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port)) as sender:
        head = f"POST /v25.0/{DATASET}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        sender.sendall(f'{head}Content-Length: 100\r\n\r\n{{"data": ['.encode())
        while not sandbox.stats()["requests"]:
            time.sleep(0.005)
    assert post(sandbox, event()).status_code == 200
    assert (sandbox.stats()["events_received"], caplog.text) == (1, "")


def test_a_request_that_is_not_http_leaves_no_line_in_any_log(
    sandbox: SandboxServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (f"/v25.0/1/events?access_token=secret&x={'a' * 9000}", "/v25.0/1/events?access_token=secret HTTP/9 x"):
        with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port), timeout=10) as sender:
            sender.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert sender.recv(4096).startswith(b"HTTP/1.0 400")
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_the_page_needs_nothing_from_elsewhere(sandbox: SandboxServer) -> None:
    response = requests.get(sandbox.url, timeout=10)

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "capybeam sandbox" in response.text
    files = [part.partition('"')[0] for part in re.split('(?:src|href)="', response.text)[1:]]
    assert files == ["data:,", "/sandbox/page.css", "/sandbox/page.js"]
    for name in files[1:]:
        text = requests.get(sandbox.url + name, timeout=10).text
        assert [part for part in ("url(", "@import", "innerHTML", "import(", "eval(") if part in text] == []
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert requests.get(f"{sandbox.url}/sandbox/healthz", timeout=10).text == "ok"


@pytest.mark.parametrize("key", ["user_data", "match_keys"])
@pytest.mark.parametrize("size", [1, 5, 10, 11, 12, 100, 10_000])
def test_events_that_nobody_reads_are_counted_however_their_body_is_cut(size: int, key: str) -> None:
    events = [{"n": "x" * number, key: {}, "note": f'"{key}"'} for number in range(50)]
    body = json.dumps({"data": events}).encode()

    class Content:
        async def iter_any(self) -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

    content: Any = Content()
    assert asyncio.run(_events_in(content)) == len(events)
