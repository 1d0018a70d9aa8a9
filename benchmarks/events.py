"""Uniform events for benchmarks: every one is deliverable, and every one has all there is to hash.

    python benchmarks/events.py --count 200000 --output /tmp/events.jsonl

60 % Order Completed, 20 % Product Added, 20 % Product Viewed, 1.7 kB each on average. Each carries the traits behind
all eleven hashed keys (em ph ge db ln fn ct st zp country external_id), IP address, user agent, fbp and page address.
Email addresses, phone numbers and user ids hardly ever repeat. 5,000 first names, 150,000 last names and 20,000 cities
do, by Zipf's law, as in real traffic: more than a cache holds, so that no cache is flattered. All names are made up of
syllables. Phone numbers have the exchange 555, which is given to nobody; addresses are those for documentation, a third
of them IPv6.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from random import Random
from typing import TypeVar

import orjson

SHOP = "https://shop.example.com"
DAY = timedelta(days=1)
CHUNK = 10_000  # lines per write

T = TypeVar("T")

FIRST_NAMES, LAST_NAMES, CITIES = 5_000, 150_000, 20_000
SYLLABLES = (
    "an", "ber", "bro", "chloé", "da", "del", "dou", "el", "én", "fa", "fer", "gar", "glo", "gué", "ha", "hil", "ib",
    "jo", "ka", "kel", "ko", "la", "lan", "le", "lo", "łu", "ma", "mar", "mi", "mo", "na", "ner", "no", "ñez", "ol",
    "ös", "pa", "per", "qui", "ra", "ren", "ri", "ros", "sa", "sen", "so", "sto", "ta", "ten", "to", "ül", "va", "wil",
    "zo",
)  # fmt: skip
ENDINGS = ("ville", "burg", "ton", " City", " Springs", "ham", "-sur-Mer", " Falls")
REGIONS = (  # spellings of a state, its postal codes with four digits to fill in, spellings of its country
    (("NY", "New York"), "1{}{}{}{}", ("United States", "US")),
    (("CA", "California"), "9{}{}{}{}", ("US", "USA")),
    (("TX", "Texas"), "7{}{}{}{}-1234", ("us", "US")),
    (("IL", "Illinois"), "6{}{}{}{}", ("USA", "United States")),
    (("FL", "Florida"), "3{}{}{}{}", ("US",)),
    (("MA", "Massachusetts"), "0{}{}{}{}", ("US",)),
    (("WA", "Washington"), "9{}{}{}{}", ("USA",)),
    (("PA", "Pennsylvania"), "1{}{}{}{}", ("United States",)),
    (("QC", "Québec"), "H{}X {}Y{}", ("Canada", "CA")),
    (("ON", "Ontario"), "M{}V {}T{}", ("CA", "ca")),
)
AREA_CODES = (
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 301, 302, 303, 304, 305, 307,
    308, 309, 310, 312, 313, 314, 315, 316, 317, 318, 319, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 412, 413,
    414, 415, 416, 417, 418, 419, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510, 512, 513, 514, 515, 516, 517, 518,
    519, 602, 603,
)  # fmt: skip
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
CATALOGUE = (  # id, name, category, price
    ("CAPY-001", "Capybara Bath Towel, organic cotton", "Bath & Body", 24.5),
    ("CAPY-002", "Yuzu Bath Salts, 500 g", "Bath & Body", 12.9),
    ("CAPY-003", "Hot Spring Robe, unisex", "Bath & Body", 89.0),
    ("CAPY-004", "Reed Basket with Lid", "Home & Living", 34.0),
    ("CAPY-005", "Riverbank Lamp, small", "Home & Living", 119.0),
    ("CAPY-006", "Wool Blanket “Pampa”", "Home & Living", 149.95),
    ("CAPY-007", "Nap Hammock for Two", "Garden & Balcony", 199.0),
    ("CAPY-008", "Water Lily Set (6 pieces)", "Garden & Balcony", 42.0),
)
USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 Version/26.1 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:154.0) Gecko/20100101 Firefox/154.0",
)
PRODUCTS: list[dict[str, object]] = [
    {
        "product_id": product_id,
        "sku": f"{product_id}-M",
        "name": name,
        "category": category,
        "brand": "Example & Sons",
        "price": price,
        "quantity": 1,
        "url": f"{SHOP}/products/{product_id.lower()}",
    }
    for product_id, name, category, price in CATALOGUE
]


def events(count: int, seed: int, now: datetime | None = None) -> Iterator[bytes]:
    """Yields `count` JSON objects without newline, with timestamps within the day before `now` (default: the present).

    The same arguments give the same bytes; without `now`, only times differ.
    """
    rng = Random(seed)
    start = (now or datetime.now(timezone.utc)).astimezone(timezone.utc) - DAY
    for _ in range(count):
        yield _event(rng, start + DAY * rng.random())


def write(path: str | Path, count: int, seed: int, now: datetime | None = None) -> None:
    """Writes `events` to a file, one a line."""
    lines = events(count, seed, now)
    with Path(path).open("wb") as file:
        while chunk := list(islice(lines, CHUNK)):
            file.write(b"\n".join(chunk) + b"\n")


def _event(rng: Random, time: datetime) -> bytes:
    customer = 10**8 + _below(rng, 9 * 10**8)
    visit = f"{rng.getrandbits(128):032x}"
    timestamp = time.isoformat(timespec="milliseconds")[:-6] + "Z"  # for +00:00
    name, path, properties = _action(rng)
    properties["fbp"] = f"fb.1.{int((time - DAY).timestamp() * 1000)}.{10 * customer}"
    return orjson.dumps(
        {
            "type": "track",
            "event": name,
            "messageId": f"ajs-next-{timestamp[11:23]}-{visit}-{customer}",
            "anonymousId": visit,
            "userId": f"user_{customer}",
            "properties": properties,
            "context": {
                "ip": _address(rng),
                "userAgent": _pick(rng, USER_AGENTS),
                "locale": "en-US",
                "timezone": "America/New_York",
                "library": {"name": "analytics.js", "version": "npm:next-1.84.0"},
                "campaign": {"source": "newsletter", "medium": "email", "name": "november"},
                "page": {
                    "path": path,
                    "referrer": f"{SHOP}/",
                    "search": "?utm_source=newsletter",
                    "title": "Capybara Supplies",
                    "url": f"{SHOP}{path}?utm_source=newsletter",
                },
                "traits": _traits(rng, customer),
            },
            "timestamp": timestamp,
            "originalTimestamp": timestamp,
            "sentAt": timestamp,
            "receivedAt": timestamp,
        }
    )


def _traits(rng: Random, customer: int) -> dict[str, object]:
    first, city = _zipf(rng, FIRST_NAMES), _zipf(rng, CITIES)
    states, postal_code, countries = REGIONS[city % len(REGIONS)]
    return {
        "email": f"Customer.{customer}@example.com",
        "phone": f"+1 ({_pick(rng, AREA_CODES)}) 555-{_below(rng, 10**4):04}",
        "firstName": first_name(first),
        "lastName": last_name(_zipf(rng, LAST_NAMES)),
        "gender": ("female", "male")[first % 2],
        "birthday": f"{1940 + _below(rng, 68)}-{1 + _below(rng, 12):02}-{1 + _below(rng, 28):02}",
        "address": {
            "street": "1 Example Street",
            "city": city_name(city),
            "state": _pick(rng, states),
            "postalCode": postal_code.format(*f"{city % 1000:03}{_below(rng, 10)}"),
            "country": _pick(rng, countries),
        },
    }


def _address(rng: Random) -> str:
    if rng.random() < 1 / 3:
        return f"2001:db8:{_below(rng, 2**16):x}::{_below(rng, 2**16):x}"
    return f"{_pick(rng, NETWORKS)}.{1 + _below(rng, 254)}"


def _zipf(rng: Random, count: int) -> int:
    """A rank from 0 on, the first twice as often as the second, three times as often as the third, and so on."""
    return min(int(count ** rng.random()), count) - 1


def first_name(rank: int) -> str:
    """One of `FIRST_NAMES`, each another."""
    name = _syllables(rank * 5 + 1, 2) + ("", "a", "e")[rank * 5 // len(SYLLABLES) ** 2 % 3]
    return f"{name}-Marie" if rank % 31 == 7 else name


def last_name(rank: int) -> str:
    """One of `LAST_NAMES`, each another."""
    name = _syllables(rank * 7919 + 5, 3)
    return f"Van der {name}" if rank % 23 == 9 else f"O'{name}" if rank % 19 == 5 else name


def city_name(rank: int) -> str:
    """One of `CITIES`, each another."""
    name = _syllables(rank * 13 + 2, 2) + ENDINGS[rank * 13 // len(SYLLABLES) ** 2 % len(ENDINGS)]
    return f"St. {name}" if rank % 29 == 3 else name


def _syllables(number: int, count: int) -> str:
    parts = []
    for _ in range(count):
        number, digit = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[digit])
    return "".join(parts).capitalize()


def _action(rng: Random) -> tuple[str, str, dict[str, object]]:
    """The event's name, the page's path, the properties."""
    share, first = rng.random(), _below(rng, len(CATALOGUE))
    if share >= 0.6:
        name = "Product Added" if share < 0.8 else "Product Viewed"
        path = f"/products/{CATALOGUE[first][0].lower()}"
        more = {
            "currency": "USD",
            "position": 3,
            "coupon": "WELCOME10",
            "image_url": f"{SHOP}/images{path}-front-large.jpg",
        }
        return name, path, {**PRODUCTS[first], **more}
    chosen = [(first + offset) % len(CATALOGUE) for offset in range(1 + _below(rng, 3))]
    revenue = round(sum(CATALOGUE[index][3] for index in chosen), 2)
    order = {
        "order_id": f"CB-{10**6 + _below(rng, 9 * 10**6)}",
        "currency": "USD",
        "revenue": revenue,
        "shipping": 4.9,
        "tax": 0,
        "total": round(revenue + 4.9, 2),
        "coupon": "WELCOME10",
        "products": [PRODUCTS[index] for index in chosen],
    }
    return "Order Completed", "/checkout/thanks", order


def _below(rng: Random, limit: int) -> int:
    """Like rng.randrange(limit), in a fifth of the time."""
    return int(rng.random() * limit)


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200_000, help="events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--output", required=True, help="path of a JSON-lines file")
    options = parser.parse_args()
    write(options.output, options.count, options.seed)


if __name__ == "__main__":
    main()
