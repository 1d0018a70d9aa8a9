"""`capybeam doctor`: what is found of a destination, and what it says to do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.inspect_meta.datasets import targets
from capybeam.pipeline.inspect_meta.doctor import examine
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.delivery.destination import Delivery

TOKEN = "token-of-the-doctor"
JOB = """\
destinations:
  - name: shop
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:DOCTORS_TOKEN
    endpoint: ENDPOINT
    subscriptions: [{action: purchase}, {action: pageView, name: views}]
"""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTORS_TOKEN", TOKEN)
    monkeypatch.setenv("DOCTORS_SECRET", "secret-of-the-app")


def job(endpoint: str, more: str = "") -> str:
    return JOB.replace("ENDPOINT", endpoint) + "".join(f"    {line}\n" for line in more.splitlines())


def checks(text: str, skew: float = 0.0) -> list[tuple[str, str]]:
    """(mark and name, text) of each line."""
    loaded = parse_job(text)
    (target,) = targets(loaded)
    found = examine(target, Delivery(timeout=5.0), lambda: time.time() + skew)
    return [(f"{check.mark} {check.name}", check.text) for check in found]


def run(tmp_path: Path, text: str, *options: str) -> Result:
    (tmp_path / "job.yaml").write_text(text)
    return CliRunner().invoke(main, ["doctor", "--config", str(tmp_path / "job.yaml"), *options])


def test_all_is_well_and_no_event_is_sent(tmp_path: Path) -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        done = run(tmp_path, job(sandbox.url))
        stats = sandbox.stats()

    assert done.stdout.splitlines() == [
        "shop",
        f"  ✓ endpoint: {sandbox.url} answers",
        "  ✓ token: is valid and does not expire",
        "  ✓ permissions: ads_management, ads_read, business_management",
        "  ✓ dataset 123321: is there",
        "  ✓ version: v25.0, until 2028-07-29",
        "  ✓ clock: agrees with the server's",
        "  ✓ rate limit: nothing of it is used",
    ]
    assert done.exit_code == 0
    assert (stats["requests"], stats["events_received"], stats["tokens_in_url"]) == (0, 0, 0)


EXPIRED = "the token is invalid or has expired."
NEW_TOKEN = "Store a new access token where the job file points."


@pytest.mark.parametrize(
    ("faults", "settings", "line"),
    [
        ({"dead_token": True}, {}, ("✗ token", f"Meta, code 190/463: {EXPIRED} {NEW_TOKEN}")),
        ({}, {"tokens": {"x"}}, ("✗ token", f"Meta, code 190: {EXPIRED} {NEW_TOKEN}")),
        (
            {},
            {"datasets": {"999"}},
            (
                "✗ dataset 123321",
                "Meta, code 100/33: no such dataset, or no permission for it. The dataset does not exist, or the token"
                " may not use it. Check its ID; assign the dataset to the token.",
            ),
        ),
        (
            {},
            {"scopes": ("ads_read",)},
            (
                "! permissions",
                "ads_read. The token needs ads_management, or a system user with access to the dataset.",
            ),
        ),
        (
            {"refused_code": 10},
            {},
            (
                "✗ token",
                "Meta, code 10: a permission is missing. The token lacks a permission. It needs ads_management or a"
                " system user with access to the dataset.",
            ),
        ),
        (
            {},
            {"app_secret": "other"},
            (
                "✗ token",
                "Meta, code 100: the call itself is refused, for example for a missing appsecret_proof. If the app"
                " requires its secret, set `app_secret` in the job file. Otherwise see Meta's message.",
            ),
        ),
        ({"usage_percent": 80}, {}, ("! rate limit", "80 % of it is used")),
        (
            {"usage_percent": 100},
            {},
            ("✗ rate limit", "is used up. Lower delivery.requests_per_second in the job file."),
        ),
        ({"error_rate": 1.0}, {}, ("✗ endpoint", "Meta, code 2: Meta says that the failure is temporary.")),
        ({"html_rate": 1.0}, {}, ("✗ endpoint", "HTTP 502 without one of Meta's error bodies.")),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_named_with_its_cure(
    faults: dict[str, Any], settings: dict[str, Any], line: tuple[str, str]
) -> None:
    made = {key: frozenset(value) if isinstance(value, set) else value for key, value in settings.items()}
    with SandboxServer(SandboxSettings(**made)) as sandbox:
        sandbox.set_faults(**faults)
        found = checks(job(sandbox.url))

    assert line in found
    assert [mark for mark, _ in found if mark[0] == "✗"] == ([line[0]] if line[0][0] == "✗" else [])


def test_a_server_that_is_not_there_and_a_token_that_cannot_be_read_are_the_only_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks(job("http://127.0.0.1:9")) == [
        ("✗ endpoint", "http://127.0.0.1:9 cannot be reached (connection refused).")
    ]
    monkeypatch.delenv("DOCTORS_TOKEN")
    done = run(tmp_path, job("http://127.0.0.1:9"))
    assert done.stdout.splitlines()[1:] == [
        "  ✗ token: The environment variable DOCTORS_TOKEN is not set. Set it: export DOCTORS_TOKEN=…"
    ]
    assert done.exit_code == 3


@pytest.mark.parametrize(
    ("skew", "line"),
    [
        (0.0, ("✓ clock", "agrees with the server's")),
        (30.0, ("! clock", "is 30 s ahead of the server's. Synchronise it (NTP).")),
        (-600.0, ("✗ clock", "is 600 s behind the server's. Synchronise it (NTP).")),
    ],
)
def test_the_clock_is_compared_with_the_servers(skew: float, line: tuple[str, str]) -> None:
    now = time.time()
    with SandboxServer(SandboxSettings(clock=lambda: now + 0.5)) as sandbox:  # in the middle of a second, or nearly
        (target,) = targets(parse_job(job(sandbox.url)))
        found = list(examine(target, Delivery(), lambda: float(int(now + 0.5)) + 0.5 + skew))

    assert line in [(f"{check.mark} {check.name}", check.text) for check in found]


def test_a_version_that_has_ended_is_told_by_meta_itself() -> None:
    with SandboxServer() as sandbox:
        text = job(sandbox.url, "api_version: v26.0")
        assert ("✓ version", "v26.0") in checks(text)
        (target,) = targets(parse_job(text))
        old = target.destination.__class__("shop", target.destination.token, api_version="v15.0", endpoint=sandbox.url)
        found = list(examine(target._replace(destination=old), Delivery()))
    assert [(check.name, check.mark) for check in found] == [("endpoint", "✓"), ("version", "✗")]
    assert found[1].text.endswith("Set api_version to a newer one in the job file.")


def test_neither_token_nor_proof_is_in_a_url_or_in_the_output(tmp_path: Path) -> None:
    settings = SandboxSettings(app_secret="secret-of-the-app", tokens=frozenset({TOKEN}))
    with SandboxServer(settings) as sandbox:
        done = run(tmp_path, job(sandbox.url, "app_secret: env:DOCTORS_SECRET"), "--format", "json")
        assert sandbox.stats()["tokens_in_url"] == 0

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["mark"] for line in lines} == {"✓"}
    assert lines[0] == {"destination": "shop", "name": "endpoint", "mark": "✓", "text": f"{sandbox.url} answers"}
    assert TOKEN not in done.output
    assert "secret-of-the-app" not in done.output


def test_a_destination_can_be_picked(tmp_path: Path) -> None:
    done = run(tmp_path, job("http://127.0.0.1:9"), "--destination", "shops")
    assert (done.exit_code, done.stderr) == (
        2,
        "capybeam: --destination shops: there is no such destination at Meta; choose from shop\n",
    )
