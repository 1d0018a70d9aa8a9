"""Dead letters from a BigQuery table, as `pipeline.sinks.tables` has written them."""

from __future__ import annotations

from typing import Any, Final

from capybeam.pipeline.sinks.tables import BIGQUERY
from capybeam.pipeline.sources import NOT_ASKED, NoInput, ReadOptions, Size, Source
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.client import ErrorsAsNoInput, retry
from capybeam.pipeline.sources.bigquery.reading import ReadDeadLetters

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
        lacking = _REQUIRED - {field.name for field in client.get_table(table, retry=retry()).schema}
        if lacking:
            raise NoInput(f"{name}: is not a table of dead letters: it has no column {', '.join(sorted(lacking))}")
        ((rows,),) = client.query(f"SELECT COUNT(*) FROM `{table}`").result()
    if not rows:
        raise NoInput(f"{name}: has no rows")
    return Source(name, f"{rows:,} row{'s' * (rows != 1)}", ReadDeadLetters(table), size=Size(rows=rows))
