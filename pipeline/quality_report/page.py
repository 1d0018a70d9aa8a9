"""A quality report as one HTML page.

Charts are drawn here, as HTML and SVG, by a jinja2 template. A chart of this report is a row of bars, and what it needs
is to follow the reader's colours (dark, light, print), to reflow at the width of a phone, to be read aloud, and to stay
one of hundreds on a page. Plotly brings 3 MB and Vega-Lite 0.8 MB of script for that, which has to run, is not followed
by `prefers-color-scheme`, and shrinks or scrolls labels on a phone; matplotlib's and pygal's SVG have their colours and
sizes fixed when they are made. This way the page is below 1 MB without a script, so its Content-Security-Policy allows
none: names of events, which come from outside, can never become one.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
from markupsafe import Markup, escape

from capybeam.pipeline.quality_report.collector import ALL_PATHS_OF, ONE_IN
from capybeam.pipeline.quality_report.match_keys import LABELS, STRONG, in_order
from capybeam.pipeline.quality_report.numbers import (
    Compared,
    ComparedGroup,
    Group,
    JobNumbers,
    Report,
    ValueBucket,
    Values,
    share_of,
)
from capybeam.transforms.core.rejections import CODES

_FOLDER: Final = Path(__file__).parent
_MOST_AXIS_LABELS: Final = 7


def page(report: Report) -> str:
    """The whole page, which loads nothing."""
    made_at = datetime.fromtimestamp(report.now, timezone.utc)
    more = {"keys": _keys(report.job), "totals": _totals(report.job)} if report.job else {}
    title, heading = _titles(report)
    text = _template().render(
        report=report,
        job=report.job,
        made_at=made_at,
        title=title,
        heading=heading,
        subtitle=" · ".join(_subtitle(report, made_at)),
        **more,
    )
    return f"{text.strip()}\n"


def _titles(report: Report) -> tuple[str, str]:
    """Of the window, and on the page."""
    if report.job:
        name = report.job.config
        return f"Match quality: {name}", f"Match quality of {name}" + (
            f" → {report.compared.config}" if report.compared else ""
        )
    if report.run is not None:
        name = report.run["job"]["file"] or "a job"
        return f"{report.run['command'].capitalize()}: {name}", f"{report.run['command'].capitalize()} of {name}"
    return "Quality at Meta", "Quality at Meta"


def _subtitle(report: Report, made_at: datetime) -> Iterator[str]:
    if report.job:
        yield from report.inputs
        yield f"{number(report.job.events)} events"
        yield f"ages as of {made_at:%Y-%m-%d %H:%M} UTC"
    elif report.run is not None:
        yield from (each["name"] for each in report.run["inputs"])
        yield f"ended {when(report.run['ended'])}"
    else:
        yield f"{number(len(report.meta))} dataset{'s' * (len(report.meta) > 1)}"
        yield f"{made_at:%Y-%m-%d %H:%M} UTC"


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "amount": amount, "label": label, "percent": percent}
    environment.filters |= {"when": when, "span": span, "size": size, "wrapped": wrapped}
    environment.globals |= {"share": share_of, "width": width, "warnings": warnings, "axis": axis, "coverage": coverage}
    environment.globals |= {
        "strong_keys": in_order(STRONG),
        "is_unusual": is_unusual,
        "changed": changed,
        "changed_shares": changed_shares,
    }
    environment.globals |= {"causes": causes, "STATES": STATES}
    environment.globals |= {"all_paths_of": ALL_PATHS_OF, "one_in": ONE_IN}
    environment.tests["changed"] = changed
    return environment.get_template("page.html.j2")


def _keys(job: JobNumbers) -> tuple[str, ...]:
    """The match keys that any conversion has, and the strong ones that most can have."""
    return in_order(
        {each.key for group in job.groups for each in group.keys} | {"em", "ph", "external_id", "fbc", "fbp"}
    )


def _totals(job: JobNumbers) -> dict[str, int]:
    return {
        "examined": sum(group.examined for group in job.groups),
        "strong": sum(group.strength["strong"] for group in job.groups),
        "unreadable": sum(each.count for each in job.unreadable),
        "withheld": sum(each.count for each in job.withheld),
    }


# --- numbers as people read them --------------------------------------------------------------------------------------


def number(value: float) -> str:
    """
    >>> number(12345)
    '12,345'
    """
    return f"{value:,.0f}"


def amount(value: float) -> str:
    """An amount of money, to three digits where it is large.

    >>> amount(24.9), amount(1234567.5), amount(5.0), amount(0.002), amount(2e15)
    ('24.90', '1,234,568', '5', '0.002', '2e+15')
    """
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.3g}"


def width(part: float, whole: float) -> str:
    """A share as a CSS length; what is there at all can be seen.

    >>> width(1, 8), width(1, 1_000_000), width(0, 3)
    ('12.5%', '0.5%', '0%')
    """
    percent = 100 * part / whole if whole else 0
    return f"{max(percent, 0.5) if percent else 0:.4g}%"


def wrapped(name: str) -> Markup:
    """A name that a narrow column breaks between its words.

    >>> wrapped("AddToCart<b>")
    Markup('Add<wbr>To<wbr>Cart&lt;b&gt;')
    """
    return Markup(re.sub(r"(?<=[a-z])(?=[A-Z])", "<wbr>", str(escape(name))))


def percent(value: float | None) -> str:
    """
    >>> percent(99.96), percent(14.8), percent(0), percent(None)
    ('>99 %', '14.8 %', '0 %', '–')
    """
    if value is None:
        return "–"
    return ">99 %" if 99.95 <= value < 100 else f"{round(value, 1):g} %"


def when(text: str | None) -> str:
    """A time of a run's report, for people.

    >>> when("2026-11-22T10:00:00Z"), when(None)
    ('2026-11-22 10:00:00 UTC', '–')
    """
    return "–" if text is None else text.replace("T", " ").replace("Z", " UTC")


def span(seconds: float) -> str:
    """
    >>> span(0.4), span(75), span(7_300)
    ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """
    >>> size(900), size(1_234_567)
    ('900 B', '1.2 MB')
    """
    if count < 1_000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1_000
        if count < 1_000 or unit == "TB":
            break
    return f"{count:.0f} {unit}" if count >= 100 else f"{count:.1f} {unit}"


def label(key: str) -> str:
    """What a match key is, for people who do not know Meta's names by heart."""
    return LABELS.get(key, key.replace("_", " "))


def axis(values: Values) -> list[tuple[str, str]]:
    """Places of an axis from left to right, as CSS lengths, and what is written there."""
    edges = [*(bucket.low for bucket in values.buckets), values.buckets[-1].high]
    step = -(-(len(edges) - 1) // (_MOST_AXIS_LABELS - 1))
    return [(f"{100 * place / (len(edges) - 1):.4g}%", _short(edges[place])) for place in range(0, len(edges), step)]


def is_unusual(values: Values, bucket: ValueBucket) -> bool:
    """Whether a range of values is one of outliers."""
    positive = [each for each in values.outliers if each.kind in ("second_mode", "far")]
    return any(
        (each.low is not None and bucket.low >= each.low) or (each.high is not None and bucket.high <= each.high)
        for each in positive
    )


def _short(value: float) -> str:
    """
    >>> _short(0.05), _short(20), _short(2000), _short(5e6), _short(1e12)
    ('0.05', '20', '2k', '5M', '1000G')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.0f}{unit}"
    return f"{value:g}"


def coverage(group: Group) -> dict[str, int]:
    """By match key, how many of the group's conversions have it."""
    return {each.key: each.count for each in group.keys}


def changed_shares(group: ComparedGroup) -> list[Compared]:
    """The shares that are not the same to a tenth of a percentage point."""
    return [each for each in group.shares if abs(each.after - each.before) >= 0.001]


def changed(group: ComparedGroup) -> bool:
    """Whether two jobs make something else of a group."""
    return any(each.before != each.after for each in group.counts) or bool(changed_shares(group))


def warnings(group: Group) -> Sequence[tuple[str, str]]:
    """What is to be seen of a group at first sight: a severity, bad or warn, and a few words."""
    found: list[tuple[str, str]] = []

    def add(severity: str, count: int, words: str) -> None:
        if count:
            found.append((severity, f"{count:,} {words}"))

    add("bad", group.rejected, "rejected")
    add("bad", group.strength["none"], "without usable match keys")
    add("warn", group.strength["weak"], "with weak keys only")
    add("warn", group.event_ids.repeats, "repeated event_ids")
    add("warn", group.event_ids.derived, "without messageId")
    add("warn", group.website.without_url, "without URL")
    add("warn", sum(o.count for v in group.values for o in v.outliers), "unusual values")
    return found


# --- of a run ----------------------------------------------------------------------------------------------------

STATES: Final[Mapping[str, tuple[str, str]]] = {  # how it looks, and what it is called
    "succeeded": ("good", "succeeded"),
    "succeeded_with_rejections": ("warn", "succeeded, with rejections"),
    "refused": ("bad", "refused by a destination"),
    "failed": ("bad", "failed"),
    "stopped": ("warn", "stopped by a signal"),
}
_MOST_CAUSES: Final = 50


class DeadLetters(NamedTuple):
    """Dead letters with one cause.

    Attributes:
        cause: as a run's report has it.
        total: of all subscriptions.
        subscriptions: how many are of each, the most first; none are of what is unreadable.
        means: a sentence on its code.
    """

    cause: Mapping[str, Any]
    total: int
    subscriptions: Sequence[tuple[str, int]]
    means: str


def causes(run: Mapping[str, Any]) -> tuple[list[DeadLetters], int]:
    """Dead letters by cause, the most frequent first; and how many there are of causes beyond those."""
    own: dict[tuple[Any, ...], Counter[str]] = {}
    for destination, each in run["destinations"].items():
        for subscription, account in each["subscriptions"].items():
            for cause in account["rejections"]:
                own.setdefault(_identity(cause), Counter())[f"{destination}/{subscription}"] += cause["count"]
    found = [
        DeadLetters(
            cause,
            cause["count"],
            own.get(_identity(cause), Counter()).most_common(),
            CODES.get(cause["code"], ""),
        )
        for cause in run["rejections"]
    ]
    return found[:_MOST_CAUSES], sum(each.total for each in found[_MOST_CAUSES:])


def _identity(cause: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cause[name] for name in ("stage", "code", "field", "meta_code", "reason"))
