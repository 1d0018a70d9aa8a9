"""One event's way to the bytes that Meta will read, as pure functions: filter, name, map, hash, validate.

Each function here compiles, once per process, what one step needs, and gives back a function for one element. The Beam
steps and ``capybeam map`` call the same ones, so they yield the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from transforms import envelopes, events, meta_rules
from transforms.directives import compile_mapping, get_path, parse_path, paths
from transforms.envelopes import Found, Row
from transforms.events import Event
from transforms.fields import NOTHING, Field, Unfit, compile_check, ignore
from transforms.personal_data import Cleaner, Person, Watch, cleaner, emails, is_personal, is_whole, squeezed
from transforms.properties import compile_event_fields, mapped_names
from transforms.rejections import Rejected
from transforms.triggers import compile_triggers
from transforms.user_data import (
    HASHED,
    KEYS,
    OFFLINE_KEYS,
    OLDER_HASHED,
    Count,
    compile_user_data,
    digest,
    match_keys,
    newer_click,
    unhashed,
)

Wire = Literal["conversions_api", "offline_events"]
InText = Literal["cut", "allow"]


@dataclasses.dataclass(frozen=True)
class Subscription:
    """Which events a destination takes, and what becomes of them.

    Attributes:
        destination: the destination's name; with `name` it makes the `key` used in metrics and dead letters.
        trigger: FQL.
        mapping: field → mapping; the action's defaults are already merged in.
        fields: what the action knows; event_name among them.
        dataset_ids: where a conversion goes; one event may go to several.
        needs_user_agent: whether a website event without client_user_agent is rejected.
        default_country, test_event_code, allow_in_custom_data, personal_data_in_text: the destination's settings.
        wire: the form of its events: server events of the Conversions API, or the older Offline Conversions API's.
        upload_tag: goes out with each request, where it is not "".
        value_fallback: path of the value of an event for which the mapping finds none; "" for none.
    """

    destination: str
    name: str
    trigger: str
    mapping: Mapping[str, Any]
    fields: tuple[Field, ...]
    dataset_ids: tuple[str, ...]
    needs_user_agent: bool = True
    default_country: str | None = None
    test_event_code: str | None = None
    allow_in_custom_data: frozenset[str] = frozenset()
    personal_data_in_text: InText = "cut"
    wire: Wire = "conversions_api"
    upload_tag: str = ""
    value_fallback: str = ""

    @property
    def key(self) -> str:
        return f"{self.destination}/{self.name}"

    @property
    def cleaner(self) -> Cleaner:
        """What takes personal data out of its events."""
        return cleaner(self.allow_in_custom_data, self.personal_data_in_text == "cut")

    def maps(self, key: str) -> bool:
        """Whether the mapping may read a key at an event's root. Only False is certain: any mention of it counts."""
        whole = any(not parse_path(path) for path in paths(self.mapping))
        return whole or key in orjson.dumps(self.mapping).decode()


class Conversion(NamedTuple):
    """An event on its way to one dataset. `event` is None from hashing on: no raw personal data exists then."""

    subscription: str
    event_name: Any
    dataset_id: str
    event: Event | None
    fields: dict[str, Any]


class Hashed(Conversion):
    """A conversion as hashing has made it: what has to be hashed in its user_data is. None is made elsewhere."""

    __slots__ = ()


class Ready(NamedTuple):
    """A conversion as it goes to its batch.

    Attributes:
        key: the destination key: what may share a request. See `destination_key`.
        line: the subscription's name, a tab, and the body: all that sending needs, in bytes.
    """

    key: str
    line: bytes


class Address(NamedTuple):
    """What a destination key says: where its events go, and what their request says of itself."""

    destination: str
    dataset_id: str
    test_event_code: str = ""
    upload_tag: str = ""


def destination_key(destination: str, dataset_id: str, test_event_code: str = "", upload_tag: str = "") -> str:
    """Events with the same key may share a request."""
    return f"{destination}\t{dataset_id}\t{test_event_code}\t{upload_tag}"


def split_key(key: str) -> Address:
    """What `destination_key` made a key of."""
    return Address(*key.split("\t"))


def split_line(line: bytes) -> tuple[str, bytes]:
    """Subscription name and body of a `Ready` line."""
    subscription, _, body = line.partition(b"\t")
    return subscription.decode(), body


def event_time(body: bytes) -> int:
    """The event_time of an encoded event, which it starts with so that nobody has to decode it for that."""
    return int(body[TIME_AT])


_STARTS_WITH: Final = b'{"event_time":'
TIME_AT: Final = slice(len(_STARTS_WITH), len(_STARTS_WITH) + 10)  # a valid one has ten digits, until the year 2286


def action_source(body: bytes) -> str | None:
    """``physical_store`` where an encoded event is a store's, which may be older than others, else None.

    All events of the older wire are. Only what stands at the event's root counts, and is read off its beginning.
    """
    root = _BEGINNING.match(body)
    if root is None:
        event = orjson.loads(body)
        return "physical_store" if "match_keys" in event or event.get("action_source") == "physical_store" else None
    return "physical_store" if root["source"] in (None, b"physical_store") else None


_TEXT: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_BEGINNING: Final = re.compile(
    rb'\{"event_time":\d+,"event_name":%b(?:,"event_id":%b)?,(?:"match_keys":|"action_source":"(?P<source>\w+)")'
    % (_TEXT, _TEXT)
)


def compile_parsing(
    subscriptions: Iterable[Subscription], unwrap: str | None = None
) -> Callable[[Row, Count], tuple[Event] | Iterator[Found]]:
    """The function from what a source yields to its events, by `envelopes.compile_parsing`."""
    return envelopes.compile_parsing(compile_filter(subscriptions), unwrap)


def compile_filter(subscriptions: Iterable[Subscription]) -> Callable[[Event], list[str]]:
    """The function from an event to the keys of the subscriptions whose trigger takes it, in the job file's order."""
    return compile_triggers((subscription.key, subscription.trigger) for subscription in subscriptions)


def compile_naming(subscriptions: Iterable[Subscription]) -> Callable[[Event, str], list[Conversion]]:
    """The function from an event and a subscription's key to its conversions, one for each dataset."""
    namers = {s.key: _namer(s.key, _compile_name(s.mapping.get("event_name")), s.dataset_ids) for s in subscriptions}
    return lambda event, key: namers[key](event)


def _namer(key: str, name: Any, dataset_ids: Sequence[str]) -> Callable[[Event], list[Conversion]]:
    def named(event: Event) -> list[Conversion]:
        event_name = name(event) if callable(name) else name
        return [_new(Conversion, (key, event_name, dataset_id, event, _NO_FIELDS)) for dataset_id in dataset_ids]

    if len(dataset_ids) > 1 or callable(name):
        return named
    (dataset_id,) = dataset_ids
    return lambda event: [_new(Conversion, (key, name, dataset_id, event, _NO_FIELDS))]


def _compile_name(node: Any) -> Any:
    """A function, or the name itself where it is the same for all events."""
    if not isinstance(node, dict):
        return node
    name = compile_mapping({"event_name": node})
    return lambda event: name(event).get("event_name")


_NO_FIELDS: Final[dict[str, Any]] = {}
# Makes a Conversion or a Ready of a tuple, in a third of the time that their own constructors take.
_new: Final = tuple.__new__


def compile_properties(subscriptions: Iterable[Subscription]) -> Callable[..., Conversion]:
    """The function that fills a conversion's fields by its subscription's mapping, typed and complete.

    It takes the conversion and `count`, which is told of what is left out or comes from elsewhere, and raises Rejected:
    missing_required_field, invalid_<field>, invalid_field, mapping_failed.
    """
    subscriptions = tuple(subscriptions)
    compiled = {s.key: compile_event_fields(s.mapping, s.fields) for s in subscriptions}
    fallbacks = {s.key: s.value_fallback for s in subscriptions if s.value_fallback}

    def mapped(conversion: Conversion, count: Count = ignore) -> Conversion:
        subscription, event_name, dataset_id, event, _ = conversion
        assert event is not None
        fields = compiled[subscription](event, event_name, count)
        if subscription in fallbacks and "value" not in fields:
            _take_value(fields, get_path(event, fallbacks[subscription]), count)
        event_id = fields.get("event_id")
        if event_id is None:
            fields["event_id"] = events.event_id(event)
        elif event_id in NOTHING:  # Meta would count one of all the events that share it
            fields["event_id"] = events.event_id(event)
            count("dropped_event_id")
        return _new(Conversion, (subscription, fields["event_name"], dataset_id, event, fields))

    return mapped


_number: Final = compile_check(Field("value", "number"))


def _take_value(fields: dict[str, Any], value: Any, count: Count) -> None:
    """Takes a value from where the mapping does not look; what is no number is none."""
    try:
        fields["value"] = _number(value)
    except Unfit:
        return
    count("value_fallback")
    custom_data = fields.get("custom_data")
    if custom_data:
        fields["custom_data"] = {key: item for key, item in custom_data.items() if key != "value"}


def compile_hashing(subscriptions: Iterable[Subscription]) -> Callable[[Conversion, Count], Hashed]:
    """The function that replaces user_data by its normalised, hashed form and lets go of the event.

    A click ID in the page's URL is newer than another one in the cookie. What else is known to be personal is taken out
    of the other fields, among it what user_data has just given to be hashed. `count` is told what was dropped.
    """
    compiled = {
        s.key: (compile_user_data(s.default_country, _user_data_names(s.mapping)), *_compile_clearing(s))
        for s in subscriptions
    }

    def hashed(conversion: Conversion, count: Count) -> Hashed:
        subscription, event_name, dataset_id, _, fields = conversion
        hash_user_data, clear, is_clear = compiled[subscription]
        given = fields["user_data"]
        user_data = hash_user_data(given, count, fields["event_time"])
        fields = fields.copy()
        fields["user_data"] = user_data
        if not is_clear(fields):
            fbc = newer_click(fields.get("event_source_url", ""), fields["event_time"], user_data.get("fbc"))
            if fbc:
                user_data["fbc"] = fbc
                count("derived_fbc")
            clear(given, fields, count)
            event_name = fields.get("event_name", event_name)
        return _new(Hashed, (subscription, event_name, dataset_id, None, fields))

    return hashed


def _user_data_names(mapping: Mapping[str, Any]) -> frozenset[str] | None:
    """The keys that a mapping's user_data can have; None where only the event tells."""
    node = mapping.get("user_data")
    return mapped_names(node) if isinstance(node, dict) and mapped_names(mapping) is not None else None


_URLS: Final[tuple[str, ...]] = ("event_source_url", "referrer_url")
_TEXTS: Final[tuple[str, ...]] = ("content_name", "content_category", "search_string")
_FREE: Final[tuple[str, ...]] = ("custom_data", "attribution_data")  # objects with any keys

Clear = Callable[[Mapping[str, Any], dict[str, Any], Count], None]


def _compile_is_clear(
    urls: Sequence[str], texts: Sequence[str], harmless: Container[Any]
) -> Callable[[Mapping[str, Any]], bool]:
    """The function that says of most events quickly that fields hold no personal data, and no click: no texts, and
    known URLs."""
    conditions = [*(f"get({name!r}) in harmless" for name in urls), *(f"{name!r} not in fields" for name in texts)]
    lines = ["def is_clear(fields):", "    get = fields.get", f"    return {' and '.join(conditions) or True}"]
    namespace: dict[str, Any] = {"harmless": harmless}
    exec(compile("\n".join(lines), "<is_clear>", "exec"), namespace)
    is_clear: Callable[[Mapping[str, Any]], bool] = namespace["is_clear"]
    return is_clear


def _compile_clearing(subscription: Subscription) -> tuple[Clear, Callable[[Mapping[str, Any]], bool]]:
    """What takes personal data out of fields in which anything may stand, and what says of most events quickly that
    there is none, and no click.

    The first function is given the mapped user_data, not hashed yet, and the fields, which it changes in place.
    """
    mapped = mapped_names(subscription.mapping)
    names = {field.name for field in subscription.fields if mapped is None or field.name in mapped}
    urls = [name for name in _URLS if name in names]
    texts = [name for name in _TEXTS if name in names]
    if mapped is None or isinstance(subscription.mapping.get("event_name"), dict):
        texts.append("event_name")
    texts += [name for name in _FREE if name in names]
    texts = [name for name in texts if name not in subscription.allow_in_custom_data]
    notes = {name: f"removed_from_{'custom_data' if name in _TEXTS else name}" for name in (*urls, *texts)}
    clean, country = subscription.cleaner, subscription.default_country

    def clear(given: Mapping[str, Any], fields: dict[str, Any], count: Count) -> None:
        there = [name for name in texts if name in fields]
        values: list[str] = []
        for name in urls:
            if name in fields:
                put(fields, name, clean.url(fields[name], functools.partial(count, notes[name]), values))
        if not values and not there:
            return
        person = Person(given, country)
        watch = Watch(person.wholes, values.copy())
        for name in there:
            left = clean.data({name: fields[name]}, functools.partial(count, notes[name]), watch)
            put(fields, name, left.get(name, ""))
        if not any([is_whole(value, person.wholes) for value in values]) and not person.may_be_in(
            squeezed("\n".join(watch.seen))
        ):
            return
        for name in (*urls, *there):
            if name in fields:
                value, removed = fields[name], functools.partial(count, notes[name])
                own_url = name in _URLS
                put(
                    fields,
                    name,
                    clean.own_url(value, person, removed) if own_url else clean.own(value, person, removed, name),
                )

    def put(fields: dict[str, Any], name: str, left: Any) -> None:
        """Sets a field to what is left of it."""
        if left != "":
            fields[name] = left
        elif name == "event_name":
            raise Rejected("missing_required_field", "event_name holds nothing but personal data.")
        else:
            del fields[name]

    if subscription.personal_data_in_text == "allow":
        return (lambda given, fields, count: None), lambda fields: False
    return clear, _compile_is_clear(urls, texts, clean.harmless)


# Fields that Meta reads beside custom_data; every other field of an action goes into custom_data.
_ALWAYS: Final = frozenset(
    {"event_name", "event_time", "event_id", "event_source_url", "referrer_url", "action_source", "user_data"}
)
_AS_THEY_ARE: Final = frozenset(
    {
        "opt_out",
        "original_event_data",
        "customer_segmentation",
        "attribution_data",
        "messaging_channel",
        "store_data",
    }
)
_WEB: Final = ("https://", "http://")
_REWRITTEN: Final = frozenset(
    {
        *_FREE,
        "app_data_field",
        "data_processing_options",
        "data_processing_options_country",
        "data_processing_options_state",
        "test_event_code",
    }
)


def in_custom_data(fields: Iterable[str]) -> list[str]:
    """Those of an action's fields that the Conversions API has in custom_data, beside the keys that are free there."""
    return [name for name in fields if name not in _ALWAYS | _AS_THEY_ARE | _REWRITTEN]


def compile_validation(
    subscriptions: Iterable[Subscription], max_bytes: int, unseen: bool = False
) -> Callable[[Conversion, float, Count], Ready]:
    """The function from a hashed conversion to the bytes that Meta will read, known to be valid at `now`.

    It raises Rejected with any code of the validate stage; `count` is told of what was left out or may go unused.

    Args:
        unseen: whether conversions may have been changed since they were hashed.
    """
    compiled = {
        s.key: (s, s.name.encode() + b"\t", _compile_wire(s)[0], _compile_encoder(s, max_bytes, unseen), _keys(s))
        for s in subscriptions
    }

    def validated(conversion: Conversion, now: float, count: Count) -> Ready:
        subscription, _, dataset_id, _, fields = conversion
        s, name, written, encode, keys = compiled[subscription]
        body = encode(written(fields, count), now, count, type(conversion) is Hashed)
        key = keys[dataset_id]
        if "test_event_code" in fields:  # of the mapping, which wins over the destination's
            code = " ".join(fields["test_event_code"].split())
            key = destination_key(s.destination, dataset_id, code, s.upload_tag)
        return _new(Ready, (key, name + body))

    return validated


def _keys(subscription: Subscription) -> dict[str, str]:
    """Dataset ID → destination key of a subscription's events."""
    destination, code = subscription.destination, subscription.test_event_code or ""
    return {
        dataset_id: destination_key(destination, dataset_id, code, subscription.upload_tag)
        for dataset_id in subscription.dataset_ids
    }


def compile_revalidation(
    subscriptions: Iterable[Subscription], max_bytes: int
) -> Callable[[str, str, Mapping[str, Any], float, Count], Ready]:
    """The function that makes an event, which was ready once, ready again: it may have grown too old, or been edited.

    It takes the subscription's key, the dataset ID, the event as it goes out, the time and a way to count, and raises
    Rejected as validation does.
    """
    by_key = {s.key: (s, _compile_encoder(s, max_bytes, unseen=True)) for s in subscriptions}

    def revalidated(key: str, dataset_id: str, event: Mapping[str, Any], now: float, count: Count) -> Ready:
        s, encode = by_key[key]
        first = {name: event[name] for name in _FIRST if name in event}  # see `event_time` and `action_source`
        body = encode({**first, **event}, now, count, False)
        address = destination_key(s.destination, dataset_id, s.test_event_code or "", s.upload_tag)
        return Ready(address, s.name.encode() + b"\t" + body)

    return revalidated


_FIRST: Final = ("event_time", "event_name", "event_id", "action_source", "match_keys")


Encode = Callable[[dict[str, Any], float, Count, bool], bytes]
_NO_URLS: Final = dict.fromkeys(_URLS)


def _compile_encoder(subscription: Subscription, max_bytes: int, unseen: bool) -> Encode:
    """The function from an event as it goes out to its bytes, valid at `now` and with nothing personal in the clear.

    It takes also whether the event's user_data is known to be hashed, and raises Rejected with the event as payload.

    Args:
        unseen: whether an event may hold what hashing has not seen: it is then looked through whole. Of others that is
            known to be needless, unless there is an @ in what was made of them, or a % in any of it but URLs.
    """
    (_, check), needs_user_agent, dumps = _compile_wire(subscription), subscription.needs_user_agent, orjson.dumps
    older, cut = subscription.wire == "offline_events", subscription.personal_data_in_text == "cut"
    look_through = _compile_look_through(subscription) if unseen else None
    thorough = _compile_encoder(subscription, max_bytes, unseen=True) if cut and not unseen else None
    who = "match_keys" if older else "user_data"

    def encoded(event: dict[str, Any], now: float, count: Count, hashed: bool) -> bytes:
        if look_through is not None:
            event = look_through(event, count)
        try:
            if not hashed:
                check_hashed(event[who], who)
            unattributed = check(event, needs_user_agent, now)
        except Rejected as cause:
            cause.payload = event
            raise
        try:
            body = dumps(event)
        except TypeError:
            raise Rejected("unencodable", payload=event) from None
        if thorough is not None and (64 in body or (37 in body and 37 in dumps({**event, **_NO_URLS}))):
            return thorough(event, now, count, hashed)
        if len(body) > max_bytes:
            raise Rejected(
                "event_too_large", f"The event alone takes {len(body)} bytes of max_batch_bytes {max_bytes}.", event
            )
        if unattributed:
            count("beyond_attribution_window")
        return body

    return encoded


_BESIDE: Final = _ALWAYS | _AS_THEY_ARE | {"custom_data", "app_data"}


def _compile_look_through(subscription: Subscription) -> Callable[[Mapping[str, Any], Count], dict[str, Any]]:
    """The function that takes personal data out of an event as it goes out, in whatever way that came.

    What the person has given to be hashed is not known any more, and not looked for.
    """
    clean, cut = subscription.cleaner, subscription.personal_data_in_text == "cut"

    def look_through(event: Mapping[str, Any], count: Count) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in event.items():
            note = f"removed_from_{name if name in _BESIDE else 'event'}"  # other names may be anything
            if name in ("user_data", "match_keys") and type(value) is dict:
                kept[name] = without_emails(value, count) if cut else value
            elif name in _URLS and type(value) is str and cut:
                kept[name] = clean.url(value, functools.partial(count, note))
            elif name == "event_id" and type(value) is str and cut and emails(value):
                kept[name] = digest(value)[:32]  # as unique, and the same at every run
                count("hashed_event_id")
            else:
                left = clean.data({name: value}, functools.partial(count, note)).get(name, "")
                if left or left == value:
                    kept[name] = left
        if "event_name" not in kept:
            raise Rejected("missing_required_field", "event_name holds nothing but personal data.", dict(event))
        return kept

    def without_emails(user_data: dict[str, Any], count: Count) -> dict[str, Any]:
        """user_data without keys that leave as they are and hold an email address, but for the browser's name."""
        kept = dict(user_data)
        for key, value in user_data.items():
            if type(value) is str and key not in HASHED and key not in OLDER_HASHED and emails(value):
                if key == "client_user_agent" and (left := clean.text(value)):
                    kept[key] = left
                else:
                    del kept[key]
                count(f"dropped_{key}" if key in _WIRES and key not in kept else "removed_from_user_data")
        return kept

    return look_through


_WIRES: Final = frozenset(key.wire for key in KEYS.values())
_OLDER_WIRES: Final = frozenset({*OLDER_HASHED, *(name for name, _ in OFFLINE_KEYS.values())})


def check_hashed(user_data: Mapping[str, Any], who: str = "user_data") -> None:
    """Nothing leaves in user_data, or the older wire's match_keys, that has to be hashed and is not.

    Raises:
        Rejected: unhashed_user_data.
    """
    hashed, known = (HASHED, _WIRES) if who == "user_data" else (OLDER_HASHED, _OLDER_WIRES)
    strange = [key for key in user_data if key not in known and (key in KEYS or is_personal(key))]
    key = unhashed(user_data, (*hashed, *strange))
    if key is not None:
        name = f"{who}.{key}" if key in hashed else f"A key of {who} that Meta does not know"
        raise Rejected("unhashed_user_data", f"{name} has to be SHA-256 in 64 hexadecimal digits, and is not.")


Write = Callable[[Mapping[str, Any], Count], dict[str, Any]]


def _compile_wire(subscription: Subscription) -> tuple[Write, Callable[..., bool]]:
    """What makes an event of a subscription's fields, and the check of what is made, by the subscription's wire."""
    if subscription.wire == "offline_events":
        return _compile_offline_event(subscription), meta_rules.check_offline_event
    return _compile_event(subscription), meta_rules.check_event


def _compile_offline_event(subscription: Subscription) -> Write:
    """The function from an action's fields to an event of the older Offline Conversions API.

    It has no event_id: that API told repeats by order_id (else the match keys), event_time and event_name. Source:
    Meta, "offline-conversions", as it was until Graph API v16.0 ended.
    """
    beside = in_custom_data(field.name for field in subscription.fields)
    clean = subscription.cleaner

    def offline_event(fields: Mapping[str, Any], count: Count) -> dict[str, Any]:
        event = {
            "event_time": fields["event_time"],  # first; see `event_time`
            "event_name": fields["event_name"],
            "match_keys": match_keys(fields["user_data"]),
        }
        for wire, value in fields["user_data"].items():
            if wire not in OFFLINE_KEYS or (type(value) is list and len(value) > 1 and not OFFLINE_KEYS[wire][1]):
                count(f"dropped_{wire}")
        for name in beside:
            if name in fields:
                event[name] = fields[name]
        custom_data = _free("custom_data", fields, clean, count)
        if custom_data:
            event["custom_data"] = custom_data
        return event

    return offline_event


def _compile_event(subscription: Subscription) -> Write:
    """The function from an action's fields to Meta's server event."""
    mapped = mapped_names(subscription.mapping)
    names = [field.name for field in subscription.fields if mapped is None or field.name in mapped]
    custom = in_custom_data(names)
    beside = [name for name in names if name in _AS_THEY_ARE and name not in _FREE]
    rewrites = mapped is None or not _REWRITTEN.isdisjoint(mapped)
    clean = subscription.cleaner
    limited = subscription.mapping.get("data_processing_options")
    unlimited = limited in (False, "false")

    def server_event(fields: Mapping[str, Any], count: Count) -> dict[str, Any]:
        get = fields.get
        source, url, referrer = fields["action_source"], get("event_source_url"), get("referrer_url")
        event = {
            "event_time": fields["event_time"],  # first; see `event_time`
            "event_name": fields["event_name"],
            "event_id": fields["event_id"],
            "action_source": source,
            "user_data": fields["user_data"],
        }
        if url is not None and ((url.startswith(_WEB) and url[-1] > " ") or (url := _web_address(url))):
            event["event_source_url"] = url
        else:
            if url is not None:
                count("dropped_event_source_url")
            if source == "website":
                count("website_without_url")
        if referrer is not None:
            if (referrer.startswith(_WEB) and referrer[-1] > " ") or (referrer := _web_address(referrer)):
                event["referrer_url"] = referrer
            else:
                count("dropped_referrer_url")
        custom_data = _rewritten(fields, event, clean, unlimited, count) if rewrites else {}
        for name in beside:
            value = get(name)
            if value is not None:
                event[name] = value
        if custom_data:
            _count_replaced(custom_data, fields, custom, count)
        for name in custom:  # after custom_data, so that a defined field wins over it
            if name in fields:
                custom_data[name] = fields[name]
        if custom_data:
            event["custom_data"] = custom_data
        return event

    return server_event


def _web_address(url: str) -> str:
    """An http or https URL, without the blanks around it; "" where it is none."""
    url = url.strip()
    return url if url[:8].lower().startswith(_WEB) else ""


def _count_replaced(
    custom_data: Mapping[str, Any], fields: Mapping[str, Any], names: Iterable[str], count: Count
) -> None:
    """Counts the keys of a mapping's custom_data whose place a field takes, with another value."""
    for name in names:
        if name in custom_data and fields.get(name) is not None and str(custom_data[name]) != str(fields[name]):
            count("replaced_in_custom_data")


def _rewritten(
    fields: Mapping[str, Any], event: dict[str, Any], clean: Cleaner, unlimited: bool, count: Count
) -> dict[str, Any]:
    """Puts into `event` what Meta reads in another form than the fields have it; gives back its custom_data.

    Args:
        unlimited: whether the mapping says for all events that the use of their data is not limited.
    """
    if "app_data_field" in fields:
        app_data = meta_rules.app_data(fields["app_data_field"])
        if app_data is not None:
            event["app_data"] = app_data
    if fields.get("data_processing_options"):
        country, state = fields.get("data_processing_options_country"), fields.get("data_processing_options_state")
        event.update(meta_rules.limited_data_use(country, state))
    elif unlimited:
        event["data_processing_options"] = []
    attribution_data = _free("attribution_data", fields, clean, count)
    if attribution_data:
        event["attribution_data"] = attribution_data
    return _free("custom_data", fields, clean, count)


def _free(name: str, fields: Mapping[str, Any], clean: Cleaner, count: Count) -> dict[str, Any]:
    """What may leave of an object with any keys."""
    return clean.data(fields[name], functools.partial(count, f"removed_from_{name}")) if name in fields else {}
