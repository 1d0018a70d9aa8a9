"""A few seeds of runs on a subscription that are killed while batches overlap."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.subscriptions import draw, problems_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEEDS = (0, 2, 6, 8)


@pytest.fixture(scope="module")
def seeds(pubsub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Future[list[str]]]]:
    folders = {seed: tmp_path_factory.mktemp(f"seed-{seed}") for seed in SEEDS}
    with ThreadPoolExecutor(len(SEEDS)) as pool:
        yield {seed: pool.submit(problems_of, seed, folder) for seed, folder in folders.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_however_a_run_ends_while_batches_overlap(
    seeds: dict[int, Future[list[str]]], seed: int
) -> None:
    assert seeds[seed].result() == []


def test_the_seeds_have_runs_that_are_killed_and_that_are_stopped() -> None:
    assert {number.name for seed in SEEDS for number, _ in draw(seed).endings} == {"SIGKILL", "SIGTERM"}
