"""Which exit code a run ends with, and the one thing that the user is told to do: from counts, without a run."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.exit_codes import DEAD_LETTERS, FAILED, GAVE_UP, INTERRUPTED, OK, REFUSED
from capybeam.pipeline.run.outcome import RunOutcome, Verdict, verdict_of
from capybeam.pipeline.run.report import RunReport
from capybeam.pipeline.run.report_document import Occasion
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.run.tolerance import Tolerance
from capybeam.pipeline.sinks import SinkError
from capybeam.transforms.delivery.batches import DestinationHeld, Stopped
from tests.pipeline.jobs import job_file

JOB = parse_job(job_file("http://127.0.0.1:9"))
REQUEST = RunRequest(JOB, ["events.jsonl"], Outputs("dead letters.jsonl", "receipts.jsonl"), config="conversions.yaml")
COMMAND = "capybeam replay --config conversions.yaml --from 'dead letters.jsonl'"


def counts(*, bad: int = 0, gave_up: int = 0, refused: int = 0, delivered: int = 100, **more: int) -> dict[str, int]:
    matched = bad + gave_up + refused + delivered
    return {
        "read": matched,
        "taken": matched,
        "matched:web/purchase": matched,
        "delivered:web/purchase": delivered,
        "rejected:web/purchase:map:missing_required_field": bad,
        "rejected:web/purchase:send:gave_up_retrying": gave_up,
        **({"rejected:web/purchase:send:destination_refused": refused} if refused else {}),
        **more,
    }


def verdict(found: dict[str, int], **changes: Any) -> Verdict:
    request = dataclasses.replace(
        REQUEST, **{key: changes.pop(key) for key in ("tolerate", "config", "outputs") if key in changes}
    )
    outcome = RunOutcome(
        request, Occasion("run", time.time(), JOB), **{
            "counts": found, "failure": None, "was_stopped": False, "is_endless": False, **changes,
        },
    )  # fmt: skip
    return verdict_of(RunReport.from_counts(found), outcome)


def said(found: Verdict) -> str:
    return "\n".join(line.text for line in found.lines)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (counts(), OK),
        (counts(bad=1), DEAD_LETTERS),
        (counts(gave_up=1), GAVE_UP),
        (counts(bad=50, gave_up=1), GAVE_UP),
        (counts(refused=1), REFUSED),
        (counts(bad=1, gave_up=1, refused=1), REFUSED),
        ({**counts(refused=1), "unfinished:a.gz is cut off.": 1}, FAILED),
        ({**counts(gave_up=1), "unfinished:a.gz is cut off.": 1}, FAILED),
        ({**counts(), "read": 7}, FAILED),
    ],
)
def test_bad_events_an_outage_and_a_refusal_have_codes_of_their_own(found: dict[str, int], code: int) -> None:
    assert verdict(found).exit_code == code


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (counts(bad=1), OK),
        (counts(bad=2), DEAD_LETTERS),
        (counts(bad=1, gave_up=1, delivered=1000), GAVE_UP),
        (counts(gave_up=1, delivered=1_000_000), GAVE_UP),
        (counts(refused=1, delivered=1_000_000), REFUSED),
    ],
)
def test_bad_events_are_tolerated_and_an_outage_never_is(found: dict[str, int], code: int) -> None:
    assert verdict(found, tolerate=Tolerance.parse("1%")).exit_code == code


def test_bad_events_end_with_one_command() -> None:
    found = verdict(counts(bad=2))
    assert [(line.text, line.is_problem) for line in found.lines] == [
        (
            f"2 dead letters are in dead letters.jsonl. Once the job file or the events are corrected:\n  {COMMAND}",
            False,
        )
    ]
    assert found.replay == COMMAND


def test_tolerated_events_are_spoken_of() -> None:
    found = verdict(counts(bad=1), tolerate=Tolerance.parse("1%"))
    assert said(found) == (
        "1 dead letter is in dead letters.jsonl, within --tolerate 1%."
        f" Once the job file or the events are corrected:\n  {COMMAND}"
    )


def test_an_outage_ends_with_one_command_which_leaves_bad_events_out() -> None:
    assert said(verdict(counts(gave_up=3))) == (
        "3 conversions were given up, as a destination could not be reached or kept failing. Nothing is lost:"
        " dead letters.jsonl has them, marked retryable. Once the destination takes events again:\n"
        f"  {COMMAND}"
    )
    assert verdict(counts(gave_up=3, bad=1)).replay == f"{COMMAND} --retryable"


def test_a_refusal_says_what_is_wrong_and_each_cure_once() -> None:
    found = counts(refused=5)
    found |= {"matched:crm/purchase": 1, "rejected:crm/purchase:send:destination_refused": 1}
    found |= {"read": 106, "taken": 106}
    for name in ("web", "crm"):
        found |= {f"refused:{name}:The token is dead.": 1, f"cure:{name}:Store a new one.": 1}
    assert said(verdict(found)) == (
        "crm: REFUSED. The token is dead.\nweb: REFUSED. The token is dead.\nStore a new one.\n"
        "Nothing is lost: the refused events are in dead letters.jsonl, marked retryable."
        f" Once the problem is fixed:\n  {COMMAND}"
    )
    other = {**found, "cure:web:Ask for a permission.": 1}
    del other["cure:web:Store a new one."]
    assert "crm: Store a new one.\nweb: Ask for a permission.\n" in said(verdict(other))


def test_a_refusal_of_which_nothing_else_is_known_is_spoken_of() -> None:
    assert "web: REFUSED. It refuses everything; see the dead letters." in said(verdict(counts(refused=5)))


def test_without_a_job_file_there_is_no_command() -> None:
    found = verdict(counts(bad=1), config=None)
    assert (said(found), found.replay) == ("1 dead letter is in dead letters.jsonl.", None)


def test_dead_letters_of_a_topic_are_replayed_from_a_subscription_that_only_the_user_knows() -> None:
    outputs = Outputs("pubsub:projects/p/topics/dead", "receipts.jsonl")
    assert said(verdict(counts(bad=1), outputs=outputs)).endswith(
        "corrected, with a subscription of that topic:\n  capybeam replay --config conversions.yaml"
        " --from pubsub:projects/p/subscriptions/SUBSCRIPTION"
    )


def test_a_run_that_was_stopped_or_cut_off_is_run_again_and_names_no_other_way() -> None:
    stopped = verdict(counts(gave_up=1), was_stopped=True)
    cut = verdict({**counts(bad=1), "unfinished:a.gz is cut off.": 1})
    failed = verdict(counts(bad=1), failure=SinkError("The disk is full."))
    assert [each.exit_code for each in (stopped, cut, failed)] == [INTERRUPTED, FAILED, FAILED]
    assert [each.replay for each in (stopped, cut, failed)] == [None, None, None]
    assert "capybeam: the run failed: The disk is full." in said(failed)
    assert all("run again" in said(each) and "capybeam replay" not in said(each) for each in (stopped, cut, failed))


def test_a_stream_that_was_stopped_ends_as_its_books_say() -> None:
    stopped = {"failure": Stopped("web: stopped before everything was delivered."), "is_endless": True}
    assert verdict(counts(), **stopped).exit_code == OK
    assert said(verdict(counts(), **stopped)) == "web: stopped before everything was delivered."
    assert verdict(counts(bad=1), **stopped).exit_code == DEAD_LETTERS
    held = verdict(counts(), failure=DestinationHeld("web: HELD."), is_endless=True)
    assert (held.exit_code, said(held)) == (REFUSED, "web: HELD.")
