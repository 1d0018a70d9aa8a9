"""What a file does not say before Terraform has run, and files that cannot be read at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class UnreadableExport(Exception):
    """A file that is not an export, or cannot be read as one, in a sentence that repeats nothing of it."""


class Expression(str):
    """An expression of Terraform's whose value is not in the file."""


def expressions(node: Any) -> Iterator[str]:
    """The Terraform expressions in a mapping."""
    if isinstance(node, Expression):
        yield str(node)
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from expressions(part)
