"""Dead letters, put through the step that rejected them once more.

Up to hashing a dead letter holds the event: it is mapped again, but only for the subscription and dataset that rejected
it, for others may have it. After hashing it holds the ready body: it is checked again, for it may have grown too old,
and sent as it is. What is rejected again is the same dead letter with the new reason: payloads never nest, and the
`ReplayHistory`, the time at which it first became one, stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from capybeam.transforms.core.conversions import Conversion, Count, split_key
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.dead_letters import NEVER_EVENTS, READY_STAGES, DeadLetter, IsBody, is_unmade
from capybeam.transforms.core.envelope import Envelope, Ready, ReplayHistory
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.message_formats import Found
from capybeam.transforms.core.rejections import Rejected, Rejection, as_rejected
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld
from capybeam.transforms.language.subscriptions import Subscription


def compile_replay(
    subscriptions: Sequence[Subscription], max_bytes: int, unwrap: str | None = None
) -> Callable[[DeadLetter, float, Count, Callable[[str], Count]], Iterator[Ready | Rejection]]:
    """The function from a dead letter to what becomes of it: nothing where no trigger takes it any more.

    Besides the dead letter it takes the time (Unix seconds) and two ways to count, named as in `core.counters`:
    what happened, and by subscription key what was dropped on the way.
    """
    return _Replay(subscriptions, max_bytes, unwrap).outcomes


def compile_body_check(subscriptions: Sequence[Subscription]) -> IsBody:
    """What `parse_dead_letter` checks payloads by; those of subscriptions that the job does not have pass."""
    by_key = {subscription.key: subscription for subscription in subscriptions}

    def is_body(key: str, payload: Mapping[str, Any], is_encoded: bool) -> bool:
        return key not in by_key or by_key[key].is_body(payload, is_encoded)

    return is_body


class _Replay:
    def __init__(self, subscriptions: Sequence[Subscription], max_bytes: int, unwrap: str | None) -> None:
        self._subscriptions = {subscription.key: subscription for subscription in subscriptions}
        self._matched = {key: CounterKey("matched", key).encode() for key in self._subscriptions}
        self._engine = Engine(subscriptions, max_bytes, unwrap)
        self._of_edited = Engine(subscriptions, max_bytes, unwrap, is_edited=True)

    def outcomes(
        self, dead_letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        if dead_letter.stage == "parse":
            yield from self._parse_again(dead_letter, now, count, notes)
            return
        count("read")
        if dead_letter.key is not None and dead_letter.key not in self._subscriptions:
            yield self._not_in_job(dead_letter, dead_letter.key, count)
        elif dead_letter.stage in READY_STAGES:
            yield self._validate_again(dead_letter, now, count, notes)
        else:
            yield from self._convert_again(dead_letter, dead_letter.payload, now, count, notes)

    def _validate_again(
        self, dead_letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Ready | Rejection:
        key, body = str(dead_letter.key), dead_letter.payload
        dataset_id = self._dataset_of_body(key, dead_letter.dataset_id)
        if dataset_id is None:
            return self._not_in_job(dead_letter, key, count)
        unmade = is_unmade(dead_letter.stage, dead_letter.code)
        if not unmade and not self._subscriptions[key].takes_body(body):
            return self._not_in_job(dead_letter, key, count, _OTHER_WIRE)
        count("taken")
        count(self._matched[key])
        try:
            if unmade:
                conversion = Conversion(key, body["event_name"], dataset_id, None, body)
                ready = self._of_edited.validate(conversion, now, notes(key))
            else:
                ready = self._engine.revalidate[key](dataset_id, body, now, notes(key))
        except Exception as error:
            return dead_letter.rejected("validate", as_rejected(error), dataset_id=dataset_id)
        return with_history(ready, dead_letter.history)

    def _parse_again(
        self, dead_letter: DeadLetter, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        """A line, which holds one event or several, or none."""
        found: Iterable[Found] = (
            [Rejected(dead_letter.code)]
            if dead_letter.stage == "parse" and dead_letter.code in NEVER_EVENTS
            else self._engine.parse(dead_letter.payload, lambda name: count(CounterKey("note", detail=name).encode()))
        )
        for each in found:
            count("read")
            if isinstance(each, Rejected):
                count("unparsable")
                yield dead_letter.rejected("parse", each)
            else:
                yield from self._convert_again(dead_letter, each, now, count, notes)

    def _convert_again(
        self, dead_letter: DeadLetter, event: Event, now: float, count: Count, notes: Callable[[str], Count]
    ) -> Iterator[Ready | Rejection]:
        """An event's conversions: those for the subscription and the dataset that rejected it, if one did."""
        conversions = list(self._engine.conversions(event, dead_letter.key))
        datasets = [found.dataset_id for found in conversions if isinstance(found, Conversion)]
        dataset_id = _dataset(datasets, dead_letter.dataset_id) if dead_letter.dataset_id else None
        is_counted = False
        for found in conversions:
            if isinstance(found, Refused) and found.stage == "filter":
                yield dead_letter.rejected("filter", found.cause, destination=None, subscription=None, payload=event)
                return
            if not is_counted:
                count("filtered" if isinstance(found, (Filtered, Withheld)) else "taken")
                is_counted = True
            if isinstance(found, Filtered):
                return
            if isinstance(found, Withheld):
                count(CounterKey("withheld", found.subscription, detail=found.answer).encode())
                continue
            if isinstance(found, Refused):
                count(self._matched[found.subscription])
                yield dead_letter.rejected("name", found.cause, **_names(found.subscription), payload=event)
            elif dead_letter.dataset_id and dataset_id is None:
                count(self._matched[found.subscription])
                yield dead_letter.rejected(dead_letter.stage, Rejected("not_in_job"))
                return
            elif dataset_id in (None, found.dataset_id):
                count(self._matched[found.subscription])
                yield self._ready(dead_letter, found, now, notes(found.subscription))

    def _ready(self, dead_letter: DeadLetter, conversion: Conversion, now: float, note: Count) -> Ready | Rejection:
        ready = self._engine.ready(conversion, now, note)
        if isinstance(ready, Ready):
            return with_history(ready, dead_letter.history)
        assert ready.conversion is not None
        event_id = ready.conversion.fields.get("event_id", dead_letter.event_id)
        return dead_letter.rejected(
            ready.stage,
            ready.cause,
            **_names(ready.subscription),
            dataset_id=ready.conversion.dataset_id,
            event_id=event_id if isinstance(event_id, str) else None,
            payload=ready.payload,
        )

    def _dataset_of_body(self, key: str, dataset_id: str | None) -> str | None:
        """The dataset that a body is for. Without its event nothing can choose another one."""
        subscription = self._subscriptions[key]
        if subscription.routing is not None:
            return dataset_id if dataset_id in subscription.dataset_ids else None
        return _dataset(subscription.dataset_ids, dataset_id)

    def _not_in_job(self, dead_letter: DeadLetter, key: str, count: Count, detail: str | None = None) -> Rejection:
        count("taken")
        count(CounterKey("matched", key).encode())
        return dead_letter.rejected(dead_letter.stage, Rejected("not_in_job", detail))


def _dataset(datasets: Sequence[str], dataset_id: str | None) -> str | None:
    """The one of several that a dead letter is for: where there is only one, the job file may have been corrected."""
    return dataset_id if dataset_id in datasets else datasets[0] if len(datasets) == 1 else None


_OTHER_WIRE: Final = (
    "The subscription uses another wire in the job file, so its events have another format. Run the input again."
)


def _names(key: str) -> dict[str, str]:
    return dict(zip(("destination", "subscription"), split_key(key), strict=True))


def with_history(ready: Ready, history: ReplayHistory) -> Ready:
    """The same, with its history in the envelope."""
    return Ready(ready.key, Envelope.decode(ready.line)._replace(history=history).encode())
