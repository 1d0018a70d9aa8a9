"""Rows of Segment's warehouse → events, as they were sent: where the value of a column belongs.

A row is a call, objects flattened into columns, their names in snake_case, arrays as JSON text. The column
``context_traits_first_name`` is the event's ``context.traits.firstName`` again. Stores spell names in their own case:
``CONTEXT_TRAITS_FIRST_NAME`` is the same column.

The sources of the rules are Segment's pages "Warehouse Schemas" and "Spec: Common Fields", and its package
go-snakecase. Snake case cannot be undone in general: names of Segment's spec get their spelling back, a customer's own
stay as the column has them.

Here are the names, which hold for all stores, and rows without a schema: lines of JSON and of
CSV. `capybeam.pipeline.sources.warehouse.layout` has tables with a schema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from capybeam.transforms.core.events import Event
from capybeam.transforms.standards.json_text import load_json

KINDS: Final = ("track", "page", "screen", "identify", "group", "alias")
TABLES: Final[Mapping[str, str]] = {
    "tracks": "track",
    "pages": "page",
    "screens": "screen",
    "identifies": "identify",
    "groups": "group",
    "aliases": "alias",
}
STATES: Final = {"users": "identifies", "accounts": "groups"}  # not a row a call, but the latest state
IDS: Final = ("messageId", "id", "message_id")
TIMES: Final = (
    "timestamp",
    "original_timestamp",
    "originalTimestamp",
    "sent_at",
    "sentAt",
    "received_at",
    "receivedAt",
)
OBJECTS: Final = ("properties", "traits", "context", "integrations")
EVENT_NAMES: Final = ("event_text", "event")  # the name as it was sent, and its slug

_BOOKKEEPING: Final = frozenset({"uuid", "uuid_ts", "loaded_at"})  # the warehouse connector's own
_BOOKKEEPERS: Final = ("__", "_fivetran_", "_airbyte_", "_sdc_", "_dbt_")
# What Pub/Sub's BigQuery subscriptions write beside a message, which has another ID and time there.
PUBSUB: Final = frozenset({"subscription_name", "message_id", "publish_time", "attributes"})
_SIGNS_OF_PUBSUB: Final = PUBSUB - {"attributes"}
MESSAGE: Final = frozenset({"data", "message_id", "publish_time"})  # the columns of a message with its events


# --- names of columns -------------------------------------------------------------------------------------------


def canonical(name: str) -> str:
    """A column's name in the case that Segment gave it: Snowflake has all in capitals."""
    return name.lower() if name.isupper() else name


def of_events(names: Iterable[str]) -> list[str]:
    """Those of the columns that belong to the event. The transport's ID and times are not the event's."""
    names = list(names)
    transports = PUBSUB if len(_SIGNS_OF_PUBSUB.intersection(names)) > 1 else ()
    return [
        name
        for name in names
        if name not in transports and name not in _BOOKKEEPING and not name.startswith(_BOOKKEEPERS)
    ]


def is_context(name: str) -> bool:
    return name.startswith("context_")


# --- where a column belongs -------------------------------------------------------------------------------------

ROOT: Final[Mapping[str, str]] = {
    "id": "messageId",
    "message_id": "messageId",
    "anonymous_id": "anonymousId",
    "user_id": "userId",
    "group_id": "groupId",
    "previous_id": "previousId",
    "timestamp": "timestamp",
    "original_timestamp": "originalTimestamp",
    "sent_at": "sentAt",
    "received_at": "receivedAt",
}
ROOT_COLUMNS: Final[Mapping[str, str]] = {**ROOT, **{name: name for name in ROOT.values()}}
_OF_ONE_KIND: Final[Mapping[str, str]] = {"groupId": "group", "previousId": "alias"}

_TRAITS: Final = (
    "age avatar birthday createdAt description email firstName gender id lastName name phone title username website"
    " address.city address.country address.postalCode address.state address.street"
    " company.id company.name company.industry company.employee_count company.plan"
).split()
_CONTEXT: Final = (
    "active ip locale timezone userAgent groupId channel"
    " app.name app.version app.build app.namespace"
    " campaign.name campaign.source campaign.medium campaign.term campaign.content campaign.id"
    " device.id device.advertisingId device.adTrackingEnabled device.manufacturer device.model device.name device.type"
    " device.token device.version"
    " library.name library.version"
    " location.city location.country location.latitude location.longitude location.region location.speed"
    " network.bluetooth network.carrier network.cellular network.wifi"
    " os.name os.version"
    " page.path page.referrer page.search page.title page.url"
    " referrer.id referrer.link referrer.name referrer.type referrer.url"
    " screen.density screen.height screen.width"
    " userAgentData.bitness userAgentData.brands userAgentData.mobile userAgentData.model userAgentData.platform"
    " userAgentData.platformVersion"
).split()


def _flattened(names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Column names of the spec's fields → paths. A column of an object that the spec knows is a key of that object."""
    paths = [tuple(name.split(".")) for name in names]
    columns = {"_".join(snake_case(key) for key in path): path for path in paths}
    for path in paths:
        for depth in range(1, len(path)):
            columns["_".join(snake_case(key) for key in path[:depth]) + "_"] = path[:depth]
    return columns


def snake_case(name: str) -> str:
    """A name as Segment's warehouses spell it."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return "_".join(re.findall(r"[a-z0-9]+", parts.lower()))


def _path_in(columns: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    if name in columns:
        return columns[name]
    for end in (found.end() for found in reversed(list(re.finditer("_", name[:_LONGEST_COLUMN])))):
        if name[:end] in columns and name[end:]:
            return (*columns[name[:end]], name[end:])
    return (name,)


_TRAIT_PATHS: Final = _flattened(_TRAITS)
_CONTEXT_PATHS: Final = _flattened([*_CONTEXT, *(f"traits.{name}" for name in _TRAITS)])
_LONGEST_COLUMN: Final = max(map(len, (*_TRAIT_PATHS, *_CONTEXT_PATHS)))


def paths_of(name: str, kind: str | None, taken: Collection[str] = ()) -> tuple[tuple[str, ...], ...]:
    """Where in an event the value of a column stands, for events of a kind.

    Args:
        taken: keys at the event's root that are other columns'.

    >>> paths_of("context_traits_address_postal_code", "track")
    (('context', 'traits', 'address', 'postalCode'),)
    >>> paths_of("product_id", "track"), paths_of("first_name", "identify")
    ((('properties', 'product_id'),), (('traits', 'firstName'),))
    """
    root = ROOT_COLUMNS.get(name)
    if root is not None and root not in taken and _OF_ONE_KIND.get(root, kind) == kind:
        return ((root,),)
    if name in OBJECTS or (kind == "track" and name == "event"):
        return ((name,),)
    if kind == "track" and name == "event_text":
        return (("event",),)
    if is_context(name) and name != "context_":
        return (("context", *_path_in(_CONTEXT_PATHS, name.removeprefix("context_"))),)
    if kind in ("page", "screen") and name in ("name", "category"):
        return ((name,), ("properties", name))  # as analytics.js sends them
    return (own_path(name, kind),)


def own_path(name: str, kind: str | None) -> tuple[str, ...]:
    """Where a customer's own value stands."""
    return ("traits", *_path_in(_TRAIT_PATHS, name)) if kind in ("identify", "group") else ("properties", name)


def by_id_first(names: Iterable[str]) -> list[str]:
    """The names in their order, but the one of the events' messageId first: others of that kind are properties then."""
    names = list(names)
    first = id_of(names)
    return sorted(names, key=lambda name: name != first)


def id_of(names: Collection[str]) -> str:
    """The column of the events' messageId; "" if none has it."""
    return next((name for name in IDS if name in names), "")


# --- values -----------------------------------------------------------------------------------------------------


def is_plain_text(name: str) -> bool:
    """Whether a text can be no array: fields that are single values in Segment's spec."""
    return (
        name in _SINGLE
        or name in EVENT_NAMES
        or name in ROOT_COLUMNS
        or name.removeprefix("context_") in _CONTEXT_PATHS
    )


_SINGLE: Final = frozenset(  # of the e-commerce spec, and of page and screen
    "affiliation brand cart_id category checkout_id coupon currency email image_url keyword list_id name order_id"
    " path payment_method position price product_id promotion_id query quantity referrer revenue reason search"
    " search_id share_via shipping_method sku step title total url value variant wishlist_id wishlist_name".split()
)


def parsed(text: str) -> Any:
    """Segment stores an array as JSON text. What only looks like one is text."""
    try:
        return load_json(text)
    except orjson.JSONDecodeError:
        return text


def number(value: float) -> float | int:
    """JavaScript, where most events are made, writes 24.0 as 24: a text that is made of it must be the same."""
    return value if value % 1 or not -EXACT < value < EXACT else int(value)


EXACT: Final = 2.0**53


# --- rows without a schema ---------------------------------------------------------------

Certainty = Literal["certain", "likely"]
SHOWN_BY: Final = frozenset(  # names that no event has and most rows have, for a look that costs little
    name
    for column in ("anonymous_id", "original_timestamp", "sent_at", "received_at", "message_id", "event_text")
    for name in (column, column.upper())
)
_KEYS_OF_EVENTS: Final = frozenset(name for name in ROOT.values() if name not in ROOT)
_SIGNS: Final = frozenset({"anonymous_id", "original_timestamp", "sent_at", "received_at", "message_id"})


def row_of_segments(names: Collection[str]) -> Certainty | None:
    """Whether names are those of the columns of a row of Segment's warehouse, and not the keys of an event.

    That is certain with a time and a column that only Segment's warehouse has, ``event_text`` or ``context_…``; likely
    with an ID, a time, and another name in snake case or all names in capitals.
    """
    if not _KEYS_OF_EVENTS.isdisjoint(names):
        return None
    columns = set(of_events(map(canonical, names)))
    if columns.isdisjoint(TIMES):
        return None
    if "event_text" in columns or any(map(is_context, columns)):
        return "certain"
    spelt_so = not _SIGNS.isdisjoint(columns) or all(map(str.isupper, names))
    return "likely" if spelt_so and not columns.isdisjoint(IDS) else None


def shows_kind(names: Iterable[str]) -> bool:
    """Whether rows with these columns show which calls they are."""
    return not {*EVENT_NAMES, "type"}.isdisjoint(map(canonical, names))


def event_of(row: Mapping[str, Any], table_kind: str | None = None) -> Event | None:
    """The event of a row of text, or of what JSON holds; None if neither row nor table shows which call it is.

    Args:
        table_kind: the calls of the table that it is from, where that is known.
    """
    names = tuple(row)
    columns = _columns(names)
    stated = row.get(columns.get("type", "")) if table_kind is None else None
    named = any(row.get(columns.get(column, "")) is not None for column in EVENT_NAMES)
    kind = table_kind or ("track" if named else stated if stated in KINDS else None)
    if kind is None:
        return None
    event: Event = {"type": kind}
    for name, column, paths, is_object in _plan(names, kind, stated not in KINDS or (named and stated != "track")):
        value = row[name]
        if value is None:
            continue
        if type(value) is str:
            if is_object:
                paths, value = _of_text(column, kind, value)
            elif value[:1] == "[" and not is_plain_text(column):
                value = parsed(value)
        elif type(value) is float:
            value = number(value)
        if not (is_object and value == {}):
            for path in paths:
                _put(event, path, value)
    return event


class _Place(NamedTuple):
    """Where in an event the value of a row goes."""

    name: str  # the row's
    column: str  # Segment's
    paths: tuple[tuple[str, ...], ...]
    is_object: bool  # whether the column may hold an object of the event


_PLANS: Final = 256  # of rows that have the same columns
_LONGEST_NAMES: Final = 20_000  # characters of all names of columns whose plan is remembered


def _columns(names: tuple[str, ...]) -> Mapping[str, str]:
    """Columns → the row's names of them."""
    return _remembered_columns(names) if sum(map(len, names)) <= _LONGEST_NAMES else _columns_of(names)


def _columns_of(names: tuple[str, ...]) -> Mapping[str, str]:
    there = set(names)
    columns = ((canonical(name), name) for name in names)
    return {name if column in there else column: name for column, name in columns}


_remembered_columns: Final = functools.lru_cache(_PLANS)(_columns_of)


def _plan(names: tuple[str, ...], kind: str, with_type: bool) -> Sequence[_Place]:
    short = sum(map(len, names)) <= _LONGEST_NAMES
    return (_remembered_plan if short else _plan_of)(names, kind, with_type)


def _plan_of(names: tuple[str, ...], kind: str, with_type: bool) -> Sequence[_Place]:
    by_column = _columns(names)
    plan, taken = [], {"type"}
    for column in by_id_first(of_events(by_column)):
        if column == "type" and not with_type:
            continue
        paths = paths_of(column, kind, taken)
        taken.update(path[0] for path in paths)
        plan.append(_Place(by_column[column], column, paths, column in OBJECTS))
    plan.sort(key=lambda place: place.column == "event_text")  # behind the slug, in whose place it is
    return plan


_remembered_plan: Final = functools.lru_cache(_PLANS)(_plan_of)


def _of_text(column: str, kind: str, text: str) -> tuple[tuple[tuple[str, ...], ...], Any]:
    """Where the text of a column goes that may hold an object, and what it is: else a value of the customer's own."""
    value = parsed(text) if text[:1] in ("{", "[") else text
    return ((column,) if type(value) is dict else own_path(column, kind),), value


def _put(event: Event, path: Sequence[str], value: Any) -> None:
    """Puts a value where it belongs. Parts of an object win over the whole of it, and over a text in its place."""
    place: Any = event
    *parents, last = path
    for key in parents:
        inner = place.get(key)
        if type(inner) is not dict:
            inner = place[key] = {}
        place = inner
    there = place.get(last)
    if type(there) is not dict:
        place[last] = {**value} if type(value) is dict else value
    elif type(value) is dict:
        place[last] = {**value, **there}
