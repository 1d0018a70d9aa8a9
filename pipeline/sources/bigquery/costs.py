"""What BigQuery would scan and read, asked for before it is done, and the price of that, as an estimate."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from capybeam.pipeline.sources import NoInput, ReadOptions

# List prices in US dollars for a TiB, of the multi-regions US and EU, without the free tier (1 TiB of queries a month).
SOURCE: Final = "https://cloud.google.com/bigquery/pricing"
AS_OF: Final = "2025-06"
SCANNED_TIB: Final = 6.25
READ_TIB: Final = 1.1
LEAST: Final = 10 * 1024**2  # bytes that a query is billed for at least
_TIB: Final = 1024**4


@dataclasses.dataclass(frozen=True)
class Costs:
    """What an input costs to read.

    Attributes:
        scanned: bytes by queries.
        read: bytes by the Storage Read API.
    """

    scanned: int
    read: int

    @property
    def dollars(self) -> float:
        scanned = max(self.scanned, LEAST) if self.scanned else 0
        return scanned / _TIB * SCANNED_TIB + self.read / _TIB * READ_TIB

    def sentence(self, name: str) -> str:
        """What is shown before anything is read."""
        parts = [f"{size_text(self.scanned)} are scanned by queries"] if self.scanned else []
        parts += [f"at most {size_text(self.read)} are read"] if self.read else []
        what = " and ".join(parts) or "nothing is scanned"
        price = f"${self.dollars:.2f}" if self.dollars >= 0.01 else "less than $0.01"
        return f"{name}: {what}; ESTIMATE: {price}, by BigQuery's list prices as of {AS_OF} ({SOURCE})."


def size_text(size: int) -> str:
    """Bytes for people.

    >>> size_text(999), size_text(12_345_678), size_text(3_400_000_000_000)
    ('999 bytes', '12.3 MB', '3.4 TB')
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} byte{'s' * (size != 1)}"


def scanned_by(client: Any, query: str) -> Any:
    """The job of a query that is planned and not run, with the bytes that it would scan. It is free."""
    from google.cloud import bigquery

    return client.query(query, job_config=bigquery.QueryJobConfig(dry_run=True, use_query_cache=False))


def run_query(client: Any, query: str, max_bytes: int | None) -> Any:
    """The job of a query that is run, within what may be billed."""
    if max_bytes is None:
        return client.query(query)
    from google.cloud import bigquery

    return client.query(query, job_config=bigquery.QueryJobConfig(maximum_bytes_billed=max_bytes))


def check_limit(name: str, read: int, options: ReadOptions) -> None:
    """Raises NoInput where more would be read than may be. Queries are limited by BigQuery itself."""
    if options.max_bytes is not None and read > options.max_bytes:
        raise NoInput(
            f"{name}: {size_text(read)} would be read, more than --max-bytes-billed allows"
            f" ({size_text(options.max_bytes)}). Read less (--since, --until), or allow more"
        )
