"""The command that delivers a run's dead letters, complete, as a shell takes it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.schemes import is_local, strip_file_scheme
from capybeam.pipeline.sinks.local_files import own_descriptor

if TYPE_CHECKING:
    from capybeam.pipeline.run.request import Outputs

DEAD_LETTERS: Final = "replayed-dead-letters.jsonl"  # the defaults of `replay`
RECEIPTS: Final = "replayed-receipts.jsonl"

_TOPIC: Final = re.compile(r"pubsub:(projects/[^/]+)/topics/[^/]+")
SUBSCRIPTION: Final = "SUBSCRIPTION"  # in place of a name that only the user knows


def replay_command(
    config: str | None, outputs: Outputs, beam_options: Sequence[str] = (), *, only_retryable: bool = False
) -> str | None:
    """The command; None where the dead letters cannot be read back, or the job is in no file.

    Args:
        config: path or URL of the job file.
        outputs: of the run that has written the dead letters.
        only_retryable: whether the other dead letters are left out.
    """
    source = _source(outputs.dead_letters)
    if config is None or source is None:
        return None
    words = ["capybeam", "replay", "--config", config, "--from", source]
    words += ["--retryable"] if only_retryable else []
    for option, default, place in (
        ("--dead-letters", DEAD_LETTERS, outputs.dead_letters),
        ("--receipts", RECEIPTS, outputs.receipts),
    ):
        chosen = _place(place, default)
        words += [] if chosen == default else [option, chosen]
    return shlex.join([*words, *beam_options])


def _source(place: str) -> str | None:
    """What `--from` is given for dead letters at a place."""
    path = strip_file_scheme(place)
    if "://" in path:
        return f"{path}-?????-of-?????"  # Beam's shards
    topic = _TOPIC.fullmatch(place)
    if topic:
        return f"pubsub:{topic[1]}/subscriptions/{SUBSCRIPTION}"
    is_kept = not is_local(path) or (own_descriptor(path) is None and not path.startswith("/dev/"))
    return place if is_kept else None


def _place(place: str, default: str) -> str:
    """Where a replay writes what the run has written to a place: never where it reads."""
    if place.startswith("bigquery:"):
        return f"{place}_replayed"
    if not is_local(strip_file_scheme(place)):
        return f"{place}-replayed" if "://" in place else default
    if place.startswith("file://"):  # which workers elsewhere have, too
        stem, dot, ending = place.rpartition(".")
        return f"{stem}-replayed{dot}{ending}" if dot and "/" not in ending else f"{place}-replayed"
    if os.path.realpath(place) != os.path.realpath(default):
        return default
    stem, ending = os.path.splitext(place)
    number = 2
    while os.path.lexists(f"{stem}-{number}{ending}"):
        number += 1
    return f"{stem}-{number}{ending}"
