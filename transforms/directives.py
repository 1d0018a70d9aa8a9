"""The mapping language: Segment's "mapping-kit" directives, checked and compiled to Python functions.

A mapping is JSON in which an object with one ``@`` key is a directive and all else stands for itself::

    {"value": {"@path": "$.properties.total"}, "source": "shop"}

`compile_mapping` checks the whole mapping first (all problems at once, each with its path) and then writes one Python
function for it: static parts become constants, and a path is looked up once per event however many directives share
its beginning. A new directive is one function here, registered with what it accepts.

What a directive does is what Segment's engine does; ``@omit`` (the rest of an
object) and ``@words`` (the first word of a text, or the rest) are ours.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from transforms.json_text import load_json
from transforms.rejections import Rejected

Mapped = Callable[[Any], Any]
Path = tuple[str | int, ...]

ROOT_DIRECTIVE: Final = "__segment_internal_directive"
MAX_REPLACE: Final = 10  # characters of @replace's pattern and replacement, as at Segment
MAX_LIQUID: Final = 1000  # characters of a template, as at Segment


class _Missing(tuple[()]):
    """What a mapping yields where Segment's engine yields JavaScript's undefined. Falsy, as an empty tuple is."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


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
    problems = list(_problems(mapping, ()))
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


def get_path(payload: Any, path: str) -> Any:
    """What stands at ``$.a.b[0]["k k"]`` of `payload`, or `MISSING`. A falsy parent is its own child, as at Segment."""
    for key in parse_path(path):
        payload = _step(payload, key)
    return payload


def parse_path(path: str) -> tuple[str, ...]:
    """The keys of a path; none for the root."""
    return tuple(quoted or quoted2 or plain for quoted, quoted2, plain in _PATH.findall(path.replace("$.", "", 1))
                 if quoted or quoted2 or plain != "$")  # fmt: skip


_PATH: Final = re.compile(r"""\["([^"]*)"\]|\['([^']*)'\]|([^\[\].]+)""")


# --- what a mapping may look like -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Option:
    """What a directive, or one key of its options, accepts: any mapping, or a value of the `kind`."""

    kind: str  # any | text (a string or a directive) | string | boolean | strings | objects | choice
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
    elif option.kind in ("objects", "strings"):
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
    """A Python expression without side effects; whether it may be `MISSING`; whether it is a variable of its own."""

    code: str
    optional: bool = True
    own: bool = False


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
        name = self.assign(f"{self._getter(keys[:-1])}({keys[-1]!r}, MISSING)").code
        self._blocks[-1][keys] = name
        return name

    def _getter(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what looks a key up in what stands at `keys`."""
        marked = ("", *keys)  # no key is empty, so this is no path
        for block in self._blocks:
            if marked in block:
                return block[marked]
        parent = self.lookup(keys)
        name = self.assign(f"{parent}.get if type({parent}) is dict else _getter({parent})").code
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


@_directive("@path", _Option("text"))
def _path(code: Code, path: Any) -> Value:
    if isinstance(path, str):
        return Value(code.lookup(parse_path(path)))
    return code.assign(f"_get_path(e, _string({code.value(path).code}, '@path'))")


@_directive("@template", _Option("text"))
def _template(code: Code, template: Any) -> Value:
    if not isinstance(template, str):
        return code.assign(f"_render(e, _string({code.value(template).code}, '@template'))", optional=False)
    parts = _PLACEHOLDER.split(template)
    pieces = [repr(part) if index % 2 == 0 else f"_text({code.lookup(parse_path(part.strip()))})"
              for index, part in enumerate(parts)]  # fmt: skip
    return code.assign(" + ".join(pieces), optional=False)


_PLACEHOLDER: Final = re.compile(r"\{\{\{?([^{}]*)\}?\}\}")


@_directive("@literal", _Option("any"))
def _literal(code: Code, value: Any) -> Value:
    return code.value(value)


def _check_if(options: Any, path: Path) -> Iterator[Problem]:
    if isinstance(options, dict) and not options.get("exists") and not options.get("blank"):
        yield Problem(path, 'should have field "exists" or "blank" but it doesn\'t')


@_directive("@if", {key: _Option("any") for key in ("exists", "blank", "then", "else")}, _check_if)
def _if(code: Code, options: dict[str, Any]) -> Value:
    exists = "exists" in options
    tested = options["exists" if exists else "blank"]
    value = code.value(tested).code
    there = f"{value} is not MISSING and {value} is not None" + ("" if exists else f" and {value} != ''")
    there = f"({value} or ({there}))"  # most values are true; what is false may be there all the same: 0, false, []
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
    flags = re.IGNORECASE if options.get("ignorecase") else re.RegexFlag(0)
    count = 0 if options.get("global", True) else 1
    rules = [
        (re.compile(re.escape(options[pattern]), flags), options.get(replacement) or "")
        for pattern, replacement in (("pattern", "replacement"), ("pattern2", "replacement2"))
        if options.get(pattern)
    ]

    def replaced(value: Any) -> str:
        if not isinstance(value, (str, bool, int, float)):
            return ""
        text = _text(value)
        for pattern, replacement in rules:
            text = pattern.sub(lambda _: replacement, text, count=count)  # noqa: B023 – called at once
        return text

    return code.assign(f"{code.constant(replaced)}({code.value(options['value']).code})", optional=False)


def _check_array_path(options: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(options, list):
        yield Problem(path, f"should be an array but it is {_described(options)}")
    elif not 1 <= len(options) <= 2:
        yield Problem(path, "should have a path and, optionally, the shape of an item")
    else:
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


def _check_liquid(template: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(template, str):
        yield Problem(path, f"should be a string but it is {_described(template)}")
    elif len(template) > MAX_LIQUID:
        yield Problem(path, f"liquid template values are limited to {MAX_LIQUID} characters")
    else:
        from transforms import liquid_templates  # the Liquid engine is slow to import and seldom needed

        yield from (Problem(path, message) for message in liquid_templates.problems(template))


@_directive("@liquid", None, _check_liquid)
def _liquid(code: Code, template: str) -> Value:
    from transforms import liquid_templates

    return code.assign(f"{code.constant(liquid_templates.compile_template(template))}(e)", optional=False)


# --- what the written functions call ----------------------------------------------------------------------------


def _getter(parent: Any) -> Callable[[str, Any], Any]:
    if parent is MISSING or parent is None:
        return _NOTHING_THERE[parent is None]
    return lambda key, _: _step(parent, key)


_NOTHING_THERE: Final = (lambda key, missing: missing, lambda key, missing: None)


def _step(parent: Any, key: str) -> Any:
    if type(parent) is dict:
        return parent.get(key, MISSING)
    if type(parent) in (list, str) and parent:
        if key == "length":
            return len(parent)
        return parent[int(key)] if key.isdecimal() and int(key) < len(parent) else MISSING
    return parent if not parent and not isinstance(parent, list) else MISSING


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
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value) if isinstance(value, int) else orjson.dumps(value).decode()


def _render(payload: Any, template: str) -> str:
    return _PLACEHOLDER.sub(lambda found: _text(get_path(payload, found[1].strip())), template)


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


def _no_words(value: Any) -> Any:
    """An object or a list stays, for the field to refuse and to count."""
    return value if type(value) in (dict, list) else MISSING


def _flattened(value: Any, separator: str, keep_arrays: bool) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    flat: dict[str, Any] = {}

    def visit(node: Any, prefix: str) -> None:
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(item, dict) or (isinstance(item, list) and not keep_arrays):
                visit(item, f"{prefix}{key}{separator}")
            else:
                flat[f"{prefix}{key}"] = item

    visit(value, "")
    return flat


def _encode(value: Any) -> Any:
    if value is MISSING:
        return MISSING
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # more than 254 levels
        raise Rejected("too_deeply_nested", "@json cannot encode a value that is nested so deeply.") from None


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
    return [item if item is None else _without_nulls(item) for item in value] if isinstance(value, list) else value


_HELPERS: Final[Mapping[str, Any]] = {
    "MISSING": MISSING,
    "_getter": _getter,
    "_null": _null,
    "_string": _string,
    "_text": _text,
    "_get_path": get_path,
    "_render": _render,
    "_first_words": _first_words,
    "_rest_words": _rest_words,
    "_flattened": _flattened,
    "_encode": _encode,
    "_decode": _decode,
    "_without_nulls": _without_nulls,
}
