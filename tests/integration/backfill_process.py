"""``capybeam`` as a process of its own, whose clients go to an emulator of BigQuery that another process runs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from capybeam.pipeline.cli import main
from tests.servers.bigquery import clients_of

if __name__ == "__main__":
    rest_url, grpc_endpoint, dataset, *arguments = sys.argv[1:]
    with clients_of(SimpleNamespace(rest_url=rest_url, grpc_endpoint=grpc_endpoint), dataset):
        main(arguments)
