"""What Meta's Dataset Quality API says of the events that it has, beside what a report has counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from capybeam.pipeline.initial_job import LONGEST_NAME, is_nameable
from capybeam.pipeline.inspect_meta.quality import Row, flat, row
from capybeam.pipeline.output_files import CommandError
from capybeam.pipeline.quality_report.match_keys import in_order
from capybeam.pipeline.quality_report.numbers import DedupeKey, Group, JobNumbers, KeyAtMeta, MetaDataset, MetaEventName
from capybeam.pipeline.run.report_document import without_emails
from capybeam.pipeline.sample_paths import plain
from capybeam.transforms.meta.masking import shape
from capybeam.transforms.meta.user_data import KEYS, WIRES

Document = Mapping[str, Any]

_MOST_MORE: Final = 20
_LONGEST_TEXT: Final = 400
# Meta's identifiers, spelt in any way, by what the Conversions API calls the key.
_WIRES: Final[Mapping[str, str]] = {
    **{plain(name): key.wire for name, key in KEYS.items()},
    **{plain(wire): wire for wire in WIRES},
    "ipaddress": "client_ip_address",
    "useragent": "client_user_agent",
    "zipcode": "zp",
    "postalcode": "zp",
}


def read_quality(path: str) -> list[Document]:
    """What `capybeam quality --format json` wrote: an object a line, for each dataset. Raises CommandError."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    found = [_document(line) for line in lines if line.strip()]
    documents = [each for each in found if each is not None]
    if not documents or len(documents) < len(found):
        raise CommandError(f"{path}: is not what `capybeam quality --format json` writes: an object a line")
    return documents


def _document(line: bytes) -> Document | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("refused"), dict):
        return None
    texts = (found.get("destination"), found.get("dataset_id"), *found["refused"].values())
    is_whole = all(isinstance(text, str) for text in texts) and isinstance(found.get("events"), list)
    return found if is_whole else None


def meta_section(documents: Iterable[Document], job: JobNumbers | None) -> tuple[MetaDataset, ...]:
    """Meta's numbers of each dataset, beside those of the groups that go there.

    Args:
        documents: as `quality_display.as_json` makes them.
        job: what was counted of an input, if one was read.
    """
    groups = {(group.destination, group.event_name): group for group in job.groups} if job else {}
    return tuple(
        MetaDataset(
            destination=each["destination"],
            dataset_id=each["dataset_id"],
            refused={section: _text(reason) for section, reason in each["refused"].items()},
            events=tuple(_events(each, groups)),
            more=_more(flat(each.get("other"))),
        )
        for each in documents
    )


def _events(document: Document, groups: Mapping[tuple[str, str], Group]) -> Iterator[MetaEventName]:
    for event in document["events"]:
        if isinstance(event, dict):
            found = row(event)
            yield _event(found, groups.get((document["destination"], found.event_name)))


def _event(found: Row, group: Group | None) -> MetaEventName:
    covered, goal = found.coverage
    return MetaEventName(
        event_name=_name(found.event_name),
        score=found.score,
        coverage=covered,
        coverage_goal=goal,
        freshness=None if found.freshness is None else _text(found.freshness),
        keys=tuple(_keys(found, group)),
        examined=group.examined if group else 0,
        dedupe=tuple(DedupeKey(_text(key), *shares) for key, *shares in found.dedupe),
        diagnostics=tuple(map(_text, found.diagnostics)),
        more=_more(found.more),
    )


def _keys(found: Row, group: Group | None) -> Iterator[KeyAtMeta]:
    """The keys that Meta lists, and those that only conversions have, in the order of all tables."""
    examined = group.examined if group else 0
    counts = {each.key: each.count for each in group.keys} if group else {}
    at_meta = {_WIRES.get(plain(key), _text(key)): share for key, share in found.keys}
    for key in in_order({**at_meta, **(counts if at_meta else {})}):
        is_known = examined and key in WIRES
        yield KeyAtMeta(key, at_meta.get(key), round(100 * counts.get(key, 0) / examined, 1) if is_known else None)


def _more(found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(_text(f"{path} = {text}") for path, text in itertools.islice(found, _MOST_MORE) if path)


def _name(text: str) -> str:
    cut = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
    return cut if is_nameable(cut) else shape(cut)


def _text(text: str) -> str:
    """Words of Meta's as they can be shown."""
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    return without_emails(cut)
