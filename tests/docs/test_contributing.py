"""What contributors read, and what serves them, agrees with the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import capybeam

try:
    import tomllib
except ImportError:  # before Python 3.11
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
READ = [*PAGES, ROOT / "README.md", ROOT / "docs" / "architecture.md", ROOT / ".github" / "workflows" / "tests.yml"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], anchor


@pytest.mark.parametrize("page", READ, ids=lambda page: page.name)
def test_every_target_of_make_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"(?:^|`|run: )make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)) <= targets


def test_the_tests_target_takes_pytests_arguments() -> None:
    assert "\n\t$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)\n" in MAKEFILE


def test_workflows_run_on_every_python_that_the_package_takes() -> None:
    tested = WORKFLOW["jobs"]["tests"]["strategy"]["matrix"]["python"]
    takes = SpecifierSet(PROJECT["project"]["requires-python"])
    assert tested == [version for version in (f"3.{minor}" for minor in range(30)) if f"{version}.9" in takes]
    prefix = "Programming Language :: Python :: "
    promised = {c.removeprefix(prefix) for c in PROJECT["project"]["classifiers"] if c.startswith(f"{prefix}3.")}
    assert promised == set(tested) - {"3.14"}  # tried only


def test_the_oldest_setuptools_that_can_build_the_package_is_tried() -> None:
    (needed,) = PROJECT["build-system"]["requires"]
    oldest = needed.removeprefix("setuptools>=")
    assert WORKFLOW["jobs"]["package"]["strategy"]["matrix"]["setuptools"][0] == f"{oldest}.0.0"


def test_there_is_an_extra_for_each_import_that_not_everybody_needs() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    names = {extra: {re.split(r"[\[<>=;]", line)[0].strip() for line in lines} for extra, lines in extras.items()}
    assert names["sandbox"] == {"aiohttp"}
    assert "capybeam[gcp,report,sandbox,terraform,yaml]" in extras["dev"]
    needed = {re.split(r"[\[<>=;]", line)[0].strip() for line in PROJECT["project"]["dependencies"]}
    assert not needed & {"aiohttp", "google-cloud-pubsub", "google-cloud-secret-manager"}


def test_the_changelog_begins_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(r"\d+\.\d+\.\d+", capybeam.__version__)
