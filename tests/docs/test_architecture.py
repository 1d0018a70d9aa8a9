"""docs/architecture.md names what there is, all of it, and where it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools import modules

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WHERE = re.findall(r"^\| (.+?) \| `((?:pipeline|transforms)/\S+)` \| (?:`(\w+)` )?\|$", PAGE, re.MULTILINE)


def test_the_list_of_modules_is_current() -> None:
    assert modules.with_modules(PAGE) == PAGE, "run: make modules"


def test_every_module_is_listed_with_what_is_in_it() -> None:
    listed = re.findall(r"^\| `(\S+\.py)` \| \S.* \|$", PAGE.partition(modules.BEGIN)[2], re.MULTILINE)
    files = [path for top in ("pipeline", "transforms") for path in (ROOT / top).rglob("*.py")]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in files if path.name != "__init__.py")


def test_a_reader_finds_many_rules_in_one_step() -> None:
    rows = PAGE.partition("## Where is")[2].partition("\n## ")[0].count("\n| ") - 1
    assert len(WHERE) == rows >= 15


@pytest.mark.parametrize(("what", "module", "name"), WHERE, ids=[what for what, *_ in WHERE])
def test_a_rule_is_where_the_page_says(what: str, module: str, name: str) -> None:
    assert (ROOT / module).is_file()
    if name:
        assert name in names_defined_by(ROOT / module)


def names_defined_by(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize("module", sorted(set(re.findall(r"`((?:pipeline|transforms|tests)/[\w/.]+)`", PAGE))))
def test_a_file_that_the_page_speaks_of_is_there(module: str) -> None:
    assert (ROOT / module).exists()


@pytest.mark.parametrize(
    ("docstring", "listed"),
    [
        ("Rows of CSV → events.", "Rows of CSV → events."),
        ("First, version 1.2.\n\nMore.", "First, version 1.2."),
        ("Two lines\nof one sentence. Another.", "Two lines of one sentence."),
        ("Says ``yes`` or a|b. `Then` not.", r"Says `yes` or a\|b."),
    ],
)
def test_a_module_is_listed_by_its_docstrings_first_sentence(docstring: str, listed: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f'"""{docstring}"""\n', encoding="utf-8")
    assert modules.first_sentence(tmp_path / "module.py") == listed
