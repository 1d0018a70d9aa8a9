"""Where dead letters and receipts go. `prepare` makes a place ready for a run, whatever kind it is."""

from __future__ import annotations

from capybeam.pipeline.file_systems import hindrance
from capybeam.pipeline.sinks import dead_letters, lines, receipts, tables, topics

SINKS = {dead_letters.WHAT: dead_letters.SCHEMA, receipts.WHAT: receipts.SCHEMA}


def prepare(path: str, what: str, local: bool, runner: str, endless: bool = False) -> str | None:
    """Makes sure that `path` can be written to. Raises SinkError.

    Args:
        what: a key of `SINKS`.
        local: whether workers are on this machine.
        endless: whether the input never ends.

    Returns the name under which a file of an earlier run is kept, if there was one.
    """
    if tables.is_table(path):
        tables.prepare_table(path, what, SINKS[what])
        return None
    if topics.is_topic(path):
        topics.check_topic(path, what)
        return None
    if not local and lines.is_local(path):
        raise lines.SinkError(
            f"{what} of {runner} cannot go to {path}: its workers are elsewhere; give a URL (gs://…), a"
            f" table ({tables.BIGQUERY}PROJECT.DATASET.TABLE), a topic ({topics.PUBSUB}projects/P/topics/T), or"
            " file:///… where this machine and all workers have the folder at the same path"
        )
    if endless and not lines.is_local(path):
        raise lines.SinkError(
            f"{what} of a subscription cannot go to {path}: files there are written when the input ends; give"
            f" {'a local file, ' if local else ''}a table ({tables.BIGQUERY}…) or a topic ({topics.PUBSUB}…)"
        )
    if reason := hindrance(lines.plain(path)):
        raise lines.SinkError(f"{what} cannot be written to {path}: {reason}")
    return lines.start_afresh(path, what)
