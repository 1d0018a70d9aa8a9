"""Errors whose texts are for people, told from those that may quote an event."""

from __future__ import annotations

import pytest

from capybeam.pipeline.runners.errors import Told, told_by, told_in
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import BrokenFile, UnreadableFile
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.meta.client import DestinationHeld

KINDS = (SinkError, TokenError, UnreadableFile)
FRAMES = """\
Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1512, in process
    return self.do_fn_invoker.invoke_process(windowed_value)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"""
FULL = "Dead letters cannot be written to x: No space left on device"


class RefreshTokenError(Exception):
    """Of another library, with a name that ends like one of ours."""


Foreign = type("TokenError", (Exception,), {"__module__": "oauth.errors"})


def caused_by(cause: BaseException | None, failure: BaseException, context: BaseException | None = None) -> Exception:
    failure.__context__ = context
    failure.__cause__ = cause  # which also suppresses the context
    if cause is None:
        failure.__suppress_context__ = False
    assert isinstance(failure, Exception)
    return failure


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (SinkError(FULL), Told(SinkError, FULL)),
        (SinkError(f"{FULL} [while running 'Unparsable/Write/Append']"), Told(SinkError, FULL)),
        (BrokenFile("a.gz is incomplete"), Told(BrokenFile, "a.gz is incomplete")),
        (caused_by(SinkError(FULL), RuntimeError("jane@example.com")), Told(SinkError, FULL)),
        (caused_by(None, KeyError("jane@example.com"), context=TokenError("It is empty.")),
         Told(TokenError, "It is empty.")),
        (caused_by(KeyError("jane"), RuntimeError(""), context=TokenError("It is empty.")), None),
        (RuntimeError(f"{FRAMES}capybeam.pipeline.sinks.SinkError: {FULL} [while running 'Append']\n"),
         Told(SinkError, FULL)),
        (RuntimeError(f"RuntimeError: capybeam.pipeline.sinks.SinkError: {FULL}"), Told(SinkError, FULL)),
        (RuntimeError(f"{FRAMES}capybeam.pipeline.sources.BrokenFile: a.gz is incomplete"),
         Told(BrokenFile, "a.gz is incomplete")),
    ],
)  # fmt: skip
def test_an_error_of_ours_is_found_in_what_was_raised(failure: BaseException, told: Told | None) -> None:
    assert told_by(failure, KINDS) == told


@pytest.mark.parametrize(
    "failure",
    [
        RefreshTokenError("the token of jane@example.com has expired"),
        Foreign("the token of jane@example.com has expired"),
        RuntimeError(f"{FRAMES}vendor.RefreshTokenError: of jane@example.com [while running 'Send']"),
        RuntimeError(f"{FRAMES}oauth.errors.TokenError: of jane@example.com"),
        RuntimeError(f"{FRAMES}TokenError: of jane@example.com"),
        RuntimeError(f"{FRAMES}my.transforms.tokens.TokenError: of jane@example.com"),
        RuntimeError(f"{FRAMES}capybeam.transforms.core.tokens.TokenErrors: of jane@example.com"),
        RuntimeError(f"{FRAMES}ValueError: capybeam.transforms.core.tokens.TokenError: jane@example.com"),
        RuntimeError(f"{FRAMES}ValueError: not a number\ntransforms.tokens.TokenError: jane@example.com"),
        ValueError("capybeam.transforms.core.tokens.TokenError: jane@example.com"),
        ValueError(f"{FRAMES}capybeam.transforms.core.tokens.TokenError: jane@example.com"),
        RuntimeError(f"{FRAMES}capybeam.transforms.core.batches.DestinationHeld: web: HELD."),
        RuntimeError(),
    ],
)
def test_the_text_of_any_other_error_is_not_for_people(failure: BaseException) -> None:
    assert told_by(failure, KINDS) is None


def test_a_failure_that_leads_back_to_itself_is_looked_at_once() -> None:
    first, second = RuntimeError("1"), RuntimeError("2")
    first.__cause__, second.__cause__ = second, first
    assert told_by(first, KINDS) is None


def test_of_several_errors_in_a_text_the_last_counts() -> None:
    text = f"{FRAMES}capybeam.transforms.core.tokens.TokenError: It is empty.\n\nDuring handling …:\n\n{FRAMES}"
    told = told_in(f"{text}capybeam.pipeline.sinks.SinkError: {FULL}\n\tat java.base/Future.get\n", KINDS)
    assert told == Told(SinkError, FULL)


def test_only_the_classes_that_are_asked_for_are_found() -> None:
    held = RuntimeError(f"{FRAMES}capybeam.transforms.core.batches.DestinationHeld: web: HELD. [while running 'Send']")
    assert told_by(held, [DestinationHeld]) == Told(DestinationHeld, "web: HELD.")
    assert told_by(held, [SinkError]) is None
