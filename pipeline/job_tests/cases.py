"""Test files: YAML with a list of cases, checked with all their problems at once, each with its position.

now: 2026-11-22T10:00:00Z
tests:
  - name: an order goes out as Purchase
    event: {type: track, event: Order Completed, ...}
    expect:
      - subscription: web/orders
        payload: {event_name: Purchase, user_data: {em: {hash_of: jane@example.com}}}
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from datetime import date, timezone
from pathlib import Path
from typing import Any, Final, get_args

import ciso8601
import orjson

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.loader import ConfigError, Job, read_text
from capybeam.pipeline.job.problems import Problems, suggestion
from capybeam.pipeline.job.yaml_source import Document, Loc
from capybeam.transforms.core.rejections import CODES, Stage, json_bytes

_STAGES: Final = tuple(stage for stage in get_args(Stage) if stage != "send")
_FILE_KEYS: Final = ("now", "tests")
_CASE_KEYS: Final = ("name", "now", "event", "events", "input", "expect")
_EXPECTATION_KEYS: Final = ("subscription", "dataset_id", "payload", "rejected", "filtered")
_FILTERED: Final = "filtered"
_REASONS: Final = ("consent_refused", "consent_unknown")


@dataclasses.dataclass(frozen=True)
class Case:
    """One case of a test file.

    Attributes:
        now: Unix seconds, for the age limits.
        lines: its events, as lines of JSON.
        expect: outcomes in the form of `Expectation`; None where nothing is written yet, for --update.
        loc: where it is in the document.
    """

    name: str
    now: float
    lines: tuple[bytes, ...]
    expect: tuple[Expectation, ...] | None
    document: Document
    loc: Loc

    @property
    def expect_loc(self) -> Loc:
        return (*self.loc, "expect")


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What one outcome should be.

    Attributes:
        status: ready, rejected or filtered.
        key: of the subscription; "" where there is none, or where any will do.
        code: of a rejection; of a filtered event its reason.
        loc: where it is in the document.
    """

    status: str
    loc: Loc
    key: str = ""
    dataset_id: str | None = None
    payload: Any = None
    stage: str | None = None
    code: str | None = None


class TestFileError(Exception):
    """A test file that cannot be used; `problems` are lines ``file:line:column: what is wrong``."""

    __test__ = False  # for pytest

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load_cases(path: str, job: Job) -> tuple[Case, ...]:
    """The cases of a test file. Raises TestFileError with every problem there is."""
    try:
        text = read_text(path)
    except ConfigError as error:
        raise TestFileError(error.problems) from None
    return parse_cases(text, path, job)


def parse_cases(text: str, path: str, job: Job) -> tuple[Case, ...]:
    """The cases of a test file's text; `path` is where it is, for its inputs and its problems."""
    document = yaml_source.read(text, path)
    problems = Problems(document, date.today())
    cases = () if document.data is None else tuple(_Reader(document, job, problems).cases())
    if problems:
        raise TestFileError(tuple(str(finding) for finding in problems.findings() if finding.severity == "error"))
    return cases


class _Reader:
    def __init__(self, document: Document, job: Job, problems: Problems) -> None:
        self._document, self._problems = document, problems
        self._keys = [subscription.key for subscription in job.subscriptions]
        self._names: dict[str, list[str]] = {}
        for subscription in job.subscriptions:
            self._names.setdefault(subscription.name, []).append(subscription.key)

    def cases(self) -> Iterator[Case]:
        data = self._object(self._document.data, (), _FILE_KEYS)
        if data is None:
            return
        if "tests" not in data:
            self._problems.add((), "tests is missing: the list of cases")
        now = self._now(data.get("now"), ("now",)) if "now" in data else None
        names: dict[str, int] = {}
        for index, item in enumerate(self._list(data.get("tests", []), ("tests",))):
            case = self._case(item, ("tests", index), now)
            if case is not None:
                line = self._document.position(case.loc)[0]
                if case.name in names:
                    taken = f"is already the name of the case at line {names[case.name]}"
                    self._problems.add((*case.loc, "name"), taken)
                names.setdefault(case.name, line)
                yield case

    def _case(self, item: Any, loc: Loc, now: float | None) -> Case | None:
        case = self._object(item, loc, _CASE_KEYS)
        if case is None:
            return None
        name = case.get("name")
        if not isinstance(name, str) or not name.strip():
            self._problems.add((*loc, "name") if "name" in case else loc, "should have a name: a sentence")
        if "now" in case:
            now = self._now(case["now"], (*loc, "now"))
        elif now is None and "now" not in self._document.data:
            self._problems.add(loc, "should have a now, as the age limits depend on it; or the whole file has one")
        if "expect" not in case:
            self._problems.add(loc, "expect is missing; leave it empty and --update fills it in")
        lines = tuple(self._lines(case, loc))
        expect = self._expect(case.get("expect"), (*loc, "expect"))
        return Case(str(name), now or 0.0, lines, expect, self._document, loc)

    def _lines(self, case: Mapping[str, Any], loc: Loc) -> Iterator[bytes]:
        given = [key for key in ("event", "events", "input") if key in case]
        if len(given) != 1:
            self._problems.add(loc, "should have one of event, events and input")
        elif given == ["event"]:
            yield _line(case["event"])
        elif given == ["events"]:
            yield from map(_line, self._list(case["events"], (*loc, "events")))
        else:
            yield from self._input(case["input"], (*loc, "input"))

    def _input(self, name: Any, loc: Loc) -> Iterator[bytes]:
        if not isinstance(name, str):
            self._problems.add(loc, "should be the path of a file of JSON lines")
            return
        try:
            yield from Path(self._document.source).parent.joinpath(name).read_bytes().splitlines()
        except OSError as error:
            self._problems.add(loc, f"{name} cannot be read: {error.strerror}")

    def _expect(self, value: Any, loc: Loc) -> tuple[Expectation, ...] | None:
        if value is None:
            return None
        if isinstance(value, list):
            found = [self._expectation(item, (*loc, index)) for index, item in enumerate(value)]
        else:
            found = [self._expectation(value, loc)]
        return tuple(each for each in found if each is not None)

    def _expectation(self, value: Any, loc: Loc) -> Expectation | None:
        if value == _FILTERED:
            return Expectation(_FILTERED, loc)
        if isinstance(value, str):
            self._problems.add(loc, f"should be filtered, or an object{suggestion(value, [_FILTERED])}")
            return None
        expected = self._object(value, loc, _EXPECTATION_KEYS)
        if expected is None:
            return None
        kinds = [key for key in ("payload", "rejected", "filtered") if key in expected]
        if len(kinds) > 1:
            self._problems.add(loc, f"should have one of {' and '.join(kinds)}")
        key = self._key(expected.get("subscription"), (*loc, "subscription")) if "subscription" in expected else ""
        if "filtered" in expected:
            return Expectation(_FILTERED, loc, key, code=self._reason(expected["filtered"], (*loc, "filtered")))
        stage, code = self._rejected(expected.get("rejected"), (*loc, "rejected"))
        if not key and "rejected" not in expected:
            self._problems.add(loc, "should name its subscription")
        if "payload" in expected and not isinstance(expected["payload"], dict):
            self._problems.add((*loc, "payload"), "should be an object: the keys of the payload that are compared")
        dataset_id = expected.get("dataset_id")
        status = "rejected" if "rejected" in expected else "ready"
        return Expectation(status, loc, key, None if dataset_id is None else str(dataset_id),
                           expected.get("payload"), stage, code)  # fmt: skip

    def _key(self, name: Any, loc: Loc) -> str:
        """The key of a subscription, which is given by that or by its name alone."""
        if name in self._keys:
            return str(name)
        keys = self._names.get(name, []) if isinstance(name, str) else []
        if len(keys) == 1:
            return keys[0]
        if keys:
            self._problems.add(loc, f"several destinations have it: write {' or '.join(keys)}")
        else:
            known = [*self._names, *self._keys]
            hint = suggestion(name, known) if isinstance(name, str) else ""
            hint = hint or f" (it has {', '.join(self._keys)})"
            self._problems.add(loc, f"the job file has no such subscription{hint}")
        return "?"

    def _reason(self, value: Any, loc: Loc) -> str | None:
        """Why an event is filtered that a trigger takes; None for any reason, and where no trigger takes it."""
        if value is None or value is True:
            return None
        if value not in _REASONS:
            self._problems.add(
                loc, f"should be true, or one of {', '.join(_REASONS)}{suggestion(str(value), _REASONS)}"
            )
        return str(value)

    def _rejected(self, value: Any, loc: Loc) -> tuple[str | None, str | None]:
        """Stage and code, of a code alone or an object of both; nothing or true is any rejection."""
        if value is None or value is True:
            return None, None
        given = {"code": value} if isinstance(value, str) else self._object(value, loc, ("stage", "code"))
        if given is None:
            return None, None
        for key, known in (("stage", _STAGES), ("code", tuple(CODES))):
            if key in given and given[key] not in known:
                at = (*loc, key) if isinstance(value, dict) else loc
                self._problems.add(at, f"there is no such {key}{suggestion(str(given[key]), known)}")
        return given.get("stage"), given.get("code")

    # --- values -------------------------------------------------------------------------------------------------------

    def _object(self, value: Any, loc: Loc, known: tuple[str, ...]) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            self._problems.add(loc, f"should be an object with {', '.join(known)}")
            return None
        for key in value:
            if key not in known:
                self._problems.add((*loc, key), f"is unknown{suggestion(key, known)}")
        return value

    def _list(self, value: Any, loc: Loc) -> list[Any]:
        if isinstance(value, list) and value:
            return value
        self._problems.add(loc, "should be a list with one item at least")
        return []

    def _now(self, value: Any, loc: Loc) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        try:
            moment = ciso8601.parse_datetime(value)
        except (TypeError, ValueError):
            self._problems.add(loc, "should be a time: ISO 8601, or Unix seconds")
            return 0.0
        return float((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _line(event: Any) -> bytes:
    """An event as a line; a text is the line itself, which may be anything."""
    if isinstance(event, str):
        return event.encode()
    try:
        return orjson.dumps(event)
    except TypeError:  # an integer of more than 64 bits
        return json_bytes(event)
