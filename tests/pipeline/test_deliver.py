"""capybeam as a step of other people's pipelines, in Python and in Beam YAML, against the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that
from apache_beam.utils.timestamp import Timestamp

import capybeam
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.transforms.core.dead_letters import parse_dead_letter
from tests.pipeline.jobs import JANE, TOKEN, job_file, order

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SandboxServer]:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with SandboxServer() as server:
        Path("conversions.yaml").write_text(job_file(server.url), encoding="utf-8")
        yield server


def events() -> list[bytes]:
    wrong = json.loads(order(3))
    del wrong["properties"]["currency"]
    return [order(1), order(2), json.dumps(wrong).encode(), b"nonsense"]


def test_events_become_receipts_and_rejections(sandbox: SandboxServer) -> None:
    def check_receipts(receipts: list[capybeam.Receipt]) -> None:
        assert [(each.destination, each.events, each.tries) for each in receipts] == [("web", 2, 1)]

    def check_rejections(rejections: list[capybeam.Rejection]) -> None:
        found = sorted((each.stage, each.code, each.subscription) for each in rejections)
        assert found == [("map", "missing_required_field", "purchase"), ("parse", "invalid_json", None)]

    with beam.Pipeline("FnApiRunner") as pipeline:
        delivered = pipeline | beam.Create(events()) | capybeam.Deliver(capybeam.load_job("conversions.yaml"))
        assert_that(delivered.receipts, check_receipts, label="receipts")
        assert_that(delivered.rejections, check_rejections, label="rejections")
    assert len(sandbox.event_ids("123")) == 2


def test_events_may_be_dicts(sandbox: SandboxServer) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([json.loads(order(1))]) | capybeam.Deliver(capybeam.load_job("conversions.yaml"))
    assert len(sandbox.event_ids("123")) == 1


def test_two_runs_in_one_process_deliver_both(sandbox: SandboxServer) -> None:
    for number in (1, 2):
        with beam.Pipeline("FnApiRunner") as pipeline:
            _ = pipeline | beam.Create([order(number)]) | capybeam.Deliver(capybeam.load_job("conversions.yaml"))
    assert len(sandbox.event_ids("123")) == 2


def test_workers_share_the_rate_in_a_folder(sandbox: SandboxServer, tmp_path: Path) -> None:
    Path("conversions.yaml").write_text(job_file(sandbox.url, "{requests_per_second: 50}"), encoding="utf-8")
    step = capybeam.Deliver(capybeam.load_job("conversions.yaml"), workers=5, lease_folder=f"{tmp_path}/rate/")
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([order(1), order(2)]) | step
    assert len(sandbox.event_ids("123")) == 2
    assert Path("rate").is_dir()


def test_the_example_in_python_runs(sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]) -> None:
    Path("events.jsonl").write_bytes(b"\n".join(events()) + b"\n")
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(example, "docs/python.md", "exec"), {})
    dead_letters = [json.loads(line) for line in Path("dead-letters.jsonl").read_text().splitlines()]
    assert sorted(dead_letter["code"] for dead_letter in dead_letters) == ["invalid_json", "missing_required_field"]
    assert capsys.readouterr().out == "web 2\n"


@pytest.mark.timeout(300)
def test_the_example_in_beam_yaml_runs_and_its_rejections_are_whole_dead_letters(sandbox: SandboxServer) -> None:
    Path("events.jsonl").write_bytes(b"\n".join(events()) + b"\n")
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    Path("pipeline.yaml").write_text(example, encoding="utf-8")
    command = [sys.executable, "-m", "apache_beam.yaml.main", "--yaml_pipeline_file=pipeline.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read("receipts*") == [{"destination": "web", "events": 2}]
    dead_letters = [parse_dead_letter(row["dead_letter"].encode(), "The row") for row in rows("dead-letters*")]
    assert sorted(dead_letter.code for dead_letter in dead_letters) == ["invalid_json", "missing_required_field"]
    assert len(sandbox.event_ids("123")) == 2


def test_a_row_of_columns_is_an_event(sandbox: SandboxServer) -> None:
    event = json.loads(order(1))
    row = beam.Row(
        type=event["type"],
        event=event["event"],
        messageId=event["messageId"].encode(),
        userId=event["userId"],
        timestamp=Timestamp(int(time.time()) - 60),
        properties=beam.Row(revenue=Decimal(1), currency="EUR", coupon=None),
        context=beam.Row(ip="192.0.2.7", userAgent="Mozilla/5.0", traits=beam.Row(**JANE)),
    )
    with beam.Pipeline("FnApiRunner") as pipeline:
        delivered = pipeline | beam.Create([row]) | capybeam.DeliverRows("conversions.yaml")
        assert_that(delivered["rejections"], _nothing, label="rejections")
    assert [event_id for _, event_id in sandbox.event_ids("123")] == ["order-1"]


def _nothing(found: list[Any]) -> None:
    assert found == []


def rows(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(line) for path in Path().glob(pattern) for line in path.read_text().splitlines()]


def read(pattern: str) -> list[dict[str, Any]]:
    return [{key: row[key] for key in ("destination", "events")} for row in rows(pattern)]


# --- the public face ----------------------------------------------------------------------------------------------


def test_everything_public_is_there_and_documented() -> None:
    assert sorted(capybeam.__all__) == sorted({*capybeam._HOMES, "__version__"})
    for name in capybeam.__all__:
        assert getattr(capybeam, name) is not None
        assert name == "__version__" or name in GUIDE


def test_importing_capybeam_imports_no_beam() -> None:
    code = "import sys, capybeam; capybeam.__version__; print([m for m in sys.modules if m.startswith('apache_beam')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_not_public_is_not_found() -> None:
    with pytest.raises(AttributeError, match="module 'capybeam' has no attribute 'Courier'"):
        _ = capybeam.Courier
