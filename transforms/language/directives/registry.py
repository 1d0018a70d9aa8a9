"""The directives that there are: what each accepts, and how it is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from capybeam.transforms.core.paths import parse_path

Path = tuple[str | int, ...]  # of a part of a mapping

MAX_KEYS: Final = 100  # of a path


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing wrong with a mapping: where (keys and indices from its root) and what."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"/{'/'.join(map(str, self.path))} {self.message}"


class MappingError(ValueError):
    """A mapping that cannot be compiled, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


@dataclasses.dataclass(frozen=True)
class Value:
    """A Python expression without side effects.

    Attributes:
        optional: whether it may be `MISSING`.
        own: whether it is a variable that nothing else reads.
        text: whether it is a meaningful text unless the block that was written last ran.
    """

    code: str
    optional: bool = True
    own: bool = False
    text: bool = False


@dataclasses.dataclass(frozen=True)
class Option:
    """What a directive, or one key of its options, accepts: any mapping, or a value of the `kind`."""

    kind: str  # any | text (a string or a directive) | string | boolean | list | strings | objects | choice
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    shortest: int = 0


Check = Callable[[Any, Path], Iterator[Problem]]
Write = TypeVar("Write", bound=Callable[..., Value])


@dataclasses.dataclass(frozen=True)
class Directive:
    """One directive.

    Attributes:
        write: writes what the directive does. Takes the `MappingWriter` and the directive's checked options.
        accepts: its options; None where `check` does it all.
        check: what is wrong with its options and their path, beyond what `accepts` finds.
    """

    write: Callable[..., Value]
    accepts: Option | Mapping[str, Option] | None
    check: Check | None = None


DIRECTIVES: Final[dict[str, Directive]] = {}


def directive(
    name: str, accepts: Option | Mapping[str, Option] | None = None, check: Check | None = None
) -> Callable[[Write], Write]:
    """Registers the function that writes a directive."""

    def register(write: Write) -> Write:
        DIRECTIVES[name] = Directive(write, accepts, check)
        return write

    return register


def is_directive(node: Any) -> bool:
    """Whether a part of a mapping is a directive rather than something that stands for itself."""
    return isinstance(node, dict) and any(key.startswith("@") for key in node)


def check_path(text: Any, path: Path) -> Iterator[Problem]:
    """Whether a path into the event is too long; other checks find what is not text."""
    return check_keys([parse_path(text)] if isinstance(text, str) else (), path)


def check_keys(looked_up: Iterable[tuple[str, ...]], path: Path) -> Iterator[Problem]:
    """Whether any of some parsed paths is too long."""
    if any(len(keys) > MAX_KEYS for keys in looked_up):
        yield Problem(path, f"has a path of more than {MAX_KEYS} keys")
