"""Texts and events that are made to cost more than they are long, and the law that none may break.

The law: an event of n bytes takes at most 1 ms + n × 1 µs, and memory in proportion to n. `check_time` judges it
generously, since machines are noisy: what it is sure to find is growth with the square of n, or worse.

A new text is a line in `FRAGMENTS` or `TEXTS`, a new event one in `EVENTS`: all tests that run over these then have it.
"""

from __future__ import annotations

import gc
import itertools
import random
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from tests.timing import least_seconds

SIZES = (1_000, 8_000, 32_000)
SLACK = 8.0
SEED = 20_261_122

# What regular expressions, parsers and tables like to trip over: in rows of one, and in rows of two taken in turn.
FRAGMENTS = (
    *("1", "0", "9", "a", "A", "x", " ", "\t", "\n", "\r\n", "\xa0", "\u3000", "\0", "."),
    *(",", ";", ":", "-", "+", "/", "_", "*", "?", "%", "&", "=", "#", "@", "$", "|", "~", "^", "!", "'", '"', "\\"),
    *("(", ")", "[", "]", "{", "}", "<", ">", "{{", "}}", "{%", "%}", '["', "']", "((", "/*", "..", "::", "--", "\\\\"),
    *("e1", "1e", "1.", ".1", "0x", "a.", ".a", "a@", "@a", "a=b&", "fbclid=", "&amp;", "%20", "%", "http://", "1st "),
    *("user", "email", "and ", "or ", "not ", "in ", "null", "true", "us-", "(0)", "00", "+1", "T", "Z", "2026-11-22"),
    *("\u0301", "\u0316", "\u0345", "\u0f73", "\uff9e", "\ufdfa", "\u1100", "\u1161", "\u200d", "\u202e", "\ufeff"),
    *("é", "ß", "İ", "ǆ", "中", "ﬃ", "٣", "²", "Ⅷ", "😀", "👨‍👩‍👧", "🇩🇪", "\U0001d15e"),
)
TEXTS: Mapping[str, Callable[[int], str]] = {
    "digits, then no digit": lambda n: "1" * n + "x",
    "zeros, then a digit": lambda n: "0" * n + "5",
    "a fraction without an end": lambda n: "0." + "3" * n,
    "a fraction, then no digit": lambda n: "1" * (n // 2) + "." + "1" * (n // 2) + "x",
    "an exponent without an end": lambda n: "1e" + "9" * n,
    "blanks between two words": lambda n: "a" + " " * n + "b",
    "a time with a long fraction": lambda n: "2026-11-22T09:58:20." + "1" * n + "Z",
    "a day with a long rest": lambda n: "1980-02-03 " + "1" * n,
    "marks in the wrong order": lambda n: "a" + "\u0316\u0301" * (n // 4),
    "marks of a high class, then of a low one": lambda n: "a" + "\u0301" * (n // 4) + "\u0316" * (n // 4),
    "marks in disguise, in the wrong order": lambda n: "a" + "\uff9e\u0301" * (n // 5),
    "marks that fall apart into two": lambda n: "a" + "\u0f73\u0301" * (n // 5),
    "a telephone number": lambda n: "+1" + "(650) 555-" * (n // 10),
    "an address in IPv4": lambda n: "1." * (n // 2),
    "an address in IPv6": lambda n: "1:" * (n // 2),
    "a click ID": lambda n: "fb.1.1234567890123." + "1" * n + " ",
    "a URL with many parameters": lambda n: "https://shop.example/?" + "a=b&" * (n // 4) + "fbclid=x y",
    "a URL with a long click ID": lambda n: "https://shop.example/?fbclid=" + "a%2" * (n // 3),
    "64 hexadecimal digits, over and over": lambda n: "0123456789abcdef" * (n // 16),
    "deep JSON": lambda n: "[" * min(n // 2, 1_000) + "]" * min(n // 2, 1_000) + " " * n,
    "wide JSON": lambda n: "[" + "1," * (n // 2) + "1]",
    "JSON in JSON": lambda n: orjson.dumps(orjson.dumps(["\\" * (n // 8)]).decode()).decode(),
    "a path": lambda n: "$" + ".a" * (n // 2),
    "a path in brackets": lambda n: "$" + '["a"]' * (n // 5),
    "a template of the event's own": lambda n: "{{properties.text}}" * (n // 19),
    "almost what a glob wants": lambda n: "a" * n,
}


def texts() -> Iterator[tuple[str, Callable[[int], str]]]:
    """Texts of about n bytes, by name: those above, and fragments in rows, by a seed."""
    yield from TEXTS.items()
    for fragment in FRAGMENTS:
        yield f"{fragment!r} in a row", lambda n, f=fragment: f * (n // len(f.encode()))
    draws = random.Random(SEED)
    for _ in range(25):
        parts = draws.choices(FRAGMENTS, k=draws.randint(2, 4))
        yield f"{parts} in a row", lambda n, p=parts: "".join(p) * (n // len("".join(p).encode()))
        yield f"{parts[0]!r} in a row, then {parts[1]!r}", lambda n, p=parts: p[0] * (n // len(p[0].encode())) + p[1]


def nested(levels: int, leaf: Any = 1, key: str = "a") -> orjson.Fragment:
    """Objects in objects, as JSON: deeper ones can be read than written."""
    return orjson.Fragment(b'{"%s":' % key.encode() * levels + orjson.dumps(leaf) + b"}" * levels)


def event(properties: Any = None, text: str | None = None, **more: Any) -> dict[str, Any]:
    """A purchase of somebody; with a `text`, it stands wherever a mapping may look for one."""
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "timestamp": "2026-11-22T09:58:20Z",
        "userId": "u-1",
        "properties": {"revenue": 24.9, "currency": "EUR", **(properties or {})},
        "context": {"userAgent": "Mozilla/5.0", "ip": "203.0.113.7", "traits": {"email": "jane@example.com"}},
        **more,
    }


def everywhere(text: str) -> dict[str, Any]:
    """An event that has a text wherever the job of the tests looks for one."""
    names = ("name", "firstName", "lastName", "email", "phone", "gender", "birthday")
    address = {key: text for key in ("city", "state", "postalCode", "country")}
    return event(
        {
            **{key: text for key in ("currency", "fbc", "fbp", "order_id", "text", "list", "query", "plan")},
            "products": [{"product_id": text, "price": text, "quantity": text}],
            text: text,
        },
        **{key: text for key in ("event", "userId", "messageId", "timestamp", "anonymousId")},
        context={
            "userAgent": text,
            "ip": text,
            "page": {"url": f"https://shop.example/?{text}", "referrer": text},
            "traits": {**{key: text for key in names}, "address": address},
        },
    )


EVENTS: Mapping[str, Callable[[int], dict[str, Any]]] = {
    "deep": lambda n: event({"text": nested(min(n // 6, 1_000))}),
    "as deep as JSON is written": lambda n: event({"text": nested(240, "x" * max(1, n - 1_440))}),
    "deep lists": lambda n: event({"list": orjson.Fragment("[" * 900 + "1," * (n // 2) + "1" + "]" * 900)}),
    "a long key above many values": lambda n: event({"text": {"k" * (n // 2): dict.fromkeys(_names(n // 16), 1)}}),
    "deep above many values": lambda n: event(
        {"text": nested(200, dict.fromkeys(_names(n // 8), 1), "k" * (n // 400 or 1))}
    ),
    "many keys": lambda n: event({"text": dict.fromkeys(_names(n // 8), 1)}),
    "many keys of properties": lambda n: event(dict.fromkeys(_names(n // 8), 1)),
    "many long keys": lambda n: event({"text": {f"user{'x' * 90}{i}": 1 for i in range(n // 100)}}),
    "many values": lambda n: event({"list": [1] * (n // 2)}),
    "many texts": lambda n: event({"list": ["a"] * (n // 4)}),
    "many objects": lambda n: event({"list": [{"a": 1}] * (n // 8), "text": [{}] * (n // 3)}),
    "many items": lambda n: event({"products": [{"product_id": "a", "price": "1x"}] * (n // 35)}),
    "many numbers as text": lambda n: event({"list": [str(i) for i in range(n // 8)]}),
    "many identifiers": lambda n: event(userId=[str(i) for i in range(n // 8)]),
    "many names": lambda n: event(context={"traits": {"firstName": ["é" + str(i) for i in range(n // 9)]}}),
    "many addresses": lambda n: event(context={"traits": {"email": [f"{i}@b.c" for i in range(n // 12)]}}),
    "many telephone numbers": lambda n: event(
        context={"traits": {"phone": [str(next(_numbers)) for _ in range(n // 10)]}}
    ),
    "many birthdays": lambda n: event(context={"traits": {"birthday": ["1980-02-03"] * (n // 13)}}),
    "a template of its own, over and over": lambda n: event(
        {"template": "{{properties.text}}" * (n // 38), "text": "x" * (n // 2)}
    ),
    "a template of its own over JSON": lambda n: event(
        {"template": "{{properties.text}}" * (n // 38), "text": [1] * (n // 4)}
    ),
    "a path of its own": lambda n: event({"path": "$" + ".a" * (n // 2)}),
    "a path to a far place": lambda n: event({"path": "$.properties.list." + "9" * n, "list": [1]}),
    "a separator of its own": lambda n: event({"separator": "_" * (n // 2), "text": [[1]] * (n // 8)}),
    "a number of many digits": lambda n: event({"revenue": "1" * n}),
}


_numbers = itertools.count(1_111_111)  # so that none comes again


def _names(count: int) -> Iterator[str]:
    return (f"k{number}" for number in range(count))


def events() -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Events of about n bytes of JSON, by name: those above, and some of the texts wherever a text may be."""
    for name, made in EVENTS.items():
        yield name, lambda n, made=made: orjson.dumps(made(n))
    for name, text in itertools.chain(TEXTS.items(), itertools.islice(texts(), len(TEXTS), None, 4)):
        yield f"{name}, everywhere", lambda n, text=text: orjson.dumps(everywhere(text(n // 30)))


def check_time(
    name: str, make: Callable[[int], str | bytes], run: Callable[[Any], object], slack: float = SLACK
) -> None:
    """Fails where the time that `run` takes is out of proportion to the size of what `make` makes.

    Args:
        slack: how many times what the law allows; more for what is read once per job.
    """
    smaller: tuple[int, float] | None = None
    for n in SIZES:
        data = make(n)
        length = len(data.encode() if isinstance(data, str) else data)
        allowed = slack * (0.001 + length * 1e-6)
        if smaller:
            allowed = min(allowed, max(0.06, 3 * smaller[1] * length / smaller[0]))
        taken = _seconds(run, make, n, allowed, at_least=1 if n == SIZES[-1] else 2)
        assert taken <= allowed, f"{name}: {length:,} bytes take {taken:.4f} s, not {allowed:.4f} s" + (
            f"; {smaller[0]:,} take {smaller[1]:.4f} s" if smaller else ""
        )
        smaller = length, taken


def _seconds(run: Callable[[Any], object], make: Callable[[int], Any], n: int, enough: float, at_least: int) -> float:
    """The least of ten runs, or of fewer where one takes no longer than `enough`; each on data of its own.

    Other processes make single runs slow, and hardly ten of them.
    """
    least = float("inf")
    for number in range(1, 11):
        data = make(n)
        least = min(least, least_seconds(lambda data=data: run(data), times=1))
        if least <= enough and number >= at_least:
            break
    return least


def peak_of(run: Callable[[], object]) -> int:
    """The most bytes that Python held at a time for `run`."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def kept_by(run: Callable[[], object]) -> int:
    """The bytes that Python still holds after `run`."""
    tracemalloc.start()
    try:
        run()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
