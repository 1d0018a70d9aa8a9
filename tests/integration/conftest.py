"""Servers for tests on real wires. What cannot be started here leaves its tests out, with the reason."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

PROJECT = "capybeam-test"
_NUMBERS = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class BigQuery:
    """An emulator of BigQuery, and a dataset in it that is a test's own."""

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
def _emulator() -> Iterator[Any]:
    try:
        from bqemulator.config import LogLevel, Settings
        from bqemulator.server import EmulatorServer
        from duckdb_extensions import import_extension
        from google.cloud import bigquery, bigquery_storage  # noqa: F401
    except ImportError as error:
        pytest.skip(f"no BigQuery emulator here: {error} (it needs Python 3.11, and the extra dev)")
    settings = Settings(rest_port=0, grpc_port=0, log_level=LogLevel.CRITICAL, enable_format_extensions=False)
    server, loop = EmulatorServer(settings), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    level, handlers = logging.root.level, logging.root.handlers[:]
    try:
        import_extension("spatial")  # which the emulator would fetch from the web
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(timeout=60)
    except Exception as error:
        pytest.skip(f"the BigQuery emulator does not start here: {error!r}")
    finally:  # it sets up logging for the whole process
        logging.root.setLevel(level)
        logging.root.handlers[:] = handlers
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(timeout=60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)


@pytest.fixture
def big_query(_emulator: Any, monkeypatch: pytest.MonkeyPatch) -> BigQuery:
    """BigQuery on this machine. Beam has no option for an endpoint, so its clients are made to go there."""
    import grpc
    from apache_beam.io.gcp import bigquery as beam_bigquery
    from apache_beam.io.gcp import bigquery_tools
    from apache_beam.io.gcp.internal.clients.bigquery import BigqueryV2
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery, bigquery_storage
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    dataset = f"test_{next(_NUMBERS)}"

    class Client(bigquery.Client):
        def __init__(self, project: str | None = None, **_: Any) -> None:
            options = {"api_endpoint": _emulator.rest_url}
            super().__init__(project or PROJECT, AnonymousCredentials(), client_options=options)

        def query(self, query: str, **_: Any) -> Any:
            return _Query(self, super().query(query, retry=None), f"{PROJECT}.{dataset}.result_{next(_NUMBERS)}")

    def read_client() -> Any:
        channel = grpc.insecure_channel(_emulator.grpc_endpoint)
        return bigquery_storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))

    def apitools_client(_options: Any) -> Any:
        return BigqueryV2(url=f"{_emulator.rest_url}/bigquery/v2/", get_credentials=False, response_encoding="utf8")

    monkeypatch.setattr(bigquery, "Client", Client)
    monkeypatch.setattr(beam_bigquery, "bq_storage", _With(beam_bigquery.bq_storage, BigQueryReadClient=read_client))
    monkeypatch.setattr(bigquery_tools.BigQueryWrapper, "_bigquery_client", staticmethod(apitools_client))
    # It would delete every dataset: the emulator passes over the filter by label.
    monkeypatch.setattr(
        bigquery_tools.BigQueryWrapper, "_clean_up_beam_labelled_temporary_datasets", lambda *_, **__: None
    )
    made = Client()
    made.create_dataset(dataset)
    return BigQuery(made, dataset)


@dataclasses.dataclass
class _Query:
    """A query whose result is a table, as it is in BigQuery; the emulator's result cannot be read as one."""

    client: Any
    job: Any
    name: str

    def result(self) -> Any:
        return self.job.result()

    @property
    def destination(self) -> Any:
        from google.cloud.bigquery import Table

        rows = self.job.result()
        made = self.client.create_table(Table(self.name, schema=rows.schema), retry=None)
        found = [dict(row) for row in rows]
        assert not found or self.client.insert_rows(made, found) == []
        return made.reference


class _With:
    """A module with some of its names replaced."""

    def __init__(self, module: Any, **replaced: Callable[..., Any]) -> None:
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
