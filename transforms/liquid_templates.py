"""``@liquid``: Liquid templates, with the tags and filters that Segment leaves out left out here as well.

Apart from `directives` because the engine takes a third of a second to import and few mappings use it.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

from liquid import Environment, RenderContext
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError
from liquid.stringify import to_liquid_string

from transforms.rejections import Rejected

DISABLED_TAGS: Final = frozenset({"case", "for", "include", "layout", "render", "tablerow"})
DISABLED_FILTERS: Final = frozenset(
    "array_to_sentence_string concat find find_exp find_index find_index_exp group_by group_by_exp has has_exp map"
    " newline_to_br reject reject_exp reverse sort sort_natural type uniq where_exp".split()
)


class _OutputNode(OutputNode):
    """Writes numbers as Segment's engine does: a whole one has no decimal point."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
            value = int(value)
        return buffer.write(to_liquid_string(value, context.autoescape))


class _Output(Output):
    node_class = _OutputNode


@functools.cache
def _environment() -> Environment:
    environment = Environment()
    environment.add_tag(_Output)
    for name in DISABLED_TAGS & environment.tags.keys():
        del environment.tags[name]
    for name in DISABLED_FILTERS & environment.filters.keys():
        del environment.filters[name]
    return environment


def problems(template: str) -> Iterator[str]:
    """What keeps a template from being used: its syntax, or tags and filters that are not there."""
    for name in sorted(DISABLED_TAGS):
        if f"{{%{name}" in template.replace(" ", "").replace("-", ""):
            yield f'tag "{name}" is disabled'
            return
    try:
        used = _environment().from_string(template).analyze().filters
    except LiquidError as error:
        yield f"is no valid Liquid template: {error.message}"
        return
    for name in used:
        if name in DISABLED_FILTERS:
            yield f'filter "{name}" is disabled'
        elif name not in _environment().filters:
            close = difflib.get_close_matches(name, list(_environment().filters), n=1)
            yield f'filter "{name}" is unknown' + (f", did you mean {close[0]}?" if close else "")


def compile_template(template: str) -> Callable[[Any], str]:
    """The template as a function from an event to text. It raises Rejected (mapping_failed) where rendering fails."""
    parsed = _environment().from_string(template)

    def rendered(event: Any) -> str:
        try:
            return parsed.render(event) if isinstance(event, dict) else parsed.render()
        except RecursionError:
            raise Rejected("too_deeply_nested") from None
        except Exception as error:  # filters meet any value, and let through what Python says; it may quote the event
            raise Rejected("mapping_failed", f"The Liquid template failed: {type(error).__name__}.") from None

    return rendered
