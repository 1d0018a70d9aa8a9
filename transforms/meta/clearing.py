"""Personal data taken out of fields and events in which anything may stand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.function_writer import FunctionWriter, literal
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.mapped_fields import mapped_names
from capybeam.transforms.meta.personal_data.cleaner import Watch
from capybeam.transforms.meta.personal_data.emails import emails
from capybeam.transforms.meta.personal_data.person import Person, is_whole, squeezed
from capybeam.transforms.meta.server_events import BESIDE, FREE
from capybeam.transforms.meta.settings import MetaSettings
from capybeam.transforms.meta.user_data import HASHED, OLDER_HASHED, WIRES, digest, newer_click

URLS: Final[tuple[str, ...]] = ("event_source_url", "referrer_url")
_TEXTS: Final[tuple[str, ...]] = ("content_name", "content_category", "search_string")

Clear = Callable[[Mapping[str, Any], dict[str, Any], dict[str, Any], Count], None]


def compile_clearing(subscription: MetaSettings) -> Clear:
    """The function that removes personal data from free-form fields, and takes the click of the page's URL.

    It is given the mapped user_data, not hashed yet, what that has become, and the fields; it changes both in place.
    """
    writer = FunctionWriter("cleared", "given", "user_data", "fields", "count")
    urls, texts = _looked_through(subscription)
    values = {name: writer.variable(f"fields.get({literal(name)})") for name in (*urls, *texts)}
    with writer.block(f"if not ({_is_clear(writer, subscription, values)}):"):
        clear = _compile_thorough_clearing(subscription)
        writer.line(writer.call(clear, "given", "user_data", "fields", "count"))
    return writer.function("None")


def write_clearing(
    writer: FunctionWriter,
    subscription: MetaSettings,
    given: Mapping[str, str],
    user_data: str,
    fields: Mapping[str, str],
) -> None:
    """Writes the same for variables: those of the keys of the mapped user_data and of the fields, None where an event
    has no value. It changes those of the fields.
    """
    urls, texts = _looked_through(subscription)
    values = {name: fields[name] for name in (*urls, *texts)}
    with writer.block(f"if not ({_is_clear(writer, subscription, values)}):"):
        looked_through = writer.dictionary({"event_time": fields["event_time"], **values}, {"event_time"})
        clear = _compile_thorough_clearing(subscription)
        writer.line(writer.call(clear, writer.dictionary(given), user_data, looked_through, "count"))
        for name, variable in values.items():
            writer.line(f"{variable} = {looked_through}.get({literal(name)})")


def _is_clear(writer: FunctionWriter, subscription: MetaSettings, values: Mapping[str, str]) -> str:
    """The condition that quickly recognises most events without personal data or a click: no texts, and known URLs."""
    if subscription.personal_data_in_text == "allow":
        return "False"
    known = writer.constant(subscription.cleaner.harmless, "harmless")
    conditions = [f"{value} in {known}" if name in URLS else f"{value} is None" for name, value in values.items()]
    return " and ".join(conditions) or "True"


def _looked_through(subscription: MetaSettings) -> tuple[list[str], list[str]]:
    """The fields that hold URLs, and those that hold texts or objects in which anything may stand."""
    mapped = mapped_names(subscription.mapping)
    names = {field.name for field in subscription.fields if mapped is None or field.name in mapped}
    urls = [name for name in URLS if name in names]
    texts = [name for name in _TEXTS if name in names]
    if mapped is None or isinstance(subscription.mapping.get("event_name"), dict):
        texts.append("event_name")
    texts += [name for name in FREE if name in names]
    return urls, [name for name in texts if name not in subscription.allow_in_custom_data]


def _compile_thorough_clearing(subscription: MetaSettings) -> Clear:
    urls, texts = _looked_through(subscription)
    notes = {name: f"removed_from_{'custom_data' if name in _TEXTS else name}" for name in (*urls, *texts)}
    clean, country = subscription.cleaner, subscription.default_country
    cuts = subscription.personal_data_in_text == "cut"

    def clear(given: Mapping[str, Any], user_data: dict[str, Any], fields: dict[str, Any], count: Count) -> None:
        fbc = newer_click(fields.get("event_source_url", ""), fields["event_time"], user_data.get("fbc"))
        if fbc:
            user_data["fbc"] = fbc
            count("derived_fbc")
        if not cuts:
            return
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
                own_url = name in URLS
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
            raise Rejected("missing_required_field", _NAME_IS_PERSONAL, field="event_name")
        else:
            del fields[name]

    return clear


_NAME_IS_PERSONAL: Final = "event_name holds nothing but personal data."


def compile_look_through(subscription: MetaSettings) -> Callable[[Mapping[str, Any], Count], dict[str, Any]]:
    """The function that takes personal data out of an event as it goes out, in whatever way that came.

    What the person has given to be hashed is not known any more, and not looked for.
    """
    clean, cut = subscription.cleaner, subscription.personal_data_in_text == "cut"

    def look_through(event: Mapping[str, Any], count: Count) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in event.items():
            note = f"removed_from_{name if name in BESIDE else 'event'}"  # other names may be anything
            if name in ("user_data", "match_keys") and type(value) is dict:
                kept[name] = without_emails(value, count) if cut else value
            elif name in URLS and type(value) is str and cut:
                kept[name] = clean.url(value, functools.partial(count, note))
            elif name == "event_id" and type(value) is str and cut and emails(value):
                kept[name] = digest(value)[:32]  # as unique, and the same at every run
                count("hashed_event_id")
            else:
                left = clean.data({name: value}, functools.partial(count, note)).get(name, "")
                if left or left == value:
                    kept[name] = left
        if "event_name" not in kept:
            raise Rejected("missing_required_field", _NAME_IS_PERSONAL, dict(event), "event_name")
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
                count(f"dropped_{key}" if key in WIRES and key not in kept else "removed_from_user_data")
        return kept

    return look_through
