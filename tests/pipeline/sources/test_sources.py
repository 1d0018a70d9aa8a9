"""Which module opens an input, and what it takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from capybeam.pipeline.schemes import SCHEMES, Scheme
from capybeam.pipeline.sources import NoInput, ReadOptions, TimeRange, open_dead_letters, open_source
from capybeam.pipeline.sources.message_attributes import MessageAttributes
from tests.pipeline.sources import memory_source


def test_an_input_is_opened_by_the_module_that_its_scheme_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "memory", Scheme(source=memory_source.__name__))
    monkeypatch.setitem(memory_source.QUEUES, "q", memory_source.Queue())
    assert open_source("memory:q").extent == "a queue"
    assert open_dead_letters("memory:q").extent == "a queue of dead letters"


@pytest.mark.parametrize("open_", [open_source, open_dead_letters])
def test_an_unknown_scheme_is_reported_unknown(open_: Callable[[str], Any]) -> None:
    with pytest.raises(NoInput) as raised:
        open_("pubsb:projects/p/subscriptions/s")
    assert str(raised.value) == ("pubsb:projects/p/subscriptions/s: unknown scheme pubsb:; did you mean pubsub:?")


def test_an_unknown_scheme_of_a_url_is_reported_unknown() -> None:
    with pytest.raises(NoInput) as raised:
        open_source("gss://acme/events.jsonl")
    assert str(raised.value) == ("gss://acme/events.jsonl: cannot be read: unknown scheme gss://; did you mean gs://?")


def test_a_scheme_that_is_only_written_to_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "printer", Scheme(sink="elsewhere"))
    with pytest.raises(NoInput, match=r"^printer:a: cannot be read; inputs are files, bigquery: and pubsub:$"):
        open_source("printer:a")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a.jsonl", ReadOptions(TimeRange(since=1)), "a.jsonl: --since and --until are for bigquery: inputs"),
        ("pubsub:p", ReadOptions(TimeRange(until=1)), "pubsub:p: --since and --until are for bigquery: inputs"),
        (
            "bigquery:a.b.c",
            ReadOptions(attributes=MessageAttributes(id="id")),
            "bigquery:a.b.c: --id-attribute and --timestamp-attribute are for pubsub: inputs",
        ),
    ],
)
def test_an_option_that_an_input_does_not_have_is_refused(text: str, options: ReadOptions, message: str) -> None:
    with pytest.raises(NoInput) as raised:
        open_source(text, options)
    assert str(raised.value) == message


@pytest.mark.parametrize("module", ["sources", "sources.file_rows", "sources.streams", "preview"])
def test_what_map_needs_imports_no_beam(module: str) -> None:
    code = f"import sys, capybeam.pipeline.{module}; sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
