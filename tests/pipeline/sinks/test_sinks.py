"""Where dead letters and receipts go: what is found out before a run."""

from __future__ import annotations

import pytest

from capybeam.pipeline import file_systems
from capybeam.pipeline.sinks import SinkError, Writers, prepare
from capybeam.pipeline.sinks.dead_letters import DEAD_LETTERS


def test_a_url_that_cannot_be_written_to_is_named_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "_is_installed", lambda _module: False)
    with pytest.raises(SinkError) as raised:
        prepare("gs://acme/dead.jsonl", DEAD_LETTERS, Writers("FnApiRunner", local=True))
    assert str(raised.value) == (
        "Dead letters cannot be written to gs://acme/dead.jsonl: gs:// needs pip install 'capybeam[gcp]'"
    )
