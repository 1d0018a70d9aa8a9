"""Hosts and origins: whose requests are read at all."""

from __future__ import annotations

import pytest
import requests

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.sandbox.senders import DATASET, Clock, event

LOOPBACK = ("127.0.0.1", "127.0.0.1:1", "127.8.8.8:80", "localhost", "LOCALHOST:99", "shop.localhost:1", "[::1]:8765")
FOREIGN = (
    *("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example", "localhostx"),
    *("10.0.0.1", "[::2]:1", "user@127.0.0.1", "127.0.0.1/x", "[", "127.0.0.1@evil.example", "0x7f.1.evil"),
)


@pytest.mark.parametrize("host", LOOPBACK)
def test_names_and_addresses_of_the_loopback_are_served(sandbox: SandboxServer, host: str) -> None:
    for path in ("/", "/sandbox/stats"):
        assert requests.get(sandbox.url + path, headers={"Host": host}, timeout=10).status_code == 200
    assert send(sandbox, Host=host).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_hosts_are_refused_and_not_read(sandbox: SandboxServer, host: str) -> None:
    for path in ("/", "/sandbox/stats", "/sandbox/overview", "/sandbox/event_ids"):
        assert requests.get(sandbox.url + path, headers={"Host": host}, timeout=10).status_code in (400, 403)
    assert send(sandbox, Host=host).status_code in (400, 403)  # 400: not a Host header to aiohttp either
    assert sandbox.stats()["requests"] == 0


def test_a_host_can_be_allowed_on_purpose() -> None:
    with SandboxServer(SandboxSettings(hosts=frozenset({"Host.Docker.internal"}), clock=Clock())) as sandbox:
        assert send(sandbox, Host="host.docker.internal:8765").status_code == 200
        assert send(sandbox, Host="other.internal:8765").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another port is another origin
        {"Origin": "OWN", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_posts_that_a_browser_sends_for_another_page_are_refused(
    sandbox: SandboxServer, headers: dict[str, str]
) -> None:
    headers = {name: value.replace("OWN", sandbox.url) for name, value in headers.items()}
    for path in ("/sandbox/faults", "/sandbox/reset"):
        assert requests.post(sandbox.url + path, data="{}", headers=headers, timeout=10).status_code == 403
    assert send(sandbox, **headers).status_code == 403
    assert sandbox.stats()["requests"] == 0


def test_posts_of_the_page_and_of_programs_that_are_no_browsers_are_taken(sandbox: SandboxServer) -> None:
    page = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
    changes = '{"latency": 0.0}'
    for headers in (page, {}, {"Content-Type": "text/plain"}):
        assert requests.post(f"{sandbox.url}/sandbox/faults", changes, headers=headers, timeout=10).status_code == 200
    assert send(sandbox).status_code == 200


def send(sandbox: SandboxServer, **headers: str) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        f"{sandbox.url}/v25.0/{DATASET}/events",
        json={"data": [event()]},
        headers={"Authorization": "Bearer a-token", **headers},
        timeout=10,
    )
