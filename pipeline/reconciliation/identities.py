"""What conversions of an input, and those of dead letters, are known by: the digests that they share with receipts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from capybeam.transforms.core.conversions import Conversion, ignore, split_key
from capybeam.transforms.core.dead_letters import READY_STAGES, DeadLetter, is_unmade
from capybeam.transforms.core.envelope import Address, Envelope, body_identity
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.processed import Names, conversion_digest
from capybeam.transforms.core.rejections import Rejected, as_rejected, json_bytes
from capybeam.transforms.engine.engine import Engine, Refused


class Identity(NamedTuple):
    """What a conversion is known by.

    Attributes:
        digest: `conversion_digest`, as receipts have it; None where it is rejected before it has an event_id.
        early: a digest without the event's name, by which dead letters know what they rejected before it had one.
        event_id: as a dead letter names it; None where there is none.
        cause: why the job file rejects it; None where it can be sent.
    """

    subscription: str
    dataset_id: str
    digest: bytes | None
    early: bytes
    event_id: str | None
    cause: Rejected | None = None


_EARLY: Final = "\x00early"  # is no event's name


def early_digest(names: tuple[str, str, str], event_id: str | None, payload: Any) -> bytes:
    """By destination, dataset and subscription, and where there is no event_id by the event itself."""
    destination, dataset_id, subscription = names
    identity = event_id if event_id is not None else body_identity(json_bytes(payload))
    return conversion_digest(Names(destination, dataset_id, subscription, _EARLY), identity)


def identity_of(engine: Engine, named: Conversion | Refused) -> Identity:
    """The identity of a conversion that `Engine.conversions` gives, whatever its age is by now."""
    if isinstance(named, Refused):
        event_id = _text(named.payload.get("messageId"))
        destination, subscription = split_key(named.subscription)
        early = early_digest((destination, "", subscription), event_id, named.payload)
        return Identity(named.subscription, "", None, early, event_id, named.cause)
    reached, hashed = named, False
    try:
        reached = engine.map(reached, ignore)
        reached = engine.hash(reached, ignore)
        hashed = True
        at = reached.fields.get("event_time")
        ready = engine.validate(reached, float(at) if isinstance(at, (int, float)) else 0.0, ignore)
    except Exception as error:  # as in the steps
        return _rejected(named, reached, hashed, as_rejected(error))
    address, event = Address.decode(ready.key), Envelope.decode(ready.line)
    names = Names(address.destination, address.dataset_id, event.subscription, event.event_name)
    digest = conversion_digest(names, event.identity)
    early = early_digest((names.destination, names.dataset_id, names.subscription), event.event_id, None)
    return Identity(named.subscription, named.dataset_id, digest, early, event.event_id)


def _rejected(named: Conversion, reached: Conversion, hashed: bool, cause: Rejected) -> Identity:
    destination, subscription = split_key(named.subscription)
    event, fields = named.event, reached.fields
    event_id = _text(fields.get("event_id") or (event or {}).get("messageId"))
    early = early_digest((destination, named.dataset_id, subscription), event_id, event)
    digest = None
    if hashed and event_id is not None and isinstance(reached.event_name, str):
        digest = conversion_digest(Names(destination, named.dataset_id, subscription, reached.event_name), event_id)
    return Identity(named.subscription, named.dataset_id, digest, early, event_id, cause)


def identities_of_dead_letter(engine: Engine, letter: DeadLetter) -> Iterator[Identity]:
    """What a dead letter stands for, by the job as it is now. One whose lines were no events may stand for several."""
    if letter.subscription is None or letter.destination is None:
        for event in _events(engine, letter):
            yield from _of_event(engine, event, None, None)
        return
    key = f"{letter.destination}/{letter.subscription}"
    names = (letter.destination, letter.dataset_id or "", letter.subscription)
    early = early_digest(names, letter.event_id, letter.payload)
    digest = None
    if letter.stage in READY_STAGES:
        event_name = letter.payload.get("event_name")
        unmade = is_unmade(letter.stage, letter.code)
        identity = letter.event_id or (None if unmade else body_identity(json_bytes(letter.payload)))
        if isinstance(event_name, str) and identity is not None:
            digest = conversion_digest(Names(*names, event_name), identity)
    yield Identity(key, names[1], digest, early, letter.event_id)
    if letter.stage not in READY_STAGES:
        yield from _of_event(engine, letter.payload, key, letter.dataset_id or None)


def _events(engine: Engine, letter: DeadLetter) -> Iterator[Event]:
    if letter.stage == "filter":
        yield letter.payload
    elif isinstance(letter.payload, bytes):
        yield from (found for found in engine.parse(letter.payload, ignore) if not isinstance(found, Rejected))


def _of_event(engine: Engine, event: Event, only: str | None, dataset_id: str | None) -> Iterator[Identity]:
    """What the job would send of an event now."""
    for named in engine.conversions(event, only):
        if isinstance(named, Conversion) and dataset_id in (None, named.dataset_id):
            identity = identity_of(engine, named)
            if identity.cause is None:
                yield identity


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
