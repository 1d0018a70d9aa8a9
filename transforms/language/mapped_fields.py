"""An event's fields: mapped, checked and converted, in one Python function for a subscription.

What a mapping yields is mostly what its field wants, so the function written here maps a value and keeps it if it
fits its type, without gathering the mapped values first. Where a value does not fit, the event takes the slow path, by
`mappings` and then `fields`, which reports all problems, or drops values and counts them.

user_data is about a person. A group call's own traits are its company's: a mapping of user_data does not find those
there that Segment's spec has (``email``, ``phone``, ``name`` …).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from capybeam.transforms.core.conversions import Count, ignore
from capybeam.transforms.core.events import Event
from capybeam.transforms.core.function_writer import literal
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.directives.checks import ROOT_DIRECTIVE, check_mapping
from capybeam.transforms.language.directives.registry import Value, is_directive
from capybeam.transforms.language.directives.writer import Listed, MappingWriter
from capybeam.transforms.language.fields import (
    FAST_CHECKS,
    NOTHING,
    Check,
    Field,
    FieldError,
    compile_check,
    compile_fields,
    left_out,
)
from capybeam.transforms.language.mappings import compile_mapping, paths
from capybeam.transforms.language.records import Shape
from capybeam.transforms.standards.currencies import CURRENCIES
from capybeam.transforms.standards.javascript import MISSING

Fields = dict[str, Any]


def compile_event_fields(mapping: Mapping[str, Any], fields: Sequence[Field]) -> Callable[..., Fields]:
    """The function from an event and its event name to its fields, typed and complete.

    It takes `count` as well, which is called for each value that is dropped from an event that goes on, and raises
    Rejected: missing_required_field, invalid_<field>, invalid_field, mapping_failed.

    Args:
        mapping: field → mapping; its event_name, if any, is only used to say where the name was looked for.
        fields: the action's.

    >>> fields = (Field("event_name", "string", required=True), Field("value", "number"))
    >>> mapped = compile_event_fields({"value": {"@path": "$.properties.total"}}, fields)
    >>> mapped({"properties": {"total": "9.5"}}, "Lead")
    {'event_name': 'Lead', 'value': 9.5}
    """
    sources = {name: ", ".join(paths(node)) for name, node in mapping.items()}
    mapping = {name: node for name, node in _known(mapping, fields).items() if name != "event_name"}
    check_mapping(mapping)
    if mapped_names(mapping) is None:
        return _compile_slow_path(mapping, fields, {})  # the fields depend on the event
    code = FieldsWriter("event_name", "count")
    result = code.dictionary(
        _write_fields(code, {**mapping, "event_name": _GIVEN}, fields, _INCOMPLETE), _required(fields)
    )
    code.write_notes()
    fast_path = code.function(result)
    finds_traits = _mentions_traits(mapping.get("user_data"))

    def mapped(event: Event, event_name: Any, count: Count = ignore) -> Fields:
        try:
            if finds_traits and "traits" in event and event.get("type") == "group":
                return slow_path()(event, event_name, count)
            try:
                values: Fields = fast_path(event, event_name, count)
            except FieldError:
                return slow_path()(event, event_name, count)
        except Rejected as cause:
            cause.field = cause.field or _field_at_fault(singles(), event)
            raise
        return values

    singles = functools.cache(lambda: {name: compile_mapping({name: node}) for name, node in mapping.items()})
    slow_path = functools.cache(lambda: _compile_slow_path(mapping, fields, sources))  # made when it is first needed
    return mapped


def check_event_fields(mapping: Mapping[str, Any], fields: Sequence[Field]) -> None:
    """Raises MappingError where `compile_event_fields` would, in a small part of its time."""
    check_mapping({name: node for name, node in _known(mapping, fields).items() if name != "event_name"})


def _field_at_fault(singles: Mapping[str, Callable[[Event], Any]], event: Event) -> str:
    """The field whose mapping rejects an event, of the mappings of single fields; "" where none does so alone."""
    for name, map_field in singles.items():
        try:
            map_field(event)
        except Rejected:
            return name
    return ""


def _mentions_traits(node: Any) -> bool:
    """Whether a mapping may find an event's own traits. Only False is certain."""
    return b"traits" in orjson.dumps(node) or any(not parse_path(path) for path in paths(node))


def _count(note: str, number: int, count: Count) -> None:
    for _ in range(number):
        count(note)


def _known(mapping: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """A mapping without the keys that an object does not know. They are the mapping's, and `check` warns of them."""
    known = dict(mapping)
    for field in fields:
        if field.properties is not None and field.name in known:
            names = {inner.name for inner in field.properties}
            known[field.name] = _only(known[field.name], names)
    return known


def _only(node: Any, names: set[str]) -> Any:
    if isinstance(node, list):
        return [_only(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    if not is_directive(node):
        return {name: part for name, part in node.items() if name in names}
    array = node.get("@arrayPath")
    if isinstance(array, list) and len(array) == 2 and isinstance(array[1], dict):
        return {**node, "@arrayPath": [array[0], _only(array[1], names)]}
    return node


def mapped_names(mapping: Mapping[str, Any]) -> frozenset[str] | None:
    """The names that an object of a mapping can yield; None where that depends on the event."""
    if is_directive(mapping) or ROOT_DIRECTIVE in mapping:
        return None
    return frozenset(mapping)


def _compile_slow_path(
    mapping: Mapping[str, Any], fields: Sequence[Field], sources: Mapping[str, str]
) -> Callable[..., Fields]:
    names = mapped_names(mapping)
    map_event = compile_mapping(mapping)
    check = compile_fields(fields, None if names is None else {*names, "event_name"}, sources)

    def mapped(event: Event, event_name: Any, count: Count = ignore) -> Fields:
        values = map_event(event)
        if values is MISSING or type(values) is not dict:
            raise Rejected("mapping_failed", "The mapping does not yield an object of fields.")
        if event.get("type") == "group":
            person = map_event(of_a_person(event))
            values = {**values, "user_data": person.get("user_data") if person else None}
        return check({"event_name": event_name, **values}, count)

    return mapped


def of_a_person(event: Event) -> Event:
    """A group call without its company's traits; any other call as it is. user_data is mapped from it."""
    traits = event.get("traits")
    if type(traits) is not dict or event.get("type") != "group":
        return event
    own = {key: value for key, value in traits.items() if key.replace("_", "").lower() not in _OF_A_COMPANY}
    return {**event, "traits": own}


# The traits of Segment's specs of group and identify calls, and the parts of an address. Those are a person's in every
# other call; in a group call a company has them, or its founding date for a birthday.
_OF_A_COMPANY: Final = frozenset(
    "address age avatar birthday city company country createdat dateofbirth description email employees firstname"
    " gender id industry lastname name phone plan postalcode state street title username website zip".split()
)


# --- writing the function ---------------------------------------------------------------------------------------


class FieldsWriter(MappingWriter):
    """The function in the making. One of its arguments is ``count``.

    Attributes:
        without: variables that hold how many items of a list have been left out → the note of each of them.
    """

    def __init__(self, *arguments: str, shape: Shape | None = None) -> None:
        super().__init__(*arguments, shape=shape)
        self.without: dict[str, str] = {}
        self.constant(CURRENCIES, "CURRENCIES")
        self.constant(FieldError, "FieldError")

    def write_notes(self) -> None:
        """Writes what counts the items that have been left out."""
        for number, note in self.without.items():
            self.line(f"if {number}: {self.call(_count, literal(note), number, 'count')}")


def write_event_fields(
    code: FieldsWriter, mapping: Mapping[str, Any], fields: Sequence[Field], inner: str
) -> tuple[dict[str, str], dict[str, str]] | None:
    """Writes what maps and checks an event's fields, all but those of an object `inner`, and that object's fields.

    What is written raises FieldError where `compile_event_fields` would take its slow path.

    Returns:
        For each field that the mapping has, the variable that holds its value, None where it has no value; and the same
        for the fields of `inner`. None where the fields, or those of `inner`, depend on the event.
    """
    known = _known(mapping, fields)
    by_name = {field.name: field for field in fields}
    if mapped_names(mapping) is None or inner not in known or not _is_written_out(by_name[inner], known[inner]):
        return None
    check_mapping(known)
    if _mentions_traits(known[inner]):
        is_group = "e.type == 'group'" if code.shape else "'traits' in e and e.get('type') == 'group'"
        code.line(f"if {is_group}: {_INCOMPLETE}")
    inner_variables = _write_fields(code, known[inner], by_name[inner].properties or ())
    others = [field for field in fields if field.name != inner]
    variables = _write_fields(code, known, others, _INCOMPLETE)
    code.write_notes()
    return variables, inner_variables


def _write_fields(
    code: FieldsWriter, mapping: Mapping[str, Any], fields: Sequence[Field], incomplete: str = ""
) -> dict[str, str]:
    """Writes what maps and checks an object's fields; returns the variable of each that the mapping has.

    Args:
        incomplete: the statement for where a required field has no value; "" in an object of which none is required.
    """
    root = incomplete == _INCOMPLETE
    variables = {
        field.name: _write_value(code, mapping[field.name], field, root) for field in fields if field.name in mapping
    }
    for field in fields:
        if field.required:
            variable = variables.get(field.name, "None")
            missing = f"{variable} is None" + ("" if root else f" or {variable} in {code.constant(NOTHING)}")
            code.line(f"if {missing}: {incomplete}")
    return variables


def _required(fields: Sequence[Field]) -> set[str]:
    return {field.name for field in fields if field.required}


_INCOMPLETE: Final = "raise FieldError('is incomplete')"  # of the event
_GIVEN: Final = object()  # in place of a mapping: the argument event_name


def _is_written_out(field: Field, node: Any) -> bool:
    """Whether an object has the same fields for all events, none of them required, so that each has its variable."""
    return (
        (field.type == "object" and not field.multiple and isinstance(node, dict) and not is_directive(node))
        and field.properties is not None
        and not any(inner.required for inner in field.properties)
    )


def _write_value(code: FieldsWriter, node: Any, field: Field, root: bool) -> str:
    """Writes what maps and checks one field; returns the variable that holds its value, None where it has no value."""
    if node is _GIVEN:
        return _write_check(code, Value("event_name"), field, root)
    if _is_written_out(field, node):
        return code.dictionary(_write_fields(code, node, field.properties or ()))
    is_list = root and field.type == "object" and field.multiple and field.properties is not None
    if is_list and isinstance(node, dict) and "@arrayPath" in node:
        path, *shape = node["@arrayPath"]
        if shape and isinstance(shape[0], dict) and shape[0] and not is_directive(shape[0]):
            return _write_items(code, code.listed(path), shape[0], field)
    return _write_check(code, code.value(node), field, root)


def _write_items(code: FieldsWriter, listed: Listed, shape: Mapping[str, Any], field: Field) -> str:
    """Writes what makes a list of objects; an item that lacks what it needs is left out."""
    items, without = code.variable("[]"), code.variable("0")
    with code.block(f"if type({listed.code}) is list:"):
        with code.loop(listed):
            inner = field.properties or ()
            made = code.dictionary(_write_fields(code, shape, inner, f"{without} += 1; continue"), _required(inner))
            code.line(f"{items}.append({made})")
        code.line(f"{items} = {items} or None")
    code.line(f"else: {items} = {code.constant(_check(field, root=True))}({listed.code})")
    if not field.incidental:
        code.without[without] = left_out(field)
    return items


def _write_check(code: FieldsWriter, value: Value, field: Field, root: bool) -> str:
    check = code.constant(_check(field, root))
    if field.type not in FAST_CHECKS or field.multiple:
        something = code.constant(compile_check(field))
        return code.variable(f"{something}({value.code}) if {value.code} else {check}({value.code})")
    fits = FAST_CHECKS[field.type].format(value.code)
    if field.choices:
        fits = f"({fits}) and {value.code} in {code.constant(frozenset(field.choices))}"
    if root and "str" in fits:  # where "" does not count as a value
        fits = f"{value.code} and {fits}"
    otherwise = f"None if {value.code} is MISSING else {check}({value.code})"
    if value.text and fits.endswith(FAST_CHECKS["string"].format(value.code)):
        code.line(f"    if type({value.code}) is not str: {value.code} = {otherwise}")  # in the block
        return value.code
    if value.own:
        code.line(f"if not ({fits}): {value.code} = {otherwise}")
        return value.code
    return code.variable(f"{value.code} if {fits} else {otherwise}")


def _check(field: Field, root: bool) -> Check:
    """The field's check for what may be nothing: missing, null and, at the root, ""."""
    check = compile_check(field)

    def checked(value: Any) -> Any:
        return None if value is MISSING or value is None or (root and value == "") else check(value)

    return checked
