"""Where other programs are installed to be measured: each in a folder of its own under out/, none beside capybeam.

``facebook-business`` is under Meta's own licence, for use with its services, and Segment's packages are under MIT. All
are fetched by their registries' clients when they are first measured, in the versions named here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

FACEBOOK_BUSINESS: Final = "26.0.3"
ACTIONS_CORE: Final = "3.170.0"
ACTION_DESTINATIONS: Final = "3.497.0"
MOST_SECONDS: Final = 300  # for either installation

_PACKAGE: Final = {
    "name": "peers",
    "private": True,
    "dependencies": {
        "@segment/actions-core": ACTIONS_CORE,
        "@segment/action-destinations": ACTION_DESTINATIONS,
    },
    "overrides": {
        "@aws-sdk/client-kinesis": "^3.894.0",  # is pinned to a version that is not everywhere, and is not used here
        "fast-uri": "3.0.6",  # later ones refuse the names that the core gives to its schemas
    },
}


class NotInstalled(Exception):
    """Why a program cannot be measured here."""


def meta_sdk(folder: Path) -> str:
    """The Python that has facebook-business."""
    python = folder / "python" / "bin" / "python"
    _install(
        folder / "python",
        [sys.executable, "-m", "venv", str(folder / "python")],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            f"facebook-business=={FACEBOOK_BUSINESS}",
        ],
    )
    return str(python)


def segment(folder: Path) -> Path:
    """The folder that has Segment's packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotInstalled("Node.js and npm are not here")
    packages = folder / "node"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "package.json").write_text(json.dumps(_PACKAGE))
    install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--silent"]
    _install(packages, [*install, "--prefix", str(packages)])
    return packages


def _install(folder: Path, *commands: list[str]) -> None:
    """Runs the commands unless they have been run for the same versions. Raises NotInstalled."""
    installed = folder / "installed.json"
    wanted = json.dumps([[part for part in command if part != sys.executable] for command in commands] + [_PACKAGE])
    if installed.exists() and installed.read_text() == wanted:
        return
    for command in commands:
        try:
            subprocess.run(command, check=True, timeout=MOST_SECONDS, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            raise NotInstalled(f"{Path(command[0]).name} {command[1]}: {type(error).__name__}") from None
    installed.write_text(wanted)
