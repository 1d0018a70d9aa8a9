"""``make modules``: writes the list of modules in docs/architecture.md from the first sentence of each docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN: Final = "<!-- made by `make modules` -->"
END: Final = "<!-- end of the list -->"


def main() -> None:
    """Writes the page anew."""
    PAGE.write_text(with_modules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_modules(page: str) -> str:
    """The page with the list as the code has it now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{modules()}\n{END}{after}"


def modules() -> str:
    """The packages, a heading and a table each."""
    parts = []
    for top in ("pipeline", "transforms"):
        for package in [ROOT / top, *sorted(path.parent for path in (ROOT / top).glob("*/**/__init__.py"))]:
            parts.append(f"### {package.relative_to(ROOT)}\n\n{first_sentence(package / '__init__.py')}\n")
            rows = [f"| `{path.relative_to(ROOT)}` | {first_sentence(path)} |\n" for path in _files(package)]
            if rows:
                parts.append("| module | what is in it |\n|---|---|\n" + "".join(rows))
    return "\n".join(parts)


def first_sentence(path: Path) -> str:
    """What a module's docstring begins with, on one line of Markdown."""
    docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", paragraph)[0].replace("``", "`").replace("|", "\\|")


def _files(package: Path) -> Iterator[Path]:
    yield from sorted(path for path in package.glob("*.py") if path.name != "__init__.py")


if __name__ == "__main__":
    main()
