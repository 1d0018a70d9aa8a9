"""What commands have in common: the job file, times, and how they end where the command line is at fault."""

from __future__ import annotations

import math
import sys
from datetime import timezone
from typing import NoReturn

import click

from capybeam.pipeline.job.loader import ConfigError, Job, load_job


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
        click.echo(f"{warning} (warning)", err=True)
    return job


def exit_for(path: str, error: ConfigError) -> NoReturn:
    """Ends the process for a job file with problems."""
    for problem in error.problems:
        click.echo(problem, err=True)
    count = len(error.problems)
    click.echo(f"capybeam: {count} problem{'s' if count > 1 else ''} in {path}.", err=True)
    sys.exit(2)


def moment(option: str, text: str) -> float:
    try:
        seconds = float(text)
        if not math.isfinite(seconds):
            fail(f"{option} {text}: neither ISO 8601 nor Unix seconds")
        return seconds
    except ValueError:
        import ciso8601

        try:
            moment = ciso8601.parse_datetime(text)
        except ValueError:
            fail(f"{option} {text}: neither ISO 8601 nor Unix seconds")
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def fail(message: str) -> NoReturn:
    click.echo(f"capybeam: {message}", err=True)
    sys.exit(2)
