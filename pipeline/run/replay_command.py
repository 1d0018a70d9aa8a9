"""The command that delivers a run's dead letters, complete, as a shell takes it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from capybeam.pipeline.run.options import REPLAYED_DEAD_LETTERS, REPLAYED_RECEIPTS
from capybeam.pipeline.sinks import read_back
from capybeam.pipeline.sinks.local_files import sibling

if TYPE_CHECKING:
    from capybeam.pipeline.run.request import Outputs


class ReplayCommand(NamedTuple):
    """A command line, and what the user has to put into it; "" where it is complete."""

    line: str
    hint: str = ""


def replay_command(
    config: str | None, outputs: Outputs, beam_options: Sequence[str] = (), *, only_retryable: bool = False
) -> ReplayCommand | None:
    """The command; None where the dead letters cannot be read back, or the job is in no file.

    Args:
        config: path or URL of the job file.
        outputs: of the run that has written the dead letters.
        only_retryable: whether the other dead letters are left out.
    """
    found = read_back(outputs.dead_letters)
    if config is None or found is None:
        return None
    words = ["capybeam", "replay", "--config", config, "--from", found.source]
    words += ["--retryable"] if only_retryable else []
    receipts = read_back(outputs.receipts)
    for option, default, place, beside in (
        ("--dead-letters", REPLAYED_DEAD_LETTERS, outputs.dead_letters, found.beside),
        ("--receipts", REPLAYED_RECEIPTS, outputs.receipts, receipts and receipts.beside),
    ):
        chosen = beside or _free(place, default)
        words += [] if chosen == default else [option, chosen]
    return ReplayCommand(shlex.join([*words, *beam_options]), found.hint)


def _free(place: str, default: str) -> str:
    """The default, or a name like it where a run has already written there: a replay never writes where it reads."""
    if os.path.realpath(place) != os.path.realpath(default):
        return default
    number = 2
    while os.path.lexists(sibling(place, str(number))):
        number += 1
    return sibling(place, str(number))
