"""The sandbox as other people's tests have it: `capybeam.sandbox` and the fixture of the pytest plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
import requests

import capybeam
from capybeam.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
JOB = """\
destinations:
  - name: shop
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:NOWHERE
    app_secret: env:NOWHERE_EITHER
    subscriptions: [{action: purchase}]
"""
ORDER = """\
{"type":"track","event":"Order Completed","messageId":"m-1","timestamp":"NOW","anonymousId":"a-1",\
"properties":{"revenue":24.9,"currency":"EUR"},\
"context":{"userAgent":"Mozilla/5.0","page":{"url":"https://shop.example/"}}}
"""


def post(sandbox: Sandbox, token: str, event_id: str = "1", dataset: str = "5") -> requests.Response:
    event = {
        "event_name": "Lead",
        "event_time": int(time.time()),
        "event_id": event_id,
        "action_source": "chat",
        "user_data": {"external_id": "u-1"},
    }
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{sandbox.url}/v25.0/{dataset}/events", json={"data": [event]}, headers=headers, timeout=10)


def test_events_refusals_and_faults_are_at_hand() -> None:
    with capybeam.Sandbox() as sandbox:
        for dataset, event_id in (("5", "1"), ("5", "2"), ("5", "1"), ("6", "1")):
            assert post(sandbox, sandbox.token, event_id, dataset).status_code == 200
        assert [event["event_id"] for event in sandbox.events("5")] == ["1", "2"]
        assert [event["event_id"] for event in sandbox.events()] == ["1", "2", "1"]
        assert sandbox.events("5")[0].keys() == {"event_name", "event_time", "event_id", "action_source", "user_data"}

        assert post(sandbox, "another-token").status_code == 400
        assert [(refusal["code"], refusal["dataset"]) for refusal in sandbox.refusals()] == [(190, "5")]

        sandbox.set_faults(error_rate=1, latency=0.001)
        assert post(sandbox, sandbox.token).status_code == 500
        sandbox.clear_faults()
        assert post(sandbox, sandbox.token).status_code == 200
        assert sandbox.stats()["active_faults"] == {}
        sandbox.reset()
        assert (sandbox.events(), sandbox.refusals()) == ([], [])


def test_a_job_file_is_led_to_the_sandbox_and_says_the_same_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "conversions.yaml"
    path.write_text(JOB)
    with Sandbox() as sandbox:
        job = capybeam.load_job(sandbox.job_file(path))
        ((destination,), original) = job.destinations, capybeam.load_job(path)
        assert destination.endpoint == sandbox.url
        assert {key: secret.read() for key, secret in destination.secrets.items()} == {"access_token": sandbox.token}
        assert job.subscriptions == original.subscriptions
        copy = sandbox.job_file(path)
    assert not copy.exists()
    assert path.read_text() == JOB


@pytest.mark.slow
def test_the_example_in_the_documentation_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?capybeam_sandbox.*?)```", page, re.DOTALL)
    # The command as this tree has it.
    (tmp_path / "test_example.py").write_text(example.replace('["capybeam"', f'["{sys.executable}", "-m", "capybeam"'))
    (tmp_path / "conversions.yaml").write_text(JOB)
    now = datetime.now(timezone.utc).isoformat()
    (tmp_path / "orders.jsonl").write_text(ORDER.replace("NOW", now))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "capybeam.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "test_example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )

    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    program = (
        "import sys, capybeam.pytest_plugin; print([m for m in ('aiohttp', 'apache_beam', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "[]\n", done.stderr
