"""The page of a report, in a real browser: whole, calm, readable at any width, and deaf to what events are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.quality_report.collector import Collector
from capybeam.pipeline.quality_report.comparison import comparison
from capybeam.pipeline.quality_report.meta_section import meta_section
from capybeam.pipeline.quality_report.numbers import Report
from capybeam.pipeline.quality_report.page import page as html_of
from tests import browser as chromium
from tests.browser import Browser
from tests.pipeline.quality_report.reported import BROWSER, CUSTOM, JOB, NOW, ended_run, order, row
from tests.pipeline.quality_report.test_meta_section import ANSWER

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium.path() is None, reason=chromium.MISSING)]

HOSTILE = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=document.title='taken'>",
    '"><svg onload=document.title="taken">',
    "{{ 7 * 7 }}{% raw %}",
    "AVeryLongNameWithoutAnyBlankInItThatWouldPushTheWholePageApartIfNothingBrokeItIntoLinesOfItsOwnHere",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as running:
        yield running


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of all that a report can have."""
    jobs = [JOB + CUSTOM, JOB.replace("      - action: pageView\n", CUSTOM).replace("123321", "456654")]
    collectors = [Collector(parse_job(job), NOW) for job in jobs]
    for number in range(400):
        event = order(number % 390, userId=f"u-{number}" if number % 4 else None)
        event["properties"]["revenue"] = round(9.99 + number % 37, 2) * (100 if number % 20 == 3 else 1)
        event["context"]["traits"]["phone"] = "call me" if number % 9 == 0 else None
        if number % 7 == 0:
            event["context"]["traits"]["mobile"] = "+44 20 7946 0123"
        if number % 13 == 0:
            event["properties"]["currency"] = "Dollars"
        if number % 17 == 0:
            event["context"] = {"userAgent": BROWSER}
        if number % 10 == 0:
            event["event"] = HOSTILE[number // 10 % len(HOSTILE)]
        for collector in collectors:
            collector.add(row(event))
    for collector in collectors:
        collector.add(b"{")
        collector.add(row({"type": "identify", "userId": "u"}))
    before, after = (
        collector.numbers(name) for collector, name in zip(collectors, ("a.yaml", "<b>.yaml"), strict=True)
    )
    meta = meta_section([ANSWER, {**ANSWER, "dataset_id": "2", "events": [], "refused": {"": "Ask again."}}], before)
    report = Report(
        version="0.1.0",
        now=NOW,
        inputs=("events.jsonl",),
        incomplete="events.jsonl breaks off",
        job=before,
        compared=after,
        comparison=comparison(before, after),
        run={**ended_run(), "problems": ["<b>Token</b> refused"]},
        meta=meta,
    )
    written = tmp_path_factory.mktemp("report") / "report.html"
    written.write_text(html_of(report), encoding="utf-8")
    return written


def test_the_page_asks_for_nothing_and_nothing_goes_wrong_in_it(file: Path, browser: Browser) -> None:
    with browser.page(file.as_uri()) as page:
        page.until("document.readyState === 'complete'")
        page.run("document.querySelectorAll('details').forEach(each => each.open = true)")

        assert (page.requested, page.complaints) == ([file.as_uri()], [])
        assert page.run("document.title") == "Match quality: a.yaml"
        assert page.run("document.scripts.length + document.querySelectorAll('[onerror], [onload], img').length") == 0
    assert file.stat().st_size < 1_000_000


def test_names_of_events_are_text(file: Path, browser: Browser) -> None:
    with browser.page(file.as_uri()) as page:
        page.until("document.readyState === 'complete'")
        shown = page.run("[...document.querySelectorAll('.group .title b')].map(each => each.textContent)")
        heading = page.text("h1")

    assert set(HOSTILE) <= set(shown)
    assert heading == "Match quality of a.yaml → <b>.yaml"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_sticks_out_and_all_text_stands_out(file: Path, browser: Browser, width: int, dark: bool) -> None:
    with browser.page(file.as_uri(), width=width, dark=dark) as page:
        page.until("document.readyState === 'complete'")
        page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        found = page.run(CONTRASTS)

        assert page.run("document.documentElement.scrollWidth") == width
    assert len(found) > 100
    assert [each for each in found if each["contrast"] < (4.4 if each["size"] < 24 else 3)] == []
    lightest = max(each["back"] for each in found)
    assert lightest < 0.2 if dark else lightest > 0.9


# Each text with its contrast to what is behind it (WCAG 2), and how light that is.
CONTRASTS = """
(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)); };
  const behind = element => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return (own[3] ?? 1) === 1 ? own : over(own, behind(element.parentElement));
  };
  const found = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("title")) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element), back = behind(element);
    const a = light(over(parse(style.color), back)), b = light(back);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({text: texts.currentNode.data.trim().slice(0, 40), contrast, back: b, size: parseFloat(style.fontSize)});
  }
  return found;
})()
"""


def test_each_event_opens_by_the_keyboard(file: Path, browser: Browser) -> None:
    with browser.page(file.as_uri()) as page:
        page.until("document.readyState === 'complete'")
        page.run("document.querySelectorAll('.group summary')[1].focus()")
        for kind in ("keyDown", "keyUp"):
            page.send(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        page.until("document.querySelectorAll('details.group')[1].open")


def test_what_is_unusual_is_said_in_words_and_drawn_in_another_colour(file: Path, browser: Browser) -> None:
    with browser.page(file.as_uri()) as page:
        page.until("document.readyState === 'complete'")
        page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        flag = page.text(".group .flag")
        banner = page.text("header + .banner")
        label = page.run("document.querySelector('.histogram svg').getAttribute('aria-label')")
        colours = page.run("['rect', 'rect.odd'].map(each => getComputedStyle(document.querySelector(each)).fill)")

    assert "about 100 times above the others" in flag
    assert banner == "This is a part of the input: events.jsonl breaks off"
    assert re.fullmatch(r"Distribution of \d+ values in EUR, from 9.99 to 4,\d{3}, median about \d+", label)
    assert colours[0] != colours[1]
