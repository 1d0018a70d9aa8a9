"""The group of all commands: what holds for every command line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from capybeam.pipeline import log_lines
from capybeam.pipeline.command_line import ENDED, fail
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.run.exit_codes import INTERRUPTED
from capybeam.transforms.core.tokens import holds_token


class Group(click.Group):
    """Refuses an access token on the command line, before a message repeats it; the sandbox has a use for one."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """As click's, and with --log-format json all of it, errors of usage and crashes included, in lines of JSON."""
        arguments = list(sys.argv[1:] if args is None else args)
        if log_lines.format_of(arguments) != "json":
            return super().main(arguments, *more, **extra)
        with log_lines.as_json() as lines:
            try:
                sys.exit(super().main(arguments, *more, **{**extra, "standalone_mode": False}))
            except SystemExit as exit_:
                if not lines.ended:
                    lines.emit("info", "The command ended.", kind="end", exit_code=exit_.code or 0)
                raise
            except click.ClickException as error:
                say(f"capybeam: {error.format_message()}", "error", **ENDED)
                sys.exit(error.exit_code)
            except click.Abort:
                sys.exit(INTERRUPTED)
            except Exception as error:
                fields = {"kind": "end", "exit_code": 1, "traceback": traceback.format_exc()}
                lines.emit("error", f"capybeam failed: {type(error).__name__}", **fields)
                sys.exit(1)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] != ["sandbox"]:
            for before, argument in zip(["", *args], args, strict=False):
                if holds_token(argument):
                    name = argument.partition("=")[0] if argument.startswith("--") else before
                    named = name if name.startswith("--") and not holds_token(name) else "an argument"
                    fail(
                        f"{named} appears to contain an access token. Store the token in a secret, and write a"
                        " reference to it in the job file: access_token: secret:projects/P/secrets/S/versions/latest"
                    )
        return super().parse_args(ctx, args)


def add_log_format(group: click.Group) -> None:
    """Gives every command of a group the option of which `Group.main` knows the value."""
    for command in _leaves(group):
        command.params.append(log_lines.option())


def _leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from _leaves(command) if isinstance(command, click.Group) else (command,)
