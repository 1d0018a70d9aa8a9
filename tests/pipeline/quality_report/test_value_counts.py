"""Distributions of values, and what does not look like the rest of them."""

from __future__ import annotations

from random import Random

import pytest

from capybeam.pipeline.quality_report.numbers import Outliers, ValueBucket, Values
from capybeam.pipeline.quality_report.value_counts import ValueCounts

RANDOM = Random(5)
PRICES = [round(RANDOM.lognormvariate(3.5, 0.8), 2) for _ in range(2_000)]  # around 33


def numbers(values: list[float]) -> Values:
    counts = ValueCounts()
    for value in values:
        counts.add(value)
    return counts.numbers("EUR")


def test_a_distribution_has_ranges_that_begin_at_1_2_and_5() -> None:
    assert numbers([1, 1.99, 2, 4.99, 5, 9.99, 10, 120.5]) == Values(
        currency="EUR",
        count=8,
        total=155.47,
        minimum=1,
        maximum=120.5,
        median=4.5,
        buckets=(
            ValueBucket(1, 2, 2),
            ValueBucket(2, 5, 2),
            ValueBucket(5, 10, 2),
            ValueBucket(10, 20, 1),
            ValueBucket(20, 50, 0),
            ValueBucket(50, 100, 0),
            ValueBucket(100, 200, 1),
        ),
        outliers=(),
    )


def test_values_beyond_all_ranges_are_counted_in_the_last_ones() -> None:
    found = numbers([1e-30, 10**400])

    assert sum(bucket.count for bucket in found.buckets) == 2
    assert (found.buckets[0].low, found.buckets[-1].high) == (0.001, 1e12)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_cents_among_whole_units_are_a_peak_of_their_own(share: float) -> None:
    cents = [float(round(100 * price)) for price in PRICES[: round(share * len(PRICES))]]
    (found,) = numbers(PRICES + cents).outliers

    assert found.kind == "second_mode"
    assert found.count == pytest.approx(len(cents), rel=0.1)
    assert found.low is not None
    assert 300 < found.low < 2_000
    assert found.message.endswith(
        "about 100 times above the others, all without decimals: cents where the others are whole units?"
    )


def test_whole_units_among_cents_are_a_peak_below() -> None:
    (found,) = numbers([float(round(100 * price)) for price in PRICES] + PRICES[:100]).outliers

    assert (found.kind, found.high is not None and 50 < found.high < 300) == ("second_mode", True)
    assert found.count == pytest.approx(100, rel=0.1)


def test_a_long_tail_is_no_peak() -> None:
    tail = Random(3)
    assert numbers([tail.lognormvariate(3.5, 1.1) for _ in range(5_000)]).outliers == ()


def test_single_values_far_away_are_flagged_where_there_is_no_peak() -> None:
    assert numbers([10.0] * 100 + [1e6, 0.01]).outliers == (
        Outliers("far", 1, 1250, None, "1 value is more than 100 times above the median."),
        Outliers("far", 1, None, 0.1, "1 value is more than 100 times below the median."),
    )


def test_a_few_values_say_nothing_of_what_is_usual() -> None:
    assert numbers([1.0, 2.0, 5_000.0]).outliers == ()


def test_values_of_zero_and_below_are_flagged() -> None:
    found = numbers([0, 0, -3.5])

    assert found.outliers == (
        Outliers("negative", 1, None, 0, "1 value is below zero: refunds?"),
        Outliers("zero", 2, 0, 0, "2 values are zero: Meta cannot optimise for these."),
    )
    assert (found.median, found.buckets, found.total) == (None, (), -3.5)
