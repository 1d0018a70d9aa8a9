"""``@liquid``: templates as Segment renders them, which is LiquidJS with some tags and filters switched off.

python-liquid makes the tree of tags and blocks. What stands in them is LiquidJS's: where they begin and end (here), its
expressions (`liquid_expressions`), values (`liquid_values`), filters (`liquid_filters`) and dates (`liquid_dates`).

Apart from `directives` because python-liquid takes a fifth of a second to import and few mappings use it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

import liquid
from liquid.builtin.tags.comment_tag import CommentNode, CommentTag
from liquid.builtin.tags.inline_comment_tag import InlineCommentTag
from liquid.builtin.tags.liquid_tag import LiquidNode, LiquidTag
from liquid.exceptions import LiquidError
from liquid.parser import get_parser
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_ILLEGAL, TOKEN_OUTPUT, TOKEN_TAG

from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.language.liquid.expressions import BLANKS, ExpressionError, Reader, Unusable
from capybeam.transforms.language.liquid.filters.registry import FILTERS
from capybeam.transforms.language.liquid.values import WORTH_COUNTING, Evaluate, Rendering, is_true, shown
from capybeam.transforms.standards import javascript

DISABLED_TAGS: Final = ("case", "for", "include", "layout", "render", "tablerow")

Write = Callable[[Rendering, list[str]], None]
"""A part of a template: it adds its text to the end of the list."""


def problems(template: str) -> Iterator[str]:
    """What keeps a template from being used: its syntax, or a tag or filter that is not there. The first such thing."""
    try:
        _parsed(template)
    except Unusable as error:
        yield str(error)
    except ExpressionError as error:
        yield f"is not a valid Liquid template: {error}"
    except LiquidError as error:
        yield f"is not a valid Liquid template: {error.message}"


def compile_template(template: str) -> Callable[[Any], str]:
    """The template as a function from an event to text.

    The function raises Rejected (template_failed) where a filter fails, or where the template makes far more text than
    the event is long.
    """
    write = _sequence(_parsed(template))

    def rendered(event: Any) -> str:
        written: list[str] = []
        try:
            write(Rendering(event), written)
        except RecursionError:
            raise Rejected("too_deeply_nested") from None
        return javascript.from_units("".join(written))

    return rendered


def _parsed(template: str) -> list[Write]:
    nodes = get_parser(_ENVIRONMENT).parse(liquid.TokenStream(_tokens(template)))
    return list(_writes(nodes))


def _writes(nodes: Iterable[liquid.Node]) -> Iterator[Write]:
    for node in nodes:
        if isinstance(node, LiquidNode):
            yield from _writes(node.block.nodes)
        elif not isinstance(node, CommentNode):
            assert isinstance(node, _Node)
            yield node.write


def _sequence(writes: list[Write]) -> Write:
    if len(writes) == 1:
        return writes[0]

    def write(rendering: Rendering, written: list[str]) -> None:
        for part in writes:
            part(rendering, written)
            if rendering.stopped:
                return

    return write


class _Node(liquid.Node):
    """A part of a template in python-liquid's tree. Its context is a `Rendering`, and its buffer a list."""

    __slots__ = ("write",)

    def __init__(self, token: liquid.Token, write: Write) -> None:
        super().__init__(token)
        self.write = write

    def render_to_output(self, context: Any, buffer: Any) -> int:
        self.write(context, buffer)
        return 0


# --- where tags and outputs begin and end -----------------------------------------------------------------------

_OPENING: Final = re.compile(r"\{[{%]")
_OUTPUT_END: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?\}\}""", re.DOTALL)
_NAME: Final = re.compile(r"#|[\w-]*")
_ENDRAW: Final = re.compile(r"\{%-?\s*endraw\b[^%]*?(-?)%\}")
_BLANKS: Final = "".join(BLANKS)


def _tokens(template: str) -> Iterator[liquid.Token]:
    """The pieces of a template: text, outputs and tags. A dash within a tag takes the white space away beside it.

    Unlike python-liquid's own, as in LiquidJS a text in quotes may hold ``}}``, and comments end with the first end.
    """
    position, trimmed = 0, False
    while position < len(template):
        opening = _OPENING.search(template, position)
        begin = opening.start() if opening else len(template)
        text = template[position:begin]
        if text:
            text = text.lstrip(_BLANKS) if trimmed else text
            text = text.rstrip(_BLANKS) if template[begin + 2 : begin + 3] == "-" else text
            yield liquid.Token(TOKEN_CONTENT, text, position, template)
        if opening is None:
            return
        content, position = _delimited(template, opening)
        trimmed = content.endswith("-")
        content = content.removeprefix("-").removesuffix("-").strip(_BLANKS)
        if opening[0] == "{{":
            yield liquid.Token(TOKEN_OUTPUT, opening[0], begin, template)
        else:
            found = _NAME.match(content)
            name = found[0] if found else ""
            content = content[len(name) :].lstrip(_BLANKS)
            if name == "raw":
                closing = _ENDRAW.search(template, position)
                if closing is None:
                    raise ExpressionError('tag "raw" is not closed')
                yield liquid.Token(TOKEN_CONTENT, template[position : closing.start()], position, template)
                position, trimmed = closing.end(), bool(closing[1])
                continue
            yield liquid.Token(TOKEN_TAG, name, begin, template)
        if content:
            yield liquid.Token(TOKEN_EXPRESSION, content, begin, template)


def _delimited(template: str, opening: re.Match[str]) -> tuple[str, int]:
    """What stands between an opening and its end, and where it goes on behind that."""
    begin = opening.end()
    if opening[0] == "{{":
        found = _OUTPUT_END.match(template, begin)
        end = found.end() if found else 0
    else:
        end = template.find("%}", begin) + 2
    if end <= begin:
        raise ExpressionError(f"{template[opening.start() :][:24]!r} is not closed")
    return template[begin : end - 2], end


# --- tags -------------------------------------------------------------------------------------------------------


def _argument(stream: liquid.TokenStream) -> str:
    """What stands behind a tag's name. The stream is left at the tag's last token."""
    if stream.peek.kind != TOKEN_EXPRESSION:
        return ""
    next(stream)
    return str(stream.current.value)


class _Tag(liquid.Tag):
    """A tag without an end."""

    block = False

    def parse(self, stream: liquid.TokenStream) -> liquid.Node:
        token = stream.current
        return _Node(token, self.compiled(_argument(stream)))

    def compiled(self, argument: str) -> Write:
        raise NotImplementedError


class _BlockTag(liquid.Tag):
    """A tag with an end."""

    def parse(self, stream: liquid.TokenStream) -> liquid.Node:
        token = stream.current
        return _Node(token, self.compiled(_argument(stream), stream))

    def compiled(self, argument: str, stream: liquid.TokenStream) -> Write:
        raise NotImplementedError

    def inside(self, stream: liquid.TokenStream, *ends: str) -> tuple[Write, str, str]:
        """What stands up to the first of the tags, and that tag's name and argument."""
        next(stream)
        nodes = get_parser(self.env).parse_block(stream, ends).nodes
        if stream.current.kind != TOKEN_TAG:
            raise ExpressionError(f'tag "{self.name}" is not closed')
        end = stream.current.value
        return _sequence(list(_writes(nodes))), end, _argument(stream)


class _Text(_Tag):
    name = TOKEN_CONTENT

    def parse(self, stream: liquid.TokenStream) -> liquid.Node:
        text = str(stream.current.value)
        return _Node(stream.current, lambda rendering, written: written.append(text))


class _Output(_Tag):
    name = TOKEN_OUTPUT

    def compiled(self, argument: str) -> Write:
        value = _filtered(argument)

        def write(rendering: Rendering, written: list[str]) -> None:
            text = shown(value(rendering))
            if len(text) > WORTH_COUNTING:
                rendering.room.take(len(text))
            written.append(text)

        return write


class _Echo(_Output):
    name = "echo"

    def compiled(self, argument: str) -> Write:
        return super().compiled(argument) if argument else _nothing


class _Assign(_Tag):
    name = "assign"

    def compiled(self, argument: str) -> Write:
        reader = Reader(argument, FILTERS)
        name = reader.name()
        if not name or reader.skip_blanks() != "=":
            raise ExpressionError('assign is written as "assign name = value"')
        reader.position += 1
        value = reader.filtered()

        def write(rendering: Rendering, written: list[str]) -> None:
            rendering.scope[name] = value(rendering)

        return write


class _Capture(_BlockTag):
    name = "capture"

    def compiled(self, argument: str, stream: liquid.TokenStream) -> Write:
        reader = Reader(argument, FILTERS)
        name = reader.name() or reader.quoted()
        if not name:
            raise ExpressionError('capture is written as "capture name"')
        inside, _, _ = self.inside(stream, "endcapture")

        def write(rendering: Rendering, written: list[str]) -> None:
            captured: list[str] = []
            inside(rendering, captured)
            rendering.scope[name] = "".join(captured)

        return write


class _If(_BlockTag):
    name = "if"

    def compiled(self, argument: str, stream: liquid.TokenStream) -> Write:
        branches: list[tuple[Evaluate, Write]] = []
        otherwise: Write | None = None
        end = self.name
        while end != "endif":
            condition = _filtered(argument) if end != "else" else None
            inside, following, argument = self.inside(stream, "elsif", "else", "endif")
            if condition is not None:
                branches.append((condition, inside))
            else:
                otherwise = inside
            end = following
            if otherwise and end != "endif":
                raise ExpressionError(f'"{end}" stands behind "else"')
            if end != "elsif" and argument:
                raise ExpressionError(f'"{end}" takes nothing behind it')
        return _choice(branches, otherwise or _nothing)


class _Unless(_BlockTag):
    name = "unless"

    def compiled(self, argument: str, stream: liquid.TokenStream) -> Write:
        condition = _filtered(argument)
        branches: list[tuple[Evaluate, Write]] = []
        otherwise: Write | None = None
        inside, end, argument = self.inside(stream, *self.ends)
        branches.append((lambda rendering: not is_true(condition(rendering)), inside))
        while end != "endunless":
            branch = _filtered(argument) if end == "elsif" and otherwise is None else None
            inside, following, argument = self.inside(stream, *self.ends)
            if branch is not None:
                branches.append((branch, inside))
            elif otherwise is None:
                otherwise = inside
            end = following
        return _choice(branches, otherwise or _nothing)

    ends: ClassVar = ("elsif", "else", "endunless")


class _Block(_BlockTag):
    name = "block"

    def compiled(self, argument: str, stream: liquid.TokenStream) -> Write:
        return self.inside(stream, "endblock")[0]


class _Cycle(_Tag):
    name = "cycle"

    def compiled(self, argument: str) -> Write:
        reader = Reader(argument, FILTERS)
        group = reader.value()
        if group and reader.skip_blanks() == ":":
            reader.position += 1
        else:
            group, reader.position = None, 0
        values: list[Evaluate] = []
        texts: list[str] = []
        while reader.rest():
            begin = reader.position
            values.append(reader.filtered())
            texts.append(argument[begin : reader.position].strip())
            reader.skip_behind(",")
        if not values:
            raise ExpressionError("cycle has nothing to choose from")

        def write(rendering: Rendering, written: list[str]) -> None:
            key = (javascript.text(group(rendering)) if group else "", *texts)
            turn = rendering.cycles.get(key, 0)
            rendering.cycles[key] = (turn + 1) % len(values)
            value = values[turn](rendering)
            if javascript.truthy(value):
                written.append(shown(value))

        return write


class _Increment(_Tag):
    name = "increment"
    step = 1

    def compiled(self, argument: str) -> Write:
        name = Reader(argument, FILTERS).name()
        step = self.step

        def write(rendering: Rendering, written: list[str]) -> None:
            count = rendering.counted(name)
            rendering.counters[name] = count + step
            written.append(javascript.number_text(count if step > 0 else count + step))

        return write


class _Decrement(_Increment):
    name = "decrement"
    step = -1


class _Break(_Tag):
    """break and continue end the template: there are no loops that they could end."""

    name = "break"

    def compiled(self, argument: str) -> Write:
        def write(rendering: Rendering, written: list[str]) -> None:
            rendering.stopped = True

        return write


class _Continue(_Break):
    name = "continue"


class _Disabled(liquid.Tag):
    def __init__(self, env: liquid.Environment, name: str) -> None:
        super().__init__(env)
        self.name = name

    def parse(self, stream: liquid.TokenStream) -> liquid.Node:
        raise Unusable(f'tag "{self.name}" is disabled')


class _Illegal(liquid.Tag):
    name = TOKEN_ILLEGAL

    def parse(self, stream: liquid.TokenStream) -> liquid.Node:
        name = stream.current.value
        close = difflib.get_close_matches(name, self.env.tags, n=1)
        raise Unusable(f'tag "{name}" is unknown' + (f", did you mean {close[0]}?" if close else ""))


def _filtered(argument: str) -> Evaluate:
    return Reader(argument, FILTERS).filtered()


def _nothing(rendering: Rendering, written: list[str]) -> None:
    pass


def _choice(branches: list[tuple[Evaluate, Write]], otherwise: Write) -> Write:
    def write(rendering: Rendering, written: list[str]) -> None:
        for condition, inside in branches:
            if is_true(condition(rendering)):
                inside(rendering, written)
                return
        otherwise(rendering, written)

    return write


_TAGS: Final = (
    _Text, _Output, _Echo, _Assign, _Capture, _If, _Unless, _Block, _Cycle, _Increment, _Decrement, _Break, _Continue,
    _Illegal, CommentTag, InlineCommentTag, LiquidTag,
)  # fmt: skip
TAGS: Final = tuple(tag.name for tag in _TAGS if tag not in (_Text, _Output, _Illegal))


class _Environment(liquid.Environment):
    block_nesting_limit = 60  # more than a template of 1000 characters has room for

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        for tag in _TAGS:
            self.add_tag(tag)
        for name in DISABLED_TAGS:
            self.tags[name] = _Disabled(self, name)


_ENVIRONMENT: Final = _Environment()
