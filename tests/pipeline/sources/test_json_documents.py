"""JSON documents in the place of JSON lines, recognised by how they begin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.sources.json_documents import HEAD, NoLines, checked

EVENTS: list[dict[str, Any]] = [
    {"type": "track", "event": "Order Completed", "properties": {"products": [{"id": "mug"}], "note": "a { b [ c"}},
    {"type": "page", "messageId": "m-2"},
]
LINES = "".join(json.dumps(event) + "\n" for event in EVENTS)
MANY = [{**EVENTS[0], "messageId": f"m-{n}"} for n in range(5000)]

ARRAY = "it is one pretty-printed JSON document, an array, and not JSON lines with one event each."
OBJECT = "it is one pretty-printed JSON document and not JSON lines with one event each."
ON_A_LINE = "it is one JSON array and not JSON lines with one event each."


def refusal(text: str | bytes, size: int = 1 << 16, name: str = "events.json") -> str | None:
    """What is said of a text that comes in chunks of a size; None where it passes, which it does unchanged."""
    data = text if isinstance(text, bytes) else text.encode()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    try:
        assert b"".join(checked(chunks, name)) == data
    except NoLines as error:
        return str(error)
    return None


def aligned(events: list[dict[str, Any]]) -> str:
    """An array with a line for each of its items."""
    return "[\n" + ",\n".join(map(json.dumps, events)) + "\n]\n"


@pytest.mark.parametrize("size", [1, 100, 1 << 18])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(json.dumps(EVENTS, indent=2), ARRAY, id="a pretty-printed array"),
        pytest.param(json.dumps(EVENTS, indent="\t").replace("\n", "\r\n"), ARRAY, id="with tabs and CRLF"),
        pytest.param("\ufeff\n  " + json.dumps(EVENTS, indent=2), ARRAY, id="behind a mark and blanks"),
        pytest.param(aligned(EVENTS), ARRAY, id="an array with a line for each event"),
        pytest.param(aligned(EVENTS[:1]), ARRAY, id="and of one event"),
        pytest.param("[" + ",\n".join(map(json.dumps, EVENTS)) + "]", ARRAY, id="or with brackets beside them"),
        pytest.param(json.dumps(EVENTS[0], indent=2), OBJECT, id="a pretty-printed event"),
        pytest.param("".join(json.dumps(event, indent=2) + "\n" for event in EVENTS), OBJECT, id="or several"),
        pytest.param(json.dumps({"batch": EVENTS}, indent=4), OBJECT, id="a pretty-printed batch"),
        pytest.param('{ "type": "page",\n  "messageId": "m" }\n', OBJECT, id="a key beside its bracket"),
        pytest.param('{"type": "page", "properties": {\n}}\n', OBJECT, id="only an inner object over lines"),
        pytest.param('{\n  "type": "page",\n}\n', OBJECT, id="a document with a comma too many"),
        pytest.param('{\n  "type": "pa', OBJECT, id="a document that was cut off"),
        pytest.param(json.dumps(EVENTS), ON_A_LINE, id="an array on a line"),
        pytest.param(json.dumps(EVENTS) + "\n\n", ON_A_LINE, id="and blank lines behind it"),
        pytest.param((json.dumps(EVENTS) + "\n") * 2, ON_A_LINE, id="an array on each line"),
    ],
)
def test_a_document_is_named_as_what_it_is(text: str, said: str, size: int) -> None:
    assert (refusal(text, size) or "").startswith(f"{said} Convert it to JSON lines: jq -c ")


@pytest.mark.parametrize("size", [1000, 1 << 18])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(json.dumps(MANY, indent=2), ARRAY, id="pretty-printed"),
        pytest.param(aligned(MANY), ARRAY, id="a line for each event"),
        pytest.param(json.dumps(MANY), ON_A_LINE, id="on a line"),
        pytest.param(json.dumps({"batch": MANY}, indent=2), OBJECT, id="a batch"),
        pytest.param(json.dumps({"batch": MANY, "a": "x" * HEAD}, indent=2), OBJECT, id="with a very long text"),
    ],
)
def test_of_a_large_document_the_beginning_is_enough(text: str, said: str, size: int) -> None:
    assert len(text) > HEAD
    assert (refusal(text, size) or "").startswith(said)


@pytest.mark.parametrize("size", [1, 100, 1 << 18])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("\n \n", id="blank lines"),
        pytest.param(LINES, id="lines"),
        pytest.param("\ufeff\n" + LINES, id="lines behind a mark"),
        pytest.param(json.dumps(EVENTS[0]), id="a line without its end"),
        pytest.param('{"type":"tr\n' + LINES, id="a first line that was cut off"),
        pytest.param('{"type":"track",\n' + LINES, id="in front of a key"),
        pytest.param("{\n" + LINES, id="a stray bracket"),
        pytest.param("[\n" + LINES, id="a stray square bracket"),
        pytest.param("[2026-11-26 10:00] started\n" + LINES, id="a line of a log"),
        pytest.param("[1, 2]\n" + LINES, id="an array of numbers"),
        pytest.param("[]\n", id="an empty array"),
        pytest.param("[{}]\n" + LINES, id="an array in front of lines"),
        pytest.param("track,Order Completed\n", id="no JSON at all"),
        pytest.param("[" * 5000, id="deep nesting"),
        pytest.param('{"a":' * 5000, id="deep objects"),
        pytest.param('{"a": ' + "1" * 5000 + "\n}", id="thousands of digits"),
        pytest.param(b"\xff\xfe{\x00\n\x00", id="UTF-16"),
        pytest.param(b"\x1f\x8b\x08\x00\n\n", id="packed bytes"),
    ],
)
def test_lines_pass_good_or_bad_and_unchanged(text: str | bytes, size: int) -> None:
    assert refusal(text, size) is None


def test_a_first_line_that_is_an_event_is_all_that_is_looked_at() -> None:
    """So a stream of lines is not held up."""

    def lines() -> Iterator[bytes]:
        yield json.dumps(EVENTS[0]).encode() + b"\n"
        raise AssertionError("one line was enough")

    assert next(checked(lines(), "-")) == json.dumps(EVENTS[0]).encode() + b"\n"


@pytest.mark.parametrize("before", [b'{"type":"tr', b'{"type":"page"}\n', b"[", b""])
def test_what_reading_raises_comes_behind_what_was_read(before: bytes) -> None:
    def chunks() -> Iterator[bytes]:
        yield before
        raise EOFError

    passed = checked(chunks(), "events.json.gz")
    assert next(passed) == before
    with pytest.raises(EOFError):
        next(passed)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("events.json", "Convert it to JSON lines: jq -c '.[]' < events.json > events.lines.jsonl"),
        ("out/x [1].jsonl", "Convert it to JSON lines: jq -c '.[]' < 'out/x [1].jsonl' > 'x [1].lines.jsonl'"),
        ("events.json.gz", "Convert it to JSON lines: gzip -dc < events.json.gz | jq -c '.[]' > events.lines.jsonl"),
        ("a.json.bz2", "Convert it to JSON lines: bzip2 -dc < a.json.bz2 | jq -c '.[]' > a.lines.jsonl"),
        ("gs://acme/events.json", "jq -c '.[]' produces such lines."),
        ("-", "Put jq -c '.[]' in front: … | jq -c '.[]' | capybeam map …"),
    ],
)
def test_the_message_says_how_to_make_lines(name: str, advice: str) -> None:
    assert refusal(aligned(EVENTS), name=name) == f"{ARRAY} {advice}"


@given(st.lists(st.sampled_from([LINES, json.dumps(EVENTS), "{", "[", "{\n", '"a": 1', ",\n", "}", "]", "\n"])))
def test_whatever_comes_passes_unchanged_or_is_named(parts: list[str]) -> None:
    text = "".join(parts)
    assert refusal(text, 7) == refusal(text)
