"""The sandbox as a process and its independence."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from capybeam.pipeline.sandbox import server
from capybeam.pipeline.sandbox.server import serve
from capybeam.pipeline.sandbox.store import SandboxSettings

FOLDER = Path(server.__file__).parent


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        serve(SandboxSettings(), host=host)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_serve_says_where_it_is_and_leaves_cleanly_when_it_is_stopped(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from capybeam.pipeline.sandbox.server import serve; serve(port=0)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.split()[2]
    healthy = requests.get(f"{url}/sandbox/healthz", timeout=10).text
    process.send_signal(number)
    rest, errors = process.communicate(timeout=10)

    assert (
        line == f"Sandbox at {url} (open it to see what arrives); send to it with `endpoint: {url}`. Ctrl-C stops it.\n"
    )
    assert (healthy, rest, errors, process.returncode) == ("ok", "", "", 0)


def test_the_command_allows_a_host_and_sets_permissions_on_purpose() -> None:
    command = [sys.executable, "-m", "capybeam", "sandbox", "--port", "0", "--allow-host", "sandbox.test"]
    with subprocess.Popen([*command, "--scope", "ads_read"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        path, token = "/v25.0/debug_token?input_token=x", {"Authorization": "Bearer x"}
        allowed = requests.get(url + path, headers={**token, "Host": "sandbox.test:80"}, timeout=10)
        other = requests.get(url + path, headers={**token, "Host": "other.test"}, timeout=10)
        process.terminate()

    assert (allowed.status_code, other.status_code) == (200, 403)
    assert allowed.json()["data"]["scopes"] == ["ads_read"]


def test_the_sandbox_reads_the_rules_on_its_own() -> None:
    modules = [f"capybeam.pipeline.sandbox.{path.stem}" for path in FOLDER.glob("*.py")]
    program = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if 'transforms' in m])"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert {"capybeam.pipeline.sandbox.rules", "capybeam.pipeline.sandbox.store"} < set(modules)
    assert imported.stdout == "[]\n"
