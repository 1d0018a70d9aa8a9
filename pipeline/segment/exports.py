"""What Segment gives out about destinations and their subscriptions: answers of its Public API, exports, Terraform.

All forms hold the same few things under changing names, at changing depths, so the parsed document is searched for
objects that are a subscription or a destination.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from capybeam.pipeline.file_kinds import HEAD, kind_of
from capybeam.pipeline.segment.expressions import Expression, UnreadableExport
from capybeam.pipeline.segment.terraform import read_terraform
from capybeam.transforms.core.events import CALLS

MAX_BYTES: Final = 32 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class ExportedSubscription:
    """A subscription as Segment has it.

    Attributes:
        action: the slug of its action; "" where only its ID is known.
        label: what Terraform calls it.
        mapping: None where it cannot be read.
        doubts: what the file leaves open.
    """

    name: str
    action: str
    action_id: str
    destination_id: str
    is_enabled: bool
    trigger: str
    mapping: Mapping[str, Any] | None
    label: str = ""
    doubts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ExportedDestination:
    """A destination as Segment has it; `slug` is that of its kind, such as ``actions-facebook-conversions-api``."""

    id: str
    name: str
    slug: str
    settings: Mapping[str, Any]
    actions: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Export:
    """What was found in one file.

    Attributes:
        has_more: whether the file says that it is one page of several.
    """

    destinations: tuple[ExportedDestination, ...]
    subscriptions: tuple[ExportedSubscription, ...]
    has_more: bool = False


def read_export(content: bytes, name: str) -> Export:
    """The destinations and subscriptions in a file. Raises UnreadableExport where there are none."""
    kind = kind_of(content[:HEAD])
    if kind:
        raise UnreadableExport(f"{name}: is {kind}")
    if len(content) > MAX_BYTES:
        raise UnreadableExport(f"{name}: is larger than {MAX_BYTES // 2**20} MB, which no export of subscriptions is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableExport(f"{name}: is not UTF-8 text") from None
    if not text.strip():
        raise UnreadableExport(f"{name}: is empty")
    try:
        found = _Finder()
        found.search(_document(text, name), "")
    except RecursionError:
        raise UnreadableExport(f"{name}: is nested too deeply") from None
    export = Export(tuple(found.destinations), tuple(found.subscriptions), found.has_more)
    if not export.subscriptions and not export.destinations:
        raise UnreadableExport(f"{name}: {found.seen or _NOTHING}")
    return export


_NOTHING: Final = (
    "has no subscription of Segment's; give the answer of GET /destinations/{id}/subscriptions, or Terraform with"
    " segment_destination_subscription"
)


def _document(text: str, name: str) -> Any:
    if text.lstrip()[0] in "{[":
        documents, rest, decoder = [], text.strip(), json.JSONDecoder()
        while rest:  # answers of several pages, one behind the other
            try:
                document, end = decoder.raw_decode(rest)
            except ValueError as error:
                at = len(text.strip()) - len(rest) + getattr(error, "pos", 0)
                line = text.strip().count("\n", 0, at) + 1
                raise UnreadableExport(f"{name}:{line}: is not valid JSON") from None
            documents.append(document)
            rest = rest[end:].lstrip()
        return documents
    if name.endswith((".tf", ".hcl")) or re.search(r"""^\s*(resource|module|locals|variable)\b.*\{""", text, re.M):
        return read_terraform(text, name)
    raise UnreadableExport(f"{name}: is neither JSON nor Terraform")


class _Finder:
    def __init__(self) -> None:
        self.destinations: list[ExportedDestination] = []
        self.subscriptions: list[ExportedSubscription] = []
        self.has_more = False
        self.seen = ""  # what the file is, where it has no subscription

    def search(self, node: Any, destination_id: str, key: str = "", parent: str = "") -> None:
        """Looks through what stands at `key` of an object that itself stands at `parent`."""
        if isinstance(node, list):
            for item in node:
                self.search(item, destination_id)
        if not isinstance(node, dict):
            return
        self.seen = self.seen or _other_kind(node)
        label = key if parent.startswith("segment_destination") else ""
        pagination = node.get("pagination")
        self.has_more = self.has_more or bool(isinstance(pagination, dict) and pagination.get("next"))
        if _is_subscription(node):
            self.subscriptions.append(_subscription(node, destination_id, label))
            return
        if _is_destination(node):
            destination = _destination(node, label)
            self.destinations.append(destination)
            destination_id = destination.id
        for name, item in node.items():
            if name not in ("metadata", "settings"):  # the catalogue's presets look like subscriptions
                self.search(item, destination_id, name, key)


def _other_kind(node: Mapping[str, Any]) -> str:
    """What a file is in which an object like this stands; "" where that is not known."""
    if node.get("subscriptions") == []:
        return "has an empty list of subscriptions: the destination has none"
    if isinstance(node.get("errors"), list) and "data" not in node:
        return "is an error that Segment's API has answered with; ask once more, with a valid token"
    if node.get("type") in CALLS and ("messageId" in node or "event" in node or "timestamp" in node):
        return "holds events, not subscriptions; --compare reads events"
    return ""


def _first(node: Mapping[str, Any], *names: str) -> Any:
    return next((node[name] for name in names if node.get(name) is not None), None)


def _is_subscription(node: Mapping[str, Any]) -> bool:
    names_action = _first(node, "actionId", "action_id", "actionSlug", "action_slug", "partnerAction") is not None
    has_action = names_action or _first(_action(node), "id", "slug") is not None
    has_trigger = "trigger" in node or "subscribe" in node
    has_mapping = any(name in node for name in ("settings", "mapping", "mappings"))
    return has_mapping and (has_action or has_trigger)


def _action(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A subscription's action where it is an object of its own."""
    action = node.get("action")
    return action if isinstance(action, dict) else {}


def _doubts(node: Mapping[str, Any], label: str) -> Iterator[str]:
    if isinstance(node.get("enabled"), Expression):
        yield "enabled: is an expression of Terraform's, whose value is not in the file; taken as true"
    for name in ("count", "for_each"):
        if label and name in node:
            yield f"{name}: Terraform makes subscriptions of this one by it; here it is one"


def _is_destination(node: Mapping[str, Any]) -> bool:
    settings = _settings(node.get("settings"))
    return settings is not None and ("metadata" in node or "pixelId" in settings)


def _subscription(node: Mapping[str, Any], destination_id: str, label: str) -> ExportedSubscription:
    enabled = _first(node, "enabled", "isEnabled")
    return ExportedSubscription(
        name=_text(_first(node, "name")),
        action=_text(_first(node, "actionSlug", "action_slug", "partnerAction") or _first(_action(node), "slug")),
        action_id=_text(_first(node, "actionId", "action_id") or _first(_action(node), "id")),
        destination_id=_reference(_text(_first(node, "destinationId", "destination_id"))) or destination_id,
        is_enabled=enabled not in (False, "false"),
        trigger=_text(_first(node, "trigger", "subscribe")),
        mapping=_settings(_first(node, "settings", "mapping", "mappings")),
        label=label,
        doubts=tuple(_doubts(node, label)),
    )


def _destination(node: Mapping[str, Any], label: str) -> ExportedDestination:
    metadata = node["metadata"] if isinstance(node.get("metadata"), dict) else {}
    actions = metadata.get("actions")
    return ExportedDestination(
        id=_text(node.get("id")) or label,
        name=_text(node.get("name")) or _text(metadata.get("name")),
        slug=_text(metadata.get("slug")),
        settings=_settings(node.get("settings")) or {},
        actions={
            _text(action.get("id")): _text(action.get("slug"))
            for action in (actions if isinstance(actions, list) else ())
            if isinstance(action, dict)
        },
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _reference(text: str) -> str:
    """The label that a reference of Terraform's names: ``segment_destination.meta.id`` → ``meta``."""
    found = re.fullmatch(r"segment_destination\.([\w-]+)\.id", text) if isinstance(text, Expression) else None
    return found[1] if found else text


def _settings(value: Any) -> dict[str, Any] | None:
    """An object, or one written as JSON text; None for anything else."""
    if isinstance(value, str) and not isinstance(value, Expression):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None
