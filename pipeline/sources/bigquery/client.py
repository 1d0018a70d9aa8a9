"""Google's BigQuery client: how it is made, and its errors for people."""

from __future__ import annotations

import re
from typing import Any, Final

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
        raise NoInput(f"{name}: no Google Cloud credentials, or no project ({reason_of(error)})") from None


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
        from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError, NotFound, RetryError
        from google.auth.exceptions import GoogleAuthError

        if isinstance(error, NotFound):
            raise NoInput(f"{self._name}: no such table ({reason_of(error)})") from None
        if isinstance(error, Forbidden):
            raise NoInput(
                f"{self._name}: no permission ({reason_of(error)}); reading needs the roles BigQuery Data Viewer,"
                " BigQuery Job User and BigQuery Read Session User"
            ) from None
        if isinstance(error, BadRequest) and not _POSITION.search(str(error)):
            job = _JOB.search(str(error))
            more = f"; bq show -j {job[1]} has the details" if job else ""
            raise NoInput(
                f"{self._name}: cannot be read (the query failed; its message is withheld because it may quote"
                f" rows{more})"
            ) from None
        if isinstance(error, (GoogleAPICallError, GoogleAuthError, RetryError, OSError)):
            raise NoInput(f"{self._name}: cannot be read ({reason_of(error)})") from None


_POSITION: Final = re.compile(
    r" at \[\d+:\d+\](?:;|\s+Location:|\s*$)"
)  # ends the message of an error in the query itself
_JOB: Final = re.compile(r"Job ID: (\S+)")


def reason_of(error: BaseException) -> str:
    """Google's message on one line."""
    text = str(getattr(error, "message", None) or error).strip()
    return " ".join(text.split())[:300] or type(error).__name__
