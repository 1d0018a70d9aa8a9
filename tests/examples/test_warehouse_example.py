"""The example of a warehouse runs, and what it compares agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.warehouse import main
from tests.servers.bigquery import bigquery_server
from tests.servers.pubsub import NoServer


@pytest.mark.slow
@pytest.mark.real_server
def test_orders_are_delivered_from_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", "")
    try:
        with bigquery_server():
            pass
    except NoServer as reason:
        pytest.skip(str(reason))
    assert main(tmp_path / "out", count=300) == 0
