"""One sandbox for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests.pipeline.sandbox.senders import Clock


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(clock=Clock())) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """The module's one server, reset."""
    quiet = Faults()
    server.set_faults(**{name: getattr(quiet, name) for name in Faults.__dataclass_fields__})
    server.reset()
    return server
