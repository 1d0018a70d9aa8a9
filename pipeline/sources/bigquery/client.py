"""Google's BigQuery client: how it is made, and its errors for people."""

from __future__ import annotations

from typing import Any

from capybeam.pipeline.bigquery_reasons import reason_of
from capybeam.pipeline.sinks.tables import BIGQUERY, split_table
from capybeam.pipeline.sources import NoInput


def named_table(text: str, refusal: str = f"not {BIGQUERY}PROJECT.DATASET.TABLE") -> tuple[str, str]:
    """The table that ``bigquery:PROJECT.DATASET.TABLE`` names, and its project. Raises NoInput where it names none."""
    table = text.removeprefix(BIGQUERY).strip().replace("`", "")
    parts = split_table(table)
    if parts is None:
        raise NoInput(f"{text}: {refusal}")
    return table, parts[0]


def new_client(name: str, project: str | None) -> Any:
    """Raises NoInput, with the name of what was to be read."""
    try:
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import bigquery
    except ImportError:
        raise NoInput(f"{name}: needs pip install 'capybeam[gcp]'") from None
    try:
        return bigquery.Client(project=project)
    except (GoogleAuthError, OSError) as error:
        raise NoInput(f"{name}: no Google Cloud credentials, or no project ({reason_of(error).sentence})") from None


def retry() -> Any:
    """Retries for a minute; the client's default is ten minutes, without a message."""
    from google.cloud import bigquery

    return bigquery.DEFAULT_RETRY.with_timeout(60)


class ErrorsAsNoInput:
    """A context manager: errors of BigQuery become NoInput, with the name of what was to be read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _traceback: Any) -> None:
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError
        from google.auth.exceptions import GoogleAuthError

        if isinstance(error, (GoogleAPICallError, GoogleAuthError, RetryError, OSError)):
            found = reason_of(error)
            lead = (
                "no such table"
                if isinstance(error, NotFound)
                else "no permission"
                if isinstance(error, Forbidden)
                else None
            )
            cure = f". {found.cure}" if found.cure else ""
            raise NoInput(f"{self._name}: {lead or 'cannot be read'} ({found.sentence}){cure}") from None
