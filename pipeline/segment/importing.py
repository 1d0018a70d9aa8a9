"""``capybeam import segment``: an export of Segment's as a job file with the same triggers and mappings.

Nothing of an export is guessed at or silently left out. What cannot be carried over stands in the job file as a comment
with its reason, and in the report; what is written passes `check`, which every subscription is put through on its own.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capybeam.pipeline.job.loader import ConfigError, parse_job
from capybeam.pipeline.job.models import MAX_NAME
from capybeam.pipeline.job.presets import Preset, presets
from capybeam.pipeline.job.yaml_writer import Commented, Remark, flow, lines
from capybeam.pipeline.segment import differences
from capybeam.pipeline.segment.exports import Export, ExportedDestination, ExportedSubscription
from capybeam.pipeline.segment.expressions import expressions
from capybeam.transforms.core.tokens import holds_token
from capybeam.transforms.language.directives.checks import ROOT_DIRECTIVE
from capybeam.transforms.language.directives.registry import is_directive

SLUG: Final = "actions-facebook-conversions-api"
ACTION_IDS: Final[Mapping[str, str]] = {  # as exports have them
    "8whh4kyqahLHgTJqUwvEwh": "purchase",
    "3d5gFs6q9sfwJVAYPDyGQc": "custom",
    "cKRefik3FJxeKpj45W5WMo": "pageView",
    "evdcEYsm4uM3LNKtFqLBR4": "custom",  # custom2
}
# The actions that Segment's destination has; those of ours beyond them are never what an export means.
SEGMENT_ACTIONS: Final = ("purchase", "initiateCheckout", "addToCart", "viewContent", "search", "pageView", "custom")
TOKEN_REFERENCE: Final = "env:META_ACCESS_TOKEN"
PLACEHOLDER_ID: Final = "000000000000000"

_SECRET_KEY: Final = re.compile(r"token|secret|password|api_?key|credential", re.IGNORECASE)
_BATCHING: Final = frozenset({"enable_batching", "batch_size", "batch_keys", "batch_bytes"})
_APPENDS: Final = "is_append_event"  # of purchase2
_HEADER: Final = (
    "Made by `capybeam import segment`. Triggers and mappings are those of the export; what could not be carried over",
    "stands here as a comment. `capybeam check` finds mistakes, `capybeam map` shows what Meta would be sent.",
)


class Carried(NamedTuple):
    """A subscription that was carried over.

    Attributes:
        action: its slug at Segment, such as ``purchase2``.
    """

    destination: str
    name: str
    action: str
    exported: ExportedSubscription

    @property
    def key(self) -> str:
        return f"{self.destination}/{self.name}"


@dataclasses.dataclass(frozen=True)
class Imported:
    """A job file and the report on it.

    Attributes:
        report: for people, line by line; without values of the export but names, and the texts of triggers' mistakes.
        is_whole: whether all that is enabled at Segment was carried over.
        left_out: names of enabled subscriptions that were not.
    """

    text: str
    report: tuple[str, ...]
    is_whole: bool
    subscriptions: tuple[Carried, ...] = ()
    left_out: tuple[str, ...] = ()


class NothingToImport(Exception):
    """An export of which no job file can be made, in a sentence."""


def import_segment(export: Export, actions: Mapping[str, str] | None = None, dataset_id: str | None = None) -> Imported:
    """The job file of an export.

    Args:
        actions: by their IDs at Segment, the names of actions that are not known here.
        dataset_id: Meta's, for destinations whose settings are not in the export.
    """
    return _Import(export, {**ACTION_IDS, **(actions or {})}, dataset_id).run()


def known_action(slug: str) -> str:
    """The action of a slug of Segment's, whose "2" variants have the same fields; "" for an unknown one."""
    return next((name for name in (slug, slug.removesuffix("2")) if name in SEGMENT_ACTIONS), "")


class _Import:
    def __init__(self, export: Export, action_ids: Mapping[str, str], dataset_id: str | None) -> None:
        self._export, self._action_ids, self._dataset_id = export, action_ids, dataset_id
        self._report: list[str] = []
        self._is_whole = True
        self._carried: list[Carried] = []
        self._left_out: list[str] = []

    def run(self) -> Imported:
        groups: dict[str, list[ExportedSubscription]] = {}
        for subscription in self._export.subscriptions:
            groups.setdefault(subscription.destination_id, []).append(subscription)
        settings = {destination.id: destination for destination in self._export.destinations}
        for destination in self._export.destinations:
            self._action_ids = {**destination.actions, **self._action_ids}
        if set(groups) == {""} and len(settings) == 1:  # an export that does not say whose the subscriptions are
            groups = {next(iter(settings)): groups[""]}
        destinations, names = [], set[str]()
        for id_, subscriptions in groups.items():
            destination = settings.get(id_) or ExportedDestination(id_, "", "", {})
            if destination.slug not in ("", SLUG):
                self._report.append(
                    f"{_shown(destination.name or id_)}: left out: it goes to {_shown(destination.slug)}"
                )
                continue
            name = _unique(_destination_name(destination.name), names)
            names.add(name)
            destinations.append(self._destination(name, destination, subscriptions))
        for id_, destination in settings.items():
            if id_ not in groups and destination.slug in ("", SLUG):
                self._report.append(
                    f"{_shown(destination.name or id_)}: left out: none of its subscriptions is in the export; give the"
                    " answer of GET /destinations/{id}/subscriptions, too"
                )
                self._is_whole = False
        if not destinations:
            raise NothingToImport("; ".join(self._report))
        if self._export.has_more:
            self._is_whole = False
            self._report.append("the export is one page of several: ask for the others, and give all files at once")
        entries: list[Any] = [entry for group in destinations for entry in group]
        text = "\n".join([*(f"# {line}" for line in _HEADER), "", *lines({"destinations": entries})]) + "\n"
        return Imported(text, tuple(self._report), self._is_whole, tuple(self._carried), tuple(self._left_out))

    # --- destinations -------------------------------------------------------------------------------------------------

    def _destination(
        self, name: str, destination: ExportedDestination, subscriptions: Sequence[ExportedSubscription]
    ) -> list[Any]:
        self._report.append(f"destination {name}:")
        head: dict[str, Any] = {"name": name, "type": "facebook_conversions_api"}
        pixel = destination.settings.get("pixelId")
        dataset_id = self._dataset_id or (str(pixel) if re.fullmatch(r"[0-9]+", str(pixel)) else None)
        if dataset_id:
            head["dataset_id"] = dataset_id
        else:
            head["dataset_id"] = Commented(PLACEHOLDER_ID, "replace it: the export does not have the dataset's ID")
            self._report.append("  dataset_id: is not in the export; replace the zeros, or give --dataset-id")
        head["access_token"] = Commented(TOKEN_REFERENCE, "where the token is; the token itself never stands here")
        self._report.append(f"  access_token: read from {TOKEN_REFERENCE.removeprefix('env:')} in the environment")
        secrets = sorted(
            key for key, value in destination.settings.items() if _SECRET_KEY.search(key) or _holds_secret(value)
        )
        for key in secrets:
            self._report.append(f"  {_shown(key)}: a secret in the export; it is not written into the job file")
        code = destination.settings.get("testEventCode")
        if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9]+", code) and not holds_token(code):
            head["test_event_code"] = Commented(code, "no dry run: Meta counts these events, too")
        used: set[str] = set()
        keep_disabled = not any(subscription.is_enabled for subscription in subscriptions)
        written = [
            entry
            for subscription in subscriptions
            for entry in self._subscription(subscription, head, used, keep_disabled)
        ]
        if all(isinstance(entry, Remark) for entry in written):
            return self._destination_without_subscriptions(head, written)
        return [{**head, "subscriptions": written}]

    def _destination_without_subscriptions(self, head: Mapping[str, Any], written: Sequence[Any]) -> list[Any]:
        """Such a destination would not pass `check`: all of it is a comment."""
        self._report.append("  none of its subscriptions could be carried over: the destination is a comment")
        return [Remark(tuple(lines([{**head, "subscriptions": list(written)}])))]

    # --- subscriptions ------------------------------------------------------------------------------------------------

    def _subscription(
        self, exported: ExportedSubscription, head: Mapping[str, Any], used: set[str], keep_disabled: bool
    ) -> list[Any]:
        """A subscription's entry, behind a `Remark` if there is something to say; only that where it cannot be one.

        Args:
            keep_disabled: whether to write a disabled one with ``enabled: false``: without any, `check` would object.
        """
        action = self._action(exported)
        original = exported.name or exported.label or action or "unnamed"
        name = _unique(_subscription_name(original), used)
        used.add(name)
        notes = [] if name == original else ["name: changed; names are unique lines of text here"]
        notes += exported.doubts
        entry: dict[str, Any] = {"action": action or "unknown", "name": name}
        if exported.trigger:
            entry["trigger"] = exported.trigger
        entry |= {"use_default_mapping": False, "mapping": exported.mapping or {}}
        reason = self._unusable(exported, action)
        if reason:
            return self._not_imported(entry, reason, is_loss=exported.is_enabled)
        mapping, lost = _carried_over(exported.mapping or {}, presets()[action], notes)
        if not exported.trigger:
            notes.append("trigger: is not in the export; the action's own is used")
        while True:  # a field at a time, until `check` has nothing to say
            problem = _first_problem({**entry, "mapping": mapping}, head)
            field = problem and _field_of(problem, mapping)
            if not problem:
                break
            if not field:
                break
            lost[field] = (mapping.pop(field), problem.partition(": ")[2] or problem)
        required = {_APPENDS, *(each.name for each in presets()[action].fields if each.required)}
        if required & set(lost):
            reason = "; ".join(f"{field}: {why}" for field, (_, why) in lost.items() if field in required)
            return self._not_imported(entry, reason, is_loss=exported.is_enabled)
        if problem:
            return self._not_imported(entry, problem, is_loss=exported.is_enabled)
        entry["mapping"] = {**mapping, **{f"# {field}": _lost_field(field, *why) for field, why in lost.items()}}
        if not exported.is_enabled and not keep_disabled:
            return self._not_imported(entry, "disabled at Segment", is_loss=False)
        notes += [*differences.of_trigger(exported.trigger), *differences.of_mapping(mapping)]
        notes += _warnings({**entry, "mapping": mapping}, head)
        disabled = "" if exported.is_enabled else ", disabled as at Segment"
        self._report.append(f"  {name}: {action}{', without ' + ', '.join(lost) if lost else ''}{disabled}")
        self._is_whole = self._is_whole and not (lost and exported.is_enabled)
        self._report += [f"    lost: {field}: {why}" for field, (_, why) in lost.items()]
        self._report += [f"    {note}" for note in notes]
        self._carried.append(Carried(str(head["name"]), name, self._slug(exported), exported))
        if not exported.is_enabled:
            entry = {"action": action, "name": name, "enabled": False, **entry}
        return [Remark(tuple(notes)), entry] if notes else [entry]

    def _action(self, exported: ExportedSubscription) -> str:
        return known_action(self._slug(exported))

    def _slug(self, exported: ExportedSubscription) -> str:
        return exported.action or self._action_ids.get(exported.action_id, "")

    def _unusable(self, exported: ExportedSubscription, action: str) -> str:
        """Why a subscription cannot be one here, before its mapping is looked at; "" where it can."""
        if not action and exported.action:
            return f"the action {_shown(exported.action)} is unknown; there are {', '.join(SEGMENT_ACTIONS)}"
        if not action:
            likely = _likely_action(exported)
            shown = _shown(exported.action_id)
            if not shown:
                return "the export does not say which action it is: it has neither an actionSlug nor an actionId"
            return (
                f"its action ID ({shown}) is unknown; look it up in Segment's app, and say for example --action"
                f" {shown}={likely or 'purchase'}"
            )
        if exported.mapping is None:
            return (
                "its settings are not an object, nor JSON text of one, as far as this file says"
                f"{_terraform_hint(exported)}"
            )
        if holds_token(exported.trigger):
            return "its trigger holds what looks like an access token"
        if next(expressions(exported.trigger), None):
            hint = _terraform_hint(exported)
            return f"its trigger is an expression of Terraform's, whose value is not in the file{hint}"
        if not exported.trigger and presets()[action].trigger is None:
            return "it has no trigger, and its action has none of its own"
        return ""

    def _not_imported(self, entry: Mapping[str, Any], reason: str, is_loss: bool) -> list[Any]:
        self._is_whole = self._is_whole and not is_loss
        self._left_out += [entry["name"]] if is_loss else []
        self._report.append(f"  {entry['name']}: a comment only: {reason}")
        return [Remark((f"{entry['name']}: {reason}.", *lines([_scrubbed(entry)])))]


def _terraform_hint(exported: ExportedSubscription) -> str:
    return "; `terraform show -json` has all values" if exported.label else ""


def _carried_over(
    mapping: Mapping[str, Any], preset: Preset, notes: list[str]
) -> tuple[dict[str, Any], dict[str, tuple[Any, str]]]:
    """A mapping without what has no meaning here, and the fields that are lost, each with its node and the reason."""
    fields = {field.name: field for field in preset.fields}
    carried: dict[str, Any] = {}
    lost: dict[str, tuple[Any, str]] = {}
    for name, node in mapping.items():
        if name == ROOT_DIRECTIVE:
            carried[name] = node
        elif name in _BATCHING:
            notes.append(f"{name}: left out; batches are the job's (`delivery`)")
        elif name == _APPENDS and mapping[name] not in (None, "", False, "false"):
            lost[name] = (node, "appends to earlier purchases at Segment; here such events would be further purchases")
        elif name in (_APPENDS, "append_event_details"):
            notes.append(f"{name}: left out; nothing is appended to earlier purchases")
        elif name.startswith("__segment_internal"):
            notes.append(f"{name}: left out; it is Segment's own")
        elif _holds_secret({name: node}):
            lost[name] = (None, "holds what looks like an access token or another secret; it stays out of job files")
        elif name not in fields:
            notes.append(f"{name}: left out; it is not a field of the action, at Segment neither")
        elif name == "event_name" and preset.event_name:
            notes.append("event_name: left out; the action sets it")
        elif next(expressions(node), None):
            lost[name] = (node, "is an expression of Terraform's, whose value is not in the file")
        elif node == "" or node is None:
            notes.append(f"{name}: left out; it is empty")
        else:
            inner = fields[name].properties
            known = None if inner is None or fields[name].multiple else {each.name for each in inner}
            carried[name] = node if known is None else _known_keys(name, node, known, notes)
    return carried, lost


def _known_keys(name: str, node: Any, known: set[str], notes: list[str]) -> Any:
    """An object such as user_data without its empty constants and the keys that its field does not have."""
    if not isinstance(node, dict) or is_directive(node):
        return node
    unknown = [key for key in node if key not in known]
    empty = [key for key, item in node.items() if key in known and item in ("", None)]
    notes += [f"{name}.{key}: left out; {name} has no such key, at Segment neither" for key in map(_shown, unknown)]
    notes += [f"{name}.{key}: left out; it is empty" for key in empty]
    return {key: item for key, item in node.items() if key not in unknown and key not in empty}


def _lost_field(field: str, node: Any, reason: str) -> Remark:
    return Remark((f"lost: {reason}", *([f"{field}: {flow(node)}"] if node is not None else [])))


def _scrubbed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry for a comment, without anything that may be a token."""
    mapping = {name: node for name, node in entry["mapping"].items() if not _holds_secret({name: node})}
    trigger = {"trigger": "…"} if holds_token(entry.get("trigger", "")) else {}
    return {**entry, **trigger, "mapping": mapping}


def _holds_secret(node: Any) -> bool:
    """Whether something in a mapping looks like a token, or is the constant of a key that is called like a secret."""
    if isinstance(node, str):
        return holds_token(node)
    if isinstance(node, Mapping):
        return any(
            (isinstance(item, str) and item and _SECRET_KEY.search(key)) or holds_token(key) or _holds_secret(item)
            for key, item in node.items()
        )
    return isinstance(node, list) and any(map(_holds_secret, node))


# --- what `check` says ------------------------------------------------------------------------------------------------


def _job_of(entry: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    plain = {key: value.value if isinstance(value, Commented) else value for key, value in head.items()}
    return json.dumps({"destinations": [{**plain, "subscriptions": [entry]}]}, ensure_ascii=True)


_IN_ENTRY: Final = re.compile(r"^export:\d+:\d+: (?:destinations\[0\]\.)?(?:subscriptions\[0\]\.?)?")


def _first_problem(entry: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    try:
        parse_job(_job_of(entry, head), "export")
    except ConfigError as error:
        return _IN_ENTRY.sub("", error.problems[0])
    return ""


def _warnings(entry: Mapping[str, Any], head: Mapping[str, Any]) -> Iterator[str]:
    for warning in parse_job(_job_of(entry, head), "export").warnings:
        yield _IN_ENTRY.sub("", warning)


def _field_of(problem: str, mapping: Mapping[str, Any]) -> str:
    """The field of a mapping that a problem is about; "" where it is about something else."""
    found = [name for name in mapping if re.match(rf"mapping\.{re.escape(name)}[.:\[]", problem)]
    return max(found, key=len, default="")


# --- names ------------------------------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    """A short text of the export for the report."""
    return "…" if holds_token(text) else "".join(each for each in text if each.isprintable())[:80]


def _subscription_name(text: str) -> str:
    if holds_token(text):
        return "unnamed"
    printable = "".join(each if each.isprintable() else " " for each in text).strip()
    return printable[: MAX_NAME - 10].strip() or "unnamed"


def _destination_name(text: str) -> str:
    name = re.sub(r"[^\w .-]+", " ", "" if holds_token(text) else text)
    return re.sub(r"\s+", " ", name).strip(" ._-")[:100].strip() or "meta"


def _unique(name: str, used: set[str]) -> str:
    number = 2
    unique = name
    while unique in used:
        unique, number = f"{name} {number}", number + 1
    return unique


def _likely_action(exported: ExportedSubscription) -> str:
    """The action that an unknown ID probably is, by its fields, its name or its trigger; for a suggestion only."""
    if "event_name" in (exported.mapping or {}):
        return "custom"
    words = re.sub(r"[^a-z]", "", exported.name.lower())
    for name in SEGMENT_ACTIONS:
        preset = presets()[name]
        if name.lower() in words or (preset.event_name or "-").lower() in words:
            return name
        if preset.trigger and _is_same(exported.trigger, preset.trigger):
            return name
    return ""


def _is_same(one: str, other: str) -> bool:
    def plain(trigger: str) -> str:
        return re.sub(r"\s+", "", trigger)

    return plain(one) == plain(other)
