"""Keys that are spelt like one of Segment's."""

from __future__ import annotations

import pytest

from capybeam.transforms.core.misspelled_keys import MEANT, did_you_mean, misspelt


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("Type", "type"),
        ("TYPE", "type"),
        ("Event", "event"),
        ("user_id", "userId"),
        ("USER_ID", "userId"),
        ("UserId", "userId"),
        ("userID", "userId"),
        ("userid", "userId"),
        ("user-id", "userId"),
        ("User Id", "userId"),
        ("anonymous_id", "anonymousId"),
        ("MessageID", "messageId"),
        ("timeStamp", "timestamp"),
        ("time_stamp", "timestamp"),
        ("Properties", "properties"),
    ],
)
def test_another_spelling_is_known(spelling: str, key: str) -> None:
    assert misspelt([spelling, "other"]) == {spelling: key}


@pytest.mark.parametrize(
    "name", ["type", "userId", "user", "id", "event_name", "email", "Name", "category", "UsErId", ""]
)
def test_a_key_of_segments_or_of_ones_own_is_no_spelling(name: str) -> None:
    assert misspelt([name]) == {}


def test_a_spelling_beside_the_key_itself_is_ones_own() -> None:
    assert misspelt(["user_id", "userId", "Type"]) == {"Type": "type"}


def test_no_spelling_is_a_key() -> None:
    assert not MEANT.keys() & set(MEANT.values())


def test_what_was_meant_is_asked() -> None:
    assert did_you_mean(misspelt(["Type", "user_id"])) == "Type: did you mean type? user_id: did you mean userId?"
    assert did_you_mean({}) == ""
