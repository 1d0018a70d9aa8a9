"""Pulling from a server that does not answer, or whose answers are limited, and how long what was pulled stays leased.

What an ordinary server brings is in tests/pipeline/run/test_subscription_runs.py.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from capybeam.pipeline.sources.pubsub import client, reader
from capybeam.pipeline.sources.pubsub.messages import NO_MESSAGES, Message, Messages, lists_of_lines
from capybeam.pipeline.sources.pubsub.reader import (
    SubscriptionBatch,
    SubscriptionDetails,
    SubscriptionReader,
)
from capybeam.pipeline.sources.pubsub.subscription import PubSubStream
from capybeam.pipeline.sources.streams import StreamLost
from capybeam.transforms.core.run_context import RunContext

exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
pubsub_v1 = pytest.importorskip("google.cloud.pubsub_v1", reason="needs the extra gcp")

PATH = "projects/capybeam-tests/subscriptions/s"


def use(monkeypatch: pytest.MonkeyPatch, new_client: Callable[[], Any]) -> None:
    """Lets readers use clients of the test's own, whose method `pull` is asked for a response."""

    def pulling(client: Any, _: str) -> Callable[..., Any]:
        return lambda **arguments: pubsub_v1.types.PullResponse.pb(client.pull(**arguments))

    monkeypatch.setattr(reader, "new_client", new_client)
    monkeypatch.setattr(reader, "pulling", pulling)


@pytest.fixture
def pulling(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SubscriptionReader]:
    """Makes a reader whose server answers each pull with what `answer` returns or raises, given its arguments."""

    def make(answer: Callable[..., Any], run: RunContext | None = None, **settings: Any) -> SubscriptionReader:
        class Client:
            def pull(self, **arguments: Any) -> Any:
                time.sleep(0.02)
                return answer(**arguments)

            def modify_ack_deadline(self, **_: Any) -> None:
                pass

            def acknowledge(self, **_: Any) -> None:
                pass

            def close(self) -> None:
                pass

        use(monkeypatch, Client)
        return SubscriptionReader(PATH, run or RunContext(), max_delay=0.0, **settings)

    return make


def nothing(**_: Any) -> Any:
    return pubsub_v1.types.PullResponse()


def hanging(**_: Any) -> Any:
    raise exceptions.DeadlineExceeded("")


def dead(**_: Any) -> Any:
    raise exceptions.ServiceUnavailable("")


@pytest.mark.parametrize(
    ("answer", "reason"), [(dead, "ServiceUnavailable"), (hanging, "DeadlineExceeded")], ids=["dead", "hanging"]
)
def test_a_server_without_an_answer_is_not_idle_and_at_last_an_error(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any], reason: str
) -> None:
    monkeypatch.setattr(reader, "SILENCE_LIMIT", 1.0)
    with pulling(answer, until_idle=0.1) as silent, pytest.raises(StreamLost) as raised:
        list(silent.batches())
    assert re.fullmatch(
        rf"{PATH}: no answer from Pub/Sub for [12] s \({reason}\), and --until-idle does not wait for ever",
        str(raised.value),
    )


def test_credentials_that_are_not_taken_are_tried_again_and_at_last_an_error(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()

    def unknown(**_: Any) -> Any:
        if 0.5 < time.monotonic() - began < 1.0:
            return nothing()
        raise exceptions.Unauthenticated("")

    monkeypatch.setattr(reader, "SILENCE_LIMIT", 1.0)
    with pulling(unknown) as started, pytest.raises(StreamLost) as raised:
        list(started.batches())
    assert time.monotonic() - began > 1.5
    assert re.fullmatch(
        rf"{PATH}: Pub/Sub has not taken the credentials for [12] s \(Unauthenticated\)", str(raised.value)
    )


def test_a_pull_that_is_kept_open_is_followed_by_one_that_is_answered_at_once(
    pulling: Callable[..., SubscriptionReader],
) -> None:
    def kept_open(return_immediately: bool = False, **_: Any) -> Any:
        return nothing() if return_immediately else hanging()

    with pulling(kept_open, until_idle=0.1) as quiet:
        assert list(quiet.batches()) == []


def test_it_is_idle_for_as_long_as_it_has_answered(pulling: Callable[..., SubscriptionReader]) -> None:
    began = time.monotonic()

    def back_after_a_while(**_: Any) -> Any:
        return dead() if time.monotonic() - began < 1.0 else nothing()

    with pulling(back_after_a_while, until_idle=0.5) as back:
        assert list(back.batches()) == []
    assert time.monotonic() - began > 1.5


def test_without_an_end_it_waits_for_as_long_as_it_takes(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SILENCE_LIMIT", 0.1)
    began = time.monotonic()

    def back_after_a_while(**_: Any) -> Any:
        if time.monotonic() - began < 1.0:
            return dead()
        message = {"ack_id": "a", "message": {"message_id": "m", "data": b"{}"}}
        return pubsub_v1.types.PullResponse(received_messages=[message])

    with pulling(back_after_a_while) as back:
        batch = list(next(back.batches()))
    assert batch[0][0] == Message("m", "a", b"{}")


def test_what_was_pulled_before_is_the_first_of_the_batch(pulling: Callable[..., SubscriptionReader]) -> None:
    with pulling(nothing, first=pulled("m")) as started:
        assert list(map(list, next(started.batches()))) == [[Message("m", "a-m", b"{}")]]


def pulled(*names: str) -> Messages:
    return Messages(list(names), [f"a-{name}" for name in names], [b"{}"] * len(names), [0] * len(names))


def messages(count: int) -> Messages:
    return pulled(*(f"m{number}" for number in range(count)))


def names(batch: SubscriptionBatch) -> list[list[str]]:
    return [[message.message_id for message in taken] for taken in batch]


def test_a_batch_is_there_with_its_first_message_and_takes_those_that_come_in_its_time() -> None:
    left = [["m0"], ["m1", "m2"]]
    asked: list[float] = []

    def take(_: int, until: float) -> Messages:
        asked.append(until)
        return pulled(*left.pop(0)) if left else NO_MESSAGES

    settled: list[tuple[Sequence[str], Sequence[int]]] = []
    batch = SubscriptionBatch(take, lambda *done: settled.append(done), lambda *_: None, until=7.0)
    assert names(batch) == [["m0"], ["m1", "m2"]]
    batch.acknowledge()
    assert (asked, settled) == ([7.0, 7.0, 7.0], [(["m0", "m1", "m2"], [0, 0, 0])])


def test_what_comes_after_the_time_of_a_batch_is_in_the_next(pulling: Callable[..., SubscriptionReader]) -> None:
    with pulling(nothing, first=messages(1)) as started:  # whose batches take what came with their first message
        batches = started.batches()
        first = next(batches)
        time.sleep(0.01)
        started._received(pulled("later"))
        assert names(first) == [["m0"]]
        assert names(next(batches)) == [["later"]]


def test_a_batch_that_begins_late_takes_all_that_waits(pulling: Callable[..., SubscriptionReader]) -> None:
    with pulling(nothing, first=messages(1)) as started:
        time.sleep(0.01)
        started._received(pulled("later"))
        assert names(next(started.batches())) == [["m0"], ["later"]]


def test_a_batch_that_is_full_leaves_the_rest_to_the_next(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MAX_MESSAGES", 3)
    monkeypatch.setattr(reader, "_LIST", 2)
    with pulling(nothing, until_idle=0.1, first=messages(8)) as started:
        taken = []
        for batch in started.batches():
            taken.append(names(batch))
            batch.acknowledge()
    assert taken == [[["m0", "m1"], ["m2"]], [["m3"], ["m4", "m5"]], [["m6", "m7"]]]


def test_a_pull_waits_until_there_is_room_for_all_that_it_may_bring(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def one_more(max_messages: int, **_: Any) -> Any:
        asked.append(max_messages)
        name = f"m{len(asked)}"
        received = {"ack_id": name, "message": {"message_id": name, "data": b"x" * 40_000}}
        return pubsub_v1.types.PullResponse(received_messages=[received])

    monkeypatch.setattr(reader, "_PULLS", 1)
    monkeypatch.setattr(reader, "_ANSWER_BYTES", 2_000_000)
    monkeypatch.setattr(reader, "_WAITING_BYTES", 2_100_000)
    with pulling(one_more) as started:
        batches = started.batches()
        first = next(batches)
        deadline = time.monotonic() + 30
        while len(asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        assert asked == [50, 50, 50]  # three of 40 kB wait, so another 2 MB would be too much
        assert names(first) == [["m1"]]
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert asked == [50] * 4


def test_a_stream_stands_still_while_as_many_messages_as_may_be_are_under_way(
    pulling: Callable[..., SubscriptionReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()

    def one_more(**_: Any) -> Any:
        name = f"m{next(numbers)}"
        received = {"ack_id": name, "message": {"message_id": name, "data": b"{}"}}
        return pubsub_v1.types.PullResponse(received_messages=[received])

    monkeypatch.setattr(reader, "MAX_MESSAGES_PER_CALL", 1)
    monkeypatch.setattr(reader, "_IN_HAND_MESSAGES", 2)
    run = RunContext()
    with pulling(one_more, run=run) as started:
        batches = started.batches()
        under_way = []
        while not run.standstill.lasts():
            if started._waiting:
                under_way.append(next(batches))
                assert list(under_way[-1])
        assert sum(len(batch._message_ids) for batch in under_way) == 2
        under_way[0].acknowledge()
        next(batches)
        assert run.standstill.lasts() == 0.0


def test_it_is_not_idle_while_a_batch_is_under_way(pulling: Callable[..., SubscriptionReader]) -> None:
    with pulling(nothing, until_idle=0.2, first=pulled("m")) as started:
        batches = started.batches()
        first = next(batches)
        assert len(list(first)) == 1
        began = time.monotonic()
        threading.Timer(1.0, first.acknowledge).start()
        assert list(batches) == []
        assert time.monotonic() - began > 1.2


def test_a_message_that_is_redelivered_while_it_is_in_hand_is_in_one_batch_and_settled_by_its_last_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [[("m1", "a1"), ("m2", "b1")], [("m1", "a2")], [("m1", "a3"), ("m3", "c1")]]
    acknowledged: list[str] = []
    lock = threading.Lock()

    class Client:
        def pull(self, **_: Any) -> Any:
            time.sleep(0.02)
            with lock:
                answer = answers.pop(0) if answers else []
            received = [{"ack_id": ack_id, "message": {"message_id": name, "data": b"{}"}} for name, ack_id in answer]
            return pubsub_v1.types.PullResponse(received_messages=received)

        def modify_ack_deadline(self, **_: Any) -> None:
            pass

        def acknowledge(self, request: Any, **_: Any) -> None:
            acknowledged.extend(request.ack_ids)

        def close(self) -> None:
            pass

    use(monkeypatch, Client)
    monkeypatch.setattr(reader, "_PULLS", 1)
    with SubscriptionReader(PATH, RunContext(), max_delay=0.5, until_idle=0.1) as pulling:
        for batch in pulling.batches():
            assert [message.message_id for messages in batch for message in messages] == ["m1", "m2", "m3"]
            batch.acknowledge()
    assert acknowledged == ["a3", "b1", "c1"]


NOT_ACKNOWLEDGED = f"{PATH}: 2 messages that were delivered could not be acknowledged: they will be redelivered."


class Acknowledging:
    """A server whose acknowledgements fail in turn; between them all that is out is delivered again, by new IDs."""

    def __init__(self, *failures: Exception) -> None:
        self._failures, self._delivery = list(failures), 0
        self.asked: list[list[str]] = []
        self.given_back: list[str] = []
        self.acknowledged: list[str] = []

    def pull(self, **_: Any) -> Any:
        time.sleep(0.01)
        if self.acknowledged or self._delivery > len(self.asked):
            return nothing()
        self._delivery += 1
        received = [
            {"ack_id": f"{name}{self._delivery}", "message": {"message_id": name, "data": b"{}"}} for name in "ab"
        ]
        return pubsub_v1.types.PullResponse(received_messages=received)

    def modify_ack_deadline(self, request: Any, **_: Any) -> None:
        self.given_back += request.ack_ids if request.ack_deadline_seconds == 0 else []

    def acknowledge(self, request: Any, timeout: float, retry: None) -> None:
        self.asked.append(list(request.ack_ids))
        if self._failures:
            raise self._failures.pop(0)
        self.acknowledged += request.ack_ids

    def close(self) -> None:
        pass


def test_what_cannot_be_acknowledged_at_first_stays_in_hand_and_is_in_no_second_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_PULLS", 1)
    monkeypatch.setattr(reader, "_SHORTEST_PAUSE", 0.1)
    server = Acknowledging(
        exceptions.ServiceUnavailable(""), exceptions.InternalServerError(""), exceptions.ResourceExhausted("")
    )
    use(monkeypatch, lambda: server)
    run = RunContext()
    taken = []
    with SubscriptionReader(PATH, run, max_delay=0.05, until_idle=0.3) as pulling:
        for batch in pulling.batches():
            taken.append(names(batch))
            batch.acknowledge()
        assert run.progress.status(PATH) == ""
    assert taken == [[["a", "b"]]]
    assert server.asked[0] == ["a1", "b1"]
    assert server.acknowledged == server.asked[3] == ["a4", "b4"]  # by the IDs that they came with last
    assert server.given_back == []


def test_a_subscription_that_is_gone_is_not_asked_again_to_take_acknowledgements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Acknowledging(exceptions.NotFound(""))
    use(monkeypatch, lambda: server)
    run = RunContext()
    with SubscriptionReader(PATH, run, max_delay=0.05) as pulling:
        batch = next(pulling.batches())
        assert names(batch) == [["a", "b"]]
        batch.acknowledge()
        assert pulling._tally.look().messages == 2
    assert len(server.asked) == 1
    assert run.progress.remarks() == [NOT_ACKNOWLEDGED]


def test_a_run_that_is_to_end_does_not_wait_for_ever_for_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SETTLED_WITHIN", 0.5)
    monkeypatch.setattr(reader, "_SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(reader, "in_calls", lambda ids: ([each] for each in ids))
    server = Acknowledging(*(exceptions.ServiceUnavailable("") for _ in range(1000)))
    use(monkeypatch, lambda: server)
    run = RunContext()
    with SubscriptionReader(PATH, run, max_delay=0.05) as pulling:
        batch = next(pulling.batches())
        assert names(batch) == [["a", "b"]]
        threading.Timer(0.2, run.shutdown.set).start()
        began = time.monotonic()
        batch.acknowledge()
        assert 0.5 < time.monotonic() - began < 5.0  # and not as long again for the second call
    assert 2 < len(server.asked) < 50
    assert server.acknowledged == []
    assert run.progress.remarks() == [NOT_ACKNOWLEDGED]


def test_all_that_is_in_hand_is_given_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    leasing = LeasingClient(Time(until=0.0))
    use(monkeypatch, lambda: leasing)
    with SubscriptionReader(PATH, RunContext(), max_delay=0.1) as pulling:
        assert list(map(len, next(pulling.batches()))) == [3]
    assert leasing.expiry == {"a": 0.0, "b": 0.0, "c": 0.0}


# --- leases -----------------------------------------------------------------------------------------------------------


class Time(threading.Event):
    """Seconds that pass while the lease is waited for, from when a batch has begun until it has ended."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self.now, self._until = 0.0, until
        self.begun, self.ended = threading.Event(), threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.begun.wait()
        if timeout is None or self.now >= self._until:
            self.ended.set()
            return super().wait()
        self.now += timeout
        return False


class LeasingClient:
    """A subscription of three messages, whose leases end when they are not renewed in time."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self._there = ["a", "b", "c"]
        self.expiry: dict[str, float] = {}
        self.lost: set[str] = set()
        self.acknowledged: set[str] = set()

    def pull(self, **_: Any) -> Any:
        time.sleep(0.01)
        there, self._there = self._there, []
        self.expiry.update(dict.fromkeys(there, self._clock.now + 10))
        received = [{"ack_id": each, "message": {"message_id": each, "data": b"{}"}} for each in there]
        return pubsub_v1.types.PullResponse(received_messages=received)

    def modify_ack_deadline(self, request: Any, **_: Any) -> None:
        self._check(request.ack_ids)
        self.expiry.update(dict.fromkeys(request.ack_ids, self._clock.now + request.ack_deadline_seconds))

    def acknowledge(self, request: Any, **_: Any) -> None:
        self._check(request.ack_ids)
        self.acknowledged.update(request.ack_ids)

    def close(self) -> None:
        pass

    def _check(self, ack_ids: Sequence[str]) -> None:
        self.lost.update(ack_id for ack_id in ack_ids if self.expiry[ack_id] < self._clock.now)


def test_a_lease_is_renewed_for_as_long_as_a_batch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time(until=20 * reader.LEASE)
    leasing = LeasingClient(clock)
    use(monkeypatch, lambda: leasing)
    pulling = SubscriptionReader(PATH, RunContext(), max_delay=0.2)
    pulling._closed = clock
    with pulling:
        batch = next(pulling.batches())
        assert [message.ack_id for messages in batch for message in messages] == ["a", "b", "c"]
        clock.begun.set()
        assert clock.ended.wait(30)
        assert clock.now >= 20 * reader.LEASE
        assert min(leasing.expiry.values()) > clock.now
        batch.acknowledge()
    assert leasing.lost == set()
    assert leasing.acknowledged == {"a", "b", "c"}


def test_messages_are_leased_together_when_some_have_come_but_not_those_that_are_settled_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, list[str]]] = []

    class Client:
        def pull(self, **_: Any) -> Any:
            time.sleep(0.02)
            return nothing()

        def modify_ack_deadline(self, request: Any, **_: Any) -> None:
            calls.append((request.ack_deadline_seconds, list(request.ack_ids)))

        def acknowledge(self, **_: Any) -> None:
            pass

        def close(self) -> None:
            pass

    use(monkeypatch, Client)
    clock = Time(until=(reader._UNLEASED + 2) * reader._LEASE_TICK)
    pulling = SubscriptionReader(PATH, RunContext(), max_delay=0.1, first=pulled("early"))
    pulling._closed = clock
    with pulling:
        batch = next(pulling.batches())
        assert names(batch) == [["early"]]
        batch.acknowledge()
        pulling._received(pulled("m1", "m2"))
        pulling._received(pulled("m3"))
        clock.begun.set()
        assert clock.ended.wait(30)
        assert calls == [(reader.LEASE, ["a-m1", "a-m2", "a-m3"])]
        pulling.give_back(["m1"], [0])
        assert calls[1:] == [(0, ["a-m1"])]


# --- answers that are too large ---------------------------------------------------------------------------------------


@contextmanager
def limited_server(monkeypatch: pytest.MonkeyPatch, messages: dict[str, int], limit: int) -> Iterator[None]:
    """A Pub/Sub server whose answers are of at most `limit` bytes; messages are of so many bytes each.

    What a pull brings, or would have brought, is leased for a second.
    """
    import grpc
    from google.protobuf import empty_pb2
    from google.pubsub_v1 import types

    leased: dict[str, float] = {}

    def pull(request: Any, _: Any) -> Any:
        now = time.monotonic()
        free = [each for each in messages if leased.get(each, 0.0) <= now][: request.max_messages]
        leased.update(dict.fromkeys(free, now + 1.0))
        received = [{"ack_id": each, "message": {"message_id": each, "data": b"x" * messages[each]}} for each in free]
        return types.PullResponse(received_messages=received)

    def modify(request: Any, _: Any) -> Any:
        leased.update(dict.fromkeys(request.ack_ids, time.monotonic() + request.ack_deadline_seconds))
        return empty_pb2.Empty()

    def acknowledge(request: Any, _: Any) -> Any:
        for ack_id in request.ack_ids:
            messages.pop(ack_id, None)
        return empty_pb2.Empty()

    calls = {
        "Pull": (pull, types.PullRequest, types.PullResponse.serialize),
        "ModifyAckDeadline": (modify, types.ModifyAckDeadlineRequest, empty_pb2.Empty.SerializeToString),
        "Acknowledge": (acknowledge, types.AcknowledgeRequest, empty_pb2.Empty.SerializeToString),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(call, request.deserialize, serialize)
        for name, (call, request, serialize) in calls.items()
    }
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", limit)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    try:
        yield
    finally:
        server.stop(None).wait()


DETAILS = SubscriptionDetails("projects/capybeam-tests/topics/t", ack_deadline=1.0)


def test_a_pull_that_is_too_large_asks_for_less_until_all_messages_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = {f"m{number}": 5_000 for number in range(60)}
    with (
        limited_server(monkeypatch, messages, limit=50_000),
        SubscriptionReader(PATH, RunContext(), 0.1, 0.3, NO_MESSAGES, DETAILS) as pulling,
    ):
        for batch in pulling.batches():
            assert list(batch)
            batch.acknowledge()
    assert messages == {}


def test_a_message_that_is_too_large_alone_is_reported_once_and_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = {"small": 100, "large": 100_000, "other": 100}
    run = RunContext()
    with (
        limited_server(monkeypatch, messages, limit=50_000),
        SubscriptionReader(PATH, run, 0.1, 1.5, NO_MESSAGES, DETAILS) as pulling,
    ):
        for batch in pulling.batches():
            assert list(batch)
            batch.acknowledge()
    assert messages == {"large": 100_000}
    (remark,) = run.progress.remarks()
    assert re.fullmatch(
        rf"{PATH}: a message is larger than an answer can be \(100,0\d\d bytes, at most 50,000\)."
        " It stays in the subscription.",
        remark,
    )


def test_a_quota_that_has_run_out_is_no_answer_that_is_too_large() -> None:
    assert not client.is_too_large(exceptions.ResourceExhausted("Quota exceeded for quota metric 'Pull'"))
    assert client.is_too_large(exceptions.ResourceExhausted("grpc: received message larger than max (9 vs. 4)"))
    assert client.is_too_large(exceptions.ResourceExhausted("gRPC message exceeds maximum size 4194304: 5242880"))


def test_a_first_message_that_is_too_large_keeps_no_run_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    with limited_server(monkeypatch, {"large": 100_000}, limit=50_000):
        assert PubSubStream(PATH, lists_of_lines).try_to_pull() is NO_MESSAGES
