"""Dead letters from a BigQuery table, as `pipeline.sinks.tables` has written them."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from capybeam.pipeline.sinks.tables import BIGQUERY
from capybeam.pipeline.sources import NOT_ASKED, NoInput, ReadOptions, Size, Source
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.costs import Costs, check_limit, run_query, scanned_by
from capybeam.pipeline.sources.bigquery.reading import ReadDeadLetters, SplitTable
from capybeam.pipeline.sources.bigquery.sql import range_column, restriction_of, where_clause
from capybeam.pipeline.sources.warehouse.columns import Column
from capybeam.pipeline.sources.warehouse.layout import JsonColumn

_REQUIRED: Final = frozenset({"dead_lettered_at", "stage", "code", "payload"})


def open_dead_letters(text: str, options: ReadOptions, client: Any = None) -> Source:
    """Looks at a table of dead letters, ``bigquery:PROJECT.DATASET.TABLE``. Raises NoInput.

    Args:
        client: google.cloud.bigquery.Client; made here by default.
    """
    table, project = clients.named_table(text)
    name = f"{BIGQUERY}{table}"
    if options.is_offline:
        return Source(name, NOT_ASKED, ReadDeadLetters(table), is_unseen=True)
    client = client or clients.new_client(name, options.project or project)
    with ErrorsAsNoInput(name):
        found = client.get_table(table, retry=retry())
        lacking = _REQUIRED - {field.name for field in found.schema}
        if lacking:
            raise NoInput(f"{name}: is not a table of dead letters: it has no column {', '.join(sorted(lacking))}")
        time_range = options.time_range
        if time_range and time_range.column is None:
            time_range = dataclasses.replace(time_range, column="dead_lettered_at")
        restriction = restriction_of(range_column(name, found, _NO_LAYOUT, time_range), time_range)
        where = where_clause(restriction)
        count = f"SELECT COUNT(*) FROM `{table}`{where}"
        costs = Costs(
            scanned_by(client, count).total_bytes_processed or 0,
            scanned_by(client, f"SELECT * FROM `{table}`{where}").total_bytes_processed or 0,
        )
        options.announce(costs.sentence(name))
        check_limit(name, costs.read, options)
        if options.is_dry:
            return Source(name, f"{found.num_rows:,} rows in all of it", ReadDeadLetters(table, restriction))
        ((rows,),) = run_query(client, count, options.max_bytes).result()
    if not rows and not time_range:
        raise NoInput(f"{name}: has no rows")
    extent = f"{rows:,} row{'s' * (rows != 1)}"
    split = SplitTable(table, rows, restriction=restriction)
    return Source(name, extent, ReadDeadLetters(table, restriction), size=Size(rows=rows), split=split)


_NO_LAYOUT: Final = JsonColumn(Column("payload"))
