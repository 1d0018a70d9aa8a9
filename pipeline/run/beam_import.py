"""Imports Beam for a run: without garbage collections, threads of NumPy, and libraries that the run has no use for.

Beam imports what is installed of Google's libraries, pandas and others at once, and goes without what is not. Libraries
are hidden from it for as long as its own import lasts, so it is as it would be without ``apache-beam[gcp]``. They can
be imported as before by everybody else, and afterwards. What is gained: docs/performance.md.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from capybeam.pipeline.schemes import needs_beam_clients

OPTIONAL: Final = (
    *("apitools", "google.api_core", "google.auth", "google.cloud", "regex"),
    *("azure", "boto3", "bson", "pandas", "pyarrow", "pymongo"),
)
"""Packages that `import apache_beam` tries, and can do without: clients of clouds and databases, and data frames."""

_NUMPY_THREADS: Final = "OPENBLAS_NUM_THREADS"


@contextlib.contextmanager
def importing_beam(places: Iterable[str | None], beam_options: Sequence[str]) -> Iterator[None]:
    """Imports of Beam, and of modules that import it, within this context, for a run.

    Args:
        places: that the run reads and writes, as they are given; None for those that are not.
        beam_options: as they are given. With any, Beam is imported as it is: they may name a runner.
    """
    if "apache_beam" in sys.modules:
        yield
        return
    needs_all = beam_options or any(needs_beam_clients(place) for place in places if place is not None)
    with _without_warnings(), _hiding(() if needs_all else OPTIONAL), _collecting_nothing(), _one_thread_of_numpy():
        yield


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Beam warns of extras that are not installed."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _hiding(packages: Iterable[str]) -> Iterator[None]:
    hidden = _Hidden(packages)
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)


@contextlib.contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Modules stay, so the garbage collector need not look through them, neither meanwhile nor in the run."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _one_thread_of_numpy() -> Iterator[None]:
    """NumPy, which Beam imports, starts a thread of linear algebra for each core, and these wait busily for a while."""
    if _NUMPY_THREADS in os.environ:
        yield
        return
    os.environ[_NUMPY_THREADS] = "1"  # read once, when NumPy is imported
    try:
        yield
    finally:
        del os.environ[_NUMPY_THREADS]


class _Hidden(importlib.abc.MetaPathFinder):
    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = tuple(packages)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(name == package or name.startswith(f"{package}.") for package in self._packages):
            raise ModuleNotFoundError(f"{name} is not imported: the run has no use for it", name=name)
        return None
