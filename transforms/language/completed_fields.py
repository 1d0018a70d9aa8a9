"""What the fields of a conversion get beside what its mapping yields: an event_id, a value found elsewhere, a limit to
the use of its data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from capybeam.transforms.core import events
from capybeam.transforms.core.conversions import Count
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import get_path
from capybeam.transforms.language.consent import compile_consent
from capybeam.transforms.language.fields import NOTHING, Field, FieldError, compile_check
from capybeam.transforms.language.mapped_fields import Fields, FieldsWriter
from capybeam.transforms.language.subscriptions import Subscription


def compile_completed_fields(
    subscription: Subscription, mapped: Callable[[Event, Any, Count], Fields]
) -> Callable[[Event, Any, Count], Fields]:
    """The function from an event and its event name to a conversion's fields, complete.

    It takes `count` as well, and raises Rejected, both as of `compile_event_fields`.

    Args:
        mapped: by `compile_event_fields` of the subscription's mapping.
    """
    fallback, is_limited = subscription.value_fallback, _compile_is_limited(subscription)
    limited_fields = subscription.limited_fields

    def completed(event: Event, event_name: Any, count: Count) -> Fields:
        fields = mapped(event, event_name, count)
        if fallback and "value" not in fields:
            _take_value(fields, get_path(event, fallback), count)
        if is_limited is not None and is_limited(event):
            fields.update(limited_fields)
            count("limited_data_use")
        event_id = fields.get("event_id")
        if event_id is None or event_id in NOTHING:
            fields["event_id"] = _own_event_id(event_id, events.event_id(event), count)
        return fields

    return completed


def write_completion(code: FieldsWriter, subscription: Subscription, variables: dict[str, str]) -> None:
    """Writes the same for the variables of `write_event_fields`.

    What is written raises FieldError for an event that needs more than an event_id.
    """
    if subscription.value_fallback:
        code.line(f"if {variables.get('value', 'None')} is None: {_ELSEWHERE}")
    is_limited = _compile_is_limited(subscription)
    if is_limited is not None:
        event = code.call(code.shape.plain, "e") if code.shape else "e"
        code.line(f"if {code.call(is_limited, event)}: {_ELSEWHERE}")
    event_id = variables["event_id"] = variables.get("event_id") or code.variable("None")
    message_id = "e.messageId" if code.shape else code.call(events.event_id, "e")
    own = code.call(_own_event_id, event_id, message_id, "count")
    code.line(f"if {event_id} is None or {event_id} in {code.constant(NOTHING, 'NOTHING')}: {event_id} = {own}")


_ELSEWHERE: Final = "raise FieldError('has more than its mapping yields')"


def _compile_is_limited(subscription: Subscription) -> Callable[[Event], bool] | None:
    """Whether an event's consent allows only a limited use of its data; None where it is not asked for that."""
    consent = subscription.consent
    if consent is None or not consent.limits:
        return None
    answer = compile_consent(consent)

    def is_limited(event: Event) -> bool:
        return consent.reaction(answer(event)) == "limit_data_use"

    return is_limited


def _own_event_id(event_id: str | None, own: str, count: Count) -> str:
    """The event's own ID, where its mapping yields none, or one such as "undefined": a destination would take all
    events that share it for one.
    """
    if event_id is not None:
        count("dropped_event_id")
    return own


_number: Final = compile_check(Field("value", "number"))


def _take_value(fields: Fields, value: Any, count: Count) -> None:
    """Takes a value from where the mapping does not look; what is not a number is none."""
    try:
        fields["value"] = _number(value)
    except FieldError:
        return
    count("value_fallback")
    custom_data = fields.get("custom_data")
    if custom_data:
        fields["custom_data"] = {key: item for key, item in custom_data.items() if key != "value"}
