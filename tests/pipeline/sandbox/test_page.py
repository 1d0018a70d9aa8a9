"""The sandbox's page in a real browser."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from tests import browser as chromium
from tests.browser import Browser
from tests.pipeline.sandbox.senders import DAY, DIGEST, NOW, Clock, event, post

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium.path() is None, reason=chromium.MISSING)]

PERSON = {
    "em": DIGEST,
    "external_id": ["customer-77"],
    "client_ip_address": "203.0.113.7",
    "client_user_agent": "Mozilla/5.0 (X11)",
    "fbp": "fb.1.1558571054389.1098115397",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as running:
        yield running


def lines(text: str) -> list[str]:
    """What is read, line by line, with each run of white space as one blank."""
    return [" ".join(line.replace("​", "").split()) for line in text.splitlines() if line.strip()]


def test_an_empty_page_says_what_to_do_next_and_its_command_works(sandbox: SandboxServer, browser: Browser) -> None:
    with browser.page(sandbox.url) as page:
        command = page.until("document.querySelector('#curl').textContent")
        shown = page.text("#start")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
        page.until("document.querySelector('#start').hidden")
        stored = page.text("#stored")

    assert f"endpoint: {sandbox.url}" in shown
    assert "META_ACCESS_TOKEN=any-text capybeam run --config conversions.yaml --input events.jsonl" in shown
    assert '"events_received":1' in done.stdout, done
    assert lines(stored)[-2:] == ["Dataset 123321 1 EUR 9.50", "Purchase 1"]


def test_sums_and_match_keys_are_by_dataset_and_event(sandbox: SandboxServer, browser: Browser) -> None:
    dollars = {"currency": "USD", "value": 1000}
    post(sandbox, event(user_data=PERSON), event(event_id="order-2", custom_data=dollars))
    post(sandbox, event(event_name="AddToCart", event_id="a-1", custom_data=dollars), dataset="99")
    with browser.page(sandbox.url) as page:
        page.until("!document.querySelector('#keys-card').hidden")
        stored, keys = lines(page.text("#events")), page.run("[...document.querySelectorAll('#keys tr')].map(r => "
            "[...r.cells].map(c => c.innerText.replaceAll('\\u200b', '').replace(/\\s+/g, ' ')))")  # fmt: skip

    assert stored == [
        "Event Stored Value of purchases",
        "Dataset 123321 2 USD 1,012.50",
        "Purchase 2",
        "Dataset 99 1",
        "AddToCart 1",
    ]
    assert keys == [
        ["Event", "em", "client_user_agent", "external_id", "client_ip_address", "fbp"],
        ["Purchase 123321", "100 %", "100 %", "50 %", "50 %", "50 %"],
        ["AddToCart 99", "100 %", "100 %", "0 %", "0 %", "0 %"],
    ]


def test_refusals_are_one_row_for_each_rule(sandbox: SandboxServer, browser: Browser) -> None:
    for _ in range(60):
        post(sandbox, event(), event(event_time=NOW - 8 * DAY))
    for n in range(3):
        post(sandbox, event(**{f"extra_{n}": 1}))
    with browser.page(sandbox.url) as page:
        page.until("!document.querySelector('#refused').hidden")
        rows = lines(page.text("#refusals"))

    last = page_time(NOW)
    assert rows == [
        "Rule Code Requests Last Where, last",
        f"event_time is over 7 days ago 100/2804003 60 {last} event 2 of 2, dataset 123321",
        f"… is not a known field 100/2804019 3 {last} event 1 of 1, dataset 123321",
    ]


def page_time(unix: float) -> str:
    return subprocess.check_output(["date", "-d", f"@{int(unix)}", "+%H:%M:%S"], text=True).strip()


def test_faults_are_off_until_the_page_switches_them_on(sandbox: SandboxServer, browser: Browser) -> None:
    sandbox.set_faults(slow_seconds=5, throttle_status=429, poison_answer="html", seed=7)  # of faults that are off
    with browser.page(sandbox.url) as page:
        assert page.until("document.querySelector('#faults-on').innerText") == "none is on"
        assert sandbox.stats()["active_faults"] == {}
        page.run("document.querySelector('#faults-box').open = true")
        page.run("document.querySelector('#fault-dead_token').click()")
        page.until("document.querySelector('#faults-on').innerText == 'dead_token'")
        assert post(sandbox, event()).json()["error"]["code"] == 190

        page.run("document.querySelector('#fault-dead_token').click()")
        page.until("document.querySelector('#faults-on').innerText == 'none is on'")
        assert post(sandbox, event()).status_code == 200

        page.run("document.querySelector('#fault-error_rate').click()")
        page.until("document.querySelector('#faults-on').innerText == 'error_rate 0.1'")
        change = "i => { i.value = %s; i.dispatchEvent(new Event('change')) }"
        field = "document.querySelector('input[aria-label=error_rate]')"
        page.run(f"({change % 0.25})({field})")
        page.until("document.querySelector('#faults-on').innerText == 'error_rate 0.25'")
        page.run(f"({change % 2})({field})")
        page.until("document.querySelector('#faults .error:not(:empty)').innerText == 'error_rate is out of range'")
        assert sandbox.stats()["active_faults"] == {"error_rate": 0.25}
        assert [line.partition("(")[2] for line in page.complaints] == [f"Bad Request) {sandbox.url}/sandbox/faults"]


def test_the_page_shows_no_value_that_is_about_a_person(sandbox: SandboxServer, browser: Browser) -> None:
    custom = {"currency": "EUR", "value": 5, "order_id": "A-1077", "note": "ring at Smith", "floor": 4711}
    url = "https://shop.example/account/77?session=abc"
    post(sandbox, event(user_data=PERSON, custom_data=custom, event_source_url=url))
    with browser.page(sandbox.url) as page:
        page.until("!document.querySelector('#samples-card').hidden")
        page.run("document.querySelector('#samples details').open = true")
        sample = page.text("#samples pre")
        received = requests.get(f"{sandbox.url}/sandbox/overview", timeout=10).text
        whole = page.run("document.documentElement.outerHTML") + received

    hidden = [DIGEST, "customer-77", "203.0.113", "Mozilla/5.0 (X11)", "1558571054389", "A-1077", "Smith", "4711",
              "account", "session"]  # fmt: skip
    assert [value for value in hidden if value in whole] == []
    for said in (
        '"em": "SHA-256"',
        '"client_ip_address": "not hashed"',
        '"order_id": "a-9999"',
        "https://shop.example/…",
    ):
        assert said in sample
    assert '"event_id": "order-1"' in sample


def test_plots_show_events_answers_and_latencies(browser: Browser) -> None:
    clock = Clock()
    with SandboxServer(SandboxSettings(clock=clock)) as sandbox:
        for _ in range(20):
            post(sandbox, event(event_id=f"o-{clock.now}"), event(event_id=f"p-{clock.now}"))
            post(sandbox, event(event_time=1))
            clock.now += 1
        with browser.page(sandbox.url) as page:
            page.until("document.querySelectorAll('#plots svg').length == 3")
            captions = page.run("[...document.querySelectorAll('figcaption')].map(c => c.innerText)")
            drawn = page.run("[...document.querySelectorAll('#plots path')].map(p => p.getAttribute('class'))")

    assert lines(captions[0]) == ["Events accepted, per second", "events/s 2"]
    assert lines(captions[1])[1:] == ["accepted 1", "refused by a rule 1", "throttled 0", "failed 0"]
    assert re.fullmatch(r"Time to answer, milliseconds p50 [\d.]+ p95 [\d.]+ p99 [\d.]+", " ".join(lines(captions[2])))
    assert drawn == [
        *("area ink-events", "line ink-events", "layer ink-accepted", "layer ink-refused"),
        *("line ink-p50", "line ink-p95", "line ink-p99"),
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_its_window_and_needs_nothing_from_elsewhere(
    sandbox: SandboxServer, browser: Browser, width: int, dark: bool
) -> None:
    post(sandbox, event(user_data=PERSON, event_name="A very long name of an event that nobody would use"))
    post(sandbox, event(event_time=1))
    with browser.page(sandbox.url, width=width, dark=dark) as page:
        page.until("!document.querySelector('#refused').hidden")
        page.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
        colour = page.run("getComputedStyle(document.body).backgroundColor")
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.complaints == []
        assert {url for url in page.requested if not url.startswith((f"{sandbox.url}/", "data:"))} == set()
    assert colour == ("rgb(20, 23, 28)" if dark else "rgb(246, 247, 249)")


class _Foreign(BaseHTTPRequestHandler):
    """A page that has nothing to do with the sandbox."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_page_of_somebody_else_can_neither_switch_faults_nor_read_what_arrived(
    sandbox: SandboxServer, browser: Browser
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        with browser.page(f"http://elsewhere.example:{foreign.server_port}/") as page:
            page.until("document.title == 'elsewhere'")
            post(sandbox, event())
            for path in ("faults", "reset"):
                send = f"fetch('{sandbox.url}/sandbox/{path}', {{method: 'POST', mode: 'no-cors', body: BODY}})"
                page.run(send.replace("BODY", "JSON.stringify({dead_token: true})") + ".then(() => 1, () => 0)")
            read = page.run(f"fetch('{sandbox.url}/sandbox/overview').then(r => r.text(), () => 'unreadable')")
        foreign.shutdown()
    stats = sandbox.stats()
    assert (stats["active_faults"], stats["events_stored"], read) == ({}, 1, "unreadable")


def test_a_name_that_was_led_to_this_machine_is_refused(sandbox: SandboxServer, browser: Browser) -> None:
    with browser.page(sandbox.url.replace("127.0.0.1", "rebound.example")) as page:
        assert "does not name this machine's loopback" in page.until("document.body?.innerText")
