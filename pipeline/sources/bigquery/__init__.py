"""Events and dead letters from BigQuery: a `sources.SourceModule`."""

from capybeam.pipeline.sources.bigquery.dead_letters import open_dead_letters
from capybeam.pipeline.sources.bigquery.tables import open_source

__all__ = ["open_dead_letters", "open_source"]
