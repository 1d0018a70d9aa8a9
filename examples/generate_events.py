"""Makes up five days in the life of a small web shop, as Segment events: JSON lines, about 1 kB each.

    python examples/generate_events.py --count 10000 --seed 7 --output examples/events.jsonl

Visitors browse, search, buy, sign up, use the app, order by phone; about one line in a hundred is broken on purpose,
in every way that `BROKEN` lists. The same seed and the same `--now` give the same bytes. Nobody in here exists:
addresses are at example.com, .org and .net, phone numbers come from the ranges that regulators keep for films, IP
addresses from RFC 5737 and RFC 3849.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import string
import sys
import unicodedata
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Literal

Json = dict[str, Any]

SHOP = "https://shop.example.com"
SPAN = timedelta(days=5)  # Meta refuses events older than seven days: leave time to send them
LONGEST_VISIT = timedelta(hours=1)
BROKEN_SHARE = 0.01


# --- People and places ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """Where a visitor lives, in the spellings that people type. In `phones`, every # is a digit."""

    code: str
    share: int
    currency: str
    per_dollar: float
    locale: str
    timezone: str
    spellings: tuple[str, ...]
    places: tuple[tuple[str, str, str], ...]  # city, state, postal code
    women: tuple[str, ...]
    men: tuple[str, ...]
    families: tuple[str, ...]
    phones: tuple[str, ...] = ()  # none where no range is kept for fiction


COUNTRIES = (
    Country(
        "US", 40, "USD", 1, "en-US", "America/New_York",
        ("United States", "USA", "us", "US", "United States of America"),
        (("New York", "NY", "10001"), ("San Francisco", "California", "94103-1234"), ("St. Louis", "mo", "63101"),
         ("Phoenix", "AZ", "85001"), ("Coeur d'Alene", "Idaho", "83814")),
        ("Mary", "Aaliyah", "Anne-Marie", "Renée", "Mei 梅"), ("James", "José", "D'Andre", "DeShawn", "Łukasz"),
        ("Smith", "O'Connor", "O\u2019Brien", "Nuñez", "van der Berg", "St. James", "王"),
        ("+1 (212) 555-01##", "(415) 555-01##", "314.555.01##", "1-602-555-01##", "20855501##", "+121255501##"),
    ),
    Country(
        "CA", 8, "CAD", 1.4, "fr-CA", "America/Toronto",
        ("Canada", "ca", "CA"),
        (("Montréal", "Québec", "H2X 1Y4"), ("Toronto", "ON", "m5v 2t6"), ("Vancouver", "British Columbia", "V6B-1A1")),
        ("Chloé", "Maïté", "Emma"), ("Étienne", "Liam", "Jean-François"), ("Tremblay", "Côté", "MacDonald"),
        ("+1 514 555 01##", "(416) 555-01##", "604-555-01##"),
    ),
    Country(
        "GB", 14, "GBP", 0.8, "en-GB", "Europe/London",
        ("United Kingdom", "UK", "gb", "GB", "Great Britain"),
        (("London", "England", "SW1A 1AA"), ("Manchester", "", "M1 1AE"), ("Cardiff", "Wales", "cf10 1ep")),
        ("Siân", "Zoë", "Olivia"), ("Oliver", "Rhys", "Seán"), ("Jones", "Brontë", "Smith-Jones", "D'Arcy"),
        ("020 7946 0###", "+44 20 7946 0###", "+44 (0)161 496 0###", "07700 900###", "00447700900###"),
    ),
    Country(
        "IE", 3, "EUR", 0.9, "en-IE", "Europe/Dublin",
        ("Ireland", "ie", "IE"), (("Dublin", "Co. Dublin", "D02 AF30"), ("Dún Laoghaire", "Co. Dublin", "A96 X4C2")),
        ("Aoife", "Róisín"), ("Cillian", "Pádraig"), ("Ó Súilleabháin", "O'Neill", "Murphy"),
        ("020 91# ####", "+353 20 91# ####"),
    ),
    Country(
        "DE", 12, "EUR", 0.9, "de-DE", "Europe/Berlin",
        ("Germany", "Deutschland", "de", "DE"),
        (("München", "Bayern", "80331"), ("Köln", "NRW", "50667"), ("Frankfurt am Main", "Hessen", "60311")),
        ("Käthe", "Lena", "Jördis"), ("Jürgen", "Björn", "Max"), ("Müller", "Größmann", "Weiß", "von der Heide"),
        ("030 23125 ###", "+49 30 23125###", "(089) 99998-###", "0171/39200##", "0049 171 39200##"),
    ),
    Country(
        "FR", 9, "EUR", 0.9, "fr-FR", "Europe/Paris",
        ("France", "fr", "FR"),
        (("Paris", "Île-de-France", "75018"), ("Saint-Étienne", "", "42000"), ("Nîmes", "Occitanie", "30000")),
        ("Valérie", "Inès", "Anaïs"), ("François", "Valéry", "Loïc"), ("Lefèvre", "D'Hérouville", "Dupont", "Çelik"),
        ("01 99 00 ## ##", "+33 1 99 00 ## ##", "06.39.98.##.##", "0033639980###"),
    ),
    Country(
        "SE", 4, "SEK", 10.5, "sv-SE", "Europe/Stockholm",
        ("Sweden", "Sverige", "se", "SE"), (("Göteborg", "Västra Götaland", "411 03"), ("Malmö", "Skåne", "211 19")),
        ("Åsa", "Linnéa"), ("Göran", "Håkan"), ("Ångström", "Öberg", "Lindqvist"),
        ("08-465 004 ##", "+46 8 465 004 ##", "070-174 06 4#"),
    ),
    Country(
        "AU", 5, "AUD", 1.5, "en-AU", "Australia/Sydney",
        ("Australia", "au", "AU", "AUS"), (("Sydney", "New South Wales", "2000"), ("Melbourne", "VIC", "3000")),
        ("Charlotte", "Isla"), ("Jack", "Noah"), ("Nguyễn", "Williams", "O'Malley"),
        ("(02) 5550 ####", "+61 2 5550 ####", "03 5550 ####"),
    ),
    Country(
        "KR", 2, "KRW", 1400, "ko-KR", "Asia/Seoul",
        ("South Korea", "Republic of Korea", "kr", "대한민국"), (("서울", "서울", "04524"), ("Busan", "", "48058")),
        ("지우", "서연"), ("민준", "정"), ("김", "이", "박"),
    ),
    Country(
        "TW", 1, "TWD", 32, "zh-TW", "Asia/Taipei",
        ("Taiwan", "tw", "臺灣"), (("臺北市", "", "100"), ("Kaohsiung", "", "800")),
        ("美玲", "淑芬"), ("志明", "偉"), ("陳", "林", "歐陽"),
    ),
    Country(
        "AE", 2, "AED", 3.7, "ar-AE", "Asia/Dubai",
        ("United Arab Emirates", "UAE", "ae"), (("دبي", "دبي", ""), ("Abu Dhabi", "Abu Dhabi", "")),
        ("فاطمة", "ليلى"), ("محمد", "يوسف"), ("الحسن", "Al-Farsi"),
    ),
)  # fmt: skip

WOMAN = ("female", "Female", "f", "F")
MAN = ("male", "Male", "m", "M")
BIRTHDAYS = ("%Y-%m-%d", "%m/%d/%Y", "%Y%m%d", "%Y-%m-%dT00:00:00.000Z", "%d.%m.%Y")

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15"
BROWSERS = (
    f"{WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
    f"{WINDOWS} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36 Edg/153.0.0.0",
    f"{MAC} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:154.0) Gecko/20100101 Firefox/154.0",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Mobile Safari/537.36",
    f"{IPHONE} (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1",
    f"{IPHONE} (KHTML, like Gecko) Mobile/22H20 [FBAN/FBIOS;FBAV/540.0.0.38.107;FBBV/796480128;FBDV/iPhone16,1]",
)

HANDSETS = (  # library, device type, manufacturer, model, operating system, its version
    ("analytics-swift", "ios", "Apple", "iPhone16,1", "iOS", "26.1"),
    ("analytics-kotlin", "android", "Google", "Pixel 9", "Android", "16"),
)

# --- The shop ---------------------------------------------------------------------------------------------------------

CATALOGUE = (  # id, name, category, price in dollars
    ("CAPY-001", "Capybara Bath Towel", "Bath", 24.5),
    ("CAPY-002", "Yuzu Bath Salts", "Bath", 12.9),
    ("CAPY-003", "Hot Spring Robe", "Bath", 89.0),
    ("CAPY-004", "Reed Basket", "Home", 34.0),
    ("CAPY-005", "Riverbank Lamp, small", "Home", 119.0),
    ("CAPY-006", "Wool Blanket “Pampa”", "Home", 149.95),
    ("CAPY-007", "Nap Hammock", "Garden", 199.0),
    ("CAPY-008", "Water Lily Set (6)", "Garden", 42.0),
    ("CAPY-009", "Grass Seeds 1 kg", "Garden", 9.99),
    ("CAPY-010", "Mate Cup", "Kitchen", 18.0),
    ("CAPY-011", "Picnic Plates", "Kitchen", 27.5),
    ("CAPY-012", "Copper Kettle", "Kitchen", 74.0),
)
SEARCHES = ("towel", "hot spring robe", "geschenk für mama", "mate", "hammock 2 person", "lámpara", "담요", "gift < 20")
COUPONS = ("", "", "", "WELCOME10", "VIP")
CAMPAIGNS = (("newsletter", "email", "november"), ("fb", "paid_social", "hot-spring-sale"), ("ads", "cpc", "brand"))
UNMAPPED_MAIL = ("Email Delivered", "Email Opened", "Email Link Clicked")


# --- Visitors ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visitor:
    """Somebody with a browser or a phone, and what the shop learns once they sign in."""

    country: Country
    anonymous_id: str
    user_id: str | int
    traits: Json
    ip: str
    browser: str
    handset: tuple[str, ...]
    allows_tracking: bool
    click_id: str | None  # the fbclid of the ad that brought them
    browser_id: str | None  # the pixel's _fbp cookie
    known: bool


def _uuid(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _characters(rng: Random, count: int) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=count))


def _email(rng: Random, name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    local = ".".join("".join(filter(str.isalnum, word)) for word in ascii_name.split()).strip(".") or "customer"
    plain = f"{local}{rng.randrange(1000)}@example.{rng.choice(('com', 'org', 'net'))}"
    spellings = (plain.upper(), plain.title(), f"  {plain} ", plain.replace("@", "+shop@"), _sha256(plain))
    return plain if rng.random() < 0.8 else rng.choice(spellings)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _phone(rng: Random, country: Country) -> str | None:
    if not country.phones or rng.random() < 0.2:
        return None
    return "".join(rng.choice(string.digits) if c == "#" else c for c in rng.choice(country.phones))


def _ip(rng: Random) -> str:
    if rng.random() < 0.25:
        address = "2001:db8:" + ":".join(f"{rng.getrandbits(16):x}" for _ in range(6))
        bracketed = f"[{address}]"
    else:
        address = bracketed = f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"
    return f"{bracketed}:{rng.randrange(1024, 65536)}" if rng.random() < 0.04 else address


def _traits(rng: Random, country: Country) -> Json:
    """What a profile holds. Nobody fills in everything, and the keyboard decides on NFC or NFD."""
    woman = rng.random() < 0.5
    first, last = rng.choice(country.women if woman else country.men), rng.choice(country.families)
    form: Literal["NFC", "NFD"] = "NFD" if rng.random() < 0.2 else "NFC"
    city, state, postal_code = rng.choice(country.places)
    birthday = date(1950, 1, 1) + timedelta(days=rng.randrange(20_000))
    traits = {
        "email": _email(rng, f"{first} {last}"),
        "phone": _phone(rng, country),
        "firstName": unicodedata.normalize(form, first),
        "lastName": unicodedata.normalize(form, last),
        "birthday": birthday.strftime(rng.choice(BIRTHDAYS)),
        "gender": rng.choice(WOMAN if woman else MAN) if rng.random() < 0.95 else "non-binary",
        "address": {
            "street": f"{rng.randrange(1, 200)} Example Street",
            "city": unicodedata.normalize(form, city),
            "state": state,
            "postalCode": postal_code,
            "country": rng.choice(country.spellings),
        },
    }
    forgotten = [key for key in ("birthday", "gender", "address", "phone") if rng.random() < 0.12]
    return {key: value for key, value in traits.items() if key not in forgotten}


def _visitor(rng: Random, now: datetime, known: bool) -> Visitor:
    country = rng.choices(COUNTRIES, [country.share for country in COUNTRIES])[0]
    customer = rng.randrange(10_000, 100_000)
    first_seen = _milliseconds(now) - rng.randrange(90 * 86_400_000)
    return Visitor(
        country=country,
        anonymous_id=_uuid(rng),
        user_id=customer if rng.random() < 0.03 else f"user_{customer}",
        traits=_traits(rng, country),
        ip=_ip(rng),
        browser=rng.choice(BROWSERS),
        handset=rng.choice(HANDSETS),
        allows_tracking=rng.random() < 0.6,
        click_id=f"IwAR{_characters(rng, 57)}" if rng.random() < 0.15 else None,
        browser_id=f"fb.1.{first_seen}.{rng.randrange(10**9, 10**10)}" if rng.random() < 0.7 else None,
        known=known,
    )


# --- Calls of one visit -----------------------------------------------------------------------------------------------


@dataclass
class Visit:
    """One visit: a clock, and the calls that Segment's libraries make as it moves on."""

    rng: Random
    visitor: Visitor
    clock: datetime
    signed_in: bool = field(init=False)
    context: Callable[[Visit, str], Json] = field(init=False)  # what the library sends along, given the path

    def __post_init__(self) -> None:
        self.signed_in = self.visitor.known
        self.context = _browser_context

    def call(self, kind: str, path: str, **content: object) -> Json:
        """One event of the given type, some seconds after the last."""
        self.clock += timedelta(milliseconds=self.rng.randrange(2_000, 90_000))
        context = self.context(self, path)
        if self.signed_in and kind != "identify":
            context["traits"] = self.visitor.traits
        received = _iso(self.clock + timedelta(milliseconds=self.rng.randrange(40, 3_000)))
        return {
            "type": kind,
            **content,
            "messageId": _uuid(self.rng),
            "anonymousId": self.visitor.anonymous_id,
            **({"userId": self.visitor.user_id} if self.signed_in else {}),
            "context": context,
            "timestamp": _iso(self.clock),
            "sentAt": received,
            "receivedAt": received,
        }

    def track(self, event: str, path: str, **properties: object) -> Json:
        """A track call with the pixel's identifiers beside its properties, as shops send them."""
        visitor = self.visitor
        if visitor.browser_id and self.context is _browser_context:
            properties["fbp"] = visitor.browser_id
            if visitor.click_id and self.rng.random() < 0.5:
                properties["fbc"] = f"fb.1.{_milliseconds(self.clock) - 60_000}.{visitor.click_id}"
        return self.call("track", path, event=event, properties=properties)

    def page(self, name: str, path: str) -> Json:
        """A page call, which repeats the page's address in its properties."""
        event = self.call("page", path, name=name, properties={})
        event["properties"] = {"name": name, **event["context"]["page"]}
        return event

    def identify(self) -> Json:
        """The visitor signs in: an identify call, with the traits at its root."""
        self.signed_in = True
        return self.call("identify", "/account", traits={**self.visitor.traits, "createdAt": _iso(self.clock)})


def _browser_context(visit: Visit, path: str) -> Json:
    """What analytics.js sends along."""
    visitor, search = visit.visitor, ""
    context: Json = {
        "ip": visitor.ip,
        "userAgent": visitor.browser,
        "locale": visitor.country.locale,
        "timezone": visitor.country.timezone,
        "library": {"name": "analytics.js", "version": "npm:next-1.84.0"},
    }
    if visitor.click_id:
        search = f"?fbclid={visitor.click_id}"
    elif visit.rng.random() < 0.15:
        source, medium, name = visit.rng.choice(CAMPAIGNS)
        search = f"?utm_source={source}&utm_medium={medium}&utm_campaign={name}"
        context["campaign"] = {"source": source, "medium": medium, "name": name}
    context["page"] = {
        "path": path,
        "referrer": visit.rng.choice(("", f"{SHOP}/", "https://search.example.net/")),
        "search": search,
        "title": "Capybara Supplies",
        "url": f"{SHOP}{path}{search}",
    }
    return context


def _app_context(visit: Visit, path: str) -> Json:
    """What the mobile libraries send along; a screen has no address."""
    visitor = visit.visitor
    library, device_type, manufacturer, model, system, version = visitor.handset
    return {
        "ip": visitor.ip,
        "app": {"name": "Capybara", "namespace": "com.example.capybara", "version": "5.2.1", "build": "521"},
        "device": {
            "id": visitor.anonymous_id,
            "type": device_type,
            "manufacturer": manufacturer,
            "model": model,
            "adTrackingEnabled": visitor.allows_tracking,
        },
        "os": {"name": system, "version": version},
        "screen": {"width": 393, "height": 852, "density": 3},
        "network": {"carrier": "Example Mobile", "wifi": True, "cellular": False},
        "locale": visitor.country.locale,
        "timezone": visitor.country.timezone,
        "library": {"name": library, "version": "1.7.3"},
    }


def _server_context(visit: Visit, path: str) -> Json:
    """What a server sends along: nothing of the visitor."""
    return {"library": {"name": "analytics-python", "version": "2.3.4"}}


def _product(rng: Random, country: Country) -> Json:
    product_id, name, category, dollars = rng.choice(CATALOGUE)
    quantity = rng.choice((1, 1, 1, 2, 3))
    return {
        "product_id": product_id,
        "sku": f"{product_id}-{rng.choice('SML')}",
        "name": name,
        "category": category,
        "brand": "Example & Sons",
        "price": _money(dollars * country.per_dollar, country),
        "quantity": quantity,
        "url": f"{SHOP}/products/{product_id.lower()}",
    }


def _money(amount: float, country: Country) -> float:
    return round(amount) if country.currency == "KRW" else round(amount, 2)


def _order(visit: Visit, products: list[Json], **more: object) -> Json:
    """An "Order Completed", after Segment's e-commerce specification."""
    rng, country = visit.rng, visit.visitor.country
    revenue = _money(sum(product["price"] * product["quantity"] for product in products), country)
    shipping = _money(4.9 * country.per_dollar, country)
    delivery = rng.choice(("home_delivery", "home_delivery", "in_store", "curbside"))
    number = rng.randrange(10**5, 10**6)
    return visit.track(
        "Order Completed",
        "/checkout/thanks",
        order_id=f"CB-{number}",
        currency=country.currency,
        revenue=str(revenue) if rng.random() < 0.03 else revenue,  # some shops send numbers as text
        shipping=shipping,
        total=_money(revenue + shipping, country),
        coupon=rng.choice(COUPONS),
        products=[{**product, "delivery_category": delivery} for product in products],
        **more,
    )


# --- Stories ----------------------------------------------------------------------------------------------------------


def browse(visit: Visit) -> Iterator[Json]:
    """Somebody looks around in the shop, and one in four buys."""
    rng, currency = visit.rng, visit.visitor.country.currency
    yield visit.page("Home", "/")
    if rng.random() < 0.35:
        yield visit.track("Products Searched", "/search", query=rng.choice(SEARCHES))
    if rng.random() < 0.04:
        yield visit.track("Lead Submitted", "/wholesale", form="wholesale", topic="Price list")
    cart: list[Json] = []
    for _ in range(rng.randrange(1, 4)):
        product = _product(rng, visit.visitor.country)
        path = f"/products/{product['product_id'].lower()}"
        yield visit.page("Product", path)
        yield visit.track("Product Viewed", path, currency=currency, **product)
        if rng.random() < 0.45:
            cart.append(product)
            yield visit.track("Product Added", path, currency=currency, cart_id=f"cart_{len(cart)}", **product)
    if cart:
        yield visit.track("Cart Viewed", "/cart", currency=currency, products=cart)
    if cart and rng.random() < 0.55:
        yield from _check_out(visit, cart)


def _check_out(visit: Visit, cart: list[Json]) -> Iterator[Json]:
    if not visit.signed_in:
        yield visit.identify()
        if visit.rng.random() < 0.5:
            yield visit.track("Signed Up", "/account", method=visit.rng.choice(("email", "sso")), plan="standard")
    country = visit.visitor.country
    revenue = _money(sum(product["price"] * product["quantity"] for product in cart), country)
    items = sum(product["quantity"] for product in cart)
    yield visit.track(
        "Checkout Started", "/checkout", currency=country.currency, revenue=revenue, num_items=items, products=cart
    )
    if visit.rng.random() < 0.7:
        yield _order(visit, cart)


def use_app(visit: Visit) -> Iterator[Json]:
    """Somebody opens the app, looks at screens, and sometimes buys."""
    visit.context = _app_context
    yield visit.track("Application Opened", "", from_background=visit.rng.random() < 0.5)
    for name in ("Home", "Product", "Cart")[: visit.rng.randrange(1, 4)]:
        yield visit.call("screen", "", name=name, properties={"category": "shop"})
    if visit.rng.random() < 0.4:
        visit.signed_in = True
        yield _order(visit, [_product(visit.rng, visit.visitor.country)], action_source="app")


def order_by_phone(visit: Visit) -> Iterator[Json]:
    """The office types an order in: no browser, no page, now and then no message id."""
    visit.context, visit.signed_in = _server_context, True
    spelling = visit.rng.choice(("action_source", "actionSource"))
    order = _order(visit, [_product(visit.rng, visit.visitor.country)], **{spelling: "phone_call"})
    if visit.rng.random() < 0.3:
        del order["messageId"]
    milliseconds = _milliseconds(visit.clock)
    order["timestamp"] = visit.rng.choice((order["timestamp"], milliseconds, milliseconds // 1000))
    yield order


def read_mail(visit: Visit) -> Iterator[Json]:
    """The mailing tool reports what nobody maps."""
    visit.context, visit.signed_in = _server_context, True
    for event in UNMAPPED_MAIL[: visit.rng.randrange(1, 4)]:
        yield visit.track(event, "", campaign_name="november", email_id=_uuid(visit.rng))


STORIES: tuple[tuple[int, Callable[[Visit], Iterator[Json]]], ...] = (
    (85, browse),
    (7, use_app),
    (2, order_by_phone),
    (6, read_mail),
)


# --- Broken lines -----------------------------------------------------------------------------------------------------

Breaker = Callable[[Json], bytes]
PIXEL_IDS = ("properties.fbp", "properties.fbc")


def _line(line: bytes) -> Breaker:
    """The order is replaced by something else."""
    return lambda order: line


def _set(path: str, value: object, *, without: Iterable[str] = ()) -> Breaker:
    """One value of the order is another, and perhaps some are missing."""

    def breaker(order: Json) -> bytes:
        parent, key = _find(order, path)
        parent[key] = value
        return _without(*without)(order)

    return breaker


def _without(*paths: str) -> Breaker:
    """Some values of the order are missing."""

    def breaker(order: Json) -> bytes:
        for path in paths:
            parent, key = _find(order, path)
            parent.pop(key, None)
        return encode(order)

    return breaker


def _raw(path: str, raw: bytes) -> Breaker:
    """One value of the order is replaced by bytes that no encoder would write."""
    return lambda order: _set(path, "⚑")(order).replace('"⚑"'.encode(), raw)


def _find(order: Json, path: str) -> tuple[Json, str]:
    """The object that holds the value at the path, and the value's key in it."""
    *parents, key = path.split(".")
    holder: Any = order
    for parent in parents:
        holder = holder[int(parent)] if isinstance(holder, list) else holder[parent]
    return holder, key


BROKEN: dict[str, Breaker] = {  # each takes a sound order of the web shop and spoils it
    # Not an event
    "cut line": lambda order: encode(order)[:-40],
    "array": _line(b'["Order Completed", 42]'),
    "string": _line(b'"Order Completed"'),
    "number": _line(b"42"),
    "empty object": _line(b"{}"),
    "blank line": _line(b""),
    "white space": _line(b" \t "),
    # JSON on which parsers disagree
    "bad UTF-8": _raw("context.traits.lastName", b'"M\xfcller"'),
    "NUL byte": _raw("context.traits.lastName", b'"Smith\x00"'),
    "NUL escape": _raw("context.traits.lastName", b'"Smith\\u0000"'),
    "lone surrogate": _raw("context.traits.lastName", b'"Smith \\ud83d"'),
    "400 digits": _raw("properties.revenue", b"7" * 400),
    "NaN": _raw("properties.revenue", b"NaN"),
    "400 levels": _raw("properties.extra", b'{"a":' * 400 + b"1" + b"}" * 400),
    # Refused by Meta, or by us before Meta does
    "from 1970": _set("timestamp", "1970-01-01T00:00:00.000Z"),
    "from 2100": _set("timestamp", "2100-01-01T00:00:00.000Z"),
    "unreadable time": _set("timestamp", "the day before yesterday"),
    "no currency": _without("properties.currency"),
    "unknown currency": _set("properties.currency", "QQQ"),
    "value abc": _set("properties.revenue", "abc"),
    "unknown action_source": _set("properties.action_source", "carrier_pigeon"),
    "unknown delivery_category": _set("properties.products.0.delivery_category", "by_river"),
    "website without user agent": _without("context.userAgent"),
    "no user data": _set("properties.action_source", "other", without=("userId", "anonymousId", "context", *PIXEL_IDS)),
    # Odd, but fine
    "padded currency": _set("properties.currency", " eur "),
    "100 levels": _raw("properties.extra", b'{"a":' * 100 + b"1" + b"}" * 100),
    "byte order mark": lambda order: b"\xef\xbb\xbf" + encode(order),
    "CRLF": lambda order: encode(order) + b"\r",
}


# --- All together -----------------------------------------------------------------------------------------------------


def events(count: int, seed: int, now: datetime) -> Iterator[bytes]:
    """Yields `count` lines without their newline: the same for the same arguments.

    Timestamps lie in the five days before `now`, which has a time zone. One line in a hundred is broken, but each sort
    in `BROKEN` comes at least once (as far as `count` goes), so that a short file has more of them.
    """
    rng = Random(seed)
    broken = _broken_lines(rng, count)
    begin, span = now - SPAN, SPAN - LONGEST_VISIT
    visits = _visits(rng, lambda number: begin + span * (number / count))
    for number in range(count):
        if number in broken:
            yield BROKEN[broken[number]](_sound_order(rng, begin + span * (number / count)))
        else:
            yield encode(next(visits))


def _broken_lines(rng: Random, count: int) -> dict[int, str]:
    """Line number → sort, spread evenly, the sorts by turns."""
    sorts = list(BROKEN)
    total = min(count, max(len(sorts), round(count * BROKEN_SHARE)))
    step = count // max(total, 1)
    return {turn * step + rng.randrange(step): sorts[turn % len(sorts)] for turn in range(total)}


def _visits(rng: Random, time_of: Callable[[int], datetime]) -> Iterator[Json]:
    """Events of one visit after the other, for ever; `time_of` says when a visit that begins with event n happens."""
    shares, stories = zip(*STORIES, strict=True)
    regulars: deque[Visitor] = deque(maxlen=500)
    number = 0
    while True:
        start = time_of(number)
        if regulars and rng.random() < 0.25:
            visitor = rng.choice(regulars)
        else:
            visitor = _visitor(rng, start, known=rng.random() < 0.4)
            regulars.append(visitor)
        for event in rng.choices(stories, shares)[0](Visit(rng, visitor, start)):
            number += 1
            yield event


def _sound_order(rng: Random, start: datetime) -> Json:
    visit = Visit(rng, _visitor(rng, start, known=True), start)
    return _order(visit, [_product(rng, visit.visitor.country)])


def encode(event: Json) -> bytes:
    """One line, as the event's library writes it: Python escapes everything that is not ASCII."""
    if "context" in event and event["context"]["library"]["name"] == "analytics-python":
        return json.dumps(event).encode()
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="lines (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    parser.add_argument(
        "--now", type=_time, default=datetime.now(timezone.utc), help="ISO 8601, UTC unless it says otherwise"
    )
    parser.add_argument("--output", default="-", help="a path, or - for standard output, the default")
    options = parser.parse_args(arguments)
    lines = (line + b"\n" for line in events(options.count, options.seed, options.now))
    if options.output == "-":
        sys.stdout.buffer.writelines(lines)
    else:
        with Path(options.output).open("wb") as file:
            file.writelines(lines)


if __name__ == "__main__":
    main()
