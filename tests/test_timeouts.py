"""A test that hangs ends, and takes only itself down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_every_test_has_a_time_out(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> None:
    assert pytestconfig.pluginmanager.hasplugin("timeout")
    assert 0 < float(pytestconfig.getini("timeout")) <= 300


@pytest.mark.slow
def test_a_test_that_hangs_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    (tmp_path / "test_hang.py").write_text("import time\ndef test_a(): time.sleep(60)\ndef test_b(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:bqemulator", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert "Failed: Timeout" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
