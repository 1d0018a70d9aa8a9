"""A dozen seeds of chaos; ``make chaos`` runs two hundred."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.chaos import Result, run_seed
from tests.chaos.plans import draw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEEDS = range(12)
AT_A_TIME = 6  # they mostly wait


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Future[Result]]]:
    folders = {seed: tmp_path_factory.mktemp(f"seed-{seed}") for seed in SEEDS}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {seed: pool.submit(run_seed, seed, folder) for seed, folder in folders.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_leaked_whatever_goes_wrong(results: dict[int, Future[Result]], seed: int) -> None:
    result = results[seed].result()
    assert not result.problems, "\n".join([*result.problems, f"again: python -m tests.chaos --seed {seed}"])
    assert (result.lost, result.doubled) == (0, 0)


@pytest.mark.parametrize("seed", range(20, 23))
def test_nor_is_it_where_two_processes_share_the_work(tmp_path: Path, seed: int) -> None:
    result = run_seed(seed, tmp_path, workers=2)
    assert not result.problems, "\n".join([*result.problems, f"again: python -m tests.chaos --workers 2 --seed {seed}"])
    assert (result.lost, result.doubled) == (0, 0)


def test_a_dozen_seeds_meet_every_kind_of_trouble(results: dict[int, Future[Result]]) -> None:
    met = set().union(*(future.result().faults for future in results.values()))
    assert met >= {
        *("error", "html", "throttle", "drop_before", "drop_after", "short", "slow"),
        *("token died", "refused by Meta", "kill", "interrupt"),
    }


def test_a_seed_is_the_same_plan_every_time() -> None:
    first, again, other = draw(7), draw(7), draw(8)
    assert (first.delivery, first.trouble, first.ending) == (again.delivery, again.trouble, again.ending)
    assert first.truth.sendable.total() == again.truth.sendable.total()
    assert first.tokens != other.tokens
