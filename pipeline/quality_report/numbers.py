"""What a quality report says, as frozen dataclasses; JSON has the same names.

Counts are whole numbers of conversions unless said otherwise. Texts are names of the job file, of Meta's fields and of
events, and shapes of values (`masking.shape`); no value of an event is in here but sums and bounds of amounts of money.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

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
class Report:
    """A quality report.

    Attributes:
        version: capybeam's.
        now: Unix seconds, against which ages were measured.
        input: the name of the input, without its folder.
        incomplete: why the input could not be read to its end; "" where it was.
        job: of --config.
        compared: of --compare; None without it.
        comparison: of the two; empty without it.
    """

    version: str
    now: int
    input: str
    incomplete: str
    job: JobNumbers
    compared: JobNumbers | None = None
    comparison: tuple[ComparedGroup, ...] = ()
