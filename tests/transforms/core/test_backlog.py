"""What of a stream is not done."""

from __future__ import annotations

from capybeam.transforms.core.backlog import Backlog, Counted, Tally


def test_messages_that_were_taken_are_the_least_that_the_stream_has() -> None:
    now = [1000.0]
    tally = Tally(lambda: now[0])
    assert tally.look() == Backlog()
    tally.took(["a", "b", "c"], [940, 970, 0])
    assert tally.look() == Backlog(in_hand=3, oldest_age=60.0)
    now[0] = 1010.0
    tally.acknowledged([940, 0])
    assert tally.look() == Backlog(in_hand=1, oldest_age=40.0, longest_delay=70.0)
    tally.acknowledged([970])
    assert tally.look() == Backlog(longest_delay=70.0)
    assert (tally.look().messages, tally.look().is_at_least) == (0, True)


def test_a_message_that_was_given_back_counts_once_when_it_comes_again() -> None:
    tally = Tally(lambda: 1000.0)
    tally.took(["a", "b"], [940, 0])
    tally.gave_back(["a", "b"], [940, 0])
    assert tally.look() == Backlog(in_hand=2, oldest_age=60.0)
    tally.took(["c", "a"], [970, 940])
    assert tally.look() == Backlog(in_hand=3, oldest_age=60.0)
    tally.acknowledged([970, 940])
    assert tally.look() == Backlog(in_hand=1, longest_delay=60.0)
    tally.took(["b"], [0])
    tally.acknowledged([0])
    assert tally.look() == Backlog(longest_delay=60.0)


def test_the_services_own_count_is_of_all() -> None:
    tally = Tally(lambda: 1000.0)
    tally.took(["a"], [990])
    tally.counted(Counted(500, at=880.0, oldest_at=100.0))
    found = tally.look()
    assert found == Backlog(1, 10.0, None, Counted(500, 880.0, 100.0))
    assert (found.messages, found.is_at_least) == (500, False)


def test_an_older_count_that_is_lower_than_what_is_in_hand_is_not_the_whole() -> None:
    tally = Tally(lambda: 1000.0)
    tally.took([*"abcdefg"], [990] * 7)
    tally.counted(Counted(2, at=880.0))
    assert tally.look().messages == 7


def test_a_clock_that_runs_behind_makes_no_age_below_zero() -> None:
    tally = Tally(lambda: 1000.0)
    tally.took(["a"], [1001])
    assert tally.look().oldest_age == 0.0
