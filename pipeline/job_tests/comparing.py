"""Outcomes held against expectations: what differs, and where.

A payload is compared partially: only keys that are expected, at any depth. A list is compared item by item, and has as
many items as are expected. A key that is expected to be null is expected not to be there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, Final

import orjson

from capybeam.pipeline.job.yaml_source import Loc
from capybeam.pipeline.job_tests.cases import Case, Expectation
from capybeam.transforms.meta.masking import Mask
from capybeam.transforms.meta.user_data import DIGEST, digest

HASH_OF: Final = "hash_of"
MISSING: Final = object()
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not as expected.

    Attributes:
        where: for people: ``web/orders payload.custom_data.value``.
        loc: where the expected value is in the document; None where nothing is expected there.
        expected, actual: the values; `MISSING` where there is none.
        hint: what may be wrong, or "".
    """

    where: str
    loc: Loc | None
    expected: Any
    actual: Any
    hint: str = ""

    def lines(self, mask: Mask) -> Iterator[str]:
        """The difference as people read it; of what was found, personal values are shown by their shape."""
        yield self.where
        yield f"- expected {_shown(self.expected)}"
        yield f"+ got      {_shown(self._seen(mask))}"
        if self.hint:
            yield f"  {self.hint}"

    def _seen(self, mask: Mask) -> Any:
        """What was found, as it may be seen: a value of a payload may be anything of an event."""
        keys = [key for key in self.loc or () if isinstance(key, str)]
        if self.actual is MISSING or "payload" not in keys:
            return self.actual
        return mask.value(self.actual, *keys[keys.index("payload") + 1 :])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A case and its outcomes.

    Attributes:
        is_regular: whether each expectation has its outcome and the other way around, so that values alone differ.
    """

    case: Case
    outcomes: tuple[Json, ...]
    differences: tuple[Difference, ...]
    is_regular: bool

    @property
    def passed(self) -> bool:
        return not self.differences


def compare(case: Case, outcomes: list[Json]) -> Comparison:
    """Holds the outcomes of a case's events against what is expected of them, in whatever order that is written."""
    if case.expect is None:
        actual = [name_of(each) for each in outcomes]
        nothing = Difference("expect", None, MISSING, actual, "--update fills it in")
        return Comparison(case, tuple(outcomes), (nothing,), is_regular=False)
    left = list(outcomes)
    differences: list[Difference] = []
    unmet: list[Expectation] = []
    for expectation in case.expect:
        fitting = [each for each in left if _fits(expectation, each)]
        found = min(fitting, key=functools.partial(_distance, expectation), default=None)
        if found is None:
            unmet.append(expectation)
        else:
            left.remove(found)
            differences += _differences(expectation, found)
    for expectation in unmet:
        other = next((each for each in left if _key(each) == expectation.key), None)
        if other is not None:
            left.remove(other)
        came = name_of(other) if other is not None else MISSING
        differences.append(Difference(_called(expectation), expectation.loc, _wanted(expectation), came))
    differences += [Difference(_key(each) or "an event", None, MISSING, name_of(each)) for each in left]
    return Comparison(case, tuple(outcomes), tuple(differences), is_regular=not unmet and not left)


def _fits(expectation: Expectation, outcome: Json) -> bool:
    """Whether an outcome is one that an expectation is about, whatever its values."""
    return outcome["status"] == expectation.status and expectation.key in ("", _key(outcome))


def _distance(expectation: Expectation, outcome: Json) -> int:
    return sum(1 for _ in _differences(expectation, outcome))


def _differences(expectation: Expectation, outcome: Json) -> Iterator[Difference]:
    name, loc = _called(expectation), expectation.loc
    dataset_id = outcome.get("dataset_id", MISSING)
    if expectation.dataset_id is not None and expectation.dataset_id != dataset_id:
        yield Difference(f"{name} dataset_id", (*loc, "dataset_id"), expectation.dataset_id, dataset_id)
    if expectation.status == "filtered":
        if expectation.code is not None and expectation.code != outcome.get("reason"):
            yield Difference(f"{name} reason", (*loc, "filtered"), expectation.code, outcome.get("reason", MISSING))
        return
    for key, wanted in (("stage", expectation.stage), ("code", expectation.code)):
        if wanted is not None and wanted != outcome[key]:
            yield Difference(f"{name} {key}", (*loc, "rejected", key), wanted, outcome[key], outcome["message"])
    if expectation.payload is not None:
        yield from _values(expectation.payload, outcome["payload"], f"{name} payload", (*loc, "payload"))


def _values(expected: Any, actual: Any, where: str, loc: Loc) -> Iterator[Difference]:
    if isinstance(expected, dict) and list(expected) == [HASH_OF]:
        if actual != digest(str(expected[HASH_OF])):
            yield Difference(where, loc, expected, actual, _hash_hint(str(expected[HASH_OF]), actual))
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key, item in expected.items():
            yield from _values(item, actual.get(key, MISSING), f"{where}.{key}", (*loc, key))
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, item in enumerate(expected):
            yield from _values(item, actual[index], f"{where}[{index}]", (*loc, index))
    elif isinstance(expected, list) and isinstance(actual, list):
        hint = f"{len(expected)} items are expected, and there are {len(actual)}"
        yield Difference(where, loc, expected, actual, hint)
    elif not (expected is None and actual is MISSING) and not _same(expected, actual):
        hint = "" if not _is_hidden(expected, actual) else "a hash: write hash_of and the normalised text"
        yield Difference(where, loc, expected, actual, hint)


def _same(expected: Any, actual: Any) -> bool:
    """Whether two values are the same JSON: 24 is 24.0, and 1 is not true."""
    return isinstance(expected, bool) is isinstance(actual, bool) and bool(expected == actual)


def _is_hidden(expected: Any, actual: Any) -> bool:
    """Whether a hash was found where a text is expected."""
    texts = isinstance(expected, str) and isinstance(actual, str)
    return texts and bool(DIGEST.fullmatch(actual)) and not DIGEST.fullmatch(expected)


def _hash_hint(text: str, actual: Any) -> str:
    if isinstance(actual, list):
        return f"it is a list: [{{{HASH_OF}: {text}}}]"
    if actual == digest(text.strip().lower()):
        return f"{HASH_OF} takes the text as it is hashed: {text.strip().lower()}"
    return f"{HASH_OF} takes the text as it is hashed; `explain` shows what a value is normalised to"


def name_of(outcome: Json) -> str:
    """An outcome in a few words: ``web/orders rejected map/missing_currency``."""
    what = outcome["status"]
    if what == "rejected":
        what += f" {outcome['stage']}/{outcome['code']}"
    elif "reason" in outcome:
        what += f", {outcome['reason']}"
    return f"{_key(outcome)} {what}".strip()


def _key(outcome: Json) -> str:
    return f"{outcome['destination']}/{outcome['subscription']}" if "destination" in outcome else ""


def _called(expectation: Expectation) -> str:
    return expectation.key or ("a filtered event" if expectation.status == "filtered" else "a rejected event")


def _wanted(expectation: Expectation) -> str:
    reason = "/".join(filter(None, (expectation.stage, expectation.code)))
    return " ".join(filter(None, (expectation.key, expectation.status, reason)))


def _shown(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    is_plain = isinstance(value, str) and len(value) < 200 and " " in value and value.isprintable()
    return value if is_plain else orjson.dumps(value).decode()
