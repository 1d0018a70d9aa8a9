"""transforms/standards/countries.json is what tools.countries makes, with the libraries that it was made with."""

from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from tools import countries as tool

PINNED = json.loads(tool.PATH.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_pinned_names_are_those_of_the_libraries_named_in_the_file() -> None:
    used = f"CLDR by Babel {version('babel')}, ISO 3166 by pycountry {version('pycountry')}"
    if used != PINNED["source"]:
        pytest.skip(f"the file was made with {PINNED['source']}, and here are {used}")
    assert tool.made() == tool.PATH.read_text(encoding="utf-8")


def test_a_name_is_one_countrys_only() -> None:
    names = [name for listed in PINNED["countries"].values() for name in listed.split()]
    assert len(names) == len(set(names)) > 30_000
