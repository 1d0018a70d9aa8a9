"""JSON text with characters that were cut in half."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capybeam.transforms.standards.json_text import REPLACED, load_json, whole_characters
from tests.timing import least_seconds

CUT = "\ufffd"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(rb'{"a":"\ud83d"}', {"a": CUT}, id="a first half at the end"),
        pytest.param(rb'{"a":"x\ud83dy"}', {"a": f"x{CUT}y"}, id="a first half in the middle"),
        pytest.param(rb'{"a":"\ude00"}', {"a": CUT}, id="a second half"),
        pytest.param(rb'{"a":"\ude00\ud83d"}', {"a": CUT + CUT}, id="the halves the wrong way round"),
        pytest.param(rb'{"a":"\ud83d\ud83d\ude00"}', {"a": f"{CUT}\U0001f600"}, id="a half before a pair"),
        pytest.param(rb'{"a":"\ud83d\ude00\ude00"}', {"a": f"\U0001f600{CUT}"}, id="a half behind a pair"),
        pytest.param(rb'{"a":"\uD83D\uDE00\uD83D"}', {"a": f"\U0001f600{CUT}"}, id="upper case"),
        pytest.param(rb'{"a":"\ud83d\u0041"}', {"a": f"{CUT}A"}, id="another escape behind it"),
        pytest.param(rb'{"a":"\ud83d\n"}', {"a": f"{CUT}\n"}, id="a short escape behind it"),
        pytest.param(rb'{"a":"\\ud83d\ud83d"}', {"a": rf"\ud83d{CUT}"}, id="an escaped backslash before it"),
        pytest.param(rb'{"a":"\\\ud83d"}', {"a": f"\\{CUT}"}, id="a backslash, and then a half"),
        pytest.param(rb'{"\ud83d":1}', {CUT: 1}, id="in a key"),
        pytest.param(b'{"a":"\xed\xa0\xbd"}', {"a": CUT}, id="a first half in bytes"),
        pytest.param(b'{"a":"\xed\xb8\x80x"}', {"a": f"{CUT}x"}, id="a second half in bytes"),
        pytest.param(b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}', {"a": "\U0001f600"}, id="both halves in bytes"),
        pytest.param(b'{"a":"\xf0\x9f\x98"}', {"a": CUT}, id="three bytes of four"),
        pytest.param(b'{"a":"\xf0\x9f"}', {"a": CUT}, id="two bytes of four"),
        pytest.param(b'{"a":"\xf0\x9f\x98\x80\xf0\x9f\x98"}', {"a": f"\U0001f600{CUT}"}, id="a whole one before it"),
        pytest.param(b'{"a":"\xed\xa0\xbd\\ud83d"}', {"a": CUT + CUT}, id="in bytes and as an escape"),
        pytest.param('{"a":"\ud83d"}', {"a": CUT}, id="in a text"),
    ],
)
def test_half_a_character_is_replaced_and_the_rest_stays(text: bytes | str, value: Any) -> None:
    counted: list[str] = []
    assert load_json(text, counted.append) == value
    assert counted == [REPLACED]


@pytest.mark.parametrize(
    "text", [rb'{"a":"\ud83d\ude00"}', rb'{"a":"\\ud83d"}', '{"a":"Zoë 정 😀"}'.encode(), b'{"a":1}', "[1]"]
)
def test_good_text_is_read_as_ever_and_nothing_is_counted(text: bytes | str) -> None:
    counted: list[str] = []
    assert load_json(text, counted.append) == orjson.loads(text)
    assert counted == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"a":"Jos\xe9"}', id="Latin-1"),
        pytest.param(b'{"a":"\xe9\xbb "}', id="Latin-1 that begins like three bytes"),
        pytest.param(b'{"a":"\xf0"}', id="one byte of four"),
        pytest.param(b'{"a":"\x98\x80"}', id="the last bytes of four"),
        pytest.param(b'{"a":"\xed\xa0\xbd \xe9"}', id="half a character, and Latin-1"),
        pytest.param(rb'{"a":"\ud83d",}', id="half a character, and no JSON"),
        pytest.param(rb'{"a":"\ud8', id="cut off inside an escape"),
        pytest.param(rb'{"a":\ud83d}', id="outside of a text"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_wrong_otherwise_stays_an_error(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        load_json(text)


@given(st.text(st.characters(codec=None), max_size=20))  # surrogates too
@example("\ud83d\ud83d\ude00")
@example("\\ud83d\ud83d")
def test_any_text_is_what_utf_16_makes_of_it(text: str) -> None:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert load_json(json.dumps({"a": text})) == {"a": whole}
    assert load_json(json.dumps({"a": text}, ensure_ascii=False)) == {"a": whole}


@given(st.binary(max_size=30))
def test_whole_characters_are_utf_8(data: bytes) -> None:
    whole = whole_characters(data)
    if whole is not None:
        whole.decode()


@pytest.mark.parametrize(
    "part", [rb"\\", rb"\ud83d", rb"\ud83d\ude00", b"\xf0\x9f", b"\xed\xa0\xbd", rb"\u"], ids=lambda part: str(part)
)
def test_the_time_grows_with_the_length_and_no_faster(part: bytes) -> None:
    def seconds(size: int) -> float:
        text = b'{"a":"' + part * (size // len(part)) + rb'\ud83d"}'

        def load() -> None:
            with contextlib.suppress(orjson.JSONDecodeError):
                load_json(text)

        return least_seconds(load)

    assert seconds(800_000) < 40 * seconds(100_000) + 0.05
