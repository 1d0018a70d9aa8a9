"""The `import segment` command, without the command line."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.problems import suggestion
from capybeam.pipeline.log_lines import say
from capybeam.pipeline.output_files import STDOUT, CommandError, check_output, write_output
from capybeam.pipeline.sample_rows import name_of_sample, sample_rows
from capybeam.pipeline.schemes import NAMED_STDIN, STDIN
from capybeam.pipeline.segment.exports import Export, read_export
from capybeam.pipeline.segment.expressions import UnreadableExport
from capybeam.pipeline.segment.importing import SEGMENT_ACTIONS, Imported, NothingToImport, import_segment, known_action

DIFFERENCES: Final = "docs/normalisation.md#differences-from-segment"


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """How an export is imported.

    Attributes:
        output: the job file; "-" for standard output, to which nothing is written where there is a comparison.
        actions: ID=NAME, for action IDs that are not known here.
        dataset_id: Meta's, where the export does not have it.
        compare: the input whose events are compared, if there is one.
        sample: how many of its rows are read, at most.
        as_json: whether the comparison is shown as JSON.
    """

    output: str = STDOUT
    force: bool = False
    actions: Sequence[str] = ()
    dataset_id: str | None = None
    compare: str | None = None
    sample: int = 1_000_000
    as_json: bool = False


def run_import(files: Sequence[str], options: ImportOptions) -> int:
    """Writes the job file, reports on stderr, compares if asked to, and returns the exit code. Raises CommandError."""
    check_output(options.output, options.force)
    if options.dataset_id is not None and not re.fullmatch(r"[0-9]+", options.dataset_id):
        raise CommandError("--dataset-id: must be digits, as Meta's Events Manager shows the ID")
    if [*files, options.compare].count(STDIN) > 1:
        raise CommandError("standard input can be read once; - is given several times")
    action_ids = dict(map(_action, options.actions))
    try:
        imported = import_segment(read_all(files), action_ids, options.dataset_id)
    except (UnreadableExport, NothingToImport) as error:
        raise CommandError(str(error)) from None
    if options.compare is None or options.output != STDOUT:
        write_output(options.output, imported.text, options.force)
    _report(imported, options)
    if options.compare is not None:
        _compare(imported, options, options.compare)
    return 0 if imported.is_whole else 1


def _compare(imported: Imported, options: ImportOptions, events: str) -> None:
    from capybeam.pipeline.run.terminal import console
    from capybeam.pipeline.segment.comparison import Comparison
    from capybeam.pipeline.segment.comparison_display import as_json, show

    job = parse_job(imported.text) if imported.subscriptions else None
    if job is None or not job.subscriptions:
        raise CommandError("there is nothing to compare: the job file has no subscription that is enabled")
    comparison = Comparison(job, imported.subscriptions)
    read, name = 0, name_of_sample(events)
    with sample_rows(events, options.sample) as rows:
        for row in islice(rows, options.sample):
            comparison.add(row)
            read += 1
    if not comparison.events:
        others = f"; {read:,} of its rows are something else" if read else ""
        raise CommandError(f"{name}: holds no events{others}")
    cut = f" of the first {read:,} rows; --sample reads more" if read == options.sample else ""
    say(f"Compared with Segment: {comparison.events:,} events of {name}{cut}.")
    if options.as_json:
        sys.stdout.buffer.write(
            orjson.dumps(as_json(comparison, imported.left_out), option=orjson.OPT_INDENT_2) + b"\n"
        )
        sys.stdout.buffer.flush()
    else:
        show(comparison, imported.left_out, console())


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


def _report(imported: Imported, options: ImportOptions) -> None:
    for line in imported.report:
        say(line)
    count, output = len(imported.subscriptions), options.output
    where = "" if output == STDOUT else f" in {output}"
    say(f"{count} subscription{'s' * (count != 1)} carried over{where}.")
    say(f"What comes out otherwise than at Segment, whatever the mapping: {DIFFERENCES}")
    if output != STDOUT and count:
        say(f"Next: capybeam check {output}; capybeam map --config {output} --input EVENTS")
