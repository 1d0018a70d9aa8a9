"""``capybeam check``: what is found in job files, and what they make of a sample of events."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Final

import click

from capybeam.pipeline.job.loader import CheckedFile, ConfigError, check_text, decoded, read_text
from capybeam.pipeline.job.problems import Finding
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.output_files import CommandError
from capybeam.pipeline.schemes import NAMED_STDIN, STDIN

NOT_READY: Final = 2


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """How job files are checked.

    Attributes:
        strict: whether a warning is an error.
        as_json: whether findings are shown as JSON lines.
        against: the input that holds a sample of events, if one is given.
        sample: how many of its events are looked at.
    """

    strict: bool = False
    as_json: bool = False
    against: str | None = None
    sample: int = 10_000


def check_files(files: Sequence[str], options: CheckOptions) -> int:
    """Shows what is found in job files; gives back the exit code.

    Raises CommandError.
    """
    results = [_check_file(file, options) for file in files]
    return max(results)


def _check_file(file: str, options: CheckOptions) -> int:
    name = NAMED_STDIN if file == STDIN else file
    checked: CheckedFile | None = None
    try:
        checked = check_text(_read(file), name)
        findings = checked.findings
    except ConfigError as error:
        findings = error.findings
    said = ""
    if options.against is not None and checked is not None and checked.job is not None:
        more, said = _against(checked, options.against, options.sample)
        findings = tuple(sorted((*findings, *more), key=lambda each: (each.line or 0, each.column or 0)))
    if options.strict:
        findings = tuple(
            dataclasses.replace(each, severity="error") if each.severity == "warning" else each for each in findings
        )
    errors = sum(each.severity == "error" for each in findings)
    if options.as_json:
        for each in findings:
            click.echo(json.dumps(dataclasses.asdict(each), ensure_ascii=False))
        return NOT_READY if errors else 0
    for each in findings:
        say(f"{each}{'' if each.severity == 'error' else f' ({each.severity})'}", each.severity)
    if said:
        click.echo(said)
    if errors:
        warnings = sum(each.severity == "warning" for each in findings)
        beside = f" and {_counted(warnings, 'warning')}" if warnings else ""
        say(f"{_counted(errors, 'problem')}{beside} in {name}.", "error")
        return NOT_READY
    assert checked is not None
    assert checked.job is not None
    destinations, subscriptions = len(checked.job.destinations), len(checked.job.subscriptions)
    click.echo(f"{name} is fine: {_counted(destinations, 'destination')}, {_counted(subscriptions, 'subscription')}.")
    return 0


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _read(file: str) -> str:
    if file == STDIN:
        return decoded(sys.stdin.buffer.read(), NAMED_STDIN)
    if "://" in file:
        from capybeam.pipeline.job.remote_loader import read_text_at  # by Beam, which takes two seconds to import

        return read_text_at(file)
    return read_text(file)


def _against(checked: CheckedFile, against: str, sample: int) -> tuple[tuple[Finding, ...], str]:
    """What a sample of events says about a job, and a line about the sample."""
    from capybeam.pipeline.coverage import Coverage
    from capybeam.pipeline.sample_rows import name_of_sample, sample_rows

    assert checked.job is not None
    name = name_of_sample(against)
    coverage = Coverage(checked.job, checked.document)
    with sample_rows(against, sample) as rows:
        for row in rows:
            coverage.add(row)
            if coverage.events >= sample:
                break
    if not coverage.events:
        raise CommandError(f"{name}: holds no events")
    said = f"{name}: {_counted(coverage.events, 'event')}, of which {coverage.matched:,} are taken by a subscription."
    return tuple(coverage.findings(name)), said
