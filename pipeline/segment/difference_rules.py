"""The rules by which an event comes out otherwise than at Segment, each a row of a table in the documentation."""

from __future__ import annotations

import dataclasses
from typing import Final

_EVENT: Final = "docs/normalisation.md#from-event-to-request"
_DATA: Final = "docs/normalisation.md#user_data-and-custom_data"
_TRIGGER: Final = "docs/normalisation.md#mappings-and-triggers"
_DIRECTIVES: Final = "docs/mapping.md#coming-from-segment"
_CODES: Final = "docs/operations.md#rejection-codes"


@dataclasses.dataclass(frozen=True)
class Rule:
    """Why something differs.

    Attributes:
        name: for programs.
        docs: the section that lists it.
        row: the first cell of its row there; "" where it is the section as a whole.
        sentence: what Segment does, and what is done here.
    """

    name: str
    docs: str
    row: str
    sentence: str


_RULES: Final = (
    # events
    Rule("currency", _EVENT, "currency", "Segment refuses a currency in small letters or with blanks; here it counts."),
    Rule("numbers", _EVENT, "numbers", "Segment takes Infinity and true for numbers."),
    Rule("age", _EVENT, "age", "Segment does not check an event's age; Meta refuses the whole batch for an old one."),
    Rule(
        "contents without an id",
        _EVENT,
        "contents without an id",
        "Segment refuses the event for an item without an id; here that item is left out.",
    ),
    Rule(
        "unusable value",
        _EVENT,
        "one unusable value of user_data or of a contents item",
        "Segment refuses the event for one value that does not fit; here that value is left out.",
    ),
    Rule(
        "several values",
        _DATA,
        "emails, phones and other hashed keys",
        "Segment refuses a list of several values here; capybeam sends each.",
    ),
    Rule(
        "no user_data",
        _EVENT,
        "no user_data",
        "Segment sends events that identify nobody; Meta refuses them, with the batch.",
    ),
    Rule(
        "content_type", _EVENT, "content_type", "Segment sends any content_type; Meta takes product or product_group."
    ),
    Rule("purchase", _EVENT, "a Purchase of the custom action", "Segment sends it without a currency or a value."),
    Rule("app events", _DATA, "app events without app_data", "Segment sends them; Meta refuses them, with the batch."),
    Rule("business messaging", _DATA, "action_source business_messaging", "Segment does not know it."),
    Rule("ldu states", _EVENT, "data_processing_options_state", "Segment knows fewer states, and only by number."),
    Rule("event_time", _EVENT, "event_time", "The same moment: Segment passes the text on, here it is Unix seconds."),
    Rule("unreadable time", _EVENT, "event_time", "Segment passes on what is no time."),
    # fields
    Rule(
        "event_id",
        _EVENT,
        "event_id",
        "Without a usable one, the messageId, or a digest of the event's content, is sent here.",
    ),
    Rule("fbc", _EVENT, "fbc", "Here it is made of a click ID, also of the URL's, and dropped after 90 days."),
    Rule("malformed fbc", _DATA, "fbc, fbp", "Segment sends malformed ones; Meta refuses the event, with the batch."),
    Rule("event_source_url", _DATA, "event_source_url", "Segment sends anything; here only http(s) URLs, trimmed."),
    Rule("client_ip_address", _DATA, "client_ip_address", "Segment sends anything; here the first public address."),
    Rule("already hashed", _EVENT, "already hashed values", "They are recognised by other rules: see the table."),
    Rule("normalisation", _EVENT, "normalisation", "Segment only strips white space and lowers the case."),
    Rule("composed form", _EVENT, "normalisation", "Here letters with accents are hashed in Unicode's composed form."),
    Rule("phone", _EVENT, "normalisation", "Here leading zeros, (0) and extensions go; Segment keeps all digits."),
    Rule("names", _EVENT, "normalisation", "Here punctuation goes; Segment hashes it."),
    Rule("dates", _EVENT, "normalisation", "Here dates of birth become YYYYMMDD; Segment hashes the text."),
    Rule("places", _EVENT, "normalisation", "Here states and ZIP codes take Meta's form, and punctuation goes."),
    Rule("genders", _EVENT, "normalisation", "Segment knows m, male, f and female only."),
    Rule("emails", _EVENT, "normalisation", "Here what stands around an address goes; Segment hashes it."),
    Rule("countries", _EVENT, "normalisation", "Here names in all languages become codes; Segment knows English ones."),
    Rule(
        "nothing left",
        _EVENT,
        "values of which nothing is left",
        "Segment sends a digest of rubbish, or a placeholder.",
    ),
    Rule("repeats", _EVENT, "repeated values of externalId", "Segment sends each, here one."),
    Rule("null numbers", _EVENT, "contents with a null price or quantity", "Segment sends 0 for null."),
    Rule("null ids", _EVENT, "a null leadID or fbLoginID", "Segment sends 0 for null."),
    Rule("empty contents", _EVENT, "contents without items", "Segment sends an empty list."),
    Rule("pageView", _EVENT, "pageView and custom_data", "Segment drops a page view's custom_data."),
    Rule(
        "custom_data", _EVENT, "custom_data and fields", "At Segment a field that is not mapped deletes the free key."
    ),
    Rule("order_id", _EVENT, "order_id, predicted_ltv", "Segment's purchase does not have the field."),
    Rule("group", _EVENT, "traits of a group call", "They are the company's; Segment takes them for a person's."),
    Rule("trimmed", _EVENT, "other texts of user_data", "Here blanks around a text go."),
    Rule("personal keys", _DATA, "personal keys in custom_data", "Segment sends it in the clear."),
    Rule("personal texts", _DATA, "personal data in texts and URLs", "Segment sends it in the clear."),
    Rule("ldu", _EVENT, "`data_processing_options: false` in a mapping", "Here it says that use is not limited."),
    Rule("ldu country", _EVENT, "data_processing_options_country", "With a state alone, Segment sends country 0."),
    Rule("more fields", _EVENT, "more of Meta's fields", "Segment does not have the field."),
    # triggers and mappings
    Rule("and, or", _TRIGGER, "`and`, `or`", "At Segment the last one rules the whole group."),
    Rule("parentheses", _TRIGGER, "nested parentheses", "At Segment such a trigger never matches."),
    Rule("not", _TRIGGER, "`not`", "Segment ignores it, but for !contains and !match, which want a text."),
    Rule("match", _TRIGGER, "`match` without one `*` at an end", "Segment reads one * at an end only."),
    Rule("directive", _TRIGGER, "an unknown directive", "It fails each event at Segment."),
    # what has no rule of its own
    Rule("rejected", _CODES, "", "Segment sends it; here it is rejected."),
    Rule("segments checks", _EVENT, "", "Segment refuses the event by its own checks, as the example says."),
    Rule("unexplained", _EVENT, "", "No rule names this difference: please report it."),
    Rule("country names", _EVENT, "normalisation", "Which English names Segment knows is not known in full."),
)
_BY_NAME: Final = {each.name: each for each in _RULES}


def rule(name: str) -> Rule:
    """The rule of that name."""
    return _BY_NAME[name]


def rules() -> tuple[Rule, ...]:
    """All of them."""
    return _RULES
