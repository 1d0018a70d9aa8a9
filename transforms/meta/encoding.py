"""Hashed conversions → the envelopes of Meta's events, known to be valid and with nothing personal in the clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from capybeam.transforms.core.conversions import Conversion, Count, Hashed, new_tuple
from capybeam.transforms.core.envelope import Ready, seal, write_seal
from capybeam.transforms.core.function_writer import FunctionWriter
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.subscriptions import Revalidate, Validate
from capybeam.transforms.meta import rules
from capybeam.transforms.meta.clearing import URLS, compile_look_through
from capybeam.transforms.meta.personal_data.keys import is_personal
from capybeam.transforms.meta.restricted import restrict
from capybeam.transforms.meta.server_events import compile_wire
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import HASHED, KEYS, OFFLINE_KEYS, OLDER_HASHED, WIRES, unhashed


def compile_validation(subscription: MetaSettings, max_bytes: int, is_edited: bool) -> Validate:
    """See `Subscription.compile_validation`."""
    write, _ = compile_wire(subscription)
    encode = compile_encoder(subscription, max_bytes, is_edited)
    keys = {dataset_id: subscription.address(dataset_id).encode() for dataset_id in subscription.dataset_ids}

    def validated(conversion: Conversion, now: float, count: Count, window: int = 0, /) -> Ready:
        _, _, dataset_id, _, fields = conversion
        line = encode(write(fields, count), now, count, type(conversion) is Hashed, window)
        if "test_event_code" in fields:  # of the mapping
            code = " ".join(fields["test_event_code"].split())
            return Ready(subscription.address(dataset_id, code).encode(), line)
        return new_tuple(Ready, (keys[dataset_id], line))

    return validated


def compile_revalidation(subscription: MetaSettings, max_bytes: int) -> Revalidate:
    """See `Subscription.compile_revalidation`."""
    encode = compile_encoder(subscription, max_bytes, is_edited=True)

    def revalidated(dataset_id: str, body: Mapping[str, Any], now: float, count: Count) -> Ready:
        first = {name: body[name] for name in _FIRST if name in body}
        return Ready(subscription.address(dataset_id).encode(), encode({**first, **body}, now, count, False, 0))

    return revalidated


# The order in which a new event has its keys, so that one that is sent again is the same bytes.
_FIRST: Final = ("event_time", "event_name", "event_id", "action_source", "match_keys")


Encoder = Callable[[dict[str, Any], float, Count, bool, int], bytes]
_NO_URLS: Final = dict.fromkeys(URLS)


def compile_encoder(subscription: MetaSettings, max_bytes: int, is_edited: bool) -> Encoder:
    """The function from an event as it goes out to its envelope, valid at `now` and with nothing personal in the clear.

    It takes also whether the event's user_data is known to be hashed, and the window in which it arrived, and raises
    Rejected with the event as payload.

    Args:
        is_edited: whether an event may hold what hashing has not seen: it is then looked through whole. For others
            that is not needed, unless there is an @ in what was made of them, or a % in any of it but URLs.
    """
    (_, check), needs_user_agent, dumps = compile_wire(subscription), subscription.needs_user_agent, orjson.dumps
    older, cut = subscription.wire == "offline_events", subscription.personal_data_in_text == "cut"
    look_through = compile_look_through(subscription) if is_edited else None
    thorough = compile_encoder(subscription, max_bytes, is_edited=True) if cut and not is_edited else None
    who, name = "match_keys" if older else "user_data", subscription.name.encode()
    age_limit = rules.age_limit

    def encoded(event: dict[str, Any], now: float, count: Count, is_hashed: bool, window: int) -> bytes:
        if look_through is not None:
            event = look_through(event, count)
        try:
            if not is_hashed:
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
            return thorough(event, now, count, is_hashed, window)
        if len(body) > max_bytes:
            raise Rejected(
                "event_too_large",
                f"The event alone has {len(body)} bytes, more than max_batch_bytes {max_bytes}.",
                event,
            )
        if unattributed:
            count("beyond_attribution_window")
        event_id = event.get("event_id")
        return seal(
            name,
            event["event_name"].encode(),
            event_id.encode() if type(event_id) is str else b"",
            event["event_time"],
            age_limit("physical_store" if older else event["action_source"]),
            body,
            None,
            window,
        )

    if not subscription.restricted:
        return encoded
    return lambda event, now, count, is_hashed, window: encoded(restrict(event, count), now, count, is_hashed, window)


def write_encoding(
    writer: FunctionWriter, subscription: MetaSettings, event: str, fields: Mapping[str, str], max_bytes: int
) -> str:
    """Writes the same for an event whose user_data is hashed, and whose fields are in variables, None where it has no
    value; ``now``, ``window`` and ``count`` are the function's arguments. Returns the expression of the envelope.

    What is written raises something where the encoder raises Rejected.
    """
    encode = writer.constant(compile_encoder(subscription, max_bytes, is_edited=False), "encode")
    if subscription.restricted or subscription.wire == "offline_events":
        return f"{encode}({event}, now, count, True, window)"
    dumps, fixed = writer.constant(orjson.dumps, "dumps"), subscription.mapping.get("event_name")
    event_name = fixed if isinstance(fixed, str) else None
    body = writer.variable(f"{dumps}({event})")
    if subscription.personal_data_in_text == "cut":  # and may be in what was made of the event: @, or % in any but URLs
        without_urls = f"{dumps}({{**{event}, **{writer.constant(_NO_URLS, 'NO_URLS')}}})"
        with writer.block(f"if 64 in {body} or (37 in {body} and 37 in {without_urls}):"):
            writer.line(f"return {encode}({event}, now, count, True, window)")
    writer.line(f"if len({body}) > {max_bytes}: raise ValueError('too large')")
    rules.write_check(
        writer,
        event_name,
        subscription.needs_user_agent,
        event,
        fields,
        late="count('beyond_attribution_window')",
    )
    age_limit = rules.write_age_limit(fields["action_source"])
    return write_seal(
        writer,
        subscription.name,
        event_name,
        {
            "event_name": fields["event_name"],
            "event_id": fields["event_id"],
            "event_time": fields["event_time"],
            "age_limit": age_limit,
            "body": body,
            "window": "window",
        },
    )


_OLDER_WIRES: Final = frozenset({*OLDER_HASHED, *(name for name, _ in OFFLINE_KEYS.values())})


def check_hashed(user_data: Mapping[str, Any], who: str = "user_data") -> None:
    """Nothing leaves in user_data, or the older wire's match_keys, that has to be hashed and is not.

    Raises:
        Rejected: unhashed_user_data.
    """
    hashed, known = (HASHED, WIRES) if who == "user_data" else (OLDER_HASHED, _OLDER_WIRES)
    strange = [key for key in user_data if key not in known and (key in KEYS or is_personal(key))]
    key = unhashed(user_data, (*hashed, *strange))
    if key is not None:
        name = f"{who}.{key}" if key in hashed else f"A key of {who} that Meta does not know"
        field = name if key in hashed else who
        raise Rejected("unhashed_user_data", f"{name} is not SHA-256 in 64 hexadecimal digits.", field=field)
