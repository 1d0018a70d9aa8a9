"""The example of a stream and a replay runs, and what it compares agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.stream import main

pytestmark = pytest.mark.slow


def test_published_events_arrive_and_dead_letters_are_replayed(pubsub: str, tmp_path: Path) -> None:
    assert main(tmp_path / "out", count=500) == 0
