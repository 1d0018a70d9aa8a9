"""A stand-in for Google's Terraform providers, for tests: their schemas, without Google. See google_provider/main.go.

It is built when it is first needed, which takes half a minute, and kept in the user's cache.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.servers.go_programs import NoGo, built

SOURCE: Final = Path(__file__).parent / "google_provider"
_HOSTS: Final = ("registry.terraform.io", "registry.opentofu.org")


class NoTerraform(Exception):
    """The module cannot be tried here: says why."""


class Terraform:
    """Terraform or OpenTofu, where the stand-in is all the providers that there are."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: for the providers and settings. Raises NoTerraform."""
        program = shutil.which("terraform") or shutil.which("tofu")
        if program is None:
            raise NoTerraform("neither terraform nor tofu is installed")
        try:
            provider = built(SOURCE)
        except NoGo as error:
            raise NoTerraform(f"no stand-in for Google's provider: {error}") from error
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        for name, release in json.loads((SOURCE / "schemas.json").read_bytes()).items():
            for host in _HOSTS:
                version = release["version"]
                place = folder / host / "hashicorp" / name / version / f"{platform.system().lower()}_{machine}"
                place.mkdir(parents=True)
                (place / f"terraform-provider-{name}_v{version}").symlink_to(provider)
        settings = folder / "settings.tfrc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{folder}" }}\n}}\n')
        self._program = program
        self._environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1"}

    def __call__(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in a folder; errors are printed to standard output, too."""
        command = [self._program, *arguments, "-no-color"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, cwd=folder, env=self._environment, text=True, timeout=300, **pipes)  # type: ignore[call-overload,no-any-return]
