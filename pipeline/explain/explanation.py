"""One event's way as plain data: triggers, look-ups, normalisation, payload, batch, or why it is rejected.

What a run does comes from the engine that a run has. What is shown beside it (look-ups, normalised forms, failed
conditions) is asked for separately, by the same functions, so that the engine has nothing to record.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from capybeam.pipeline.explain import advice
from capybeam.pipeline.job.loader import Job
from capybeam.transforms.core.conversions import Conversion, ignore
from capybeam.transforms.core.envelope import Address, Envelope, Ready
from capybeam.transforms.core.events import Event, event_id
from capybeam.transforms.core.message_formats import Row
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.engine.engine import Engine, Filtered, Refused, Withheld
from capybeam.transforms.language.failed_conditions import FailedCondition, compile_failed_condition, nearest
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.lookups import Lookup, MappedPart, mapped_parts
from capybeam.transforms.language.mapped_fields import of_a_person
from capybeam.transforms.language.subscriptions import Subscription
from capybeam.transforms.language.triggers import type_of
from capybeam.transforms.meta.masking import Mask, leaves, shape, shortened
from capybeam.transforms.meta.normalised_forms import normalised_forms
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import KEYS, digest
from capybeam.transforms.standards.javascript import MISSING

Json = dict[str, Any]


class Triggers:
    """The triggers of a job, for asking why they do not take an event. Compiled when first asked."""

    def __init__(self, subscriptions: tuple[Subscription, ...]) -> None:
        self._subscriptions = subscriptions

    @functools.cached_property
    def _failed(self) -> Mapping[str, Callable[[Event], FailedCondition | None]]:
        return {each.key: compile_failed_condition(each.trigger) for each in self._subscriptions}

    def failed(self, key: str, event: Event) -> FailedCondition | None:
        """The condition for which a subscription does not take an event; None where it takes it."""
        return self._failed[key](event)

    def nearest(self, event: Event) -> tuple[str, FailedCondition] | None:
        """Of an event that no subscription takes, the key of the one that came closest, and what failed there."""
        return nearest((key, failed(event)) for key, failed in self._failed.items())


def called(event: Event, mask: Mask) -> Json:
    """An event's type, and its name: a track call's event, any other call's name; null where there is none."""
    name = event.get("event") if event.get("type") == "track" else event.get("name", event.get("event"))
    return {"type": mask.scalar(event.get("type"), "type"), "name": mask.scalar(name, "event")}


def known_texts(job: Job) -> frozenset[str]:
    """The texts of a job's mappings and settings, which are no event's."""
    texts: set[str] = set()
    for each in job.subscriptions:
        texts.update(each.dataset_ids, (each.name, each.destination), _texts(each.mapping))
        if each.routing:
            texts.update(each.routing.datasets, _texts(each.routing.mapping))
        texts.update(_choices(each.fields))
    return frozenset(texts)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        yield from node
        for item in node.values():
            yield from _texts(item)
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)


def _choices(fields: tuple[Field, ...]) -> Iterator[str]:
    for field in fields:
        yield field.name
        yield from (choice for choice in field.choices if isinstance(choice, str))
        yield from _choices(field.properties or ())


class Explainer:
    """Explains the events of a job's inputs.

    Args:
        now: Unix seconds, for the age limits.
        show_values: whether personal values are shown as they are, rather than by their shape.
    """

    def __init__(self, job: Job, now: float, show_values: bool = False) -> None:
        self._job, self._now, self._show_values = job, now, show_values
        self._engine = Engine(job.subscriptions, job.delivery.max_batch_bytes, job.unwrap)
        self._triggers = Triggers(job.subscriptions)
        self._subscriptions = {each.key: each for each in job.subscriptions}
        self._known = known_texts(job)

    def events(self, row: Row) -> Iterator[Event | Rejected]:
        """The events in a row of an input, or why it has none."""
        yield from self._engine.parse(row, ignore)

    def explain(self, found: Event | Rejected) -> Json:
        """An event's way, as JSON can carry it: status, event, triggers, and a conversion for each that took it."""
        if isinstance(found, Rejected):
            return {"status": "rejected", **_refused("parse", found), **_advice(advice.of_code(found.code))}
        mask = Mask(found, self._known, self._show_values)
        event = {**called(found, mask), "message_id": mask.scalar(found.get("messageId"), "messageId")}
        triggers = [self._trigger(each, found, mask) for each in self._job.subscriptions]
        conversions = [self._outcome(outcome, found, mask) for outcome in self._engine.conversions(found)]
        statuses = [conversion["status"] for conversion in conversions]
        status = next(each for each in ("rejected", "ready", "filtered") if each in statuses)
        taken = [conversion for conversion in conversions if "destination" in conversion or "stage" in conversion]
        return {"status": status, "event": event, "triggers": triggers, "conversions": taken}

    # --- triggers -----------------------------------------------------------------------------------------------------

    def _trigger(self, subscription: Subscription, event: Event, mask: Mask) -> Json:
        about = {"destination": subscription.destination, "subscription": subscription.name}
        try:
            failed = self._triggers.failed(subscription.key, event)
        except Exception:  # a defect, which the engine reports as a rejection of the filter stage
            return {**about, "takes": None}
        return {**about, "takes": failed is None, **({"failed": failed_condition(failed, mask)} if failed else {})}

    # --- conversions --------------------------------------------------------------------------------------------------

    def _outcome(self, outcome: Conversion | Filtered | Withheld | Refused, event: Event, mask: Mask) -> Json:
        if isinstance(outcome, Filtered):
            return {"status": "filtered"}
        if isinstance(outcome, Withheld):
            reason = f"consent_{outcome.answer}"
            return {**_names(outcome.subscription), "status": "filtered", "reason": reason, **_advice(_CONSENT)}
        if isinstance(outcome, Refused):
            refused = _refused(outcome.stage, outcome.cause)
            help_ = _advice(advice.of_code(outcome.cause.code))
            rows = _dataset(self._subscriptions[outcome.subscription], event, mask) if outcome.subscription else []
            fields = {"fields": rows} if rows else {}
            return {**_names(outcome.subscription), "status": "rejected", **fields, **refused, **help_}
        subscription = self._subscriptions[outcome.subscription]
        notes: Counter[str] = Counter()
        ready = self._engine.ready(outcome, self._now, lambda name: notes.update((name,)))
        mapped, hashed = self._stages(outcome)
        given = mapped.get("user_data") if mapped else None
        if isinstance(given, dict) and not self._show_values:
            mask.learn(leaves(given))
        explained: Json = {
            **_names(subscription.key),
            "dataset_id": outcome.dataset_id,
            "event_name": mask.value(outcome.event_name, "event_name"),
            "status": "rejected" if isinstance(ready, Refused) else "ready",
            "fields": [*_dataset(subscription, event, mask), *self._fields(subscription, event, mapped, mask)],
        }
        if isinstance(subscription, MetaSettings) and isinstance(given, dict):
            explained["user_data"] = _user_data(given, hashed.get("user_data") or {}, subscription, mask)
        if notes:
            explained["notes"] = dict(sorted(notes.items()))
        if isinstance(ready, Refused):
            hint = advice.of_rejection(ready.cause, subscription, event, mask)
            return {**explained, **_refused(ready.stage, ready.cause), **_advice(hint)}
        return {**explained, "payload": mask.value(_body(ready)), "batch": self._batch(ready)}

    def _stages(self, conversion: Conversion) -> tuple[Json, Json]:
        """A conversion's fields as mapped, and as hashed; empty where it does not come so far."""
        mapped: Json = {}
        try:
            there = self._engine.map(conversion, ignore)
            mapped = there.fields
            return mapped, self._engine.hash(there, ignore).fields
        except Exception:  # `Engine.ready` has given the reason already
            return mapped, {}

    def _batch(self, ready: Ready) -> Json:
        """What may share a request with the event: all that has the same destination, dataset and settings."""
        address = Address.decode(ready.key)
        described = self._destination(address.destination).describe(address)
        return {"destination": address.destination, "dataset_id": address.dataset_id, **described,
                "max_events": self._job.delivery.max_batch_events}  # fmt: skip

    def _destination(self, name: str) -> Any:
        return next(each for each in self._job.destinations if each.name == name)

    # --- fields -------------------------------------------------------------------------------------------------------

    def _fields(self, subscription: Subscription, event: Event, mapped: Json, mask: Mask) -> list[Json]:
        rows = []
        seen: set[str] = set()
        for part in mapped_parts(subscription.mapping, event, of_a_person(event)):
            if part.path != ("event_name",):
                rows.append(_field(part, mapped, mask))
                seen.add(part.path[0])
        for name in mapped:
            if name not in seen and name != "event_name":
                came = "messageId, or made of the event's content" if name == "event_id" else "outside of the mapping"
                rows.append({"field": name, "from": came, "becomes": mask.value(mapped[name], name)})
        for row in rows:
            if row["field"] == "event_id" and row.get("mapped") is None and "event_id" in mapped:
                row["from"] = "made of the event's content" if mapped["event_id"] == event_id(event) else "messageId"
        return rows


def failed_condition(failed: FailedCondition, mask: Mask) -> Json:
    """A failed condition as JSON, with what the event has there: its type, and its value as it may be seen."""
    shown: Json = {"condition": failed.condition, "field": failed.field, "type": _type(failed.value)}
    if isinstance(failed.value, (str, int, float)):
        shown["value"] = mask.value(failed.value, *parse_path(failed.field))
    if failed.only_case_differs:
        shown["hint"] = "the event's text differs only in upper and lower case, or by blanks around it"
    elif failed.value is None and failed.field:
        shown["hint"] = f"the event has no {failed.field}"
    return shown


def _type(value: Any) -> str:
    return "missing" if value is MISSING else type_of(value)


_CONSENT = (
    "The destination's consent decides, see docs/consent.md; on_refused and on_unknown say what becomes of others."
)


def _names(key: str) -> Json:
    destination, _, subscription = key.partition("/")
    return {"destination": destination, "subscription": subscription} if key else {}


def _refused(stage: str, cause: Rejected) -> Json:
    return {"stage": stage, "code": cause.code, "message": cause.message}


def _advice(text: str) -> Json:
    return {"advice": text} if text else {}


def _body(ready: Ready) -> Any:
    return orjson.loads(Envelope.decode(ready.line).body)


def _field(part: MappedPart, mapped: Json, mask: Mask) -> Json:
    row: Json = {"field": ".".join(part.path) or "(the whole mapping)"}
    if part.directives:
        row["directives"] = list(part.directives)
        row["lookups"] = [_lookup(each, mask) for each in part.lookups]
    if part.error:
        row["error"] = part.error
    if part.value is not MISSING:
        found = [key for each in part.lookups if each.value is part.value for key in parse_path(each.path)]
        row["mapped"] = mask.value(part.value, *found, *part.path) if part.directives else part.value
        row["type"] = type_of(part.value)
    if not mapped:
        return row
    becomes: Any = mapped
    for key in part.path:
        becomes = becomes.get(key, MISSING) if isinstance(becomes, dict) else MISSING
    if becomes is not MISSING:
        if becomes != part.value or type(becomes) is not type(part.value):
            row["becomes"] = mask.value(becomes, *part.path) if part.directives else becomes
    elif part.value is not MISSING and part.value is not None:
        row["dropped"] = True
    return row


def _dataset(subscription: Subscription, event: Event, mask: Mask) -> list[Json]:
    """What the dataset is chosen by; nothing where all events have the same."""
    if subscription.routing is None:
        return []
    return [_field(part, {}, mask) for part in mapped_parts({"dataset_id": subscription.routing.mapping}, event, event)]


def _lookup(lookup: Lookup, mask: Mask) -> Json:
    path = [key for key in parse_path(lookup.path) if key != "*"]
    row: Json = {"path": lookup.path, "found": lookup.value is not MISSING}
    if lookup.value is not MISSING:
        row["type"] = type_of(lookup.value)
        row["value"] = mask.value(lookup.value, *path)
    if lookup.items is not None:
        row["items"] = f"{lookup.found} of {lookup.items}"
    return row


# --- user_data --------------------------------------------------------------------------------------------------------


def _user_data(given: Json, sent: Json, subscription: MetaSettings, mask: Mask) -> list[Json]:
    rows: list[Json] = []
    show: Callable[[str], str] = str if mask.shows_values else shape
    for name, value in given.items():
        key = KEYS.get(name)
        if key is None:
            rows.append({"key": name, "dropped": "Meta has no such key"})
            continue
        there = sent.get(key.wire)
        forms = normalised_forms(name, given, subscription.default_country)
        for form in forms:
            row: Json = {"key": key.wire, "given": show(form.given)}
            if form.already_hashed:
                row |= {"given": shortened(form.given.strip()), "already_hashed": True}
                rows.append({**row, "sent": shortened(form.normalised)})
            elif form.normalised and sent:
                hashed = shortened(digest(form.normalised))
                rows.append({**row, "normalised": show(form.normalised), "sent": hashed})
            elif form.normalised:
                rows.append({**row, "normalised": show(form.normalised)})
            else:
                rows.append({**row, "dropped": _NOTHING_LEFT})
        if not forms:
            row = {"key": key.wire, "given": show(value if isinstance(value, str) else str(value))}
            if there is not None:
                row["sent"] = show(str(there))
            elif sent:
                row["dropped"] = _NOTHING_LEFT
            rows.append(row)
    mapped = {KEYS[name].wire for name in given if name in KEYS}
    rows += [{"key": wire, "given": None, "sent": show(str(value)), "from": "fbclid in the page's URL"}
             for wire, value in sent.items() if wire not in mapped]  # fmt: skip
    return rows


_NOTHING_LEFT = "nothing is left of it that Meta would accept"
