"""Recognising events that come again."""

from __future__ import annotations

import pytest

from capybeam.transforms.core.recent_ids import RecentIds, repeat_key
from tests.transforms.envelopes import sealed


def line(**changes: object) -> bytes:
    event = {"event_time": 1_795_000_000, "event_name": "Lead", "event_id": "a", "action_source": "website"}
    return sealed({**event, **changes})


def test_a_repeat_may_have_another_time_and_other_data() -> None:
    assert repeat_key("web\t1\t", line()) == repeat_key(
        "web\t1\t", line(event_time=1_795_000_009, user_data={"em": "x"})
    )


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("web\t2\t", line()),
        ("web\t1\t", line(event_id="b")),
        ("web\t1\t", line(event_name="Purchase")),
        ("web\t1\t", line(event_id="a b")),
        ("web\t1\t", line(event_name="Lead a", event_id="")),
    ],
)
def test_another_dataset_id_or_name_is_no_repeat(key: str, other: bytes) -> None:
    assert repeat_key(key, other) != repeat_key("web\t1\t", line())


def test_without_an_event_id_only_the_very_same_is_a_repeat() -> None:
    event = {"event_time": 1_795_000_000, "event_name": "Purchase", "match_keys": {"em": ["x"]}, "value": 5}
    lines = [sealed({**event, **changes}) for changes in ({}, {}, {"value": 6})]
    keys = [repeat_key("web\t1\t", line) for line in lines]
    assert (keys[0] == keys[1], keys[0] == keys[2]) == (True, False)


def test_a_key_is_new_once_within_the_window() -> None:
    recent = RecentIds()
    assert [recent.add(b"a", now, 10) for now in (0, 5, 10, 11, 20)] == [True, False, False, True, False]
    assert [recent.add(key, 21, 10) for key in (b"b", b"a", b"b")] == [True, False, False]
