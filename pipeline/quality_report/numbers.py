"""What a quality report says, as frozen dataclasses; JSON has the same names.

Counts are whole numbers of conversions unless said otherwise. Texts are names of the job file, of Meta's fields and of
events, and shapes of values (`masking.shape`); no value of an event is in here but sums and bounds of amounts of money.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

OTHERS = "(others)"  # what comes after as many names as are told apart
Strength = Literal["strong", "weak", "none"]


@dataclasses.dataclass(frozen=True)
class Counted:
    """How often something was there, by its name, shape, or code."""

    name: str
    count: int


@dataclasses.dataclass(frozen=True)
class KeyCoverage:
    """A match key by Meta's name (`em`), and how many conversions have it."""

    key: str
    count: int
    strong: bool


@dataclasses.dataclass(frozen=True)
class Combination:
    """A set of match keys, and how many conversions have exactly these."""

    keys: tuple[str, ...]
    count: int
    strength: Strength


@dataclasses.dataclass(frozen=True)
class Dropped:
    """What was dropped from conversions that went on, or is worth knowing of them.

    Attributes:
        note: as `map` and the report of a run count it, `dropped_ph`.
        why: a sentence.
        shapes: of the first values, the most frequent first; each with how many of the `looked_at` have it.
        looked_at: how many conversions' values were looked at for their shapes.
    """

    note: str
    count: int
    why: str
    shapes: tuple[Counted, ...]
    looked_at: int


@dataclasses.dataclass(frozen=True)
class Rejections:
    """Conversions that were rejected for one reason.

    Attributes:
        field: the field of the action that is missing or wrong; several are separated by commas; "" for none.
        message: of the first of them, without values of the event.
        shapes, looked_at: of the field's values, as of `Dropped`.
    """

    stage: str
    code: str
    field: str
    count: int
    message: str
    shapes: tuple[Counted, ...]
    looked_at: int


@dataclasses.dataclass(frozen=True)
class ValueBucket:
    """How many values are in a range: `low` is in it, `high` is not."""

    low: float
    high: float
    count: int


@dataclasses.dataclass(frozen=True)
class Outliers:
    """Values that do not look like the others of their currency.

    Attributes:
        kind: `second_mode`: a peak of its own about 100 times above or below the main one; `far`: more than 100 times
            above or below the median; `negative`; `zero`.
        low, high: between which they are, `high` not included; None for no bound.
        message: a sentence.
    """

    kind: Literal["second_mode", "far", "negative", "zero"]
    count: int
    low: float | None
    high: float | None
    message: str


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of one currency.

    Attributes:
        currency: ISO 4217; "" where there is none.
        median: of the positive ones, within a tenth of a power of ten; None where there are none.
        buckets: of the positive ones, three for each power of ten, from the lowest that holds any to the highest.
    """

    currency: str
    count: int
    total: float
    minimum: float
    maximum: float
    median: float | None
    buckets: tuple[ValueBucket, ...]
    outliers: tuple[Outliers, ...]


@dataclasses.dataclass(frozen=True)
class Purchases:
    """What is missing in purchases, delivered or rejected."""

    count: int
    without_currency: int
    without_value: int
    without_content_ids: int  # neither content_ids nor contents
    without_order_id: int


@dataclasses.dataclass(frozen=True)
class EventIds:
    """Where event_ids come from, and how often they are repeated.

    Attributes:
        given: of the mapping, or the event's messageId: the same where the same event comes twice. What is neither
            given nor derived is on the older wire, which has no event_id.
        derived: made of the event's content, as there is no messageId: two copies that differ in anything are two.
        repeats: ready conversions whose event_id, name and dataset another one had before; Meta drops them for 48 h.
        sampled: 1 where repeats are counted exactly; n where they are an estimate from one in n event_ids.
    """

    given: int
    derived: int
    repeats: int
    sampled: int


@dataclasses.dataclass(frozen=True)
class Website:
    """Conversions whose action_source is website, and how many of them have the browser's and the click's ID."""

    count: int
    with_fbp: int
    with_fbc: int
    without_url: int


@dataclasses.dataclass(frozen=True)
class Group:
    """The conversions of one destination with one event name.

    Attributes:
        subscriptions: the names of those that they come from.
        conversions: ready and rejected ones.
        earlier: of the same name at least so many more are in the group `OTHERS`, as the name was not frequent yet.
        examined: those of which user_data is known: ready ones, and those rejected by the last stage, validate. It is
            what the shares of match keys, ages, event_ids and values are of. 0 where a destination is not Meta's.
        strength: how many of the examined have strong, weak or no match keys; see `match_keys`.
        combinations: the most frequent ones; all others together are the difference to `examined`.
        ages: by the names of `ages.AGES`, how old the examined are.
        dropped: what was dropped; other notes are in `notes`.
    """

    destination: str
    event_name: str
    subscriptions: tuple[str, ...]
    conversions: int
    earlier: int
    ready: int
    rejected: int
    examined: int
    keys: tuple[KeyCoverage, ...]
    strength: dict[Strength, int]
    combinations: tuple[Combination, ...]
    ages: dict[str, int]
    event_ids: EventIds
    website: Website
    values: tuple[Values, ...]
    purchases: Purchases | None
    dropped: tuple[Dropped, ...]
    notes: tuple[Counted, ...]
    rejections: tuple[Rejections, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """A change that would help many conversions.

    Attributes:
        kind: `map_key`: a path of events is mapped nowhere; `repair_values`: values of a key are dropped;
            `fix_rejections`: conversions are rejected.
        gains: how many conversions would get a match key that they do not have, or would no longer be rejected.
        of: of how many conversions of the destination.
        is_estimate: whether `gains` was counted in a sample of the events.
        title, detail: sentences.
    """

    kind: Literal["map_key", "repair_values", "fix_rejections"]
    destination: str
    gains: int
    of: int
    is_estimate: bool
    title: str
    detail: str


@dataclasses.dataclass(frozen=True)
class JobNumbers:
    """What one job file makes of the input.

    Attributes:
        events: that could be read.
        unreadable: rows, or parts of them, that are not events, by code.
        filtered: events that no trigger takes, and their most frequent names.
        withheld: conversions that consent has filtered, by what the event says.
    """

    config: str
    events: int
    unreadable: tuple[Counted, ...]
    filtered: int
    filtered_names: tuple[Counted, ...]
    withheld: tuple[Counted, ...]
    conversions: int
    ready: int
    rejected: int
    groups: tuple[Group, ...]
    changes: tuple[Change, ...]


@dataclasses.dataclass(frozen=True)
class Compared:
    """A number of the job of --config, and the same of the job of --compare."""

    name: str
    before: float
    after: float


@dataclasses.dataclass(frozen=True)
class ComparedGroup:
    """The conversions of one destination with one event name, by two job files.

    Attributes:
        counts: conversions, ready, rejected.
        shares: strong, then each match key, of the examined; from 0 to 1.
    """

    destination: str
    event_name: str
    counts: tuple[Compared, ...]
    shares: tuple[Compared, ...]


@dataclasses.dataclass(frozen=True)
class KeyAtMeta:
    """A match key, and the percentage of events that have it.

    Attributes:
        key: by the Conversions API's name, or by Meta's where that is not known.
        meta: of the events that Meta has; None where it does not list the key.
        ours: of the conversions that were examined; None where none of this name were, or the key is not known.
    """

    key: str
    meta: float | None
    ours: float | None


@dataclasses.dataclass(frozen=True)
class DedupeKey:
    """A key by which Meta finds events that came twice, and the percentages of events: of the browser's and the
    server's that have it, and of the browser's that are found again."""

    key: str
    browser: float | None
    server: float | None
    both: float | None


@dataclasses.dataclass(frozen=True)
class MetaEventName:
    """What Meta says of the events of a dataset with one name.

    Attributes:
        score: event match quality, 0 to 10.
        coverage, coverage_goal: percentage of the browser's events that the server sends, too; and what Meta asks for.
        freshness: how soon events come, in Meta's words.
        examined: how many conversions of this destination and name `ours` is of.
        diagnostics: sentences on what Meta finds wrong.
        more: what else Meta says, as "path = value".
    """

    event_name: str
    score: float | None
    coverage: float | None
    coverage_goal: float | None
    freshness: str | None
    keys: tuple[KeyAtMeta, ...]
    examined: int
    dedupe: tuple[DedupeKey, ...]
    diagnostics: tuple[str, ...]
    more: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class MetaDataset:
    """What Meta's Dataset Quality API says of a dataset.

    Attributes:
        refused: by section of the answer, or "" for all of it, why there is none and what to do.
        more: what else the answer has, as "path = value".
    """

    destination: str
    dataset_id: str
    refused: dict[str, str]
    events: tuple[MetaEventName, ...]
    more: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Report:
    """A quality report: of an input, of a run's report, of what Meta says, or of several of them.

    Attributes:
        version: capybeam's.
        now: Unix seconds, against which ages were measured.
        inputs: the names of the inputs, without their folders.
        incomplete: why an input could not be read to its end; "" where all were.
        job: of --config; None where no input was read.
        compared: of --compare; None without it.
        comparison: of the two; empty without it.
        run: the report of a run, by the schema of `run.report_document`, with names of files in place of paths.
        meta: of the Dataset Quality API.
    """

    version: str
    now: int
    inputs: tuple[str, ...]
    incomplete: str
    job: JobNumbers | None
    compared: JobNumbers | None = None
    comparison: tuple[ComparedGroup, ...] = ()
    run: Mapping[str, Any] | None = None
    meta: tuple[MetaDataset, ...] = ()


def share_of(part: float, whole: float) -> str:
    """A percentage that is 0 or 100 only where it is exactly that.

    >>> share_of(1, 3), share_of(1, 1000), share_of(999, 1000), share_of(0, 5), share_of(1, 0)
    ('33 %', '<1 %', '>99 %', '0 %', '–')
    """
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"
