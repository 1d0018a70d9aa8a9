"""The group of all commands: what holds for every command line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from capybeam.pipeline import log_lines
from capybeam.pipeline.command_line import ENDED, fail
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.run.exit_codes import INTERRUPTED
from capybeam.transforms.core.tokens import holds_token


class Group(click.Group):
    """Refuses an access token on the command line, before a message repeats it; the sandbox has a use for one.

    Args:
        elsewhere: commands by name, and the modules that have them, which are imported when their command is needed.
    """

    def __init__(self, *arguments: Any, elsewhere: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._elsewhere = dict(elsewhere or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._elsewhere.pop(cmd_name, None)
        if module is not None:
            found = vars(importlib.import_module(module)).values()
            command = next(each for each in found if isinstance(each, click.Command) and each.name == cmd_name)
            command.params.append(log_lines.option())
            self.add_command(command)
        return super().get_command(ctx, cmd_name)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """As click's, and with --log-format json all of it, errors of usage and crashes included, in lines of JSON."""
        # Pydantic looks at all installed packages for plugins, which takes a tenth of a start; none is of use here.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
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
    """Gives every command that a group has by now the option of which `Group.main` knows the value."""
    for command in _leaves(group):
        command.params.append(log_lines.option())


def _leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from _leaves(command) if isinstance(command, click.Group) else (command,)
