"""`python -m benchmarks` runs the parts that are named, prints what they measure, and says what missed its target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import runs, subscription
from benchmarks.figures import Figures, ratio
from tests.servers.go_programs import NoGo


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks write to a folder of the test's, and not to that of the user's own."""
    monkeypatch.setattr(runs, "OUT", tmp_path)


@pytest.mark.parametrize(
    ("value", "target", "verdict", "missed"),
    [
        (0.7, {"least": 0.7}, "target ≥ 0.7: met", False),
        (0.69, {"least": 0.7}, "target ≥ 0.7: MISSED", True),
        (350.0, {"most": 350.0}, "target ≤ 350: met", False),
        (351.0, {"most": 350.0}, "target ≤ 350: MISSED", True),
    ],
)
def test_a_row_says_whether_its_target_is_met(
    value: float, target: dict[str, float], verdict: str, missed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures()

    figures.row("speed", "quick")
    figures.row("the figure", "as shown", value=value, **target)
    figures.row("a later one", "1.00", value=1.0, least=0.5)

    plain, judged, _ = capsys.readouterr().out.splitlines()
    assert (plain.split(), judged.split(maxsplit=4)) == (["speed", "quick"], ["the", "figure", "as", "shown", verdict])
    assert figures.missed is missed


def test_a_ratio_is_that_of_each_round_and_not_of_sums() -> None:
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == 2.0  # of 2, 3 and 1


def test_two_processes_are_compared_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks.main(["workers", "--events", "300", "--rounds", "1"]) == 0

    assert re.findall(r"^(.*?) +(?:-?[\d.]+)(?:   target (.*):|$)", capsys.readouterr().out, re.MULTILINE) == [
        ("2 processes / 1, the whole run", ""),
        ("2 processes / 1, without start-up", "≥ 1.7"),
        ("2 processes / 1, start-up", "≤ 1.3"),
    ]


def test_a_subscription_is_compared_with_a_file_and_replays_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("google.cloud.pubsub_v1", reason="needs the extra gcp")
    monkeypatch.setattr(subscription, "REPLAYED", (700,))
    monkeypatch.setattr(subscription, "STARTS", 1)
    try:
        subscription.compare(rounds=1, events=20_000, sizes=(600,))
    except NoGo as error:
        pytest.skip(f"no server: {error}")

    lines = capsys.readouterr().out.split("\n")[1:]
    assert lines[0].split() == ["bytes", "events", "file", "subscription", "ratio", "of", "CPU", "memory"]
    assert lines[1].split()[:2] == ["600", "20,000"]
    assert re.fullmatch(r"first delivery, max_batch_delay 1 s +\d\.\d\d s   target ≤ 2: \w+", lines[2])
    assert re.fullmatch(r"replays of 700 bytes, subscription / file +\d\.\d\d   target ≥ 0.7: \w+", lines[3])


@pytest.mark.parametrize(
    ("named", "check", "found", "code"),
    [
        ([], [], {}, 0),
        ([], ["--check"], {}, 0),
        ([], [], {"limit": True}, 0),
        ([], ["--check"], {"limit": True}, 1),
        ([], [], {"subscriptions": NoGo("there is no Go to build it")}, 0),  # of what was not asked for by name
        (["subscriptions"], [], {"subscriptions": NoGo("there is no Go to build it")}, 2),
    ],
)
def test_parts_run_in_order_and_the_exit_code_says_what_came_of_them(
    named: Sequence[str],
    check: Sequence[str],
    found: dict[str, bool | Exception],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []

    def stands_for(part: str) -> bool:
        ran.append(part)
        result = found.get(part, False)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(benchmarks.limit, "compare", lambda *_: stands_for("limit"))
    monkeypatch.setattr(benchmarks.workers, "compare", lambda *_: stands_for("workers"))
    monkeypatch.setattr(benchmarks.subscription, "compare", lambda *_: stands_for("subscriptions"))
    monkeypatch.setattr(benchmarks.memory_growth, "compare", lambda: stands_for("memory"))
    monkeypatch.setattr(benchmarks, "_compare_peers", lambda *_: stands_for("peers"))
    monkeypatch.setattr(benchmarks, "_compare_cluster", lambda *_: stands_for("cluster"))

    assert benchmarks.main([*named, *check]) == code

    assert ran == (list(named) or ["limit", "workers", "subscriptions", "memory", "peers"])
    absent = [part for part, result in found.items() if isinstance(result, Exception)]
    assert capsys.readouterr().err.splitlines() == [
        f"not measured: {part}: there is no Go to build it" for part in absent
    ]


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--events", "0"], ["speed"]])
def test_what_cannot_be_measured_is_refused(arguments: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmarks.main(arguments)
    assert ended.value.code == 2
