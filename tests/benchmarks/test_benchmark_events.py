"""Benchmark events: as various as real traffic, and the same at every run."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone

from benchmarks import events

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)


def test_there_are_as_many_names_as_asked_for() -> None:
    assert len({events.first_name(rank) for rank in range(events.FIRST_NAMES)}) == 5_000
    assert len({events.last_name(rank) for rank in range(events.LAST_NAMES)}) == 150_000
    assert len({events.city_name(rank) for rank in range(events.CITIES)}) == 20_000


def test_names_come_by_zipfs_law() -> None:
    people = [json.loads(line)["context"]["traits"] for line in events.events(20_000, 7, NOW)]
    for names, kinds in (
        (Counter(person["firstName"] for person in people), events.FIRST_NAMES),
        (Counter(person["lastName"] for person in people), events.LAST_NAMES),
        (Counter(person["address"]["city"] for person in people), events.CITIES),
    ):
        counts = [count for _, count in names.most_common()]
        assert 1.5 < counts[0] / counts[1] < 2.5
        assert 5 < counts[0] / counts[9] < 20
        assert len(names) > min(kinds, 20_000) / 4  # and a long tail


def test_the_same_seed_gives_the_same_events() -> None:
    assert list(events.events(50, 7, NOW)) == list(events.events(50, 7, NOW))
    assert list(events.events(50, 7, NOW)) != list(events.events(50, 8, NOW))
