"""The fixture ``capybeam_sandbox`` for other people's tests; pytest finds it where capybeam is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from capybeam.sandbox import Sandbox


@pytest.fixture
def capybeam_sandbox() -> Iterator[Sandbox]:
    """A Graph API of the test's own on this machine, which refuses what Meta refuses: see `capybeam.sandbox`."""
    from capybeam.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox
