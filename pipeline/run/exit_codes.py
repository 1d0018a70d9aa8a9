"""The exit codes of ``run`` and ``replay``."""

from __future__ import annotations

from typing import Final

OK: Final = 0
DEAD_LETTERS: Final = 1  # some events became dead letters
CONFIGURATION: Final = 2  # the job file, the command line, the input or the environment is at fault
REFUSED: Final = 3  # a destination refuses everything
FAILED: Final = 4  # the run itself
INTERRUPTED: Final = 130  # by a signal
