"""``capybeam test``: finds the test files, runs their cases, and shows or rewrites what differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.text import Text

from capybeam.pipeline.explain.display import printable
from capybeam.pipeline.explain.explanation import known_texts
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.job_tests.cases import Case, TestFileError, load_cases, parse_cases
from capybeam.pipeline.job_tests.comparing import Comparison, compare
from capybeam.pipeline.job_tests.updating import updated
from capybeam.pipeline.preview import preview
from capybeam.transforms.meta.masking import Mask, leaves, values_of_people

_PATTERNS: Final = ("*.test.yaml", "*.test.yml")


class NoTests(Exception):
    """There is nothing to test; says where was looked."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How tests are run.

    Attributes:
        named: only cases with this in their name, in any case.
    """

    named: str = ""
    update: bool = False
    show_values: bool = False


def find_files(config: str, given: Sequence[str]) -> list[str]:
    """The test files that are given, those in folders that are given, or those beside the job file. Raises NoTests."""
    found: list[str] = []
    for place in given or [str(Path(config).parent)]:
        if Path(place).is_dir():
            inside = sorted(str(path) for pattern in _PATTERNS for path in Path(place).glob(pattern))
            if not inside:
                raise NoTests(f"{place}: has no test files; they are called {' or '.join(_PATTERNS)}")
            found += inside
        else:
            found.append(place)
    return list(dict.fromkeys(found))


def load_files(files: Sequence[str], job: Job, named: str) -> dict[str, list[Case]]:
    """By file, its cases. Raises TestFileError with the problems of all files; NoTests where no name fits."""
    problems: list[str] = []
    cases: dict[str, list[Case]] = {}
    for file in files:
        try:
            cases[file] = [case for case in load_cases(file, job) if named.lower() in case.name.lower()]
        except TestFileError as error:
            problems += error.problems
    if problems:
        raise TestFileError(tuple(problems))
    if not any(cases.values()):
        raise NoTests(f"no case has {named!r} in its name" if named else "there are no cases")
    return cases


def run_files(cases: dict[str, list[Case]], job: Job, options: Options, console: Console) -> bool:
    """Runs cases and shows what became of them; whether all have passed, with --update after it."""
    passed = failed = rewritten = 0
    for file, there in cases.items():
        comparisons = [_run(case, job) for case in there]
        if options.update and not all(each.passed for each in comparisons):
            rewritten += sum(not each.passed for each in comparisons)
            comparisons = _update(file, comparisons, job)
        if comparisons:
            _line(console, file, "bold")
        known = known_texts(job) | _texts_of(comparisons)
        for comparison in comparisons:
            _show(comparison, console, _mask(comparison.case, known, options.show_values))
            passed += comparison.passed
            failed += not comparison.passed
    summary = f"{passed} passed, {failed} failed" + (f", {rewritten} rewritten" if options.update else "") + "."
    _line(console, summary, "bold red" if failed else "bold green")
    return not failed


def _run(case: Case, job: Job) -> Comparison:
    """A case's outcomes as JSON has them, held against what is expected."""
    return compare(case, [orjson.loads(orjson.dumps(each)) for each in preview(job, case.lines, case.now)])


def _update(file: str, comparisons: list[Comparison], job: Job) -> list[Comparison]:
    """Rewrites a file's expectations, and holds the outcomes against them once more."""
    path = Path(file)
    data = path.read_bytes()
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    text = updated(data.decode("utf-8-sig"), comparisons)
    names = {each.case.name for each in comparisons}
    try:  # before anything is written
        cases = [case for case in parse_cases(text, file, job) if case.name in names]
    except TestFileError:
        raise TestFileError(
            (f"{file}: --update cannot rewrite how its cases share text by anchors; change them by hand",)
        ) from None
    path.write_bytes(mark + text.encode())
    return [_run(case, job) for case in cases]


def _texts_of(comparisons: list[Comparison]) -> frozenset[str]:
    """The texts that a test file has: whoever reads its diff has them in front of them."""
    data = comparisons[0].case.document.data if comparisons else None
    return frozenset(text for text in leaves(data) if isinstance(text, str))


def _mask(case: Case, known: frozenset[str], show_values: bool) -> Mask:
    mask = Mask({}, known, show_values)
    for line in case.lines:
        try:
            event = orjson.loads(line)
        except ValueError:  # its case is about that
            continue
        mask.learn(values_of_people(event) if isinstance(event, dict) else ())
    return mask


def _show(comparison: Comparison, console: Console, mask: Mask) -> None:
    _line(
        console,
        f"  {'PASS' if comparison.passed else 'FAIL'}  {comparison.case.name}",
        "" if comparison.passed else "red",
    )
    if not comparison.passed:
        line, column = comparison.case.document.position(comparison.case.loc)
        _line(console, f"        {comparison.case.document.source}:{line}:{column}", "dim")
    for difference in comparison.differences:
        for text in _indented(difference.lines(mask)):
            _line(console, text)


def _indented(lines: Iterator[str]) -> Iterator[str]:
    yield f"        {next(lines)}"
    yield from (f"          {line}" for line in lines)


def _line(console: Any, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style))
