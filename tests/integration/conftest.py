"""Servers for tests on real wires. What cannot be started here leaves its tests out, with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.servers.bigquery import PROJECT, bigquery_server, clients_of
from tests.servers.pubsub import NoServer


@dataclasses.dataclass(frozen=True)
class BigQuery:
    """An emulator of BigQuery, and a dataset in it that is a test's own."""

    server: Any  # bqemulator.server.EmulatorServer
    client: Any  # google.cloud.bigquery.Client
    dataset: str

    def name(self, table: str) -> str:
        return f"{PROJECT}.{self.dataset}.{table}"

    def make_table(self, table: str, columns: Sequence[Any], rows: Sequence[dict[str, Any]] = ()) -> str:
        """A table of `columns` (SchemaField) with rows; its name as ``--input`` takes it."""
        from google.cloud import bigquery

        made = self.client.create_table(bigquery.Table(self.name(table), schema=columns), retry=None)
        for start in range(0, len(rows), 500):
            assert self.client.insert_rows_json(made, rows[start : start + 500]) == []
        return f"bigquery:{self.name(table)}"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.client.query(sql).result()]


@pytest.fixture(scope="session")
def emulator() -> Iterator[Any]:
    try:
        with bigquery_server() as server:
            yield server
    except NoServer as reason:
        pytest.skip(str(reason))


@pytest.fixture
def big_query(emulator: Any) -> Iterator[BigQuery]:
    """BigQuery on this machine, to which all of this process's clients go."""
    with clients_of(emulator) as client:
        yield BigQuery(emulator, client, client.default_dataset)
