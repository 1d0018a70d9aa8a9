"""BigQuery on this machine, for tests and examples: bqemulator, of the extra dev (Python 3.11 and later)."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

from tests.servers.pubsub import NoServer

PROJECT: Final = "capybeam-test"
_NUMBERS: Final = itertools.count(1)


@contextmanager
def bigquery_server() -> Iterator[Any]:
    """Starts an emulator and gives it. Raises NoServer."""
    try:
        import structlog

        # before the emulator is imported, which says much then
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        from bqemulator.config import LogLevel, Settings
        from bqemulator.server import EmulatorServer
        from duckdb_extensions import import_extension
        from google.cloud import bigquery, bigquery_storage  # noqa: F401
    except ImportError as error:
        raise NoServer(f"no BigQuery emulator here: {error} (it needs Python 3.11, and the extra dev)") from None
    settings = Settings(rest_port=0, grpc_port=0, log_level=LogLevel.CRITICAL, enable_format_extensions=False)
    server, loop = EmulatorServer(settings), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    level, handlers = logging.root.level, logging.root.handlers[:]
    try:
        import_extension("spatial")  # which the emulator would fetch from the web
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(timeout=60)
    except Exception as error:
        raise NoServer(f"the BigQuery emulator does not start here: {error!r}") from None
    finally:  # it sets up logging for the whole process
        logging.root.setLevel(level)
        logging.root.handlers[:] = handlers
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


@contextmanager
def clients_of(server: Any, given_dataset: str | None = None) -> Iterator[Any]:
    """Makes all of this process's clients go to an emulator, and gives one, with a dataset of its own as default.

    Beam has no option for an endpoint.

    Args:
        server: with a `rest_url` and a `grpc_endpoint`.
        given_dataset: one that is there already, in place of a new one.
    """
    import grpc
    from apache_beam.io.gcp import bigquery as beam_bigquery
    from apache_beam.io.gcp import bigquery_tools
    from apache_beam.io.gcp.internal.clients.bigquery import BigqueryV2
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery, bigquery_storage
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    dataset = given_dataset or f"dataset_{next(_NUMBERS)}"

    class Client(bigquery.Client):  # type: ignore[misc]
        def __init__(self, project: str | None = None, **_: Any) -> None:
            options = {"api_endpoint": server.rest_url}
            super().__init__(project or PROJECT, AnonymousCredentials(), client_options=options)

        def query(self, query: str, job_config: Any = None, **_: Any) -> Any:
            job = super().query(query, job_config=job_config, retry=None)
            if job_config is not None and job_config.dry_run:
                return job
            return _Query(self, job, f"{PROJECT}.{dataset}.result_{os.getpid()}_{next(_NUMBERS)}")

    def read_client() -> Any:
        channel = grpc.insecure_channel(server.grpc_endpoint)
        return bigquery_storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))

    def apitools_client(_options: Any) -> Any:
        return BigqueryV2(url=f"{server.rest_url}/bigquery/v2/", get_credentials=False, response_encoding="utf8")

    storage = _With(beam_bigquery.bq_storage, BigQueryReadClient=read_client)
    wrapper = bigquery_tools.BigQueryWrapper
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(bigquery, "Client", Client))
        stack.enter_context(mock.patch.object(beam_bigquery, "bq_storage", storage))
        stack.enter_context(mock.patch.object(wrapper, "_bigquery_client", staticmethod(apitools_client)))
        # It would delete every dataset: the emulator passes over the filter by label.
        stack.enter_context(mock.patch.object(wrapper, "_clean_up_beam_labelled_temporary_datasets"))
        made = Client()
        if given_dataset is None:
            made.create_dataset(dataset)
        made.default_dataset = dataset
        yield made


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
