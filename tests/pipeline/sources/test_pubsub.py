"""Pulling from a server that does not answer; what one that does brings is in tests/pipeline/test_subscription.py."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.sources import pubsub
from pipeline.sources.pubsub import Message, Pulling, SubscriptionLost

exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
pubsub_v1 = pytest.importorskip("google.cloud.pubsub_v1", reason="needs the extra gcp")

PATH = "projects/capybeam-tests/subscriptions/s"


@pytest.fixture
def pulling(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pulling]:
    """Makes a `Pulling` whose server answers each pull with what `answer` returns or raises, given its arguments."""

    def make(answer: Callable[..., Any], **settings: Any) -> Pulling:
        class Client:
            def pull(self, **arguments: Any) -> Any:
                time.sleep(0.02)
                return answer(**arguments)

            def modify_ack_deadline(self, **_: Any) -> None:
                pass

            def close(self) -> None:
                pass

        monkeypatch.setattr(pubsub_v1, "SubscriberClient", Client)
        return Pulling(PATH, max_delay=0.0, **settings)

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
    pulling: Callable[..., Pulling], monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any], reason: str
) -> None:
    monkeypatch.setattr(pubsub, "_PATIENCE", 1.0)
    with pulling(answer, until_idle=0.1) as silent, pytest.raises(SubscriptionLost) as raised:
        list(silent.batches())
    assert re.fullmatch(
        rf"{PATH}: no answer from Pub/Sub for [12] s \({reason}\), and --until-idle does not wait for ever",
        str(raised.value),
    )


def test_a_pull_that_is_kept_open_is_followed_by_one_that_is_answered_at_once(pulling: Callable[..., Pulling]) -> None:
    def kept_open(return_immediately: bool = False, **_: Any) -> Any:
        return nothing() if return_immediately else hanging()

    with pulling(kept_open, until_idle=0.1) as quiet:
        assert list(quiet.batches()) == []


def test_it_is_idle_for_as_long_as_it_has_answered(pulling: Callable[..., Pulling]) -> None:
    began = time.monotonic()

    def back_after_a_while(**_: Any) -> Any:
        return dead() if time.monotonic() - began < 1.0 else nothing()

    with pulling(back_after_a_while, until_idle=0.5) as back:
        assert list(back.batches()) == []
    assert time.monotonic() - began > 1.5


def test_without_an_end_it_waits_for_as_long_as_it_takes(
    pulling: Callable[..., Pulling], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "_PATIENCE", 0.1)
    began = time.monotonic()

    def back_after_a_while(**_: Any) -> Any:
        if time.monotonic() - began < 1.0:
            return dead()
        message = {"ack_id": "a", "message": {"message_id": "m", "data": b"{}"}}
        return pubsub_v1.types.PullResponse(received_messages=[message])

    with pulling(back_after_a_while) as back:
        batch = next(back.batches())
    assert batch[0] == Message("m", "a", b"{}")


def test_what_was_pulled_before_is_the_first_of_the_batch(pulling: Callable[..., Pulling]) -> None:
    first = Message("m", "a", b"{}")
    with pulling(nothing, until_idle=0.1, first=[first]) as started:
        assert list(started.batches()) == [[first]]
