"""What Dataflow starts in a template's container: the template's parameters become the command line of ``run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from capybeam.pipeline import cli
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.run.options import IN_CONTAINER, JAVA_ALIASES, OPTIONS, Option, TemplateParameter

IMAGE: Final = "CAPYBEAM_IMAGE"  # holds the name of the image that a container is of; the Dockerfile sets it


def arguments(given: Sequence[str], image: str | None = None) -> list[str]:
    """The command line, from what Dataflow hands over: the template's parameters and Beam's options.

    Args:
        given: each as ``--name=value``; a parameter without a value counts as not given.
        image: that workers are to be of.

    Raises:
        click.UsageError: where a parameter is missing.
    """
    parameters = {option.parameter_name: option for option in OPTIONS if option.templates}
    command, names = ["run", "--no-wait", "--runner=DataflowRunner"], set()
    for argument in given:
        name, equals, value = argument.removeprefix("--").partition("=")
        if name not in parameters:
            command.append(argument)
            if name in JAVA_ALIASES:
                command.append(f"--{JAVA_ALIASES[name]}={value}")
        elif value or not equals:
            name = parameters[name].name
            command.append(f"--{name}{equals}{value}")
        else:
            continue
        names.add(name)
    for option in parameters.values():
        parameter = _template_parameter(option)
        if option.name in names:
            continue
        if parameter.default is not None:
            command.append(f"--{option.name}={parameter.default}")
        elif parameter.required:
            means = f"{parameter.help or option.help} For example: {parameter.examples[0]}"
            raise click.UsageError(f"the parameter {option.parameter_name} is missing. {means}")
    if image and "sdk_container_image" not in names:
        command.append(f"--sdk_container_image={image}")
    return command


def _template_parameter(option: Option) -> TemplateParameter:
    """Templates differ in what a value looks like, not in whether there has to be one."""
    return next(iter(option.templates.values()))


def _check_container(command: Sequence[str]) -> None:
    """Makes sure of what a container has to bring along, where the command counts on it. Raises click.UsageError."""
    if not any(argument.startswith("--sdk_container_image=") for argument in command):
        raise click.UsageError(
            "this image does not know its own name, and workers from Beam's default image would lack capybeam."
            " Build it with"
            f" --build-arg IMAGE=NAME, as templates/publish.sh does, or set ENV {IMAGE}=NAME in its Dockerfile"
        )
    if f"--config={IN_CONTAINER}" in command and not Path(IN_CONTAINER).exists():
        raise click.UsageError(
            f"no job file: give the parameter config, such as {_CONFIG.examples[0]}, or use an image that has"
            f" one at {IN_CONTAINER}"
        )


_CONFIG: Final = next(_template_parameter(option) for option in OPTIONS if option.name == "config")


def main() -> None:
    """Starts the job, or says in one line of the launcher's log why it cannot be started."""
    try:
        command = arguments(sys.argv[1:], os.environ.get(IMAGE))
        _check_container(command)
    except click.UsageError as error:
        say(f"capybeam: {error.message}", "error")
        sys.exit(2)
    cli.main(command)
