"""Imports Beam without its optional libraries, where a run has no use for them: they take half of Beam's time.

Beam imports what is installed of Google's libraries, pandas and others at once, and goes without what is not. Libraries
are hidden from it for as long as its own import lasts, so it is as it would be without ``apache-beam[gcp]``. They can
be imported as before by everybody else, and afterwards.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from capybeam.pipeline.schemes import is_local, strip_file_scheme

OPTIONAL: Final = ("apitools", "azure", "boto3", "bson", "google.cloud", "pandas", "pyarrow", "pymongo")
"""Packages that `import apache_beam` tries, and can do without: clients of clouds and databases, and data frames."""


@contextlib.contextmanager
def importing_beam(places: Iterable[str | None], beam_options: Sequence[str]) -> Iterator[None]:
    """Imports of Beam, and of modules that import it, within this context, for a run.

    Args:
        places: that the run reads and writes, as they are given; None for those that are not.
        beam_options: as they are given. With any, Beam is imported as it is: they may name a runner.
    """
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # Beam warns of extras that are not installed
    needs_all = beam_options or not all(is_local(strip_file_scheme(place)) for place in places if place is not None)
    hidden = _Hidden(() if needs_all or "apache_beam" in sys.modules else OPTIONAL)
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)
        logging.disable(level)


class _Hidden(importlib.abc.MetaPathFinder):
    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = tuple(packages)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(name == package or name.startswith(f"{package}.") for package in self._packages):
            raise ModuleNotFoundError(f"{name} is not imported: the run has no use for it", name=name)
        return None
