"""The commands that ask Meta about a job's datasets and tokens, and send nothing: quality, doctor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from capybeam.pipeline.command_line import fail, load_or_exit

if TYPE_CHECKING:
    from capybeam.pipeline.inspect_meta.datasets import Target
    from capybeam.pipeline.job.loader import Job

_FORMAT = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line on stdout.",
)
_ONLY = click.option("--destination", "only", multiple=True, help="Ask of this destination only (repeatable).")


@click.command(
    short_help="Shows match quality and coverage as Meta measures them.",
    epilog="Exit code 0; 2: the job file or a token is at fault; 3: Meta refused, and the line says what to do.",
)
@click.option("--config", required=True, type=click.Path(), help="The job file.")
@_ONLY
@click.option("--agent", default=None, help="Only events of this partner_agent.")
@_FORMAT
def quality(config: str, only: tuple[str, ...], agent: str | None, format_: str) -> None:
    """Shows what Meta says of the events that it has: event match quality, the share of events with each match key,
    coverage of the browser's events, deduplication keys, freshness.

    It asks Meta's Dataset Quality API for each dataset of the job, with the job's tokens, and sends no event. Fields
    that are not known are shown as they come.
    """
    import orjson

    from capybeam.pipeline.inspect_meta.quality import ask_all
    from capybeam.pipeline.inspect_meta.quality_display import as_json, show
    from capybeam.pipeline.output_files import CommandError
    from capybeam.pipeline.run.terminal import console

    job = load_or_exit(config)
    screen, code = console(), 0
    try:
        for destination, found in ask_all(_targets(job, only), job.delivery, agent):
            code = code if found.answer.kind == "delivered" else 3
            if format_ == "json":
                click.echo(orjson.dumps(as_json(destination, found)))
            else:
                show(destination, found, screen)
    except CommandError as error:
        fail(str(error))
    sys.exit(code)


@click.command(
    short_help="Checks tokens, datasets, version and clock with Meta, and sends nothing.",
    epilog="Exit code 0: nothing is in the way; 2: the job file is at fault; 3: something is, and its line says what to"
    " do.",
)
@click.option("--config", required=True, type=click.Path(), help="The job file.")
@_ONLY
@_FORMAT
def doctor(config: str, only: tuple[str, ...], format_: str) -> None:
    """Checks with Meta whether the job could deliver now, and sends no event.

    For each destination: its token, permissions, datasets, API version, this machine's clock and the rate limit. A line
    for each, with ✓, ! (worth a look) or ✗ and what to do.
    """
    import orjson

    from capybeam.pipeline.inspect_meta.doctor import examine, is_well
    from capybeam.pipeline.run.terminal import console

    job = load_or_exit(config)
    screen, checks = console(), []
    for target in _targets(job, only):
        if format_ == "text":
            screen.print(target.destination.name, style="bold", markup=False, highlight=False)
        for check in examine(target, job.delivery):
            checks.append(check)
            if format_ == "json":
                click.echo(orjson.dumps(check._asdict()))
            else:
                style = {"✓": "green", "!": "yellow", "✗": "red"}[check.mark]
                screen.print(f"  {check.mark} {check.name}: {check.text}", style=style, markup=False, highlight=False)
    sys.exit(0 if is_well(checks) else 3)


def _targets(job: Job, only: tuple[str, ...]) -> list[Target]:
    from capybeam.pipeline.inspect_meta.datasets import targets

    found = list(targets(job))
    names = [target.destination.name for target in found]
    for name in only:
        if name not in names:
            fail(f"--destination {name}: there is no such destination at Meta; choose from {', '.join(names)}")
    if not found:
        fail("the job file has no destination at Meta")
    return [target for target in found if not only or target.destination.name in only]
