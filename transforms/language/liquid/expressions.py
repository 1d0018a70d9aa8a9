"""LiquidJS's expressions, ``a.b | filter: x`` and ``a > 1 and b``, compiled to functions of a `Rendering`.

The grammar is LiquidJS's own and not Shopify's: conditions may stand wherever values do, ``not`` is known, operators of
one rank are grouped from the right, and names may hold ``-`` and ``?``.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from capybeam.transforms.language.liquid import values as liquid_values
from capybeam.transforms.language.liquid.values import BLANK, EMPTY, NIL, WORTH_COUNTING, Evaluate, Rendering, is_true
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING

DISABLED_FILTERS: Final = frozenset(
    "array_to_sentence_string concat find find_exp find_index find_index_exp group_by group_by_exp has has_exp map"
    " newline_to_br reject reject_exp reverse sort sort_natural type uniq where_exp".split()
)

_DEEPEST: Final = 24  # brackets within brackets
BLANKS: Final = frozenset(javascript.SPACE.replace("\ufeff", "")) | {"\u180e"}
_NAME: Final = re.compile(rf"(?:[-?_0-9A-Za-z]|[^\x00-\x7f{''.join(BLANKS)}“”])+")
_QUOTES: Final = "\"'"
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX_DIGITS: Final = "0123456789abcdefABCDEF"
_LITERALS: Final[Mapping[str, Any]] = {
    "true": True, "false": False, "nil": NIL, "null": NIL, "empty": EMPTY, "blank": BLANK,
}  # fmt: skip

Operator = Callable[[Any, Any], Any]
_OPERATORS: Final[Mapping[str, tuple[int, Operator]]] = {
    "==": (2, liquid_values.equal),
    "!=": (2, lambda left, right: not liquid_values.equal(left, right)),
    ">=": (2, lambda left, right: liquid_values.less(right, left, True)),
    "<=": (2, lambda left, right: liquid_values.less(left, right, True)),
    ">": (2, lambda left, right: liquid_values.less(right, left, False)),
    "<": (2, lambda left, right: liquid_values.less(left, right, False)),
    "contains": (2, liquid_values.contains),
    "and": (0, lambda left, right: is_true(left) and is_true(right)),
    "or": (0, lambda left, right: is_true(left) or is_true(right)),
}
_NOT: Final = "not"
_RANK_OF_NOT: Final = 1


class ExpressionError(ValueError):
    """The syntax of a template is wrong. The text says what is."""


class Unusable(ExpressionError):
    """A template asks for a tag or a filter that does not exist or is switched off."""


@dataclasses.dataclass(frozen=True)
class Filter:
    """A filter: its function, which is given the `Room`, the value and the arguments, and how many of them."""

    function: Callable[..., Any]
    most: int | None  # further ones are passed over
    exactly: int | None = None  # where LiquidJS insists


class Reader:
    """Reads expressions from one piece of a template."""

    def __init__(self, text: str, filters: Mapping[str, Filter]) -> None:
        self._text, self._filters = text, filters
        self.position = 0
        self._depth = 0

    def peek(self, ahead: int = 0) -> str:
        """The character that comes next, or so many further on; nothing behind the end."""
        return self._text[self.position + ahead : self.position + ahead + 1]

    def skip_blanks(self) -> str:
        while self.peek() in BLANKS:
            self.position += 1
        return self.peek()

    def rest(self) -> str:
        return self._text[self.position :]

    def skip_behind(self, mark: str) -> None:
        """Goes on behind the next `mark`, or to the end."""
        found = self._text.find(mark, self.position)
        self.position = len(self._text) if found < 0 else found + len(mark)

    def name(self) -> str:
        """A name of letters, digits and ``-``, ``_``, ``?``; "" if there is none."""
        self.skip_blanks()
        found = _NAME.match(self._text, self.position)
        if found is None:
            return ""
        self.position = found.end()
        return found[0]

    def filtered(self) -> Evaluate:
        """An expression and its filters.

        Raises:
            ExpressionError
        """
        initial = self._expression()
        steps = list(self._steps())
        if not steps:
            return initial

        def evaluate(rendering: Rendering) -> Any:
            value, room = initial(rendering), rendering.room
            for function, arguments in steps:
                value = function(room, value, *[argument(rendering) for argument in arguments])
                if (type(value) is str or type(value) is list) and len(value) > WORTH_COUNTING:
                    room.pass_on(len(value))
            return value

        return evaluate

    def value(self) -> Evaluate | None:
        """A text, a number, a literal, a range or a path; or None where none of them comes next."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError("brackets are nested too deeply")
        self.skip_blanks()
        begin = self.position
        initial = self._constant() or self._range()
        steps = list(self._path(initial is None))
        self._depth -= 1
        if not steps:
            if initial is None:
                self.position = begin
            return initial
        return _path(initial, steps)

    def _expression(self) -> Evaluate:
        """Operands and operators in any order, as LiquidJS takes them: what is left over is passed over."""
        output: list[Evaluate | str] = []
        waiting: list[str] = []
        while True:
            operator = self._operator()
            if operator:
                while waiting and _rank(waiting[-1]) > _rank(operator):
                    output.append(waiting.pop())
                waiting.append(operator)
                continue
            operand = self.value()
            if operand is None:
                break
            output.append(operand)
        output.extend(reversed(waiting))
        if not output:
            raise ExpressionError(f"a value is missing{self._place()}")
        first = output[0]
        return first if len(output) == 1 and not isinstance(first, str) else _postfix(output)

    def _operator(self) -> str:
        self.skip_blanks()
        for operator in (*_OPERATORS, _NOT):
            if self._text.startswith(operator, self.position):
                if operator.isalpha() and _is_word(self.peek(len(operator))):
                    continue
                self.position += len(operator)
                return operator
        return ""

    def _steps(self) -> Iterator[tuple[Callable[..., Any], list[Evaluate]]]:
        """The filters, each with its arguments. They end where a bracket or a comma does, which are passed over."""
        while self.skip_blanks() not in ("", ")", ","):
            if self.peek() != "|":
                raise ExpressionError(f'"|" is missing{self._place()}')
            self.position += 1
            name = self.name()
            if not name:
                if self.skip_blanks():
                    raise ExpressionError(f"the name of a filter is missing{self._place()}")
                return
            arguments: list[Evaluate] = []
            if self.skip_blanks() == ":":
                while self.peek() in (":", ","):
                    self.position += 1
                    argument = self._argument()
                    if argument is not None:
                        arguments.append(argument)
                    if self.skip_blanks() not in ("", ",", "|", ")"):
                        raise ExpressionError(f"a comma is missing{self._place()}")
            elif self.peek() not in ("", "|", ")", ","):
                raise ExpressionError(f'":" is missing behind the filter {name}')
            yield self._filter(name, arguments)

    def _filter(self, name: str, arguments: list[Evaluate]) -> tuple[Callable[..., Any], list[Evaluate]]:
        if name in DISABLED_FILTERS:
            raise Unusable(f'filter "{name}" is disabled')
        if name not in self._filters:
            close = difflib.get_close_matches(name, list(self._filters), n=1)
            raise Unusable(f'filter "{name}" is unknown' + (f", did you mean {close[0]}?" if close else ""))
        found = self._filters[name]
        if found.exactly not in (None, len(arguments)):
            raise Unusable(f'filter "{name}" takes {found.exactly} argument and has {len(arguments)}')
        return found.function, arguments[: found.most]

    def _argument(self) -> Evaluate | None:
        self.skip_blanks()
        begin = self.position
        argument = self.value()
        name = self._text[begin : self.position]
        if argument is None or self.skip_blanks() != ":":
            return argument
        self.position += 1
        named = self.value() or _constant(MISSING)
        return lambda rendering: [name, named(rendering)]

    def _constant(self) -> Evaluate | None:
        for name, literal in _LITERALS.items():
            if self._text.startswith(name, self.position) and not _is_word(self.peek(len(name))):
                self.position += len(name)
                return _constant(literal)
        quoted = self.quoted()
        return self._number() if quoted is None else _constant(quoted)

    def quoted(self) -> str | None:
        """A text in single or double quotes, or None where none comes next."""
        quote = self.skip_blanks()
        if not quote or quote not in _QUOTES:
            return None
        end = self.position + 1
        while self._text[end : end + 1] not in (quote, ""):
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise ExpressionError(f"a text is not closed{self._place()}")
        text = self._text[self.position + 1 : end]
        self.position = end + 1
        return _unescaped(text)

    def _number(self) -> Evaluate | None:
        length = 1 if self.peek() == "-" else 0
        begin, point = length, False
        while True:
            character = self.peek(length)
            if character and character in "0123456789":
                length += 1
            elif character == "." and self.peek(length + 1) != ".":
                if point or length == begin:
                    return None
                point = True
                length += 1
            else:
                break
        digits = self._text[self.position : self.position + length]
        if length == begin or _is_word(self.peek(length)):
            return None
        self.position += length
        number = javascript.number(digits)
        return _constant(int(number) if number.is_integer() and abs(number) <= 2**53 else number)

    def _range(self) -> Evaluate | None:
        if self.peek() != "(":
            return None
        self.position += 1
        low = self.value()
        if low is None or self.skip_blanks() != "." or self.peek(1) != ".":
            raise ExpressionError(f"brackets are for ranges only, such as (1..3){self._place()}")
        self.position += 2
        high = self.value()
        if high is None or self.skip_blanks() != ")":
            raise ExpressionError(f"a range is not closed{self._place()}")
        self.position += 1
        return _range(low, high)

    def _path(self, begins: bool) -> Iterator[Evaluate | str]:
        """The steps of a path, names and what stands in brackets; with the first one where the path begins here."""
        while True:
            if self.peek() == "[":
                self.position += 1
                yield self.value() or ""
                if "]" not in self.rest():
                    raise ExpressionError(f'"]" is missing{self._place()}')
                self.skip_behind("]")
            elif begins and _is_word(self.peek()):
                yield self.name()
            elif self.peek() == "." and self.peek(1) != ".":
                self.position += 1
                name = self.name()
                if not name:
                    return
                yield name
            else:
                return
            begins = False

    def _place(self) -> str:
        return f" before {self.rest()[:24]!r}" if self.rest() else " at the end"


def path(text: str) -> Evaluate | None:
    """The path that a text begins with, such as ``address.city``, or None where it begins with none.

    Raises:
        ExpressionError
    """
    reader = Reader(text, {})
    reader.skip_blanks()
    steps = list(reader._path(True))
    return _path(None, steps) if steps else None


def _is_word(character: str) -> bool:
    return _NAME.match(character) is not None


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    parts: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character != "\\":
            parts.append(character)
            continue
        escaped = text[position : position + 1]
        if escaped in _ESCAPES or not escaped or escaped not in "01234567u":
            parts.append(_ESCAPES.get(escaped, escaped))
            position += 1
            continue
        base, longest, known = (16, 4, _HEX_DIGITS) if escaped == "u" else (8, 3, _HEX_DIGITS[:8])
        position += escaped == "u"
        begin = position
        while position < begin + longest and text[position : position + 1] and text[position] in known:
            position += 1
        parts.append(chr(int(text[begin:position] or "0", base)))
    return javascript.from_units("".join(parts))


def _rank(operator: str) -> int:
    return _RANK_OF_NOT if operator == _NOT else _OPERATORS[operator][0]


def _constant(value: Any) -> Evaluate:
    return lambda rendering: value


def _postfix(parts: list[Evaluate | str]) -> Evaluate:
    """Operands, and operators behind them. Not nested functions, which a thousand operators would nest too deeply."""
    steps = [(None if isinstance(part, str) else part, part if isinstance(part, str) else "") for part in parts]

    def evaluate(rendering: Rendering) -> Any:
        stack: list[Any] = []
        for operand, operator in steps:
            if operand is not None:
                stack.append(operand(rendering))
                continue
            right = stack.pop() if stack else MISSING
            if operator == _NOT:
                stack.append(not is_true(right))
            else:
                left = stack.pop() if stack else MISSING
                stack.append(_OPERATORS[operator][1](left, right))
        return stack[0]

    return evaluate


def _path(initial: Evaluate | None, steps: list[Evaluate | str]) -> Evaluate:
    below = liquid_values.below
    if initial is None:
        first, *steps = steps
        initial = (lambda rendering: rendering.root(first)) if isinstance(first, str) else _dynamic_root(first)
    begin = initial
    if all(isinstance(step, str) for step in steps):
        names = tuple(steps)

        def along(rendering: Rendering) -> Any:
            value = begin(rendering)
            for name in names:
                value = below(value, name)
            return value

        return along

    def evaluate(rendering: Rendering) -> Any:
        value = begin(rendering)
        for step in steps:
            value = below(value, step if isinstance(step, str) else step(rendering))
        return value

    return evaluate


def _dynamic_root(name: Evaluate) -> Evaluate:
    return lambda rendering: rendering.root(name(rendering))


def _range(low: Evaluate, high: Evaluate) -> Evaluate:
    def evaluate(rendering: Rendering) -> list[Any]:
        first = javascript.number(liquid_values.plain(low(rendering)))
        last = javascript.number(liquid_values.plain(high(rendering)))
        count = last - first + 1
        if not count > 0:
            return []
        rendering.room.take(count)
        return [first + step for step in range(int(-(-count // 1)))]

    return evaluate
