"""The example's events: reproducible, fictional, and broken in every way they claim to be."""

from __future__ import annotations

import ipaddress
import json
import re
import runpy
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "generate_events.py"  # a script: not part of the installed packages
GENERATOR = runpy.run_path(str(SCRIPT))
BROKEN: dict[str, Callable[[dict[str, Any]], bytes]] = GENERATOR["BROKEN"]
events: Callable[..., Iterator[bytes]] = GENERATOR["events"]

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
COUNT = 10_000

ACTION_SOURCES = {"website", "app", "phone_call"}
DELIVERY = {"home_delivery", "in_store", "curbside"}
DOCUMENTATION_NETWORKS = tuple(
    map(ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
)
RESERVED_PHONES = re.compile(  # the end of the number, digits only: after country code or trunk prefix
    r"(?:\d{3}55501\d\d|2079460\d{3}|1614960\d{3}|7700900\d{3}|2091\d{5}"  # US and CA, GB, IE
    r"|3023125\d{3}|8999998\d{3}|17139200\d\d|19900\d{4}|63998\d{4}"  # DE, FR
    r"|8465004\d\d|70174064\d|[23]5550\d{4})$"  # SE, AU
)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(events(COUNT, seed=7, now=NOW))


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _order(sign: Callable[[dict[str, Any]], bool]) -> Callable[[bytes], bool]:
    def recognise(line: bytes) -> bool:
        event = _json(line) if b'"Order Completed"' in line else None
        return isinstance(event, dict) and event.get("event") == "Order Completed" and sign(event)

    return recognise


SIGNS: dict[str, Callable[[bytes], object]] = {
    "cut line": lambda line: line.startswith(b"{") and not line.rstrip().endswith(b"}"),
    "array": lambda line: line.startswith(b"["),
    "string": lambda line: line.startswith(b'"'),
    "number": bytes.isdigit,
    "empty object": lambda line: line == b"{}",
    "blank line": lambda line: line == b"",
    "white space": bytes.isspace,
    "bad UTF-8": lambda line: "\ufffd" in line.decode(errors="replace"),
    "NUL byte": lambda line: b"\x00" in line,
    "NUL escape": lambda line: b"\\u0000" in line,
    "lone surrogate": lambda line: re.search(rb"\\ud[89ab]..(?!\\ud[c-f])", line),
    "400 digits": lambda line: re.search(rb":\d{400}[,}]", line),
    "NaN": lambda line: re.search(rb":NaN[,}]", line),
    "400 levels": lambda line: line.count(b'{"a":') == 400,
    "from 1970": _order(lambda order: str(order["timestamp"]).startswith("1970")),
    "from 2100": _order(lambda order: str(order["timestamp"]).startswith("2100")),
    "unreadable time": _order(lambda order: not re.match(r"\d{4}-|\d+$", str(order["timestamp"]))),
    "no currency": _order(lambda order: "currency" not in order["properties"]),
    "unknown currency": _order(lambda order: order["properties"].get("currency") == "QQQ"),
    "value abc": _order(lambda order: order["properties"]["revenue"] == "abc"),
    "unknown action_source": _order(
        lambda order: order["properties"].get("action_source", "website") not in {*ACTION_SOURCES, "other"}
    ),
    "unknown delivery_category": _order(
        lambda order: any(product["delivery_category"] not in DELIVERY for product in order["properties"]["products"])
    ),
    "website without user agent": _order(
        lambda order: (
            not {"action_source", "actionSource"} & order["properties"].keys() and "userAgent" not in order["context"]
        )
    ),
    "no user data": _order(
        lambda order: (
            not {"userId", "anonymousId", "context"} & order.keys() and not {"fbp", "fbc"} & order["properties"].keys()
        )
    ),
    "padded currency": _order(lambda order: (code := order["properties"].get("currency", "")) != code.strip().upper()),
    "100 levels": lambda line: line.count(b'{"a":') == 100,
    "byte order mark": lambda line: line.startswith(b"\xef\xbb\xbf"),
    "CRLF": lambda line: line.endswith(b"\r"),
}


@pytest.fixture(scope="module")
def sound(lines: list[bytes]) -> list[dict[str, Any]]:
    """The events that bear no sign of being broken."""
    return [json.loads(line) for line in lines if not any(sign(line) for sign in SIGNS.values())]


def test_same_seed_and_time_give_the_same_bytes(lines: list[bytes]) -> None:
    assert list(events(COUNT, seed=7, now=NOW)) == lines
    assert list(events(COUNT, seed=8, now=NOW)) != lines


@pytest.mark.parametrize("count", [0, 1, 10, 100, 2_801])
def test_count_is_the_number_of_lines(count: int) -> None:
    assert sum(1 for _ in events(count, seed=7, now=NOW)) == count


def test_no_line_holds_a_newline(lines: list[bytes]) -> None:
    assert not [line for line in lines if b"\n" in line]


def test_every_broken_sort_is_there_and_looks_like_its_name(lines: list[bytes]) -> None:
    assert SIGNS.keys() == BROKEN.keys()
    assert [name for name, sign in SIGNS.items() if not any(map(sign, lines))] == []


def test_a_short_file_has_every_broken_sort_too() -> None:
    short = list(events(100, seed=7, now=NOW))
    assert [name for name, sign in SIGNS.items() if not any(map(sign, short))] == []


def test_about_one_line_in_a_hundred_is_broken(sound: list[dict[str, Any]]) -> None:
    assert 0.005 * COUNT <= COUNT - len(sound) <= 0.015 * COUNT


def test_timestamps_lie_in_the_last_five_days(sound: list[dict[str, Any]]) -> None:
    for event in sound:
        raw = event["timestamp"]
        if isinstance(raw, int):
            time = datetime.fromtimestamp(raw / 1000 if raw > 10**11 else raw, timezone.utc)
        else:
            time = datetime.fromisoformat(raw.replace("Z", "+00:00"))
        assert NOW - timedelta(days=5) <= time <= NOW


def test_all_kinds_of_calls_and_all_events_of_the_shop_occur(sound: list[dict[str, Any]]) -> None:
    assert {event["type"] for event in sound} == {"track", "page", "screen", "identify"}
    assert {event["event"] for event in sound if event["type"] == "track"} >= {
        "Products Searched", "Product Viewed", "Product Added", "Checkout Started", "Order Completed",
        "Signed Up", "Lead Submitted", "Email Opened", "Cart Viewed",
    }  # fmt: skip
    orders = [event for event in sound if event.get("event") == "Order Completed"]
    assert {order["properties"]["currency"] for order in orders} >= {"USD", "EUR", "GBP", "CAD"}


def test_nobody_is_real(lines: list[bytes], sound: list[dict[str, Any]]) -> None:
    text = b"\n".join(lines).decode(errors="replace").lower()
    hosts = set(re.findall(r"(?:@|://)([a-z0-9.-]+\.[a-z]+)", text))
    assert hosts
    assert all(re.fullmatch(r"(?:\w+\.)?example\.(?:com|net|org)", host) for host in hosts), hosts

    for event in sound:
        context = event["context"]
        if "ip" in context:
            bare = re.sub(r"^\[(.*)\]:\d+$|^([\d.]+):\d+$", r"\1\2", context["ip"])
            assert any(ipaddress.ip_address(bare) in network for network in DOCUMENTATION_NETWORKS), bare
        phone = (context.get("traits") or event.get("traits") or {}).get("phone")
        assert phone is None or RESERVED_PHONES.search(re.sub(r"\D", "", phone)), phone
