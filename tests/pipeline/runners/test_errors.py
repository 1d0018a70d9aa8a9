"""Errors whose texts are for people, as against those that may quote an event."""

from __future__ import annotations

import pytest

from capybeam.pipeline.runners.errors import UserError, explain, user_error, user_error_in
from capybeam.pipeline.sinks import SinkError
from capybeam.pipeline.sources import BrokenFile, UnreadableFile
from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.batches import DestinationHeld
from tests.pipeline.runners.fake_flink import TRACEBACK

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
    ("failure", "expected"),
    [
        (SinkError(FULL), UserError(SinkError, FULL)),
        (SinkError(f"{FULL} [while running 'Unparsable/Write/Append']"), UserError(SinkError, FULL)),
        (BrokenFile("a.gz is incomplete"), UserError(BrokenFile, "a.gz is incomplete")),
        (caused_by(SinkError(FULL), RuntimeError("jane@example.com")), UserError(SinkError, FULL)),
        (caused_by(None, KeyError("jane@example.com"), context=TokenError("It is empty.")),
         UserError(TokenError, "It is empty.")),
        (caused_by(KeyError("jane"), RuntimeError(""), context=TokenError("It is empty.")), None),
        (RuntimeError(f"{FRAMES}capybeam.pipeline.sinks.SinkError: {FULL} [while running 'Append']\n"),
         UserError(SinkError, FULL)),
        (RuntimeError(f"RuntimeError: capybeam.pipeline.sinks.SinkError: {FULL}"), UserError(SinkError, FULL)),
        (RuntimeError(f"{FRAMES}capybeam.pipeline.sources.BrokenFile: a.gz is incomplete"),
         UserError(BrokenFile, "a.gz is incomplete")),
    ],
)  # fmt: skip
def test_an_error_of_ours_is_found_in_what_was_raised(failure: BaseException, expected: UserError | None) -> None:
    assert user_error(failure, KINDS) == expected


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
        RuntimeError(f"{FRAMES}capybeam.transforms.delivery.batches.DestinationHeld: web: HELD."),
        RuntimeError(),
    ],
)
def test_the_text_of_any_other_error_is_not_for_people(failure: BaseException) -> None:
    assert user_error(failure, KINDS) is None


def test_a_failure_that_leads_back_to_itself_is_looked_at_once() -> None:
    first, second = RuntimeError("1"), RuntimeError("2")
    first.__cause__, second.__cause__ = second, first
    assert user_error(first, KINDS) is None


def test_of_several_errors_in_a_text_the_last_counts() -> None:
    text = f"{FRAMES}capybeam.transforms.core.tokens.TokenError: It is empty.\n\nDuring handling …:\n\n{FRAMES}"
    found = user_error_in(f"{text}capybeam.pipeline.sinks.SinkError: {FULL}\n\tat java.base/Future.get\n", KINDS)
    assert found == UserError(SinkError, FULL)


def test_only_the_classes_that_are_asked_for_are_found() -> None:
    held = RuntimeError(
        f"{FRAMES}capybeam.transforms.delivery.batches.DestinationHeld: web: HELD. [while running 'Send']"
    )
    assert user_error(held, [DestinationHeld]) == UserError(DestinationHeld, "web: HELD.")
    assert user_error(held, [SinkError]) is None


# --- what a cluster says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (
            "capybeam.transforms.core.tokens.TokenError: The environment variable T is not set. Set it."
            " [while running 'Send']",
            "The environment variable T is not set. Set it.",
        ),
        (
            "capybeam.pipeline.runners.errors.UnsupportedRunner: Versions do not match: Beam is 1 here.",
            "Versions do not match: Beam is 1",
        ),
        (
            "capybeam.pipeline.sinks.SinkError: Receipts cannot be written to /mnt/r: No such file",
            "Receipts cannot be",
        ),
        ("ModuleNotFoundError: No module named 'capybeam'", "The Python workers do not have capybeam."),
        ("ModuleNotFoundError: No module named 'orjson'", "The Python workers lack the package orjson."),
        ("AttributeError: Can't get attribute 'Delivery' on <module", "The Python workers cannot read the job."),
        ("SystemError: unknown opcode", "The Python workers cannot read the job."),
        ("org.apache.flink…NoResourceAvailableException: Could not", "Flink has too few free slots"),
        (
            "StatusRuntimeException: UNAVAILABLE: io exception\nCaused by: Connection refused: localhost:50000",
            "The TaskManagers cannot reach the pool of Python workers.",
        ),
        ("BeamIOError: No files found based on the file pattern /x", "The workers cannot find the input files."),
    ],
)
def test_an_error_of_setting_up_is_reported_in_a_sentence(text: str, meaning: str) -> None:
    explained = explain(TRACEBACK.format(text))
    assert explained is not None
    assert explained.startswith(meaning)
    assert "while running" not in explained


@pytest.mark.parametrize(
    "text",
    [
        "org.apache.flink.runtime.taskexecutor.TaskManagerLost: The TaskManager is gone",
        TRACEBACK.format("google.auth.RefreshTokenError: of jane@example.com"),
        TRACEBACK.format("oauth.errors.TokenError: of jane@example.com"),
        TRACEBACK.format("ValueError: capybeam.transforms.core.tokens.TokenError: of jane@example.com"),
    ],
)
def test_other_errors_are_left_to_the_runner(text: str) -> None:
    assert explain(text) is None
