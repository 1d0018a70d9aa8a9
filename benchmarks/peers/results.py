"""What `compare` measured, for people: a table, and the chart in docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.peers.compare import KEYS

BEGIN: Final = "<!-- made by `python -m benchmarks peers --publish` -->"
END: Final = "<!-- end of what is made -->"
CHART: Final = "peers.svg"
RESULTS: Final = Path(__file__).with_name("results.json")
DOCS: Final = Path(__file__).parents[2] / "docs"

_WITHOUT_BEAM: Final = "From the line's bytes to the bytes of a request, without Beam and network"
_WITH_BEAM: Final = "A whole Beam pipeline, from a file to a server, on one core"
# Name, title, what is left out.
_GROUPS: Final = {
    _WITHOUT_BEAM: (
        ("limit", "limit: read, decode, 11 × SHA-256, encode", "all but that"),
        ("engine", "capybeam's engine", ""),
        (
            "facebook-business",
            "Meta's `facebook-business`: `EventRequest`",
            "triggers; mapping, and hashing external_id, by hand; a value that it refuses fails its whole batch",
        ),
        (
            "Segment",
            "Segment's engine with its destination for Meta",
            "batches: one request for each event, which is answered without a network here",
        ),
    ),
    _WITH_BEAM: (
        ("run", "`capybeam run`", ""),
        (
            "naive Beam",
            "Map, `GroupIntoBatches`, a DoFn that sends",
            "triggers; mapping and hashing by hand; rules, retries, isolation, pacing, dead letters, books",
        ),
    ),
}


def table(results: Mapping[str, Any]) -> str:
    """The ratios, Markdown."""
    rows = ["| | of the limit | time of an event, capybeam's = 1 | what it leaves out |", "|---|---|---|---|"]
    for title, programs in _GROUPS.items():
        rows.append(f"| **{title}** | | | |")
        ours = results["ratios"][programs[0][0] if title == _WITH_BEAM else "engine"]
        for name, what, without in programs:
            ratio = results["ratios"].get(name)
            if ratio is None:
                rows.append(f"| {what} | not measured | | {without} |")
            else:
                rows.append(f"| {what} | {ratio:.2f} | {ours / ratio:.1f} | {without} |")
    return "\n".join(rows)


def digests(results: Mapping[str, Any]) -> str:
    """How many digests of a sample are capybeam's, Markdown."""
    rows = [f"| equal digests | {' | '.join(KEYS)} |", f"|---|{'---|' * len(KEYS)}"]
    for name, shares in results["digests"].items():
        rows.append(f"| {name} | {' | '.join(f'{shares[key]:.0%}' for key in KEYS)} |")
    return "\n".join(rows)


def section(results: Mapping[str, Any]) -> str:
    """What is between `BEGIN` and `END`."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join(
        [
            f"![Events in the same processor time, of the limit of Python]({CHART})",
            table(results),
            digests(results),
            f"{results['events']:,} events, a tenth of them for the slow programs;"
            f" medians of {results['rounds']} rounds; {versions}.",
        ]
    )


def chart(results: Mapping[str, Any]) -> str:
    """The ratios as bars, SVG."""
    lines = list(_chart_lines(results))
    height = lines[-1][0] + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="720" height="{height}" fill="#fff"/>',
        *(part for _, part in lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _chart_lines(results: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Each with where it is, from the top."""
    top = 8
    for title, programs in _GROUPS.items():
        top += 22
        yield top, f'<text x="12" y="{top}" font-weight="bold" fill="#222">{escape(title)}</text>'
        for name, what, _ in programs:
            ratio = results["ratios"].get(name)
            if ratio is None:
                continue
            top += 24
            colour = "#8a5a2b" if name in ("engine", "run") else "#9aa5b1"
            label = escape(what.replace("`", ""))
            yield top, f'<text x="330" y="{top}" text-anchor="end" fill="#333">{label}</text>'
            yield top, f'<rect x="340" y="{top - 12}" width="{max(ratio * 320, 1):.0f}" height="16" fill="{colour}"/>'
            yield top, f'<text x="{346 + ratio * 320:.0f}" y="{top}" fill="#333">{ratio:.2f}</text>'
        top += 10


def publish(results: Mapping[str, Any]) -> None:
    """Writes results where they are kept, and what is made of them into the documentation."""
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    (DOCS / CHART).write_text(chart(results))
    page = DOCS / "performance.md"
    page.write_text(published(page.read_text(), results))


def published(page: str, results: Mapping[str, Any]) -> str:
    """A page with what is made of the results in its place."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has no place for it"
    assert end, "the place on the page has no end"
    return f"{before}{begin}\n\n{section(results)}\n\n{end}{after}"
