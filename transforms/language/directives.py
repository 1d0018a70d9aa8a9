"""The mapping language: Segment's "mapping-kit" directives, checked and compiled to Python functions.

A mapping is JSON in which an object with one ``@`` key is a directive and all else stands for itself::

    {"value": {"@path": "$.properties.total"}, "source": "shop"}

`compile_mapping` checks the whole mapping first (all problems at once, each with its path) and then writes one Python
function for it: static parts become constants, and a path is looked up once per event however many directives share
its beginning. A new directive is one function here, registered with what it accepts.

What a directive does is what Segment's engine does; ``@omit`` (the rest of an
object), ``@words`` (the first word of a text, or the rest) and ``@coalesce`` (the first value that there is) are ours.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from capybeam.transforms.core.events import index_of
from capybeam.transforms.core.placeholders import SPELLINGS
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.standards import javascript
from capybeam.transforms.standards.javascript import MISSING
from capybeam.transforms.standards.json_text import load_json

Mapped = Callable[[Any], Any]
Path = tuple[str | int, ...]

ROOT_DIRECTIVE: Final = "__segment_internal_directive"
MAX_REPLACE: Final = 10  # characters of @replace's pattern and replacement, as at Segment
MAX_LIQUID: Final = 1000  # characters of a template, as at Segment
MAX_LEVELS: Final = 100  # of objects and lists in a mapping; Python indents its own functions as often
MAX_KEYS: Final = 100  # of a path
MAX_RENDERED: Final = 1_000_000  # characters made by a template that the event itself brings
MAX_COALESCE: Final = 20  # values of @coalesce


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


def compile_mapping(mapping: Any) -> Mapped:
    """The mapping as a function from an event to what it maps to, or `MISSING`.

    The result may share parts with the event and with the mapping: treat it as read-only.

    >>> compile_mapping({"id": {"@path": "$.messageId"}, "gone": {"@path": "$.a.b"}})({"messageId": "m1"})
    {'id': 'm1'}

    Raises:
        MappingError: at once, with every problem. The function itself raises Rejected (mapping_failed) where a
            directive meets an event that it cannot be applied to.
    """
    return _function(check_mapping(mapping))


def check_mapping(mapping: Any) -> Any:
    """The mapping as it is to be compiled: an object or one directive. Raises MappingError with every problem."""
    mapping = _with_root_directive(_spread(mapping))
    problems = list(_depth_problems(mapping)) or list(_problems(mapping, ()))
    if problems:
        raise MappingError(problems)
    return mapping


def is_directive(node: Any) -> bool:
    """Whether a part of a mapping is a directive rather than something that stands for itself."""
    return isinstance(node, dict) and any(key.startswith("@") for key in node)


def paths(node: Any) -> tuple[str, ...]:
    """The paths into the event that a mapping may look up, each once.

    >>> paths({"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.a"}, "else": {"@arrayPath": ["$.b", {}]}}})
    ('$.a', '$.b')
    """
    return tuple(dict.fromkeys(_paths(node)))


def _paths(node: Any) -> Iterator[str]:
    for key, part in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "@path" and isinstance(part, str):
            yield part
        elif key == "@arrayPath" and isinstance(part, list):
            yield from _paths({"@path": part[0]} if part else None)  # its shape looks things up in the item
        elif key == "@transform" and isinstance(part, dict):
            yield from _paths(part.get("apply"))
        else:
            yield from _paths(part)


def template_paths(template: str) -> tuple[str, ...]:
    """The paths that a ``@template`` puts in, each once.

    >>> template_paths("{{properties.plan}} of {{{userId}}}, {{properties.plan}}")
    ('$.properties.plan', '$.userId')
    """
    return tuple(dict.fromkeys(_dotted(part) for part in _template_parts(template) if isinstance(part, tuple)))


def _dotted(keys: tuple[str, ...]) -> str:
    return "$" + "".join(f".{key}" if re.fullmatch(r"[\w-]+", key) else f'["{key}"]' for key in keys)


def get_path(payload: Any, path: str) -> Any:
    """What stands at ``$.a.b[0]["k k"]`` of `payload`, or `MISSING`. A falsy parent is its own child, as at Segment."""
    return _get_keys(payload, parse_path(path))


def _get_keys(payload: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        payload = _step(payload, key)
    return payload


def parse_path(path: str) -> tuple[str, ...]:
    """The keys of a path; none for the root, which is "" or "$.": "$" alone is a key like any other, as at Segment."""
    if path == "$":
        return ("$",)
    return tuple(quoted or quoted2 or plain for quoted, quoted2, plain in _PATH.findall(path.replace("$.", "", 1))
                 if quoted or quoted2 or plain != "$")  # fmt: skip


_PATH: Final = re.compile(r"""\["([^"]*)"\]|\['([^']*)'\]|([^\[\].]+)""")


# --- what a mapping may look like -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Option:
    """What a directive, or one key of its options, accepts: any mapping, or a value of the `kind`."""

    kind: str  # any | text (a string or a directive) | string | boolean | list | strings | objects | choice
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    shortest: int = 0


@dataclasses.dataclass(frozen=True)
class _Directive:
    emit: Callable[[Code, Any], Value]
    accepts: _Option | Mapping[str, _Option] | None  # None: checked by hand
    check: Callable[[Any, Path], Iterator[Problem]] | None = None


_DIRECTIVES: Final[dict[str, _Directive]] = {}


def _directive(
    name: str,
    accepts: _Option | Mapping[str, _Option] | None = None,
    check: Callable[[Any, Path], Iterator[Problem]] | None = None,
) -> Callable[[Callable[[Code, Any], Value]], Callable[[Code, Any], Value]]:
    def register(emit: Callable[[Code, Any], Value]) -> Callable[[Code, Any], Value]:
        _DIRECTIVES[name] = _Directive(emit, accepts, check)
        return emit

    return register


def _depth_problems(mapping: Any) -> Iterator[Problem]:
    """Apart from the other problems, which are looked for by recursion."""
    for key, node in mapping.items():
        level, nodes = 1, [node]
        while nodes:
            if level > MAX_LEVELS:
                yield Problem((key,), f"is nested more than {MAX_LEVELS} levels deep")
                break
            level += 1
            containers = [node for node in nodes if isinstance(node, (dict, list))]
            nodes = [item for node in containers for item in (node.values() if isinstance(node, dict) else node)]


def _problems(node: Any, path: Path) -> Iterator[Problem]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _problems(item, (*path, index))
        return
    if not isinstance(node, dict):
        return
    names = [key for key in node if str(key).startswith("@")]
    if not names:
        for key, item in node.items():
            yield from _problems(item, (*path, key))
        return
    others = [key for key in node if key not in names and key != "_metadata"]
    if len(names) > 1 or others:
        yield Problem(path, f"should only have one @-prefixed key but it has {len(names) + len(others)} keys")
        return
    (name,) = names
    directive = _DIRECTIVES.get(name)
    if directive is None:
        yield Problem((*path, name), f"has an invalid directive: {name}{_suggestion(name, _DIRECTIVES)}")
        return
    options, path = node[name], (*path, name)
    if directive.check:
        yield from directive.check(options, path)
    if isinstance(directive.accepts, _Option):
        yield from _option_problems(options, directive.accepts, path)
    elif directive.accepts is not None:
        yield from _options_problems(options, directive.accepts, path)


def _options_problems(options: Any, accepts: Mapping[str, _Option], path: Path) -> Iterator[Problem]:
    if not isinstance(options, dict) or is_directive(options):
        yield Problem(path, f"should be an object but it is {_described(options)}")
        return
    for key in options:
        if key not in accepts:
            yield Problem((*path, key), f"is no option of {path[-1]}{_suggestion(key, accepts)}")
    for key, option in accepts.items():
        if key in options:
            yield from _option_problems(options[key], option, (*path, key))
        elif option.required:
            yield Problem(path, f'should have field "{key}" but it doesn\'t')


def _option_problems(value: Any, option: _Option, path: Path) -> Iterator[Problem]:
    if option.kind == "any":
        yield from _problems(value, path)
    elif option.kind == "text":
        if is_directive(value):
            yield from _problems(value, path)
        elif not isinstance(value, str):
            yield Problem(path, f"should be a string or a mapping directive but it is {_described(value)}")
    elif option.kind == "choice":
        if value not in option.choices:
            shown = f'"{value}"' if isinstance(value, str) else _described(value)
            yield Problem(path, f"should be one of {', '.join(option.choices)} but it is {shown}")
    elif option.kind in ("objects", "strings", "list"):
        if not isinstance(value, list):
            yield Problem(path, f"should be an array but it is {_described(value)}")
            return
        for index, item in enumerate(value):
            if option.kind == "objects" and not isinstance(item, dict):
                yield Problem(
                    (*path, index), f"should be an object or a mapping directive but it is {_described(item)}"
                )
            elif option.kind == "strings" and not isinstance(item, str):
                yield Problem((*path, index), f"should be a string but it is {_described(item)}")
            else:
                yield from _problems(item, (*path, index))
    else:
        python: type[Any] = {"string": str, "boolean": bool, "object": dict}[option.kind]
        if not isinstance(value, python) or is_directive(value):
            article = "an" if option.kind == "object" else "a"
            yield Problem(path, f"should be {article} {option.kind} but it is {_described(value)}")
        elif option.kind == "object":
            yield from _problems(value, path)
        elif option.longest is not None and not option.shortest <= len(value) <= option.longest:
            yield Problem(path, f"should be a string of {option.shortest} to {option.longest} characters")


def _described(value: Any) -> str:
    if is_directive(value):
        return "a directive"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    kinds: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _suggestion(name: Any, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f", did you mean {close[0]}?" if close else ""


def _spread(mapping: Any) -> Any:
    """A root that is no object, as JavaScript's ``{...root}`` makes it one."""
    if isinstance(mapping, (list, str)):
        return {str(index): item for index, item in enumerate(mapping)}
    return mapping if isinstance(mapping, dict) else {}


def _with_root_directive(mapping: dict[str, Any]) -> Any:
    """Segment's saved form of "transform the event first": one directive that takes all other keys as its mapping."""
    if ROOT_DIRECTIVE not in mapping:
        return mapping
    root = mapping[ROOT_DIRECTIVE]
    rest = {key: item for key, item in mapping.items() if key != ROOT_DIRECTIVE}
    if not isinstance(root, dict) or len(root) != 1 or not all(isinstance(options, dict) for options in root.values()):
        raise MappingError([Problem((ROOT_DIRECTIVE,), "should be an object with a single directive")])
    return {name: {**options, "mapping": rest} for name, options in root.items()}


# --- writing the function ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Value:
    """A Python expression without side effects.

    Attributes:
        optional: whether it may be `MISSING`.
        own: whether it is a variable of its own.
        text: whether it is a text that stands for something unless the block ran that was written last.
    """

    code: str
    optional: bool = True
    own: bool = False
    text: bool = False


class Code:
    """One Python function in the making. Its argument, ``e``, is the event or an item of an array.

    The mapping that it is given has been checked.
    """

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self.body: list[str] = []
        self._blocks: list[dict[tuple[str, ...], str]] = [{(): "e"}]  # what has been looked up, block within block
        self._variables = 0

    def line(self, text: str) -> None:
        self.body.append("    " * len(self._blocks) + text)

    def block(self, header: str, write: Callable[[], None]) -> None:
        self.line(header)
        self._blocks.append({})
        write()
        self._blocks.pop()

    def loop(self, items: str, write: Callable[[], None]) -> None:
        """A block for each of some items, in which the argument is the item."""
        around, self._blocks = self._blocks, [*({} for _ in self._blocks), {(): "e"}]
        event = f"e{len(around)}"
        self.body.append("    " * len(around) + f"{event} = e")
        self.body.append("    " * len(around) + f"for e in {items}:")
        write()
        self._blocks = around
        self.line(f"e = {event}")

    def assign(self, expression: str, optional: bool = True) -> Value:
        self._variables += 1
        name = f"v{self._variables}"
        self.line(f"{name} = {expression}")
        return Value(name, optional, own=True)

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def function(self, mapping: Any) -> str:
        return self.constant(_function(mapping))

    def aside(self, write: Callable[[Code], str], *arguments: str) -> str:
        """The call of a function of its own for what is seldom needed, so that the rest fits in a processor's cache.

        Args:
            write: writes the function, and gives back the expression that it returns.
            arguments: variables that it uses, beside those that hold what has been looked up.
        """
        inner = Code()
        inner._blocks = [{keys: name for block in self._blocks for keys, name in block.items()}]
        inner._variables = self._variables
        looked_up = set(inner._blocks[0].values())
        result = write(inner)
        used = looked_up.intersection(re.findall(r"\w+", "\n".join([*inner.body, result])))
        passed = ", ".join(sorted({"e", *used, *arguments}))
        return f"{self.constant(inner.function_returning(result, passed))}({passed})"

    def function_returning(self, result: str, arguments: str = "e") -> Callable[..., Any]:
        """The function that has been written, which returns the expression `result`."""
        source = "\n".join([f"def mapped({arguments}):", *self.body, f"    return {result}"])
        namespace = {**_HELPERS, **self.constants}
        exec(compile(source, "<mapping>", "exec"), namespace)
        function: Callable[..., Any] = namespace["mapped"]
        return function

    def lookup(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what stands at `keys`: looked up where it is first needed, and once in its block."""
        for block in self._blocks:
            if keys in block:
                return block[keys]
        name = self.assign(f"{self._parent(keys[:-1])}.get({keys[-1]!r}, MISSING)").code
        self._blocks[-1][keys] = name
        return name

    def _parent(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what stands at `keys`, or a `_Parent` where that is no dictionary."""
        marked = ("", *keys)  # no key is empty, so this is no path
        for block in self._blocks:
            if marked in block:
                return block[marked]
        parent = self.lookup(keys)
        name = self.assign(f"{parent} if type({parent}) is dict else _parent({parent})").code
        self._blocks[-1][marked] = name
        return name

    def value(self, node: Any) -> Value:
        if is_directive(node):
            name = next(key for key in node if key.startswith("@"))
            return _DIRECTIVES[name].emit(self, node[name])
        if not _has_directive(node):
            return Value(self.constant(node), False)
        if isinstance(node, list):
            items = [self.value(item) for item in node]
            return self.assign(
                "[" + ", ".join(f"_null({i.code})" if i.optional else i.code for i in items) + "]", optional=False
            )
        entries = {key: self.value(item) for key, item in node.items()}
        certain = ", ".join(f"{key!r}: {value.code}" for key, value in entries.items() if not value.optional)
        result = self.assign("{" + certain + "}", optional=False)
        for key, value in entries.items():
            if value.optional:
                self.line(f"if {value.code} or {value.code} is not MISSING: {result.code}[{key!r}] = {value.code}")
        return result


def _function(mapping: Any) -> Mapped:
    code = Code()
    function: Mapped = code.function_returning(code.value(mapping).code)
    return function


def _has_directive(node: Any) -> bool:
    if isinstance(node, dict):
        return is_directive(node) or any(_has_directive(item) for item in node.values())
    return isinstance(node, list) and any(_has_directive(item) for item in node)


# --- the directives ---------------------------------------------------------------------------------------------


def _check_paths(texts: Iterable[Any], path: Path) -> Iterator[Problem]:
    return _check_keys((parse_path(text) for text in texts if isinstance(text, str)), path)


def _check_keys(looked_up: Iterable[tuple[str, ...]], path: Path) -> Iterator[Problem]:
    if any(len(keys) > MAX_KEYS for keys in looked_up):
        yield Problem(path, f"has a path of more than {MAX_KEYS} keys")


@_directive(
    "@path", _Option("text"), lambda text, path: _check_keys([parse_path(text)] if isinstance(text, str) else (), path)
)
def _path(code: Code, path: Any) -> Value:
    if isinstance(path, str):
        return Value(code.lookup(parse_path(path)))
    return code.assign(f"_get_path(e, _string({code.value(path).code}, '@path'))")


def _check_template(template: Any, path: Path) -> Iterator[Problem]:
    parts = _template_parts(template) if isinstance(template, str) else ()
    return _check_keys((part for part in parts if isinstance(part, tuple)), path)


@_directive("@template", _Option("text"), _check_template)
def _template(code: Code, template: Any) -> Value:
    if not isinstance(template, str):
        return code.assign(f"_render(e, _string({code.value(template).code}, '@template'))", optional=False)
    # Literals side by side, which Python makes one of: it would take additions for so many levels of nesting.
    pieces = [
        repr(part) if isinstance(part, str) else f"f'{{_text({code.lookup(part)})}}'"
        for part in _template_parts(template)
    ]
    return code.assign(" ".join(pieces) or "''", optional=False)


def _template_parts(template: str) -> Iterator[str | tuple[str, ...]]:
    """The text of a template, and the keys of its paths. As at Segment, {{{ }}} are looked for first, then {{ }}."""
    for index, part in enumerate(_split_placeholders(template, 3)):
        if index % 2:
            yield parse_path(part.strip(javascript.SPACE))
            continue
        for inner, piece in enumerate(_split_placeholders(part, 2)):
            if inner % 2:
                yield parse_path(piece.strip(javascript.SPACE))
            elif piece:
                yield piece


def _split_placeholders(template: str, braces: int) -> Iterator[str]:
    """Text and placeholders in turns, as ``re.split`` by ``{{([^}]+)}}``, which takes the square of many braces."""
    begin = behind_braces = 0
    for found in _CLOSING.finditer(template):
        end = found.start()
        opening = template.find("{" * braces, behind_braces, end)
        inside, behind_braces = opening + braces, found.end()
        if opening >= 0 and inside < end and behind_braces - end >= braces:
            yield template[begin:opening]
            yield template[inside:end]
            begin = end + braces
    yield template[begin:]


_CLOSING: Final = re.compile(r"\}+")


@_directive("@literal", _Option("any"))
def _literal(code: Code, value: Any) -> Value:
    return code.value(value)


def _check_if(options: Any, path: Path) -> Iterator[Problem]:
    if isinstance(options, dict) and not any(javascript.truthy(options.get(key)) for key in ("exists", "blank")):
        yield Problem(path, 'should have field "exists" or "blank" but it doesn\'t')


@_directive("@if", {key: _Option("any") for key in ("exists", "blank", "then", "else")}, _check_if)
def _if(code: Code, options: dict[str, Any]) -> Value:
    exists = "exists" in options
    tested = options["exists" if exists else "blank"]
    value = code.value(tested).code
    # Cheap tests first: most values are texts or missing. What is false may be there all the same: 0, false, [] exist.
    there = f"{value} is not MISSING and {value} is not None"
    if exists:
        there = f"({value} or {there})"
    else:
        there = f"({value} and type({value}) is not list or {there} and {value} != '' and not _blank({value}))"
    itself = options.get("then") == tested
    result = code.assign(value if itself else "MISSING")

    def branch(key: str) -> Callable[[], None]:
        return lambda: code.line(f"{result.code} = {code.value(options[key]).code}")

    otherwise = bool(options.get("else"))  # a falsy else is no else, as at Segment
    if itself:
        code.block(f"if not {there}:", branch("else") if otherwise else lambda: code.line(f"{result.code} = MISSING"))
        return result
    code.block(f"if {there}:", branch("then") if "then" in options else lambda: code.line("pass"))
    if otherwise:
        code.block("else:", branch("else"))
    return result


@_directive("@case", {"operator": _Option("choice", True, ("lower", "upper")), "value": _Option("text")})
def _case(code: Code, options: dict[str, Any]) -> Value:
    if not options.get("value"):
        return Value("MISSING")
    value = code.value(options["value"]).code
    return code.assign(f"{value}.{options['operator']}() if type({value}) is str else {value}")


@_directive(
    "@replace",
    {
        "pattern": _Option("string", True, shortest=1, longest=MAX_REPLACE),
        "replacement": _Option("string", longest=MAX_REPLACE),
        "pattern2": _Option("string", longest=MAX_REPLACE),
        "replacement2": _Option("string", longest=MAX_REPLACE),
        "value": _Option("text", True),
        "ignorecase": _Option("boolean"),
        "global": _Option("boolean"),
    },
)
def _replace(code: Code, options: dict[str, Any]) -> Value:
    if not options["value"]:
        return Value("MISSING")
    flags = re.IGNORECASE if options.get("ignorecase") else re.RegexFlag(0)
    count = 0 if options.get("global", True) else 1
    rules = [
        _replacer(re.compile(re.escape(options[pattern]), flags), options.get(replacement) or "", count)
        for pattern, replacement in (("pattern", "replacement"), ("pattern2", "replacement2"))
        if options.get(pattern)
    ]

    def replaced(value: Any) -> str:
        if not isinstance(value, (str, bool, int, float)):
            return ""
        text = _text(value)
        for replace in rules:
            text = replace(text)
        return text

    return code.assign(f"{code.constant(replaced)}({code.value(options['value']).code})", optional=False)


_REPLACED: Final = re.compile(r"\$([$&`'])")
_REPLACE_ROOM: Final = (20_000, 16)  # characters that may be put in, and so many more for each of the text's own


def _replacer(pattern: re.Pattern[str], replacement: str, count: int) -> Callable[[str], str]:
    """Replaces the matches of a pattern. As in JavaScript, $& is the match, $` and $' what stands before and behind it,
    and $$ a dollar. The middle two repeat the text, and so there is a bound: Rejected (mapping_failed).
    """
    pieces = _REPLACED.split(replacement)  # literal text, and the signs between
    if not {"`", "'"} & set(pieces[1::2]):
        around = [""]  # the text around each match
        for index, piece in enumerate(pieces):
            if index % 2 and piece == "&":
                around.append("")
            else:
                around[-1] += piece
        split = re.compile(f"({pattern.pattern})", pattern.flags)

        def surround(text: str) -> str:
            parts = split.split(text, maxsplit=count)
            parts[1::2] = [found.join(around) for found in parts[1::2]]
            return "".join(parts)

        return surround

    def replace(text: str) -> str:
        base, factor = _REPLACE_ROOM
        room = base + factor * len(text)

        def written(found: re.Match[str]) -> str:
            nonlocal room
            parts = []
            for index, part in enumerate(pieces):
                if index % 2 and part != "$":
                    part = found[0] if part == "&" else text[: found.start()] if part == "`" else text[found.end() :]
                parts.append(part)
                room -= len(part)
                if room < 0:
                    raise Rejected("mapping_failed", "@replace makes too much text of this event.")
            return "".join(parts)

        return pattern.sub(written, text, count=count)

    return replace


def _check_array_path(options: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(options, list):
        yield Problem(path, f"should be an array but it is {_described(options)}")
    elif not 1 <= len(options) <= 2:
        yield Problem(path, "should have a path and, optionally, the shape of an item")
    else:
        yield from _check_paths(options[:1], (*path, 0))
        yield from _option_problems(options[0], _Option("text"), (*path, 0))
        for shape in options[1:]:
            yield from _problems(shape, (*path, 1))


@_directive("@arrayPath", None, _check_array_path)
def _array_path(code: Code, options: list[Any]) -> Value:
    path, shape = options[0], options[1] if len(options) > 1 else None
    array = code.lookup(parse_path(path)) if isinstance(path, str) else code.value(path).code
    if not isinstance(shape, dict) or not shape:
        return Value(array)
    item = code.function(shape)
    if is_directive(shape):  # which may yield nothing for an item; an object never does
        item = code.constant(lambda i, shaped=code.constants[item]: _null(shaped(i)))
    return code.assign(
        f"[{item}(i) for i in {array}] if type({array}) is list"
        f" else [{item}({array})] if type({array}) is dict else {array}"
    )


@_directive("@merge", {"direction": _Option("choice", True, ("left", "right")), "objects": _Option("objects", True)})
def _merge(code: Code, options: dict[str, Any]) -> Value:
    objects = [code.value(item).code for item in options["objects"]]
    result = code.assign("{}", optional=False)
    for item in objects if options["direction"] == "right" else reversed(objects):
        code.line(f"if type({item}) is dict: {result.code}.update({item})")
    return result


@_directive(
    "@flatten",
    {"value": _Option("any", True), "separator": _Option("text", True), "omitArrays": _Option("boolean")},
)
def _flatten(code: Code, options: dict[str, Any]) -> Value:
    value, separator = code.value(options["value"]).code, code.value(options["separator"]).code
    keep_arrays = bool(options.get("omitArrays"))
    return code.assign(f"_flattened({value}, _string({separator}, '@flatten'), {keep_arrays})")


@_directive("@json", {"mode": _Option("choice", True, ("encode", "decode")), "value": _Option("any", True)})
def _json(code: Code, options: dict[str, Any]) -> Value:
    return code.assign(f"_{options['mode']}({code.value(options['value']).code})")


@_directive("@transform", {"apply": _Option("object", True), "mapping": _Option("any", True)})
def _transform(code: Code, options: dict[str, Any]) -> Value:
    return code.assign(f"{code.function(options['mapping'])}({code.function(options['apply'])}(e))")


@_directive("@excludeWhenNull", _Option("any"))
def _exclude_when_null(code: Code, value: Any) -> Value:
    return code.assign(f"_without_nulls({code.value(value).code})")


@_directive("@omit", {"object": _Option("any", True), "keys": _Option("strings", True)})
def _omit(code: Code, options: dict[str, Any]) -> Value:
    value = code.value(options["object"]).code
    keys = code.constant(frozenset(options["keys"]))
    return code.assign(f"{{k: i for k, i in {value}.items() if k not in {keys}}} if type({value}) is dict else {value}")


@_directive("@words", {"value": _Option("any", True), "take": _Option("choice", True, ("first", "rest"))})
def _words(code: Code, options: dict[str, Any]) -> Value:
    return code.assign(f"_{options['take']}_words({code.value(options['value']).code})")


def _check_coalesce(options: Any, path: Path) -> Iterator[Problem]:
    if isinstance(options, list) and not 1 <= len(options) <= MAX_COALESCE:
        yield Problem(path, f"should list 1 to {MAX_COALESCE} values")


@_directive("@coalesce", _Option("list", True), _check_coalesce)
def _coalesce(code: Code, options: list[Any]) -> Value:
    """The first of several values that is neither blank nor a placeholder. Where there is none, the first that is there
    at all: what it is dropped for is said where it is dropped."""
    first = code.value(options[0]).code
    result = code.assign(first)
    r = result.code
    if len(options) == 1:
        return result

    def otherwise(code: Code) -> str:
        code.line(f"if {there.format(r)}: return {r}")
        values = [r]
        for option in options[1:]:
            value = code.value(option).code
            values.append(value)
            code.line(f"if {there.format(value)}: return {value}")
        return f"MISSING if {' is '.join([*values, 'MISSING'])} else _first_there({', '.join(values)})"

    there = "{0} is not MISSING and ({0} not in _NOTHING if type({0}) is str else not _is_nothing({0}))"
    code.block(f"if type({r}) is not str or {r} in _NOTHING:", lambda: code.line(f"{r} = {code.aside(otherwise, r)}"))
    return dataclasses.replace(result, text=True)


def _check_liquid(template: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(template, str):
        yield Problem(path, f"should be a string but it is {_described(template)}")
    elif len(template) > MAX_LIQUID:
        yield Problem(path, f"liquid template values are limited to {MAX_LIQUID} characters")
    else:
        from capybeam.transforms.language.liquid import (
            templates as liquid_templates,  # the Liquid engine is slow to import and seldom needed
        )

        yield from (Problem(path, message) for message in liquid_templates.problems(template))


@_directive("@liquid", None, _check_liquid)
def _liquid(code: Code, template: str) -> Value:
    from capybeam.transforms.language.liquid import templates as liquid_templates

    return code.assign(f"{code.constant(liquid_templates.compile_template(template))}(e)", optional=False)


# --- what the written functions call ----------------------------------------------------------------------------


def _parent(value: Any) -> Mapping[str, Any] | _Parent:
    return _NOWHERE if value is MISSING else _Parent(value)


_NOWHERE: Final[Mapping[str, Any]] = {}


class _Parent:
    """What keys are looked up in as in a dictionary, and that is none."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, key: str, _: Any) -> Any:
        return _step(self._value, key)


def _step(parent: Any, key: str) -> Any:
    if type(parent) is dict:
        return parent.get(key, MISSING)
    if type(parent) is list or (type(parent) is str and parent):
        if key == "length":
            return len(parent)
        index = index_of(key)
        return parent[index] if index < len(parent) else MISSING
    return parent if not parent else MISSING


def _null(value: Any) -> Any:
    return None if value is MISSING else value


def _string(value: Any, name: str) -> str:
    if type(value) is not str:
        raise Rejected("mapping_failed", f"{name} needs a string here, and the event has none.")
    return value


def _text(value: Any) -> str:
    """A value as JavaScript's String() writes it, missing and null as nothing."""
    if type(value) is str:
        return value
    if value is None or value is MISSING:
        return ""
    try:
        return javascript.text(value)
    except RecursionError:
        raise Rejected("too_deeply_nested") from None


def _render(payload: Any, template: str) -> str:
    """The text of a template that the event brings; its values, put in over and over, could be the square of it."""
    room = MAX_RENDERED
    pieces: list[str] = []
    texts: dict[tuple[str, ...], str] = {}
    for part in _template_parts(template):
        if isinstance(part, str):
            piece = part
        elif part in texts:
            piece = texts[part]
        else:
            piece = texts[part] = _text(_get_keys(payload, part))
        room -= len(piece)
        if room < 0:
            raise Rejected("mapping_failed", f"@template makes more than {MAX_RENDERED:,} characters of this event.")
        pieces.append(piece)
    return "".join(pieces)


def _first_words(value: Any) -> Any:
    if type(value) is not str:
        return _no_words(value)
    words = value.split(None, 1)
    return words[0] if words else MISSING


def _rest_words(value: Any) -> Any:
    if type(value) is not str:
        return _no_words(value)
    words = value.split(None, 1)
    return words[1] if len(words) > 1 else MISSING


_NOTHING: Final = SPELLINGS | {""}


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value in ([], {}, [""])


def _first_there(*values: Any) -> Any:
    return next((value for value in values if value is not MISSING and value is not None and value != ""), MISSING)


def _no_words(value: Any) -> Any:
    """An object or a list stays, for the field to refuse and to count."""
    return value if type(value) in (dict, list) else MISSING


def _flattened(value: Any, separator: str, keep_arrays: bool) -> Any:
    """One level of an object; Rejected where its keys would be out of all proportion to the keys that they are made of,
    as those of many values below a very long or deep one are.
    """
    if not isinstance(value, (dict, list)):
        return value
    flat: dict[str, Any] = {}
    room = _FLAT_ROOM

    def visit(node: Any, prefix: str, level: int) -> None:
        nonlocal room
        if level > _WRITTEN_LEVELS:
            raise Rejected("too_deeply_nested")
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            name = f"{prefix}{key}"
            room += _FLAT_GROWTH * (len(name) - len(prefix) + 1) - len(name)
            if room < 0:
                raise Rejected("mapping_failed", "@flatten makes keys of this event that are too long.")
            if isinstance(item, dict) or (isinstance(item, list) and not keep_arrays):
                visit(item, name + separator, level + 1)
            else:
                flat[name] = item

    visit(value, "", 1)
    return flat


_WRITTEN_LEVELS: Final = 254  # that orjson writes; it reads 1024
_FLAT_ROOM: Final = 100_000  # characters
_FLAT_GROWTH: Final = 30  # levels of nesting, on average


def _encode(value: Any) -> Any:
    """``JSON.stringify``. Numbers are where it differs from orjson, which writes 3.0 and 1e-07."""
    if value is MISSING:
        return MISSING
    try:
        written = orjson.dumps(value).decode()
    except TypeError as error:
        code = "too_deeply_nested" if "ecursion" in str(error) else "unencodable"  # more than 254 levels
        raise Rejected(code, "A value of the event is nested too deeply for JSON, or JSON cannot carry it.") from None
    suspicious = ".0" in written or "e-" in written or "e+" in written
    return javascript.json_text(value) if suspicious and _FLOAT.search(written) else written


_FLOAT: Final = re.compile(r"[0-9](?:\.0\b|e[-+])")


def _decode(value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return load_json(value)
    except orjson.JSONDecodeError:
        return value


def _without_nulls(value: Any) -> Any:
    if value is None:
        return MISSING
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


_HELPERS: Final[Mapping[str, Any]] = {
    "MISSING": MISSING,
    "_parent": _parent,
    "_null": _null,
    "_string": _string,
    "_text": _text,
    "_blank": javascript.equals_empty,
    "_get_path": get_path,
    "_render": _render,
    "_first_words": _first_words,
    "_rest_words": _rest_words,
    "_NOTHING": _NOTHING,
    "_is_nothing": _is_nothing,
    "_first_there": _first_there,
    "_flattened": _flattened,
    "_encode": _encode,
    "_decode": _decode,
    "_without_nulls": _without_nulls,
}
