"""Where dead letters and receipts go: what is found out before a run."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import orjson
import pytest

from capybeam.pipeline import file_systems
from capybeam.pipeline.schemes import SCHEMES, Scheme
from capybeam.pipeline.sinks import SinkError, Writers, prepare
from capybeam.pipeline.sinks.dead_letters import DEAD_LETTERS, WriteDeadLetters
from capybeam.pipeline.sinks.receipts import RECEIPTS
from capybeam.transforms.core.rejections import Rejection
from tests.pipeline.sinks import memory_sink


def test_a_url_that_cannot_be_written_to_is_named_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "_is_installed", lambda _module: False)
    with pytest.raises(SinkError) as raised:
        prepare("gs://acme/dead.jsonl", DEAD_LETTERS, Writers("FnApiRunner", local=True))
    assert str(raised.value) == (
        "Dead letters cannot be written to gs://acme/dead.jsonl: gs:// needs pip install 'capybeam[gcp]'"
    )


REJECTION = Rejection("map", "mapping_failed", "…", "web", "orders", "123", "m1", {"n": 1})


def test_an_output_is_written_by_the_module_that_its_scheme_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "memory", Scheme(sink=memory_sink.__name__))
    assert prepare("memory:dead", DEAD_LETTERS, Writers("FnApiRunner", local=True)) is None
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | beam.Create([REJECTION]) | WriteDeadLetters("memory:dead")
    (line,) = memory_sink.LISTS["memory:dead"]
    assert orjson.loads(line)["code"] == "mapping_failed"


def test_the_kinds_of_outputs_that_there_are_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "memory", Scheme(sink=memory_sink.__name__))
    with pytest.raises(SinkError) as raised:
        prepare("gs://acme/dead", DEAD_LETTERS, Writers("FnApiRunner", local=True, endless=True))
    assert str(raised.value) == (
        "Dead letters of a subscription cannot go to gs://acme/dead: files there are written when the input ends; "
        "give a local file, a table (bigquery:PROJECT.DATASET.TABLE), a topic (pubsub:projects/P/topics/T) or a list"
        " (memory:NAME)"
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("bigqeury:a.b.c", "unknown scheme bigqeury:; did you mean bigquery:?"),
        ("gss://acme/dead", "unknown scheme gss://; did you mean gs://?"),
        ("readonly:a", "outputs are files, bigquery: and pubsub:"),
    ],
)
def test_an_output_that_nothing_writes_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SCHEMES, "readonly", Scheme(source="elsewhere"))
    with pytest.raises(SinkError) as raised:
        prepare(path, RECEIPTS, Writers("FnApiRunner", local=True))
    assert str(raised.value) == f"Receipts cannot be written to {path}: {reason}"
    assert not list(tmp_path.iterdir())
