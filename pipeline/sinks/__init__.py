"""Where dead letters and receipts go. `prepare` makes a place ready for a run, whatever kind it is."""

from __future__ import annotations

from pipeline.sinks import lines


def prepare(path: str, what: str, local: bool, runner: str) -> str | None:
    """Makes sure that `path` can be written to. Raises SinkError.

    Args:
        what: the name of what is written, for errors.
        local: whether workers are on this machine.

    Returns the name under which a file of an earlier run is kept, if there was one.
    """
    if not local and lines.is_local(path):
        raise lines.SinkError(f"{what} of {runner} cannot go to {path}: its workers are elsewhere; give a URL (gs://…)")
    return lines.start_afresh(path, what)
