"""Schemes of inputs and outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from capybeam.pipeline.schemes import FILES, SCHEMES, UnknownScheme, find_scheme, is_local


@pytest.mark.parametrize(
    "text",
    [
        "events.jsonl",
        "exports/*.csv",
        "/tmp/a:b",
        "C:\\events.jsonl",
        "gs://acme/a.jsonl",
        "file:///tmp/a",
        "./pubsub:x",
        "dead-2026-11-26T10:30.jsonl",
        "",
    ],
)
def test_paths_globs_and_urls_are_files(text: str) -> None:
    assert find_scheme(text) is FILES


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("rest", ["a.b.c", "", "//a/b", "SELECT a:b FROM c"])
def test_a_scheme_is_found_by_its_name(name: str, rest: str) -> None:
    assert find_scheme(f"{name}:{rest}") is SCHEMES[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bigqery:a.b.c", "unknown scheme bigqery:; did you mean bigquery:?"),
        ("BigQuery:a.b.c", "unknown scheme BigQuery:; did you mean bigquery:?"),
        ("pub-sub:projects/p/topics/t", "unknown scheme pub-sub:; did you mean pubsub:?"),
        ("file:/tmp/events.jsonl", "unknown scheme file:; did you mean file://?"),
        ("gs:acme/events.jsonl", "unknown scheme gs:; did you mean gs://?"),
        ("kafka:events", "unknown scheme kafka:; for a file of that name write ./kafka:events"),
    ],
)
def test_a_scheme_that_is_not_known_is_reported_unknown(text: str, message: str) -> None:
    with pytest.raises(UnknownScheme) as raised:
        find_scheme(text)
    assert str(raised.value) == message


@pytest.mark.parametrize("text", ["export:2026.jsonl", "export:*.jsonl"])
def test_a_file_may_have_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("export:2026.jsonl").touch()
    assert find_scheme(text) is FILES


@pytest.mark.parametrize(
    ("path", "local"),
    [("a.jsonl", True), ("export:1.jsonl", True), ("gs://a/b", False), ("file:///a", False), ("pubsub:p", False)],
)
def test_a_path_is_local_where_only_this_machine_is_known_to_have_it(path: str, local: bool) -> None:
    assert is_local(path) is local
