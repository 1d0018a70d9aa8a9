"""Checks, before the first event, that workers elsewhere have the versions of the machine that builds the graph."""

from __future__ import annotations

import dataclasses
import sys
from importlib import metadata
from typing import Any

import apache_beam as beam

from capybeam.pipeline.runners.errors import UnsupportedRunner


@dataclasses.dataclass(frozen=True)
class Versions:
    """What the machine that builds a graph and those that work on it must share.

    Attributes:
        python: major and minor version.
    """

    python: str
    beam: str
    capybeam: str

    @classmethod
    def here(cls) -> Versions:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        try:
            capybeam = metadata.version("capybeam")
        except metadata.PackageNotFoundError:  # from a checkout
            capybeam = "a checkout"
        return cls(python, beam.__version__, capybeam)

    def difference(self, other: Versions) -> str | None:
        """How the workers' versions (`other`) differ from these."""
        for field in dataclasses.fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if ours != theirs:
                return (
                    f"Versions do not match: {field.name.capitalize()} is {ours} here and {theirs} on the workers."
                    " Install the same on both (docs/clusters.md)"
                )
        return None


@dataclasses.dataclass
class CheckWorkers(beam.PTransform):
    """Passes lines, or events, on, on workers of the same versions; on others it fails before the first one.

    The steps behind it are set up with it, which reads the tokens: so that, too, fails before an event is sent.
    """

    def expand(self, lines: beam.PCollection) -> beam.PCollection:
        check = beam.ParDo(_CheckWorkers(Versions.here()))
        return lines | "Compare" >> check.with_output_types(lines.element_type)


class _CheckWorkers(beam.DoFn):
    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def setup(self) -> None:
        difference = self._versions.difference(Versions.here())
        if difference:
            raise UnsupportedRunner(difference)

    def process(self, element: Any) -> tuple[Any]:
        return (element,)
