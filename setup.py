"""For Beam's ``--setup_file``: workers install this package from it. Everything is declared in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

for name in ("pipeline", "transforms"):
    if Path("capybeam", name).is_file():  # as Git leaves links where they are switched off; the package would be empty
        sys.exit(
            f"capybeam/{name} is a file and should be a link to ../{name}: git config core.symlinks true,"
            " then git checkout -- capybeam (on Windows with developer mode switched on)"
        )

setup()
