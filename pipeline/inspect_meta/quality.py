"""Match quality, coverage, deduplication and freshness of each event, as Meta's Dataset Quality API has them.

Source: Meta, "Dataset Quality API". Its documentation names one field in two ways, and fields come and go. So the
answer is kept as it comes, what is not known is shown beside what is, and a section that is refused does not hide the
others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from capybeam.pipeline.inspect_meta.datasets import Asking, Target, cure
from capybeam.pipeline.output_files import CommandError
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.answers import Answer
from capybeam.transforms.delivery.destination import Delivery

_SHARE: Final = "{percentage,description}"
SECTIONS: Final[Mapping[str, str]] = {  # by the field of an event: its fields
    "event_match_quality": "event_match_quality{composite_score,match_key_feedback{identifier,coverage{percentage}},"
    "diagnostics{name,description,solution,percentage,affected_event_count,total_event_count}}",
    "event_coverage": "event_coverage{percentage,goal_percentage,description}",
    "dedupe_key_feedback": "dedupe_key_feedback{dedupe_key,"
    f"browser_events_with_dedupe_key{_SHARE},server_events_with_dedupe_key{_SHARE},"
    f"overall_browser_coverage_from_dedupe_key{_SHARE}}}",
    "data_freshness": "data_freshness{upload_frequency,description}",
}
EVENT_NAME: Final = "event_name"
Json = dict[str, Any]


class Quality(NamedTuple):
    """What Meta says of a dataset.

    Attributes:
        events: an entry for each event name, as Meta gave it.
        other: what else the answer had.
        refused: by section, why there is none of it, and what to do; by "" why there is nothing at all.
        answer: the one that decides; of the kind ``delivered`` where there is anything.
    """

    dataset_id: str
    events: Sequence[Json]
    other: Json
    refused: Mapping[str, str]
    answer: Answer


def ask_all(targets: Iterable[Target], delivery: Delivery, agent: str | None = None) -> Iterator[tuple[str, Quality]]:
    """By the name of its destination, what Meta says of each dataset. Raises CommandError where a token is at fault."""
    for target in targets:
        try:
            asking = Asking(target.destination, delivery)
        except TokenError as error:
            raise CommandError(f"destination {target.destination.name}: {error}") from None
        for dataset_id in target.dataset_ids:
            yield target.destination.name, ask(asking, dataset_id, agent)


def ask(asking: Asking, dataset_id: str, agent: str | None = None) -> Quality:
    """Everything at once; where Meta does not accept that, section by section."""
    answer, events, other = _ask(asking, dataset_id, agent, SECTIONS.values())
    if answer.kind == "delivered":
        return Quality(dataset_id, events, other, {}, answer)
    if not answer.is_refusal:  # of the token, of the dataset, or for now
        return Quality(dataset_id, [], {}, {"": cure(answer)}, answer)
    merged: dict[str, Json] = {}
    refused: dict[str, str] = {}
    good = None
    for section, fields in SECTIONS.items():
        one, events, more = _ask(asking, dataset_id, agent, [fields])
        if one.kind == "delivered":
            good, other = one, {**other, **more}
            for event in events:
                merged.setdefault(str(event.get(EVENT_NAME)), {}).update(event)
        else:
            refused[section] = cure(one)
    if good is None:
        return Quality(dataset_id, [], {}, {"": cure(answer)}, answer)
    return Quality(dataset_id, list(merged.values()), other, refused, good)


def _ask(asking: Asking, dataset_id: str, agent: str | None, fields: Any) -> tuple[Answer, list[Json], Json]:
    parameters = {"dataset_id": dataset_id, "fields": f"web{{{','.join([EVENT_NAME, *fields])}}}"}
    reading = asking.read("dataset_quality", {**parameters, **({"agent_name": agent.lower()} if agent else {})})
    document = dict(reading.document or {})
    web = document.pop("web", [])
    events = [event for event in web if isinstance(event, dict)] if isinstance(web, list) else []
    if isinstance(web, list) and len(events) == len(web):
        return reading.answer, events, document
    return reading.answer, events, {**document, "web": web}


# --- the same as rows of a table -------------------------------------------------------------------------------------


class Row(NamedTuple):
    """An event, as far as its parts are known.

    Attributes:
        score: Meta's event match quality, 0 to 10.
        keys: percent of the events that have each match key, the largest first.
        coverage: percent of the browser's events that the server has, too; and Meta's goal.
        dedupe: by dedupe key, percent of the events that have it: of browsers, of servers, and of those found twice.
        diagnostics: what Meta finds wrong, with the share of events.
        more: what else there is, by its path.
    """

    event_name: str
    score: float | None
    keys: Sequence[tuple[str, float | None]]
    coverage: tuple[float | None, float | None]
    dedupe: Sequence[tuple[str, float | None, float | None, float | None]]
    freshness: str | None
    diagnostics: Sequence[str]
    more: Sequence[tuple[str, str]]


def row(event: Json) -> Row:
    """What is known of an entry of the answer, and under `more` all that is not."""
    rest: Json = _copied(event)
    name = rest.pop(EVENT_NAME, None)
    score = _take_number(rest, "event_match_quality", "composite_score")
    keys = [
        (str(item.pop("identifier")), _take_number(item, "coverage", "percentage"))
        for item in _items(rest, "event_match_quality", "match_key_feedback")
        if "identifier" in item
    ]
    diagnostics = [_diagnosis(item) for item in _items(rest, "event_match_quality", "diagnostics") if item.get("name")]
    dedupe = []
    for item in [*_items(rest, "dedupe_key_feedback"), *_items(rest, "dedup_key_feedback")]:
        if "dedupe_key" in item:
            browser, server, both = (_take_number(item, part, "percentage") for part in _DEDUPE_PARTS)
            dedupe.append((str(item.pop("dedupe_key")), browser, server, both))
    coverage = tuple(_take_number(rest, "event_coverage", part) for part in ("percentage", "goal_percentage"))
    freshness = _take(rest, "data_freshness", "upload_frequency")
    return Row(
        event_name="(without a name)" if name is None else str(name),
        score=score,
        keys=sorted(keys, key=lambda key: -(key[1] or 0.0)),
        coverage=(coverage[0], coverage[1]),
        dedupe=dedupe,
        freshness=None if freshness is None else str(freshness),
        diagnostics=diagnostics,
        more=[(path, text) for path, text in flat(rest) if not path.endswith("description")],
    )


_DEDUPE_PARTS: Final = (
    "browser_events_with_dedupe_key",
    "server_events_with_dedupe_key",
    "overall_browser_coverage_from_dedupe_key",
)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _at(node: Any, path: Sequence[str]) -> Any:
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _take(node: Json, *path: str) -> Any:
    """The value at a path, which is taken out; None where there is none, or it is an object or list."""
    parent = _at(node, path[:-1])
    if not isinstance(parent, dict) or isinstance(parent.get(path[-1]), (dict, list)):
        return None
    return parent.pop(path[-1], None)


def _take_number(node: Json, *path: str) -> float | None:
    """The same for a number, or a text that is one; anything else stays where it is."""
    value = _at(node, path)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    _take(node, *path)
    return float(value)


def _items(node: Json, *path: str) -> list[Json]:
    found = _at(node, path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _diagnosis(item: Json) -> str:
    name, share = str(item.pop("name")), _take_number(item, "percentage")
    affected, total = _take_number(item, "affected_event_count"), _take_number(item, "total_event_count")
    solution = _take(item, "solution")
    of = f" ({share:g} % of events)" if share is not None else ""
    counted = f" {affected:,.0f} of {total:,.0f} events." if affected is not None and total is not None else ""
    return f"{name}{of}.{counted}" + (f" {solution}" if solution else "")


def flat(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of all values in a node."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from flat(inner, f"{path}[{number}]")
    else:
        yield path, str(node)
