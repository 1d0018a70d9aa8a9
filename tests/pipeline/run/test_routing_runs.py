"""A restricted destination whose events choose their dataset, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capybeam.pipeline.job.loader import Job, parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import DEAD_LETTERS, OK
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.pipeline.jobs import TOKEN, order, rows


def job(endpoint: str, datasets: str) -> Job:
    return parse_job(f"""
destinations:
  - name: brands
    type: facebook_conversions_api
    dataset_id: {{"@path": $.properties.brand}}
    dataset_ids: {datasets}
    restricted: true
    access_token: env:TOKEN
    endpoint: {endpoint}
    subscriptions: [{{action: purchase, mapping: {{custom_data: {{"@path": $.properties}}}}}}]
delivery: {{retry_for: 1s, timeout: 5s}}
""")


@pytest.mark.slow
def test_each_event_reaches_its_dataset_and_one_without_waits_until_it_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    brands = ["mugs", "hats", "shoes", "mugs"]
    lines = [order(n, properties={"revenue": n, "currency": "EUR", "brand": brand}) for n, brand in enumerate(brands)]
    Path("events.jsonl").write_bytes(b"\n".join(lines))
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        outputs = Outputs("dead.jsonl", "receipts.jsonl", "books.json")
        code = run_job(RunRequest(job(sandbox.url, "{mugs: '111', hats: ['222', '333']}"), ["events.jsonl"], outputs))
        sent = {dataset: sorted(id_ for _, id_ in sandbox.event_ids(dataset)) for dataset in ("111", "222", "333")}

        assert sent == {"111": ["order-0", "order-3"], "222": ["order-1"], "333": ["order-1"]}
        books = json.loads(Path("books.json").read_text())
        assert (code, books["balanced"], books["matched"], books["delivered"]) == (DEAD_LETTERS, True, 5, 4)
        notes = books["destinations"]["brands"]["subscriptions"]["purchase"]["notes"]
        assert notes == {"restricted_custom_data": 4, "website_without_url": 4}
        (dead,) = rows("dead.jsonl")
        assert (dead["stage"], dead["code"], dead["event_id"]) == ("name", "unlisted_dataset", "order-2")

        listed = job(sandbox.url, "{mugs: '111', hats: ['222', '333'], shoes: '444'}")
        again = Outputs("again.jsonl", "replayed.jsonl", "again.json")
        assert replay_job(RunRequest(listed, ["dead.jsonl"], again), ReplayFilter()) == OK
        assert [id_ for _, id_ in sandbox.event_ids("444")] == ["order-2"]
