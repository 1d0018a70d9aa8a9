"""Who may import whom, and how large a file may be: read from the source, without importing anything.

The rooms, from the bottom up: standards, core, language beside delivery, meta beside
engine, the Beam steps, pipeline. Imports run
downwards only, those inside functions and those for annotations included.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = {
    "transforms.standards": 0,
    "transforms.core": 1,
    "transforms.language": 2,
    "transforms.delivery": 2,
    "transforms.meta": 3,
    "transforms.engine": 3,
    "transforms": 4,  # the steps
    "pipeline": 5,
}
WITHOUT_BEAM = (
    "transforms.standards",
    "transforms.core",
    "transforms.language",
    "transforms.delivery",
    "transforms.meta",
    "transforms.engine",
)
MOST_LINES = 500  # of a file
MOST_HANDED_ON = 4  # parameters of a function

# What does not keep a law yet. An entry that is no longer needed fails a test: take it out.
EXCEPTIONS: dict[str, set[str]] = {
    "imports run downwards": set(),
    "imports do not run in circles": set(),
    "files are short": set(),
    "few parameters are only handed on": set(),
}


FOLDERS = ("benchmarks", "cluster", "examples", "pipeline", "templates", "tests", "tools", "transforms")


class Import(NamedTuple):
    importer: str  # "transforms.meta.client"
    imported: str  # "capybeam.transforms.core.tokens" or "apache_beam"


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """``transforms/core/__init__.py`` → ``transforms.core``"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sources("pipeline", "transforms")}


@functools.cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, each name of ``from package import module`` as a module if it is one."""
    name = name_of(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(["capybeam", *package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(name, inner if inner.removeprefix("capybeam.") in MODULES else base)


def room_of(module: str) -> str:
    return max((room for room in LEVELS if f"{module}.".startswith(f"{room}.")), key=len)


def inside(module: str, *rooms: str) -> bool:
    return any(f"{module}.".startswith(f"{room}.") for room in rooms)


IMPORTS = [found for path in MODULES.values() for found in imports(path)]
OURS = [(a, b.removeprefix("capybeam.")) for a, b in IMPORTS if b.startswith("capybeam.")]


def upward() -> Iterator[str]:
    for importer, imported in OURS:
        above, below = room_of(importer), room_of(imported)
        if above != below and LEVELS[above] <= LEVELS[below]:
            yield f"{importer} imports {imported}"


def beam_in_pure_rooms() -> Iterator[str]:
    for importer, imported in IMPORTS:
        if inside(importer, *WITHOUT_BEAM) and inside(imported, "apache_beam"):
            yield f"{importer} imports {imported}"


def sandbox_leans_on_transforms() -> Iterator[str]:
    for importer, imported in IMPORTS:
        if inside(importer, "pipeline.sandbox") and inside(imported, "capybeam.transforms"):
            yield f"{importer} imports {imported}"


def links_targets_as_packages() -> Iterator[str]:
    mentions = re.compile(rb"^\s*(?:from|import)\b.*(?<!\.)\b(?:pipeline|transforms)\b", re.MULTILINE)
    for path in sources(*FOLDERS):
        if not mentions.search(path.read_bytes()):
            continue  # parsing all tests takes seconds
        for importer, imported in imports(path):
            if inside(imported, "pipeline", "transforms"):
                yield f"{importer} imports {imported}"


def circles() -> Iterator[str]:
    """The modules from which a way of imports leads back to them."""
    leads_to: dict[str, set[str]] = {name: set() for name in MODULES}
    for importer, imported in OURS:
        if imported in MODULES and imported != importer:
            leads_to[importer].add(imported)
    for start in MODULES:
        seen: set[str] = set()
        ahead = set(leads_to[start])
        while ahead:
            step = ahead.pop()
            seen.add(step)
            ahead |= leads_to[step] - seen
        if start in seen:
            yield start


def long_files() -> Iterator[str]:
    for path in sources("pipeline", "transforms"):
        if len(path.read_bytes().splitlines()) > MOST_LINES:
            yield str(path.relative_to(ROOT))


def many_parameters() -> Iterator[str]:
    """Functions with too many parameters that they only hand on; those of commands are the command line's options."""
    for name, path in MODULES.items():
        for function in ast.walk(syntax(path)):
            if (
                isinstance(function, ast.FunctionDef)
                and not any(map(is_command, function.decorator_list))
                and len(handed_on(function)) > MOST_HANDED_ON
            ):
                yield f"{name}.{function.name}"


def is_command(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(target, ast.Attribute) and target.attr == "command"


def handed_on(function: ast.FunctionDef) -> set[str]:
    """The parameters that are arguments of calls and nothing else."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    arguments = [value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    handed = {id(value): value.id for value in arguments if isinstance(value, ast.Name)}
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and id(node) not in handed}
    given = function.args
    parameters = {parameter.arg for parameter in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    return parameters & set(handed.values()) - used


LAWS = {
    "imports run downwards": upward,
    "pure rooms do not import Beam": beam_in_pure_rooms,
    "the sandbox imports nothing of transforms": sandbox_leans_on_transforms,
    "nothing imports the folders that capybeam's links lead to": links_targets_as_packages,
    "imports do not run in circles": circles,
    "files are short": long_files,
    "few parameters are only handed on": many_parameters,
}


@functools.cache
def broken(law: str) -> frozenset[str]:
    return frozenset(LAWS[law]())


@pytest.mark.parametrize("law", LAWS)
def test_the_law_is_kept(law: str) -> None:
    assert sorted(broken(law) - EXCEPTIONS.get(law, set())) == []


@pytest.mark.parametrize("law", EXCEPTIONS)
def test_no_exception_to_the_law_outlives_its_need(law: str) -> None:
    assert sorted(EXCEPTIONS[law] - broken(law)) == []


def test_every_room_has_a_level() -> None:
    rooms = {path.parent.name for path in (ROOT / "transforms").glob("*/__init__.py")}
    assert {f"transforms.{room}" for room in rooms} == LEVELS.keys() - {"transforms", "pipeline"}


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "transforms" / "meta" / "client.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import apache_beam.io as io\n"
        "from capybeam.transforms.core import tokens, rejections\n"
        "from capybeam.pipeline.graph import build\n"
        "def later() -> None:\n    from . import rules\n    from ..core import events\n"
    )
    assert [imported for _, imported in imports(file)] == [
        "apache_beam.io",
        "capybeam.transforms.core.tokens",
        "capybeam.transforms.core.rejections",
        "capybeam.pipeline.graph",
        "capybeam.transforms.meta.rules",
        "capybeam.transforms.core.events",
    ]
    assert next(imports(file)).importer == "transforms.meta.client"
