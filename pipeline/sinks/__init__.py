"""Where dead letters and receipts go. An output's kind is found by its scheme; each kind has a module of its own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from capybeam.pipeline.schemes import SCHEMES, UnknownScheme, find_scheme, load_module, names_of

if TYPE_CHECKING:
    from capybeam.pipeline.sinks.records import RecordType


class SinkError(Exception):
    """Something cannot be written: says what, where and why."""


@dataclasses.dataclass(frozen=True)
class Writers:
    """The workers that write.

    Attributes:
        runner: for messages.
        local: whether they are on this machine.
        endless: whether their input never ends.
    """

    runner: str
    local: bool
    endless: bool = False


class ReadBack(NamedTuple):
    """How what was written to an output is read again by ``replay``.

    Attributes:
        source: as `--from` takes it.
        beside: an output of the same kind for what the replay writes; None where its default will do.
        hint: what the user has to put into `source`, for the end of a sentence; "" where it is complete.
    """

    source: str
    beside: str | None = None
    hint: str = ""


class SinkModule(Protocol):
    """A kind of output: the module that a scheme names as its `sink`.

    Attributes:
        EXAMPLE: of its outputs, for messages: "a topic (pubsub:projects/P/topics/T)"; only of those with a scheme.
    """

    def prepare(self, path: str, record_type: RecordType[Any], writers: Writers) -> str | None:
        """As `prepare` of this package."""
        ...

    def plan(self, path: str, record_type: RecordType[Any], writers: Writers) -> str:
        """As `plan` of this package."""
        ...

    def write(self, records: Any, path: str, record_type: RecordType[Any]) -> Any:
        """Adds the steps that write a collection of records. A record that is refused fails the run."""
        ...

    def read_back(self, path: str) -> ReadBack | None:
        """As `read_back` of this package."""
        ...


def prepare(path: str, record_type: RecordType[Any], writers: Writers) -> str | None:
    """Makes sure that records can be written to an output. Raises SinkError.

    Returns the name under which a file of an earlier run is kept, if there was one.
    """
    return _module(path, record_type.name).prepare(path, record_type, writers)


def plan(path: str, record_type: RecordType[Any], writers: Writers) -> str:
    """What a run would do to an output, in a phrase for people. Touches nothing, and asks nothing of a cloud.

    Raises SinkError where it is known already that records cannot be written there.
    """
    return _module(path, record_type.name).plan(path, record_type, writers)


def write(records: Any, path: str, record_type: RecordType[Any]) -> Any:
    """Adds the steps that write a collection of records to an output."""
    return _module(path, record_type.name).write(records, path, record_type)


def read_back(path: str) -> ReadBack | None:
    """How what a run has written to an output is read again; None where nothing was kept."""
    return _module(path, "").read_back(path)


def examples() -> list[str]:
    """An example of each kind of output that has a scheme, for messages."""
    modules = (scheme.sink for scheme in SCHEMES.values())
    return [load_module(module).EXAMPLE for module in modules if module is not None]


def _module(path: str, name: str) -> SinkModule:
    try:
        scheme = find_scheme(path)
    except UnknownScheme as error:
        raise SinkError(f"{name} cannot be written to {path}: {error}") from None
    if scheme.sink is None:
        outputs = names_of(lambda each: each.sink is not None, "files")
        raise SinkError(f"{name} cannot be written to {path}: outputs are {outputs}")
    module: SinkModule = load_module(scheme.sink)
    return module
