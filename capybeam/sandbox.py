"""A Graph API for tests: it refuses what Meta refuses, keeps what it took, and fails when it is told to.

>>> with Sandbox() as sandbox:
...     sandbox.events("123321")
[]

`capybeam.pytest_plugin` gives each test one as the fixture ``capybeam_sandbox``. It needs the extra ``sandbox``.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from capybeam.pipeline.sandbox.server import SandboxServer

__all__ = ["Sandbox"]

TOKEN: Final = "token-of-the-sandbox"
KEEP_EVENTS: Final = 100_000


class Sandbox:
    """A Graph API on a free port of 127.0.0.1, while it is used as a context manager.

    Attributes:
        url: for a destination's ``endpoint``.
        token: the one access token that it accepts.
    """

    url: str
    token: str

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token

    def __enter__(self) -> Sandbox:
        self._server = _server(self.token)
        self._folder = tempfile.TemporaryDirectory(prefix="capybeam-sandbox-")
        self._server.__enter__()
        self.url = self._server.url
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(exc_type, exc, traceback)
        self._folder.cleanup()

    def job_file(self, path: str | Path) -> Path:
        """A copy of a job file whose destinations at Meta are this server, with its token.

        The copy is gone with the server. Raises `capybeam.ConfigError` where the file cannot be read.
        """
        from capybeam.pipeline.job.loader import read_text
        from capybeam.pipeline.job.yaml_source import read

        token = Path(self._folder.name, "token")
        token.write_text(self.token, encoding="utf-8")
        job = read(read_text(path), str(path)).data
        destinations = job.get("destinations") if isinstance(job, dict) else None
        for destination in destinations if isinstance(destinations, list) else []:
            if isinstance(destination, dict) and str(destination.get("type", "")).startswith("facebook_"):
                destination.update(endpoint=self.url, access_token=f"file:{token}")
                destination.pop("app_secret", None)
        copy = Path(self._folder.name, Path(path).name)
        copy.write_text(json.dumps(job), encoding="utf-8")  # JSON is YAML
        return copy

    def events(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """The events that a dataset (or any) has stored, in order of arrival, as they were sent; repeats are dropped.

        At most the last 100,000.
        """
        kept = self._server.events()
        return [
            {key: value for key, value in event.items() if key != "dataset"}
            for event in kept
            if dataset in (None, event["dataset"])
        ]

    def refusals(self) -> list[dict[str, Any]]:
        """The last 50 requests that a rule refused: code, subcode, reason, where (which event), dataset, time."""
        found: list[dict[str, Any]] = self._server.stats()["errors"]
        return found

    def stats(self) -> dict[str, Any]:
        """The books, as ``GET /sandbox/stats`` gives them."""
        return self._server.stats()

    def set_faults(self, **changes: float | bool | str) -> None:
        """Switches faults, by the names that docs/operations.md lists. Raises ValueError for an unknown one."""
        self._server.set_faults(**changes)

    def clear_faults(self) -> None:
        """Switches all faults off."""
        from capybeam.pipeline.sandbox.faults import Faults

        self._server.set_faults(**dataclasses.asdict(Faults()))

    def reset(self) -> None:
        """Forgets what arrived. The faults stay as they are."""
        self._server.reset()


def _server(token: str) -> SandboxServer:
    try:
        from capybeam.pipeline.sandbox.server import SandboxServer
        from capybeam.pipeline.sandbox.store import SandboxSettings
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise RuntimeError("the sandbox needs aiohttp: pip install 'capybeam[sandbox]'") from None
    return SandboxServer(SandboxSettings(tokens=frozenset({token}), keep_events=KEEP_EVENTS))
