"""Whether a mapping can be compiled: all that is wrong with it, at once, before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from capybeam.transforms.language.directives.registry import (
    DIRECTIVES,
    MappingError,
    Option,
    Path,
    Problem,
    is_directive,
)

ROOT_DIRECTIVE: Final = "__segment_internal_directive"
MAX_LEVELS: Final = 100  # of objects and lists in a mapping; Python indents its own functions as often


def check_mapping(mapping: Any) -> Any:
    """The mapping as it is to be compiled: an object or one directive. Raises MappingError with every problem."""
    mapping = _with_root_directive(_spread(mapping))
    problems = list(_depth_problems(mapping)) or list(node_problems(mapping, ()))
    if problems:
        raise MappingError(problems)
    return mapping


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


def node_problems(node: Any, path: Path) -> Iterator[Problem]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from node_problems(item, (*path, index))
        return
    if not isinstance(node, dict):
        return
    names = [key for key in node if str(key).startswith("@")]
    if not names:
        for key, item in node.items():
            yield from node_problems(item, (*path, key))
        return
    others = [key for key in node if key not in names and key != "_metadata"]
    if len(names) > 1 or others:
        yield Problem(path, f"should only have one @-prefixed key but it has {len(names) + len(others)} keys")
        return
    (name,) = names
    directive = DIRECTIVES.get(name)
    if directive is None:
        yield Problem((*path, name), f"has an invalid directive: {name}{_suggestion(name, DIRECTIVES)}")
        return
    options, path = node[name], (*path, name)
    if directive.check:
        yield from directive.check(options, path)
    if isinstance(directive.accepts, Option):
        yield from option_problems(options, directive.accepts, path)
    elif directive.accepts is not None:
        yield from _options_problems(options, directive.accepts, path)


def _options_problems(options: Any, accepts: Mapping[str, Option], path: Path) -> Iterator[Problem]:
    if not isinstance(options, dict) or is_directive(options):
        yield Problem(path, f"should be an object but it is {described(options)}")
        return
    for key in options:
        if key not in accepts:
            yield Problem((*path, key), f"is not an option of {path[-1]}{_suggestion(key, accepts)}")
    for key, option in accepts.items():
        if key in options:
            yield from option_problems(options[key], option, (*path, key))
        elif option.required:
            yield Problem(path, f'should have field "{key}" but it doesn\'t')


def option_problems(value: Any, option: Option, path: Path) -> Iterator[Problem]:
    if option.kind == "any":
        yield from node_problems(value, path)
    elif option.kind == "text":
        if is_directive(value):
            yield from node_problems(value, path)
        elif not isinstance(value, str):
            yield Problem(path, f"should be a string or a mapping directive but it is {described(value)}")
    elif option.kind == "choice":
        if value not in option.choices:
            shown = f'"{value}"' if isinstance(value, str) else described(value)
            yield Problem(path, f"should be one of {', '.join(option.choices)} but it is {shown}")
    elif option.kind in ("objects", "strings", "list"):
        if not isinstance(value, list):
            yield Problem(path, f"should be an array but it is {described(value)}")
            return
        for index, item in enumerate(value):
            if option.kind == "objects" and not isinstance(item, dict):
                yield Problem((*path, index), f"should be an object or a mapping directive but it is {described(item)}")
            elif option.kind == "strings" and not isinstance(item, str):
                yield Problem((*path, index), f"should be a string but it is {described(item)}")
            else:
                yield from node_problems(item, (*path, index))
    else:
        python: type[Any] = {"string": str, "boolean": bool, "object": dict}[option.kind]
        if not isinstance(value, python) or is_directive(value):
            article = "an" if option.kind == "object" else "a"
            yield Problem(path, f"should be {article} {option.kind} but it is {described(value)}")
        elif option.kind == "object":
            yield from node_problems(value, path)
        elif option.longest is not None and not option.shortest <= len(value) <= option.longest:
            yield Problem(path, f"should be a string of {option.shortest} to {option.longest} characters")


def described(value: Any) -> str:
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
    """A root that is not an object becomes one as by JavaScript's ``{...root}``."""
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
