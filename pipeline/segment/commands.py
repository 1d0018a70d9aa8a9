"""The `import segment` command, without the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from capybeam.pipeline.job.problems import suggestion
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.schemes import NAMED_STDIN, STDIN
from capybeam.pipeline.segment.exports import Export, read_export
from capybeam.pipeline.segment.expressions import UnreadableExport
from capybeam.pipeline.segment.importing import SEGMENT_ACTIONS, Imported, NothingToImport, import_segment, known_action

DIFFERENCES: Final = "docs/normalisation.md#differences-from-segment"


def run_import(files: Sequence[str], output: str, force: bool, actions: Sequence[str], dataset_id: str | None) -> int:
    """Writes the job file, reports on stderr, and returns the exit code. Raises CommandError."""
    check_output(output, force)
    if dataset_id is not None and not re.fullmatch(r"[0-9]+", dataset_id):
        raise CommandError("--dataset-id: must be digits, as Meta's Events Manager shows the ID")
    action_ids = dict(map(_action, actions))
    try:
        imported = import_segment(read_all(files), action_ids, dataset_id)
    except (UnreadableExport, NothingToImport) as error:
        raise CommandError(str(error)) from None
    write_output(output, imported.text, force)
    _report(imported, output)
    return 0 if imported.is_whole else 1


def read_all(files: Sequence[str]) -> Export:
    """The exports in several files as one. Raises UnreadableExport, CommandError."""
    exports = [read_export(_content(file), NAMED_STDIN if file == STDIN else file) for file in files]
    return Export(
        tuple({each.id: each for export in exports for each in export.destinations}.values()),
        tuple(subscription for export in exports for subscription in export.subscriptions),
        any(export.has_more for export in exports) and len(exports) == 1,
    )


def _content(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}") from None


def _action(text: str) -> tuple[str, str]:
    id_, _, name = text.partition("=")
    if not id_ or not known_action(name):
        hint = suggestion(name, SEGMENT_ACTIONS) if name else ""
        raise CommandError(f"--action: must be ID=NAME, and NAME one of {', '.join(SEGMENT_ACTIONS)}{hint}")
    return id_, name


def _report(imported: Imported, output: str) -> None:
    for line in imported.report:
        click.echo(line, err=True)
    count = len(imported.subscriptions)
    where = "" if output == STDOUT else f" in {output}"
    click.echo(f"{count} subscription{'s' * (count != 1)} carried over{where}.", err=True)
    click.echo(f"What comes out otherwise than at Segment, whatever the mapping: {DIFFERENCES}", err=True)
    if output != STDOUT:
        click.echo(f"Next: capybeam check {output}; capybeam map --config {output} --input EVENTS", err=True)
