"""Dead letters as they are read back: rows that `Rejection.encode` has written, checked."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import orjson

from capybeam.transforms.core.envelope import LATEST, ReplayHistory
from capybeam.transforms.core.events import is_blank, without_mark
from capybeam.transforms.core.rejections import UNFORESEEN, Rejected, Rejection, Stage, reject
from capybeam.transforms.standards.json_text import load_json

READY_STAGES: Final = ("validate", "send")  # stages whose payload is the ready body


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """A row of the dead letters, as `Rejection.encode` writes it; `history` is that of what a replay makes of it."""

    stage: Stage
    code: str
    destination: str | None
    subscription: str | None
    dataset_id: str | None
    event_id: str | None
    payload: Any = dataclasses.field(repr=False)
    retryable: bool
    history: ReplayHistory

    @property
    def key(self) -> str | None:
        return f"{self.destination}/{self.subscription}" if self.subscription else None

    def rejected(self, stage: Stage, cause: Rejected, **where: Any) -> Rejection:
        """What rejects it again."""
        fields = {
            "destination": self.destination,
            "subscription": self.subscription,
            "dataset_id": self.dataset_id,
            "event_id": self.event_id,
            "payload": self.payload if cause.payload is None else cause.payload,
            **where,
        }
        return reject(stage, cause, **fields, **self.history._asdict())


@dataclasses.dataclass(frozen=True)
class ReplayFilter:
    """Which dead letters are replayed.

    Attributes:
        codes: only those; all, where there are none.
        retryable: only those that are retryable.
    """

    codes: frozenset[str] = frozenset()
    retryable: bool = False

    def takes(self, letter: DeadLetter) -> bool:
        return (not self.codes or letter.code in self.codes) and (letter.retryable or not self.retryable)


# Of the parse stage, and not the text of an event: the start of a line, a row of a table, what was left of a file, and
# a line that was taken for a dead letter.
NEVER_EVENTS: Final = frozenset({"line_too_long", "unreadable_row", "unreadable_rest", "not_a_dead_letter"})
_UNDIRECTED: Final = ("parse", "filter")  # stages before an event is a subscription's
_STAGES: Final[Mapping[str, Stage]] = {stage: stage for stage in get_args(Stage)}
_MOST_REPLAYS: Final = 1_000_000

IsBody = Callable[[str, Mapping[str, Any], bool], bool]
"""Whether a payload has the form of a subscription's events: its key, the payload, and whether that was encoded once,
rather than the fields of what was to be."""


def _any_body(key: str, payload: Mapping[str, Any], is_encoded: bool) -> bool:
    return True


def parse_dead_letter(line: bytes, place: str, is_body: IsBody = _any_body) -> DeadLetter:
    """A line of dead letters.

    Args:
        place: of the line, for the message: "Line 7 of dead-letters.jsonl".
        is_body: checks the payload of a stage behind hashing.

    Raises:
        Rejected: not_a_dead_letter, with the line as payload.
    """

    def no(reason: str) -> Rejected:
        return Rejected("not_a_dead_letter", f"{place} is not a capybeam dead letter: {reason}.", line)

    try:
        row = load_json(without_mark(line))
    except orjson.JSONDecodeError:
        raise no("it is empty" if is_blank(line) else "it is not JSON") from None
    if not isinstance(row, dict):
        raise no("it is not a JSON object")
    missing = [key for key in ("dead_lettered_at", "stage", "code", "payload") if row.get(key) is None]
    if missing:
        raise no(f"it has no {missing[0]}")
    stage, code = _STAGES.get(row["stage"]) if type(row["stage"]) is str else None, row["code"]
    if stage is None:
        raise no("its stage is not one of capybeam's")
    if type(code) is not str or not code:
        raise no("its code is not text")
    first: Any = row.get("first_dead_lettered_at", row["dead_lettered_at"])
    replays = row.get("replays", 0)
    if not (_is_whole(first, LATEST) and _is_whole(row["dead_lettered_at"], LATEST)):
        raise no("its time is not in Unix seconds")
    if not _is_whole(replays, _MOST_REPLAYS):
        raise no("its replays are not a count")
    names = [row.get(key) for key in ("destination", "subscription", "dataset_id", "event_id")]
    if not all(name is None or type(name) is str for name in names):
        raise no("a name in it is not text")
    destination, subscription, dataset_id, event_id = names
    if stage in _UNDIRECTED:
        if any(name is not None for name in (destination, subscription, dataset_id)):
            raise no(f"it names a subscription, and at the stage {stage} an event has none yet")
    elif not destination or not subscription:
        raise no("it names no subscription")
    elif "/" in destination:
        raise no("its destination has a name that a job file cannot give")
    payload = _payload(stage, code, row, no)
    if stage in READY_STAGES and not is_body(f"{destination}/{subscription}", payload, not is_unmade(stage, code)):
        raise no("its payload is not an event of its destination")
    retryable = row.get("retryable") is True
    history = ReplayHistory(first, replays + 1)
    return DeadLetter(stage, code, destination, subscription, dataset_id, event_id, payload, retryable, history)


def _payload(stage: Stage, code: str, row: Mapping[str, Any], no: Callable[[str], Rejected]) -> Any:
    """The payload as the stage's step takes it. Raises what `no` makes of a reason."""
    payload, encoding = row["payload"], row.get("payload_encoding")
    if stage == "parse" and code in NEVER_EVENTS:
        return payload
    if stage == "parse":
        if type(payload) is not str:
            raise no("its payload is not text")
        if encoding is None:
            return payload.encode()
        try:
            if encoding == "base64":
                return base64.b64decode(payload, validate=True)
        except ValueError:
            pass
        raise no("its payload cannot be decoded")
    if not isinstance(payload, dict):
        raise no("its payload is not an object")
    return payload


def is_unmade(stage: Stage, code: str) -> bool:
    """Whether a payload is the fields of which a server event was to be made, and what that met came as a surprise."""
    return stage == "validate" and code in UNFORESEEN


def _is_whole(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
