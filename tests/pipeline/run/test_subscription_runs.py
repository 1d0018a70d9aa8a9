"""`run` on a subscription, on one machine: a Pub/Sub server in front, a sandbox behind, and nothing lost in between."""

from __future__ import annotations

import base64
import dataclasses
import errno
import gzip
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, OK, REFUSED
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from capybeam.pipeline.sources.pubsub.reader import SubscriptionReader
from capybeam.pipeline.sources.pubsub.subscription import PubSubStream
from capybeam.transforms.core.dead_letters import ReplayFilter
from tests.conftest import Topic
from tests.forks import Command
from tests.pipeline.jobs import JANE, TOKEN, job_file, order, rows
from tests.reports import in_short, subscriptions
from tests.servers.pubsub import NoServer, pubsub_server

pytestmark = pytest.mark.slow

DELIVERY = "{max_batch_delay: 200ms, retry_for: 5s}"
OUTPUTS = Outputs("dead.jsonl", "receipts.jsonl", "books.json")


def run(sandbox: SandboxServer, topic: Topic, outputs: Outputs = OUTPUTS, idle: float = 1.0) -> int:
    job = parse_job(job_file(sandbox.url, DELIVERY))
    return run_job(RunRequest(job, [f"pubsub:{topic.subscription}"], outputs, until_idle=idle))


def start(sandbox: SandboxServer, topic: Topic, *options: str, lease: int = 60, delivery: str = DELIVERY) -> Command:
    """`capybeam run` in a process of its own, in the current folder."""
    Path("job.yaml").write_text(job_file(sandbox.url, delivery))
    command = ["run", "--config", "job.yaml", "--input", f"pubsub:{topic.subscription}", "--books", "books.json"]
    settings = {
        "capybeam.pipeline.sources.pubsub.reader.LEASE": lease,
        "capybeam.transforms.delivery.limits.HOLD_PAUSE": 1,
    }
    return Command(*command, *options, settings=settings)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)


def wait_for(sandbox: SandboxServer, events: int) -> None:
    wait_until(lambda: sandbox.stats()["events_received"] >= events)


def books() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("books.json").read_text())
    return found


def test_every_message_is_delivered_filtered_or_a_dead_letter_and_acknowledged(
    sandbox: SandboxServer, topic: Topic
) -> None:
    topic.publish(*[order(n) for n in range(90, 110)])
    topic.publish(b"{broken", b"\xff\xfe", b'{"type": "screen"}', order(1, properties={"currency": "EUR"}))
    topic.publish(b"", b"  ")
    assert run(sandbox, topic) == DEAD_LETTERS
    assert in_short(books()) == {
        "balanced": True,
        "read": 26,
        "taken": 21,
        "filtered": 1,
        "unreadable": 4,
        "matched": 31,
        "delivered": 30,
        "dead_lettered": 1,
        "rejected_before_matching": {"parse/invalid_json": 3, "parse/invalid_utf8": 1},
        "subscriptions": {
            "crm/purchase": {"matched": 10, "delivered": 10, "dead_lettered": {}, "notes": {"website_without_url": 10}},
            "web/purchase": {
                "matched": 21,
                "delivered": 20,
                "dead_lettered": {"map/missing_required_field": 1},
                "notes": {"website_without_url": 20},
            },
        },
    }
    assert Counter(row["code"] for row in rows("dead.jsonl")) == {
        "invalid_json": 3,
        "invalid_utf8": 1,
        "missing_required_field": 1,
    }
    empty = [row["payload"] for row in rows("dead.jsonl") if row["message"].endswith("it is empty.")]
    assert sorted(empty) == ["", "  "]
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 20}, "456": {"Purchase": 10}}
    backlog = books()["backlog"]
    assert 0 <= backlog.pop("longest_delay_seconds") < 120
    assert backlog == {
        "messages": 0,
        "at_least": True,
        "oldest_published": None,
        "counted": None,
        "in_hand": 0,
        "oldest_in_hand_seconds": None,
    }
    assert topic.drain() == []


def test_the_books_add_up_over_many_batches(sandbox: SandboxServer, topic: Topic) -> None:
    process = start(sandbox, topic, "--until-idle", "3s")
    for n in range(5):
        topic.publish(*[order(10 * n + k) for k in range(10)], b"{")
        wait_for(sandbox, 10 * (n + 1))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == DEAD_LETTERS, output
    found = books()
    assert (found["balanced"], found["read"], found["delivered"], found["unreadable"]) == (True, 55, 50, 5)
    assert len(rows("receipts.jsonl.gz")) >= 5
    assert sandbox.stats()["duplicates"] == 0


def test_an_idle_subscription_is_left(sandbox: SandboxServer, topic: Topic) -> None:
    assert run(sandbox, topic, idle=0.3) == OK
    assert books()["read"] == 0


def test_a_process_killed_in_the_middle_of_sending_loses_nothing(sandbox: SandboxServer, topic: Topic) -> None:
    sandbox.set_faults(latency=0.5)
    topic.publish(*[order(n) for n in range(60)])
    process = start(sandbox, topic, lease=10)
    wait_until(lambda: sandbox.stats()["requests"] > 0)  # which are answered half a second later
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert topic.drain() == []  # they are leased still
    sandbox.reset()
    sandbox.set_faults(latency=0.0)
    assert run(sandbox, topic, idle=13.0) == OK
    assert (books()["read"], sandbox.stats()["events_stored"]) == (60, 60)
    assert topic.drain() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_finishes_what_was_pulled_and_leaves_the_rest(
    sandbox: SandboxServer, topic: Topic, number: signal.Signals
) -> None:
    sandbox.set_faults(latency=0.3)
    topic.publish(*[order(n) for n in range(30)])
    process = start(sandbox, topic)
    wait_for(sandbox, 1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == OK, output
    assert (books()["balanced"], books()["delivered"]) == (True, 30)
    assert "The books balance." in output
    later = order(31)
    topic.publish(later)
    assert topic.drain() == [later]
    assert sandbox.stats()["duplicates"] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, the disk that is always full")
def test_what_cannot_be_written_is_not_acknowledged(
    sandbox: SandboxServer, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [order(1), b"{broken"]
    topic.publish(*messages)
    assert run(sandbox, topic, Outputs("/dev/full", "receipts.jsonl", "books.json")) == FAILED
    error = capsys.readouterr().err
    assert "Dead letters cannot be written to /dev/full: No space left" in error
    assert "Messages that were not acknowledged are redelivered." in error
    backlog = books()["backlog"]
    assert (backlog["messages"], backlog["at_least"], backlog["longest_delay_seconds"]) == (2, True, None)
    assert 0 <= backlog["oldest_in_hand_seconds"] < 120
    assert sorted(topic.drain()) == sorted(messages)


def test_dead_letters_and_receipts_would_outlive_the_machines_power_before_anything_is_acknowledged(
    sandbox: SandboxServer, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe: dict[str, bytes] = {}
    acknowledged: list[tuple[bytes, bytes, int]] = []
    fsync, acknowledge = os.fsync, SubscriptionReader.acknowledge

    def watched_fsync(file: int) -> None:
        fsync(file)
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if path.is_file():
            safe[path.name] = path.read_bytes()

    def watched_acknowledge(pulling: SubscriptionReader, messages: Sequence[str], published: Sequence[int]) -> None:
        if messages:  # there are none in the batch by which the steps are set up
            acknowledged.append((safe["dead.jsonl"], safe["receipts.jsonl"], len(messages)))
        acknowledge(pulling, messages, published)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(SubscriptionReader, "acknowledge", watched_acknowledge)
    topic.publish(*[order(n) for n in range(20)], b"{broken", b"")
    assert run(sandbox, topic) == DEAD_LETTERS
    assert sum(messages for *_, messages in acknowledged) == 22
    *_, last = acknowledged
    assert last[:2] == (Path("dead.jsonl").read_bytes(), Path("receipts.jsonl").read_bytes())
    so_far = 0
    for dead, receipts, messages in acknowledged:
        so_far += messages
        assert len(dead.splitlines()) + sum(json.loads(line)["events"] for line in receipts.splitlines()) == so_far


@pytest.mark.parametrize("name", ["dead.jsonl", "receipts.jsonl"])
def test_what_a_disk_does_not_keep_is_not_acknowledged(
    sandbox: SandboxServer,
    topic: Topic,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    fsync = os.fsync

    def failing_fsync(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}").endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(file)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    messages = [order(1), b"{broken"]
    topic.publish(*messages)
    assert run(sandbox, topic) == FAILED
    what = "Dead letters" if name == "dead.jsonl" else "Receipts"
    error = capsys.readouterr().err
    assert f"the run failed: {what} cannot be written to {name}: Input/output error\n" in error
    assert books()["read"] == 0
    assert sorted(topic.drain()) == sorted(messages)


def test_dead_letters_that_were_published_are_replayed_from_their_subscription(
    sandbox: SandboxServer, topic: Topic
) -> None:
    Path("events.jsonl").write_bytes(order(1) + b"\n")
    job = parse_job(job_file(sandbox.url, DELIVERY))
    sandbox.set_faults(dead_token=True)
    run_job(RunRequest(job, ["events.jsonl"], Outputs("dead.jsonl", "receipts.jsonl")))
    sandbox.set_faults(dead_token=False)
    topic.publish(*Path("dead.jsonl").read_bytes().splitlines(), b"stray", b"")
    outputs = Outputs("again.jsonl", "replayed.jsonl", "books.json")
    assert (
        replay_job(RunRequest(job, [f"pubsub:{topic.subscription}"], outputs, until_idle=1.0), ReplayFilter())
        == DEAD_LETTERS
    )
    assert (books()["balanced"], books()["delivered"], books()["unreadable"]) == (True, 1, 2)
    assert sorted(row["message"].partition(" is ")[2] for row in rows("again.jsonl")) == [
        "not a capybeam dead letter: it is empty.",
        "not a capybeam dead letter: it is not JSON.",
    ]
    assert all(row["message"].startswith("Message ") for row in rows("again.jsonl"))


def test_a_choice_of_dead_letters_is_for_files(topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    job = parse_job(job_file("http://127.0.0.1:9"))
    sources = [f"pubsub:{topic.subscription}"]
    assert replay_job(RunRequest(job, sources, OUTPUTS, until_idle=1.0), ReplayFilter(retryable=True)) == CONFIGURATION
    assert "--only and --retryable are for files" in capsys.readouterr().err


def test_messages_leave_no_personal_data_on_the_terminal(
    sandbox: SandboxServer, topic: Topic, capfd: pytest.CaptureFixture[str]
) -> None:
    topic.publish(order(1), b'{"email": "jane.doe@exam')
    run(sandbox, topic)
    out, err = capfd.readouterr()
    for secret in (TOKEN, *JANE.values(), "jane.doe"):
        assert secret not in out + err


def test_a_dead_token_holds_the_stream_until_there_is_a_new_one(sandbox: SandboxServer, topic: Topic) -> None:
    sandbox.set_faults(dead_token=True)
    topic.publish(*[order(n) for n in range(5)])
    process = start(sandbox, topic, "--until-idle", "2s")
    wait_until(lambda: sandbox.stats()["refused_requests"] > 0)
    sandbox.set_faults(dead_token=False)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == OK, output
    assert output.count("HELD") == 1
    assert (books()["delivered"], books()["balanced"]) == (5, True)
    assert topic.drain() == []


def test_a_stream_that_is_stopped_while_it_is_held_gives_its_messages_back(
    sandbox: SandboxServer, topic: Topic
) -> None:
    sandbox.set_faults(dead_token=True)
    messages = [order(n) for n in range(5)]
    topic.publish(*messages)
    process = start(sandbox, topic)
    wait_until(lambda: sandbox.stats()["refused_requests"] > 0)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == REFUSED, output
    assert "Nothing is lost: its events wait." in output
    assert rows("dead-letters.jsonl") == []
    assert sorted(topic.drain()) == sorted(messages)


def test_held_events_of_a_subscription_with_a_dead_letter_policy_are_warned_of_before_they_are_moved_away(
    sandbox: SandboxServer, pubsub: str, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = Topic()
    topic = Topic(dead_letters=moved)
    topic.publish(order(1))
    assert run(sandbox, topic) == OK
    assert (
        f"capybeam: {topic.subscription} has a dead-letter policy: Pub/Sub moves a message to {moved.path} after 5"
        " delivery attempts, and each stop or restart is one."
    ) in capsys.readouterr().err


def test_a_subscription_without_a_dead_letter_policy_is_not_warned_of(
    sandbox: SandboxServer, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    topic.publish(order(1))
    assert run(sandbox, topic) == OK
    assert "dead-letter policy" not in capsys.readouterr().err


def test_who_may_not_look_at_a_subscription_learns_of_its_dead_letter_policy_by_its_messages(
    pubsub: str, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with denying("GetSubscription"):
        topic = Topic(dead_letters=Topic())
        topic.publish(order(1), order(2))
        assert run(sandbox, topic) == OK
    assert f"{topic.subscription}: the subscription has a dead-letter policy" in capsys.readouterr().err


def test_more_than_four_megabytes_come_in_one_answer(
    sandbox: SandboxServer, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = list[Any]()
    monkeypatch.setattr(
        "capybeam.pipeline.sources.pubsub.reader.PullSize.too_large", lambda *asked: refused.append(asked)
    )
    topic.publish(*[order(n, context={"userAgent": "UA", "traits": JANE, "page": "x" * 1_000_000}) for n in range(6)])
    assert run(sandbox, topic) == OK
    assert (books()["delivered"], books()["balanced"], refused) == (6, True, [])
    assert topic.drain() == []


def test_what_is_in_an_envelope_is_delivered_and_what_is_no_event_is_a_dead_letter_and_shown(
    sandbox: SandboxServer, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = {"message": {"data": base64.b64encode(order(1)).decode(), "messageId": "7"}, "subscription": "s"}
    several = {"batch": [json.loads(order(number)) for number in (2, 3)], "sentAt": "2026-11-22T10:00:00Z"}
    unknown = {"detail-type": "order", "detail": json.loads(order(5)), "jane.doe@example.com": 1}
    topic.publish(*[json.dumps(each).encode() for each in (pushed, several, unknown)], gzip.compress(order(4)))
    assert run(sandbox, topic) == DEAD_LETTERS
    assert (books()["read"], books()["taken"], books()["filtered"], books()["unreadable"]) == (5, 4, 0, 1)
    assert books()["balanced"]
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 4}}
    assert [(row["code"], json.loads(row["payload"])) for row in rows("dead.jsonl")] == [("not_an_event", unknown)]
    out, err = capsys.readouterr()
    seen = "Its keys: detail-type, detail and 1 more. If detail holds the event, add unwrap: $.detail to the job file."
    assert (seen in " ".join(out.split()), "jane" in out + err) == (True, False)
    assert topic.drain() == []


# --- bad input ------------------------------------------------------------------------------------------------------


def refusal(sandbox_url: str, inputs: list[str], capsys: pytest.CaptureFixture[str], **settings: Any) -> str:
    code = run_job(RunRequest(parse_job(job_file(sandbox_url)), inputs, OUTPUTS, **settings))
    assert code == CONFIGURATION
    return capsys.readouterr().err


def test_a_subscription_that_does_not_exist_is_named_before_anything_is_written(
    pubsub: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "projects/capybeam-tests/subscriptions/nowhere"
    assert f"capybeam: {path}: no such subscription\n" in refusal("http://127.0.0.1:9", [f"pubsub:{path}"], capsys)
    assert not Path("dead.jsonl").exists()


@pytest.mark.parametrize("calls", [("Pull",), ("GetSubscription", "Pull")], ids=" and ".join)
def test_a_subscription_that_may_not_be_pulled_from_is_named_with_the_role(
    pubsub: str, capsys: pytest.CaptureFixture[str], calls: tuple[str, ...]
) -> None:
    with denying(*calls):
        topic = Topic()
        error = refusal("http://127.0.0.1:9", [f"pubsub:{topic.subscription}"], capsys)
    assert f"{topic.subscription}: no permission to pull; it needs the role Pub/Sub Subscriber on it" in error
    assert not Path("dead.jsonl").exists()


def test_who_may_pull_need_not_be_allowed_to_look(pubsub: str, sandbox: SandboxServer) -> None:
    with denying("GetSubscription"):
        topic = Topic()
        topic.publish(order(1))
        assert run(sandbox, topic) == OK
    assert sandbox.stats()["events_stored"] == 1


def test_a_permission_withdrawn_while_it_runs_fails_the_run(
    pubsub: str, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PubSubStream, "try_to_pull", lambda _self: [])  # as if it had been there when the run began
    with denying("Pull"):
        topic = Topic()
        assert run(sandbox, topic) == FAILED
    assert f"{topic.subscription} can no longer be pulled from (PermissionDenied)" in capsys.readouterr().err


def test_what_the_look_at_a_subscription_brings_goes_back_when_the_run_does_not_start(
    sandbox: SandboxServer, topic: Topic
) -> None:
    event = order(1)
    topic.publish(event)
    nowhere = Outputs("dead.jsonl", "pubsub:projects/capybeam-tests/topics/nowhere")
    assert run(sandbox, topic, nowhere) == CONFIGURATION
    assert topic.drain() == [event]


@pytest.mark.parametrize(
    ("outputs", "what"),
    [
        (lambda path: Outputs(path, "receipts.jsonl"), "Dead letters"),
        (lambda path: Outputs("dead.jsonl", path), "Receipts"),
    ],
    ids=["dead letters", "receipts"],
)
@pytest.mark.parametrize("command", ["run", "replay"])
def test_a_run_does_not_read_what_it_writes(
    topic: Topic, capsys: pytest.CaptureFixture[str], command: str, outputs: Callable[[str], Outputs], what: str
) -> None:
    job, source, path = (
        parse_job(job_file("http://127.0.0.1:9")),
        f"pubsub:{topic.subscription}",
        f"pubsub:{topic.path}",
    )
    if command == "run":
        code = run_job(RunRequest(job, [source], outputs(path), until_idle=1.0))
    else:
        code = replay_job(RunRequest(job, [source], outputs(path), until_idle=1.0), ReplayFilter())
    assert code == CONFIGURATION
    assert (
        f"{what} cannot be written to {path}: {source} receives what is written there, so the run would read its own"
        " output; choose another path\n"
    ) in capsys.readouterr().err
    assert not Path("dead.jsonl").exists()


def test_a_server_that_dies_is_no_idle_subscription(
    pubsub: str, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.pipeline.sources.pubsub.reader.SILENCE_LIMIT", 3.0)
    with ExitStack() as server:
        server.enter_context(denying("Nothing"))
        topic = Topic()
        topic.publish(order(1))
        threading.Timer(2.0, server.close).start()
        assert run(sandbox, topic, idle=2.5) == FAILED
    error = capsys.readouterr().err
    assert f"capybeam: the run failed: {topic.subscription}: no answer from Pub/Sub for " in error
    assert (books()["delivered"], books()["balanced"]) == (1, True)


@contextmanager
def denying(*calls: str) -> Iterator[None]:
    try:
        with pubsub_server(deny=calls):
            yield
    except NoServer as reason:
        pytest.skip(str(reason))


def test_a_service_that_is_away_for_a_moment_as_a_run_begins_is_asked_again(
    pubsub: str, sandbox: SandboxServer
) -> None:
    with pubsub_server(fail=["GetSubscription", "Pull", "ModifyAckDeadline", "Acknowledge", "GetTopic"]):
        topic, dead = Topic(), Topic()
        topic.publish(order(1), b"{")
        assert run(sandbox, topic, dataclasses.replace(OUTPUTS, dead_letters=f"pubsub:{dead.path}")) == DEAD_LETTERS
        assert [json.loads(letter)["code"] for letter in dead.drain()] == ["invalid_json"]
    assert sandbox.stats()["events_stored"] == 1


@pytest.mark.parametrize("text", ["pubsub:orders", "pubsub:projects/p/topics/t"])
def test_a_subscription_written_in_another_way_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal("http://127.0.0.1:9", [text], capsys)
    assert f"{text}: not of the form pubsub:projects/P/subscriptions/S" in error


def test_a_subscription_is_an_input_of_its_own(topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    Path("events.jsonl").write_bytes(b"")
    error = refusal("http://127.0.0.1:9", [f"pubsub:{topic.subscription}", "events.jsonl"], capsys)
    assert "a subscription never ends; run it alone, without other inputs" in error


def test_until_idle_is_for_subscriptions(capsys: pytest.CaptureFixture[str]) -> None:
    Path("events.jsonl").write_bytes(b"")
    error = refusal("http://127.0.0.1:9", ["events.jsonl"], capsys, until_idle=1.0)
    assert "--until-idle is for a subscription that is read on this machine" in error


@pytest.mark.parametrize("options", [[], ["--runner", "DirectRunner", "--streaming", "--allow-unsafe-runner"]])
def test_attributes_are_for_runners_elsewhere(
    topic: Topic, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    inputs, attributes = [f"pubsub:{topic.subscription}"], MessageAttributes(id="id")
    job = parse_job(job_file("http://127.0.0.1:9"))
    assert run_job(RunRequest(job, inputs, OUTPUTS, options, attributes=attributes)) == CONFIGURATION
    assert "are for streaming runners such as Dataflow" in capsys.readouterr().err


def test_a_missing_client_library_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.pubsub_v1", None)
    error = refusal("http://127.0.0.1:9", ["pubsub:projects/p-12345/subscriptions/s"], capsys)
    assert "needs Google's client library: pip install 'capybeam[gcp]'" in error


def test_a_server_that_is_not_there_is_named(
    pubsub: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setattr("capybeam.pipeline.sources.pubsub.client.PATIENCE", 1.0)
    error = refusal("http://127.0.0.1:9", ["pubsub:projects/p-12345/subscriptions/s"], capsys)
    assert "projects/p-12345/subscriptions/s: Pub/Sub does not answer (ServiceUnavailable)" in error


# --- repeats, and runners that stream -------------------------------------------------------------------------------


DEDUPLICATING = "{max_batch_delay: 100ms, deduplicate: 10m}"


def test_repeats_are_dropped_and_counted_in_all_batches_of_a_run_where_the_job_asks_for_it(
    sandbox: SandboxServer, topic: Topic
) -> None:
    process = start(sandbox, topic, "--until-idle", "3s", delivery=DEDUPLICATING)
    topic.publish(order(1), order(2), order(1))
    wait_for(sandbox, 2)
    topic.publish(order(2), order(3))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == OK, output
    assert books()["destinations"]["web"]["subscriptions"]["purchase"]["repeated"] == books()["repeated"] == 2
    assert in_short(books())["subscriptions"]["web/purchase"] == {
        "matched": 5,
        "delivered": 3,
        "dead_lettered": {},
        "notes": {"website_without_url": 5},
    }
    assert books()["balanced"]
    assert (sandbox.stats()["events_received"], sandbox.stats()["duplicates"]) == (3, 0)


def test_what_one_run_delivered_is_no_repeat_for_the_next_run_of_the_same_process(
    sandbox: SandboxServer, topic: Topic
) -> None:
    job = parse_job(job_file(sandbox.url, DEDUPLICATING))
    for _ in range(2):
        topic.publish(order(1))
        assert run_job(RunRequest(job, [f"pubsub:{topic.subscription}"], OUTPUTS, until_idle=1.0)) == OK
        assert subscriptions(books())["web/purchase"]["delivered"] == 1


def test_a_batch_that_failed_is_no_repeat_of_itself(sandbox: SandboxServer, topic: Topic) -> None:
    job = parse_job(job_file(sandbox.url, DEDUPLICATING))
    topic.publish(order(1001), b"{broken")
    if Path("/dev/full").exists():
        outputs = Outputs("/dev/full", "receipts.jsonl", "books.json")
        assert run_job(RunRequest(job, [f"pubsub:{topic.subscription}"], outputs, until_idle=1.0)) == FAILED
    assert run_job(RunRequest(job, [f"pubsub:{topic.subscription}"], OUTPUTS, until_idle=1.0)) == DEAD_LETTERS
    assert subscriptions(books())["web/purchase"]["delivered"] == 1


def test_the_graph_that_streams_delivers_from_beams_own_source(sandbox: SandboxServer, topic: Topic) -> None:
    process = start(sandbox, topic, "--runner", "DirectRunner", "--streaming", "--allow-unsafe-runner")
    topic.publish(*[order(n) for n in range(90, 110)], b"{broken", b"", b"  ")
    wait_for(sandbox, 30)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert sandbox.stats()["by_event"] == {"123": {"Purchase": 20}, "456": {"Purchase": 10}}, output
    assert [row["code"] for row in rows("dead-letters.jsonl")] == ["invalid_json"] * 3
    assert process.returncode == DEAD_LETTERS, output


def test_dead_letters_and_receipts_may_go_to_topics(sandbox: SandboxServer, topic: Topic, pubsub: str) -> None:
    dead, receipts = Topic(), Topic()
    topic.publish(*[order(n) for n in range(90, 110)], b"{broken")
    assert run(sandbox, topic, Outputs(f"pubsub:{dead.path}", f"pubsub:{receipts.path}", "books.json")) == DEAD_LETTERS
    assert [json.loads(message)["payload"] for message in dead.drain()] == ["{broken"]
    assert sum(json.loads(message)["events"] for message in receipts.drain()) == 30


def test_a_topic_that_is_not_there_is_named_before_anything_is_sent(
    sandbox: SandboxServer, topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    topic.publish(order(1))
    nowhere = "projects/capybeam-tests/topics/nowhere"
    assert run(sandbox, topic, Outputs(f"pubsub:{nowhere}", "receipts.jsonl")) == CONFIGURATION
    assert f"capybeam: Dead letters cannot be published to {nowhere}: no such topic\n" in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0


def test_each_batch_writes_its_books_in_windows_to_a_file_or_a_topic(sandbox: SandboxServer, topic: Topic) -> None:
    written = Topic()
    topic.publish(*[order(n) for n in range(95, 105)], b"{broken")
    outputs = Outputs("dead.jsonl", "receipts.jsonl", None, f"pubsub:{written.path}")
    assert run(sandbox, topic, outputs) == DEAD_LETTERS
    topic.publish(order(1), order(2))
    assert run(sandbox, topic, dataclasses.replace(outputs, window_books="windows.jsonl")) == OK
    found: Counter[tuple[str, str]] = Counter()
    for row in [*map(json.loads, written.drain()), *rows("windows.jsonl")]:
        assert time.time() - 120 < row["window_start_time"] <= time.time()
        for name in ("read", "taken", "matched", "delivered", "dead_lettered"):
            found[str(row["destination"]), name] += row[name]
    assert +found == {
        ("None", "read"): 13,
        ("None", "taken"): 12,
        ("None", "dead_lettered"): 1,
        ("web", "matched"): 12,
        ("web", "delivered"): 12,
        ("crm", "matched"): 5,
        ("crm", "delivered"): 5,
    }
