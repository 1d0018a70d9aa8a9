"""Runs the sandbox on the loopback interface: `serve` in the foreground, `SandboxServer` in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import ip_address
from types import TracebackType
from typing import Final, TypeVar

from aiohttp import web

from capybeam.pipeline.sandbox.app import SANDBOX, create_app
from capybeam.pipeline.sandbox.refusals import Json
from capybeam.pipeline.sandbox.store import SandboxSettings

DEFAULT_PORT: Final = 8765

_SILENT: Final = logging.getLogger(__name__)
_SILENT.setLevel(logging.CRITICAL + 1)

T = TypeVar("T")


async def _run(app: web.Application, host: str, port: int, started: Callable[[str], None], stop: asyncio.Event) -> None:
    # Without access log, since its lines would carry tokens of senders that put them in the URL; and so would the lines
    # that aiohttp logs of requests that it cannot parse.
    runner = web.AppRunner(app, access_log=None, logger=_SILENT, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound_host, bound_port = runner.addresses[0][:2]
        started(f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def serve(settings: SandboxSettings | None = None, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
    """Run the sandbox until Ctrl-C, SIGTERM or SIGHUP.

    Raises ``OSError`` when the port is in use, and ``ValueError`` for a host that others could reach: the sandbox
    checks nobody's identity, so it serves this machine only.
    """
    if host != "localhost" and not ip_address(host).is_loopback:
        raise ValueError(f"the sandbox serves this machine only: {host} is not a loopback address")

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as it is under nohup
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _run(create_app(settings), host, port, _announce, stop)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


def _announce(url: str) -> None:
    print(
        f"Sandbox at {url} (open it to see what arrives); send to it with `endpoint: {url}`. Ctrl-C stops it.",
        flush=True,
    )


class SandboxServer:
    """A sandbox in a background thread on a free port of the loopback interface, as a context manager.

    >>> with SandboxServer(SandboxSettings(tokens=frozenset({"secret"}))) as sandbox:
    ...     sandbox.set_faults(fail_next=1)
    ...     # send to f"{sandbox.url}/v25.0/123/events"
    ...     sandbox.stats()["events_stored"]
    0
    """

    url: str

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self._app = create_app(settings)
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._main, name="sandbox", daemon=True)

    def __enter__(self) -> SandboxServer:
        self._thread.start()
        self.url = self._ready.result(timeout=30)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    def stats(self) -> Json:
        """The counts at this moment, as ``GET /sandbox/stats`` gives them."""
        return self._call(self._app[SANDBOX].stats)

    def events(self) -> list[Json]:
        """The stored events that are kept, each with the key dataset besides its own."""
        return self._call(lambda: list(self._app[SANDBOX].last_events))

    def event_ids(self, dataset: str) -> list[tuple[str, str]]:
        """(event name, event id) of what is stored in `dataset`; events without an id are not among them."""
        return self._call(lambda: self._app[SANDBOX].window.ids(dataset))

    def set_faults(self, **changes: float | bool | str) -> None:
        """Change some `Faults`. Raises ``ValueError`` for an unknown one or a bad value."""
        self._call(lambda: self._app[SANDBOX].set_faults(changes))

    def reset(self) -> None:
        """Forget what arrived; the faults stay."""
        self._call(self._app[SANDBOX].reset)

    def _call(self, function: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(timeout=30)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await _run(self._app, "127.0.0.1", 0, self._ready.set_result, self._stop)
