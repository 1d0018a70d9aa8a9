"""Python functions, written line by line: what a job says once becomes code that runs for every event.

A traceback through a written function shows its lines, as the source is registered in `linecache` for as long as the
compiled code is in use, and until another function is written.
"""

from __future__ import annotations

import builtins
import contextlib
import itertools
import keyword
import linecache
import math
import re
import weakref
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final

_FOR_VARIABLES: Final = re.compile(r"[a-z]\d*")  # names that constants cannot have
_NUMBERS: Final = itertools.count(1)


class FunctionWriter:
    """One Python function in the making.

    Values from a job, such as the keys of a mapping, get into its text as `literal` or `constant` only.

    Args:
        arguments: their names; one that may be left out ends with ``=None``.

    >>> writer = FunctionWriter("shout", "text")
    >>> upper = writer.variable("text.upper()")
    >>> with writer.block(f"if len({upper}) > {writer.constant(3)}:"):
    ...     writer.line(f"return {upper} + {literal('!')}")
    >>> writer.function(upper)("hello")
    'HELLO!'
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self.name, self.arguments = name, arguments
        self._names = {_identifier(each.removesuffix("=None")) for each in (name, *arguments)}
        self._constants: dict[str, Any] = {}
        self._lines: list[str] = []
        self._depth = 1
        self._variables = 0

    @property
    def depth(self) -> int:
        """How deep the next line is: 1 in the function itself, and one more in each block. Python reads 100."""
        return self._depth

    def line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    @contextlib.contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Indents the lines that are written inside ``with``; there has to be one at least."""
        self.line(header)
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self, expression: str) -> str:
        """Writes an assignment to a new variable, ``v1`` and so on; returns its name."""
        self._variables += 1
        name = f"v{self._variables}"
        self.line(f"{name} = {expression}")
        return name

    def dictionary(self, entries: Mapping[str, str], certain: Container[str] = ()) -> str:
        """Writes a dictionary of variables, without those that are None; returns the variable that holds it.

        It is made with room for all, and those without a value are taken out: growing it one by one takes longer.

        Args:
            certain: the keys whose variables are never None.
        """
        name = self.variable(f"{{{', '.join(f'{literal(key)}: {value}' for key, value in entries.items())}}}")
        for key, value in ((key, value) for key, value in entries.items() if key not in certain):
            self.line(f"if {value} is None: del {name}[{literal(key)}]")
        return name

    def constant(self, value: Any, name: str = "") -> str:
        """The name under which the function reads a value of any type.

        Args:
            name: to be read in a traceback; a number is added where it already means another value.
        """
        if not name:
            name = f"c{len(self._constants)}"
        elif _FOR_VARIABLES.fullmatch(_identifier(name)):
            raise ValueError(f"{name!r} may be a variable's name")
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        free = next(each for each in names if self._meaning(each, value) is value)
        self._constants[free] = value
        return free

    def _meaning(self, name: str, value: Any) -> Any:
        """What a name stands for, and `value` where it is free."""
        if name in self._names:
            return self._names
        return self._constants.get(name, getattr(builtins, name, value))

    def call(self, function: Callable[..., Any], *arguments: str) -> str:
        """The expression that calls a function, which keeps its own name."""
        return f"{self.constant(function, function.__name__.lstrip('_'))}({', '.join(arguments)})"

    def function(self, result: str) -> Callable[..., Any]:
        """The compiled function, whose last line returns the expression `result`.

        It is one that is still in use where that has the same text and the same constants.
        """
        header = f"def {self.name}({', '.join(self.arguments)}):"
        lines = [f"{line}\n" for line in (header, *self._lines, f"    return {result}")]
        source = "".join(lines)
        same = source, tuple((name, id(value)) for name, value in self._constants.items())
        function: Callable[..., Any] | None = _IN_USE.get(same)
        if function is not None:
            return function
        _forget_sources()
        filename, namespace = f"<capybeam {self.name} {next(_NUMBERS)}>", self._constants.copy()
        exec(compile(source, filename, "exec"), namespace)
        function = _IN_USE[same] = namespace[self.name]
        # no modification time: never looked for on disk
        linecache.cache[filename] = (len(source), None, lines, filename)
        weakref.finalize(function.__code__, _GONE.append, filename).atexit = False
        return function


_GONE: Final = deque[str]()  # names of sources whose code is not in use any more


def _forget_sources() -> None:
    """Forgets what is gone. Not as it goes: that may be in the middle of `linecache.checkcache`, which fails by it."""
    with contextlib.suppress(IndexError):
        while True:
            linecache.cache.pop(_GONE.popleft(), None)


# A function keeps its constants, so their ids mean nothing else while it is here.
_IN_USE: Final = weakref.WeakValueDictionary[tuple[str, tuple[tuple[str, int], ...]], Callable[..., Any]]()


def literal(value: str | float | tuple[str, ...] | None) -> str:
    """A value as Python writes it, which reads back as the same value and as nothing else.

    >>> print(literal("it's"), literal(None), literal(("a", "b")))
    "it's" None ('a', 'b',)

    Raises:
        TypeError: for values whose text may be anything.
    """
    if isinstance(value, str):
        return str.__repr__(value)
    if type(value) is tuple:
        return f"({''.join(f'{literal(item)}, ' for item in value).strip()})"
    if value is None or type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return repr(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as a literal")


def _identifier(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a Python name")
    return name
