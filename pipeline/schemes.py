"""Schemes: what an input or an output begins with (``bigquery:``), and the modules that open it.

A scheme is one line of `SCHEMES`. Its modules are imported when they are needed: Beam and Google's libraries take
seconds, and ``capybeam map`` on a local file takes none of them.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple


class Scheme(NamedTuple):
    """An entry of `SCHEMES`.

    Attributes:
        source: the name of the module that opens inputs, a `sources.SourceModule`; None where there are none.
        sink: the name of the module that writes outputs, a `sinks.SinkModule`; None where there are none.
        has_time_ranges: whether inputs can be read by the times of events.
        has_attributes: whether messages have attributes.
        uses_beam_clients: whether Beam's own clients of clouds read or write it on this machine, too.
    """

    source: str | None = None
    sink: str | None = None
    has_time_ranges: bool = False
    has_attributes: bool = False
    uses_beam_clients: bool = False


FILES: Final = Scheme("capybeam.pipeline.sources.files", "capybeam.pipeline.sinks.files")
"""Paths, globs, and URLs that Beam's file systems know."""

SCHEMES: Final[dict[str, Scheme]] = {
    "bigquery": Scheme(
        "capybeam.pipeline.sources.bigquery",
        "capybeam.pipeline.sinks.tables",
        has_time_ranges=True,
        uses_beam_clients=True,
    ),
    "pubsub": Scheme("capybeam.pipeline.sources.pubsub", "capybeam.pipeline.sinks.topics", has_attributes=True),
}

STDIN: Final = "-"
NAMED_STDIN: Final = "standard input"

URL_SCHEMES: Final = ("gs", "s3", "azfs", "hdfs", "file")


class UnknownScheme(ValueError):
    """A text begins with a scheme that nothing is registered for."""


def find_scheme(text: str) -> Scheme:
    """What an input or an output is. Raises UnknownScheme.

    A file may have a colon in its name: what exists, or is a glob of files, is meant as that, and so is what
    has digits or signs in front of the colon, such as ``run-2026-11-26T10:30.jsonl``.
    """
    name = _scheme_name(text)
    if name is None:
        return FILES
    if name in SCHEMES:
        return SCHEMES[name]
    if (not name.isalpha() and not _close_to(name)) or _is_there(text):
        return FILES
    hint = "" if _close_to(name) else f"; for a file of that name write ./{text}"
    raise UnknownScheme(f"{unknown_scheme(f'{name}:')}{hint}")


def is_stream(text: str) -> bool:
    """Whether an input's scheme is one of messages; of an unknown one, which opening the input says, it is not."""
    try:
        return find_scheme(text).has_attributes
    except UnknownScheme:
        return False


def _is_there(path: str) -> bool:
    import glob

    return os.path.lexists(path) or bool(glob.glob(path))


def _scheme_name(text: str) -> str | None:
    """``bigquery`` of ``bigquery:…``; None for paths, with a drive's letter too, and for URLs."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(?!//)", text)
    if found is None:
        found = re.match(rf"({'|'.join(map(re.escape, SCHEMES))}):", text)
    return found[1] if found else None


def unknown_scheme(given: str) -> str:
    """What to say of a scheme, such as ``gss://`` or ``pubsb:``, that is not known."""
    close = _close_to(given.rstrip(":/"))
    return f"unknown scheme {given}" + (f"; did you mean {close}?" if close else "")


def _close_to(name: str) -> str:
    """The known scheme, as it is written, that a name is probably meant to be; "" for none."""
    import difflib

    known = {**{each: f"{each}:" for each in SCHEMES}, **{each: f"{each}://" for each in URL_SCHEMES}}
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return known[close[0]] if close else ""


def names_of(chosen: Callable[[Scheme], bool], *others: str) -> str:
    """Schemes as messages name them: ``bigquery:``, after other kinds of places."""
    return join_names([*others, *(f"{name}:" for name, scheme in SCHEMES.items() if chosen(scheme))])


def join_names(names: Iterable[str], word: str = "and") -> str:
    """Names as a sentence has them.

    >>> join_names(["a:"]), join_names(["a:", "b:", "c:"])
    ('a:', 'a:, b: and c:')
    """
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def load_module(name: str) -> Any:
    return importlib.import_module(name)


def is_local(path: str) -> bool:
    """Whether a path is one of a file, and only this machine is known to have it."""
    return "://" not in path and _scheme_name(path) not in SCHEMES


def needs_beam_clients(place: str) -> bool:
    """Whether Beam's own clients of clouds read or write a place on this machine."""
    scheme = SCHEMES.get(_scheme_name(place) or "")
    return scheme.uses_beam_clients if scheme else "://" in strip_file_scheme(place)


def is_glob(path: str) -> bool:
    """Whether a path can be read as a glob; a file may be called exactly so all the same."""
    return not _GLOB_SIGNS.isdisjoint(path)


_GLOB_SIGNS: Final = frozenset("*?[")


def strip_file_scheme(path: str) -> str:
    """The path of a ``file://`` URL; any other place as it is."""
    return path.removeprefix("file://localhost").removeprefix("file://")
