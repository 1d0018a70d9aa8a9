"""Job files as text: what is written is read back as the same data, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.yaml_writer import Commented, Remark, lines

SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(st.characters(codec="utf-8"), max_size=30)
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=12)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    document = yaml_source.read(text, "job")
    assert document.problems == (), (document.problems, text)
    return document.data


@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=5))
def test_what_is_written_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    assert read("\n".join(lines(data))) == data


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=3))
def test_a_comment_never_becomes_data(comments: list[str]) -> None:
    data = {"a": Commented("x", comments[0]), "": Remark(tuple(comments)), "b": [Remark(tuple(comments)), {"c": 1}]}
    assert read("\n".join(lines(data))) == {"a": "x", "b": [{"c": 1}]}


@pytest.mark.parametrize(
    "text",
    (
        """NO|yes|on|null|Null|~|true|1|1.5|-|- a|a: b|a #b|#a|a:|"a"|'a'|$.a|$.a["b c"]|{{a}}|@path|*a|&a|!a|%a|"""
        """a\\nb| a|a |type = "track" and event = "Order Completed"|a & B (Copy)|"""
        ",a|?|? a|[a]|2026-11-26|<<|=|.5|+1|0x1F|`a"
    ).split("|"),
)
def test_text_that_yaml_would_take_for_something_else(text: str) -> None:
    data = {"key": text, text: [text, {text: text}], "@x": {"@path": text}}
    assert read("\n".join(lines(data))) == data


def test_an_object_with_a_comment_has_lines_of_its_own() -> None:
    data = {"mapping": {"value": Commented({"@path": "$.properties.total"}, "100 %"), "-": Remark(("currency: lost",))}}
    assert "\n".join(lines(data)) == ('mapping:\n  value: {"@path": $.properties.total} # 100 %\n  # currency: lost')
