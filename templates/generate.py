"""Writes the files of this folder that are made from definitions in the code: metadata, and the tables' columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from capybeam.pipeline.run.options import TEMPLATES, metadata
from capybeam.pipeline.sinks import dead_letters, receipts, window_books

HERE: Final = Path(__file__).parent
SCHEMAS: Final = HERE / "terraform" / "schemas"


def files() -> dict[Path, str]:
    """All generated files, with their content."""
    made: dict[Path, Any] = {HERE / f"{template.name}.json": metadata(template) for template in TEMPLATES}
    made[SCHEMAS / "dead_letters.json"] = dead_letters.SCHEMA.as_json()["fields"]
    made[SCHEMAS / "receipts.json"] = receipts.SCHEMA.as_json()["fields"]
    made[SCHEMAS / "window_books.json"] = window_books.SCHEMA.as_json()["fields"]
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in made.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
