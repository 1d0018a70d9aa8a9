"""What commands have in common: the job file, times, and how they end where the command line is at fault."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from capybeam.pipeline.job.loader import ConfigError, Job, load_job
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.run.exit_codes import CONFIGURATION, state_of

if TYPE_CHECKING:
    from capybeam.pipeline.run.tolerance import Tolerance


def load_or_exit(path: str) -> Job:
    """The job of a job file; ends the process where it has problems."""
    try:
        return load(path)
    except ConfigError as error:
        exit_for(path, error)


def load(path: str) -> Job:
    """The job of a job file, whose warnings are shown. Raises ConfigError."""
    if "://" in path:
        from capybeam.pipeline.job.remote_loader import load_job_at  # by Beam, which takes two seconds to import

        job = load_job_at(path)
    else:
        job = load_job(path)
    for warning in job.warnings:
        say(f"{warning} (warning)", "warning")
    return job


def begin(
    command: Literal["run", "replay"], config: str, report: str | None, tolerate: str | None
) -> tuple[Job, Tolerance]:
    """The job and what is tolerated; ends the process where one of them is wrong, with a report of that."""
    from capybeam.pipeline.run.recording import record_early
    from capybeam.pipeline.run.report_document import Ending, Occasion
    from capybeam.pipeline.run.tolerance import NO_TOLERANCE, Tolerance

    occasion = Occasion(command, time.time(), config=config, tolerate=tolerate)
    try:
        tolerance = NO_TOLERANCE if tolerate is None else Tolerance.parse(tolerate)
    except ValueError as error:
        problem = f"--tolerate {tolerate} {error}"
        record_early(report, occasion, Ending(CONFIGURATION, (f"capybeam: {problem}",)))
        fail(problem)
    try:
        return load(config), tolerance
    except ConfigError as error:
        record_early(report, occasion, Ending(CONFIGURATION, error.problems))
        exit_for(config, error)


def exit_for(path: str, error: ConfigError) -> NoReturn:
    """Ends the process for a job file with problems."""
    for problem in error.problems:
        say(problem, "error")
    count = len(error.problems)
    say(f"capybeam: {count} problem{'s' if count > 1 else ''} in {path}.", "error", **ENDED)
    sys.exit(CONFIGURATION)


def moment(option: str, text: str) -> float:
    """Unix seconds of a time in UTC; ends the process where it is none."""
    from capybeam.pipeline.moments import BadMoment, Clock, parse

    try:
        return parse(text, Clock(time.time()))
    except BadMoment as error:
        fail(f"{option} {text} {error}")


def byte_count(option: str, text: str | None) -> int | None:
    """Bytes of a text like 20GB or 500MiB; ends the process where it is none."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,15})\s?(?:([kKMGTP])(i?))?B?", text.strip())
    if found is None or int(found[1]) == 0:
        fail(f"{option} {text} is not a number of bytes, for example 20GB")
    power = " KMGTP".index((found[2] or " ").upper())
    base: int = 1024 if found[3] else 1000
    return int(found[1]) * int(base**power)


def fail(message: str) -> NoReturn:
    say(f"capybeam: {message}", "error", **ENDED)
    sys.exit(CONFIGURATION)


ENDED: Final[Mapping[str, Any]] = {
    "kind": "end",
    "exit_code": CONFIGURATION,
    "state": state_of(CONFIGURATION, has_rejections=False),
}
