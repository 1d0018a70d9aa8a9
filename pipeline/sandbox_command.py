"""The command that starts the local Graph API: sandbox."""

from __future__ import annotations

import dataclasses

import click

from capybeam.pipeline.command_line import fail


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 picks a free port.")
@click.option("--token", "tokens", multiple=True, help="Accept only this token (repeatable); by default any.")
@click.option("--dataset", "datasets", multiple=True, help="Know only this dataset (repeatable); by default any.")
@click.option("--app-secret", default=None, help="Require an appsecret_proof made with this secret.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A permission of the tokens (repeatable); by default ads_management, ads_read, business_management.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Also answer requests for this host name (repeatable), such as host.docker.internal.",
)
@click.option("--null", is_flag=True, help="Answer without checking or storing: for measuring the sender.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=VALUE",
    help="A fault switch, such as error_rate=0.1 (repeatable); --list-faults lists them. Also POST /sandbox/faults.",
)
@click.option("--list-faults", is_flag=True, help="List the fault switches and exit.")
def sandbox(
    port: int,
    tokens: tuple[str, ...],
    datasets: tuple[str, ...],
    app_secret: str | None,
    scopes: tuple[str, ...],
    hosts: tuple[str, ...],
    null: bool,
    faults: tuple[str, ...],
    list_faults: bool,
) -> None:
    """A local Graph API that enforces Meta's documented rules, with a page at / that shows what arrived.

    Point a destination's `endpoint` at it. Batches are refused whole for one bad event, tokens are checked, duplicates
    dropped; faults (500s, throttling, dropped connections, a dead token …) are switched on here or while it runs.
    """
    try:
        from capybeam.pipeline.sandbox.faults import Faults, parse_fault
        from capybeam.pipeline.sandbox.server import serve
        from capybeam.pipeline.sandbox.store import ALL_SCOPES, SandboxSettings
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        fail("the sandbox needs aiohttp: pip install 'capybeam[sandbox]'")

    if list_faults:
        for field in dataclasses.fields(Faults):
            click.echo(f"{field.name:18} {field.metadata['help']} (default {field.default})")
        return
    try:
        changes = dict(parse_fault(fault) for fault in faults)
        settings = SandboxSettings(
            tokens=frozenset(tokens),
            datasets=frozenset(datasets),
            app_secret=app_secret,
            scopes=scopes or ALL_SCOPES,
            hosts=frozenset(hosts),
            null=null,
            faults=Faults().changed(changes),
        )
        serve(settings, port=port)
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"port {port}: {error.strerror}")
