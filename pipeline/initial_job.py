"""``capybeam init``: a job file to start from; with events, one that is proposed from what they hold.

Nothing of an event but the names of its calls gets into the file: paths are those of the default mappings and of the
tables here, and what is counted of them is how many events have something there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from capybeam.pipeline.job.models import MAX_NAME
from capybeam.pipeline.job.presets import Preset, presets
from capybeam.pipeline.job.yaml_writer import Commented, Remark, lines
from capybeam.pipeline.proposed_actions import proposed_action
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.paths import get_path
from capybeam.transforms.core.tokens import holds_token
from capybeam.transforms.language.fields import Field, FieldError, compile_check
from capybeam.transforms.language.mappings import compile_mapping, paths
from capybeam.transforms.language.triggers import quoted

Usable = Callable[[Any], bool]

MOST_NAMES: Final = 50  # event names that are proposed or named in comments
LONGEST_NAME: Final = 100

# Where a field's value may be when it is not where the default mapping looks.
ELSEWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "value": tuple(f"$.properties.{key}" for key in ("revenue", "total", "value", "price", "subtotal", "amount")),
    "currency": ("$.properties.currency", "$.properties.currency_code", "$.properties.currencyCode"),
    "order_id": tuple(f"$.properties.{key}" for key in ("order_id", "orderId", "checkout_id", "transaction_id")),
    "search_string": ("$.properties.query", "$.properties.search_term", "$.properties.search", "$.properties.q"),
    "event_source_url": ("$.context.page.url", "$.properties.url"),
}
ITEMS: Final = tuple(
    f"$.properties.{key}" for key in ("products", "items", "line_items", "cart.products", "cart.items")
)
ITEM_IDS: Final = ("product_id", "sku", "item_id", "id", "variant_id")  # of a product, in items
TRAITS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("$.properties.email", "$.properties.customer.email", "$.properties.user_email"),
    "phone": ("$.properties.phone", "$.properties.customer.phone", "$.context.traits.phone_number"),
    "firstName": ("$.properties.first_name", "$.properties.firstName", "$.properties.customer.first_name"),
    "lastName": ("$.properties.last_name", "$.properties.lastName", "$.properties.customer.last_name"),
    "zip": ("$.properties.postal_code", "$.properties.zip", "$.context.traits.zip"),
    "city": ("$.properties.city",),
    "state": ("$.properties.state",),
    "country": ("$.properties.country",),
    "fbc": ("$.context.fbc", "$.properties._fbc"),
    "fbp": ("$.context.fbp", "$.properties._fbp"),
}
_HEAD: Final = """\
# What to send to Meta, and from which events. docs/mapping.md has the mapping language, README.md the commands.
#
#   capybeam check FILE                          finds every mistake in here before anything runs
#   capybeam map --config FILE --input EVENTS    shows what Meta would be sent, event by event
#   capybeam run --config FILE --input EVENTS    delivers
"""
_TEACHING: Final = """\

destinations:
  - name: web # in reports, receipts and dead letters
    type: facebook_conversions_api
    dataset_id: "000000000000000" # replace it: the dataset (pixel) ID, as Meta's Events Manager shows it
    # Where the token is, never the token itself: env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V.
    access_token: env:META_ACCESS_TOKEN
    # default_country: US # gives national phone numbers their country code
    # test_event_code: TEST123 # shows events under Test Events; it is no dry run, Meta counts them
    # consent: {any_of: Advertising} # only events whose persons have agreed: docs/consent.md
"""
_START: Final = """\
    subscriptions:
      # An action has a trigger, fields and a default mapping after Segment's spec. Often there is nothing to add.
      - action: pageView
      - action: viewContent
      - action: addToCart
      - action: initiateCheckout

      # A trigger says which events; a key of a mapping replaces the default's for it. "@path" looks a value up.
      - action: purchase
        name: orders
        trigger: type = "track" and event = "Order Completed"
        mapping:
          content_type: product
          value: {"@path": $.properties.revenue}

      # Each of Meta's standard events has an action; some have no trigger of their own: docs/mapping.md#actions
      - action: completeRegistration
      - action: lead
        trigger: type = "track" and event = "Demo Requested"

      # `custom` sends any event, under any name; Meta's standard events are best for advertising.
      - action: custom
        name: quizzes
        trigger: type = "track" and event = "Quiz Finished"
        mapping:
          event_name: QuizFinished
"""


def initial_job() -> str:
    """A job file to start from, that teaches."""
    return f"{_HEAD}{_TEACHING}{_START}"


def proposed_job(events: Sequence[Event]) -> str:
    """A job file for the events that are there. The same events give the same text."""
    subscriptions = list(_subscriptions(events))
    if not any(isinstance(entry, dict) for entry in subscriptions):
        subscriptions.append({"action": "pageView"})
    proposal = "\n".join(lines({"subscriptions": subscriptions}, indent=4))
    note = f"# Proposed from {len(events):,} event{'s' * (len(events) != 1)}; the shares in comments are of those.\n"
    return f"{_HEAD}#\n{note}{_TEACHING}{proposal}\n"


def _subscriptions(events: Sequence[Event]) -> Iterator[Any]:
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        kind, name = event.get("type"), event.get("event")
        if kind == "track" and isinstance(name, str) and name:
            groups.setdefault(("track", name), []).append(event)
        elif kind in ("page", "screen", "identify", "group", "alias"):
            groups.setdefault((str(kind), ""), []).append(event)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    others: list[str] = []
    used: Counter[str] = Counter()
    proposed = 0
    for (kind, name), group in ordered:
        action = proposed_action(kind, name)
        share = _share(len(group), len(events))
        if not action or proposed >= MOST_NAMES or (name and not is_nameable(name)):
            shown = name if is_nameable(name) else "(a name that is not shown)"
            others.append(f"{shown if name else f'{kind} calls'}: {share}")
            continue
        proposed += 1
        yield from _subscription(kind, name, action, group, share, used)
    if others:
        left = others[MOST_NAMES:]
        more = [f"and {len(left):,} other names"] if left else []
        heading = "Not proposed, as Segment's spec has no conversion for them; `custom` with a trigger sends any event:"
        yield Remark((heading, *(f"  {other}" for other in (*others[:MOST_NAMES], *more))))


def is_nameable(name: str) -> bool:
    """Whether an event's name may be shown: not where it seems to hold an address, a number or a token."""
    is_personal = "@" in name or re.search(r"\d{5,}", name) or holds_token(name)
    return 0 < len(name) <= min(LONGEST_NAME, MAX_NAME) and name.isprintable() and not is_personal


def _subscription(
    kind: str, name: str, action: str, group: Sequence[Event], share: str, used: Counter[str]
) -> Iterator[Any]:
    preset = presets()[action]
    used[action] += 1
    comments, mapping = _mapping(preset, group)
    trigger = f'type = "track" and event = {quoted(name)}' if name else f'type = "{kind}"'
    entry: dict[str, Any] = {"action": action}
    if used[action] > 1:
        entry["name"] = f"{action} {used[action]}"
    entry["trigger"] = trigger
    if mapping:
        entry["mapping"] = mapping
    yield Remark((f"{name or f'{kind} calls'}: {share}. Found by the mapping:", *comments))
    yield entry


def _mapping(preset: Preset, group: Sequence[Event]) -> tuple[list[str], dict[str, Any]]:
    """What is found in events, as comments, and what is proposed where the default mapping finds less."""
    comments: list[str] = []
    mapping: dict[str, Any] = {}
    for field in preset.fields:
        default = preset.defaults.get(field.name)
        if field.name in ("user_data", "app_data_field") or (default is None and field.name not in ELSEWHERE):
            continue
        is_usable = _usable(field)
        if field.name == "contents":
            node, found = _best_items(default, is_usable, group)
        else:
            node, found = _best(field.name, default, ELSEWHERE.get(field.name, ()), is_usable, group)
        is_needed = field.required and found < len(group)
        if found or is_needed:
            short = " <- required: an event without it is rejected" if is_needed else ""
            comments.append(f"  {field.name}: {_share(found, len(group))}{short}")
        if node != default:
            mapping[field.name] = Commented(node, f"{_share(found, len(group))}; the default finds less")
    user_data = dict(preset.defaults["user_data"])
    changed = False
    for key in {**user_data, **TRAITS}:
        node, found = _best(key, user_data.get(key), TRAITS.get(key, ()), _is_there, group)
        if node != user_data.get(key):
            user_data[key], changed = Commented(node, f"{_share(found, len(group))}; the default finds less"), True
        if found:
            comments.append(f"  user_data.{key}: {_share(found, len(group))}")
    if changed:
        mapping["user_data"] = user_data
    return comments, mapping


def _best(name: str, default: Any, others: Iterable[str], is_usable: Usable, group: Sequence[Event]) -> tuple[Any, int]:
    """The default, and behind it, in their order, the places that have a value for events without one."""
    best, found = default, _found(name, default, is_usable, group) if default is not None else 0
    for path in others:
        if path in paths({name: best}):
            continue
        node = {"@path": path} if not found else {"@coalesce": [*_parts(best), {"@path": path}]}
        if not any(_is_there(get_path(event, path)) for event in group):
            continue
        more = _found(name, node, is_usable, group)
        if more > found:
            best, found = node, more
    return best, found


def _best_items(default: Any, is_usable: Usable, group: Sequence[Event]) -> tuple[Any, int]:
    """The default, or the one list of products, and the one key of their IDs, that are there most."""
    best, found = default, _found("contents", default, is_usable, group)
    for path in ITEMS:
        items = [get_path(event, path) for event in group]
        for key in ITEM_IDS:
            if not any(isinstance(each, dict) and key in each for each in _flat(items)):
                continue
            item = {"id": key, "quantity": "quantity", "item_price": "price"}
            node = {"@arrayPath": [path, {name: {"@path": f"$.{place}"} for name, place in item.items()}]}
            more = _found("contents", node, is_usable, group)
            if more > found:
                best, found = node, more
    return best, found


def _flat(lists: Iterable[Any]) -> Iterator[Any]:
    return (item for each in lists for item in (each if isinstance(each, list) else ()))


def _parts(node: Any) -> list[Any]:
    parts = node.get("@coalesce") if isinstance(node, dict) else None
    return list(parts) if isinstance(parts, list) else [node]


def _found(name: str, node: Any, is_usable: Usable, group: Sequence[Event]) -> int:
    mapped = compile_mapping({name: node})
    count = 0
    for event in group:
        try:
            count += is_usable(mapped(event).get(name))
        except Exception:  # an event that a directive cannot be applied to has nothing there
            continue
    return count


def _usable(field: Field) -> Usable:
    """Whether a value is one that the field can take."""
    needed = [inner.name for inner in field.properties or () if inner.required]
    if needed:
        return lambda value: any(
            isinstance(each, dict) and all(_is_there(each.get(name)) for name in needed)
            for each in (value if isinstance(value, list) else [value])
        )
    check = compile_check(field)

    def is_usable(value: Any) -> bool:
        try:
            return _is_there(value) and check(value) is not None
        except FieldError:
            return False

    return is_usable


def _is_there(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, list, dict)) and value not in ("", [], {})


def _share(part: int, whole: int) -> str:
    """A share in whole percent, such that only all are 100 % and only none are 0 %."""
    percent = part * 100 // whole if whole else 0
    return "under 1 %" if part and not percent else f"{percent} %"
