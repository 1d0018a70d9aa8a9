"""Commands in README.md and docs/ are ones that there are, with options that they have."""

from __future__ import annotations

import argparse
import contextlib
import functools
import re
import runpy
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from capybeam.pipeline.cli import main
from tests.docs.test_docs import PAGES

GCLOUD = shutil.which("gcloud")
TREE = Path(GCLOUD).resolve().parents[1] / "data" / "cli" / "gcloud_completions.py" if GCLOUD else Path("nowhere")
EVERYWHERE = {"--project", "--impersonate-service-account", "--format", "--quiet"}


def commands(program: str) -> Iterator[Any]:
    """The lines in the blocks of all pages that start a program, those that go on with \\ as one, each as its words."""
    for page in PAGES:
        fenced = re.findall(r"^ *```(.*)\n((?:.*\n)*?) *```$", page.read_text(encoding="utf-8"), re.MULTILINE)
        for block in (text for info, text in fenced if not info):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.search(rf"(?:^ *|^\$ |\$\(|\| )({program} [a-z-].*)$", line)
                if found and "…" not in found[1] and "<(" not in found[1]:
                    words = _words(found[1])
                    yield pytest.param(words, id=f"{page.name}: {' '.join(words[:5])}")


def _words(line: str) -> list[str]:
    """Of one command, without what is piped or redirected."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a text that goes on in the next line
        words = line.split()
    ends = [number for number, word in enumerate(words) if word and set(word) <= set("|&;<>()")]
    return words[: ends[0]] if ends else words


@functools.cache
def tree() -> dict[str, Any]:
    """gcloud's commands and their flags, as gcloud completes them."""
    found: dict[str, Any] = runpy.run_path(str(TREE))["STATIC_COMPLETION_CLI_TREE"]
    return found


@pytest.mark.skipif(not TREE.exists(), reason="gcloud, which knows its own commands, is not installed")
@pytest.mark.parametrize("words", commands("gcloud"))
def test_gcloud_has_a_command_and_its_flags(words: list[str]) -> None:
    node = tree()
    known = set(node["flags"]) | EVERYWHERE
    path = []
    for word in words[1:]:
        if word not in node["commands"]:
            break
        node = node["commands"][word]
        path.append(word)
        known |= set(node["flags"])
    assert not node["commands"], f"gcloud {' '.join(path)} is no command"
    flags = {word.split("=")[0] for word in words if word.startswith("--")}
    assert flags - known == set(), f"gcloud {' '.join(path)}"


@pytest.mark.parametrize("words", commands("capybeam"))
def test_capybeam_has_a_command_and_its_options(words: list[str]) -> None:
    found: click.Command = main
    rest = words[1:]
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        command = found.get_command(click.Context(found), name)
        assert command is not None, name
        found = command
    options = {each for parameter in found.params for each in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.split("=")[0] for word in rest if re.match(r"--\w", word)} - options - {"--help"}
    if found.context_settings.get("ignore_unknown_options"):
        unknown -= beams()
    assert unknown == set()


@functools.cache
def beams() -> set[str]:
    """Beam's own options, which `run` hands on."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for each in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):
            each._add_argparse_args(parser)
    return {option for action in parser._actions for option in action.option_strings}
