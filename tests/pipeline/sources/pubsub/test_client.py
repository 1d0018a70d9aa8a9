"""Errors of Google's Pub/Sub client, as who begins a run is told of them."""

from __future__ import annotations

import contextlib

import pytest

from capybeam.pipeline.sources import NoInput
from capybeam.pipeline.sources.pubsub import client

exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")

PATH = "projects/capybeam-tests/subscriptions/s"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (exceptions.NotFound("jane@example.com"), "no such subscription"),
        (exceptions.PermissionDenied(""), "no permission to pull; it needs the role Pub/Sub Subscriber on it"),
        (exceptions.Unauthenticated(""), "Pub/Sub does not take the credentials (Unauthenticated)"),
        (exceptions.Aborted("jane@example.com"), "Pub/Sub does not answer (Aborted)"),
        (exceptions.RetryError("", exceptions.ServiceUnavailable("")), "Pub/Sub does not answer (ServiceUnavailable)"),
    ],
)
def test_an_error_is_told_with_the_name_of_the_subscription_and_without_its_text(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "new_client", contextlib.nullcontext)
    with pytest.raises(NoInput) as raised, client.client_for(PATH):
        raise error
    assert str(raised.value) == f"{PATH}: {said}"


@pytest.mark.parametrize("kind", ["ServiceUnavailable", "InternalServerError", "Aborted", "ResourceExhausted"])
def test_what_may_pass_is_tried_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE", 0.01)
    answers = [getattr(exceptions, kind)(""), "there"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert client.patience()(ask)() == "there"


@pytest.mark.parametrize("kind", ["NotFound", "PermissionDenied", "Unauthenticated", "InvalidArgument"])
def test_what_does_not_pass_is_not_tried_again(kind: str) -> None:
    asked = []

    def ask() -> None:
        asked.append(kind)
        raise getattr(exceptions, kind)("")

    with pytest.raises(getattr(exceptions, kind)):
        client.patience()(ask)()
    assert asked == [kind]
