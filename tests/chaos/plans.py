"""What a seed stands for: the input, what must become of each event of it, and what goes wrong on the way.

Everything here is drawn from one `random.Random`, so a seed is the same plan every time. (When exactly a fault meets a
batch depends on the machine as well: threads race. Repeating a seed repeats the plan, and nearly always the outcome.)
"""

from __future__ import annotations

import dataclasses
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlencode

from capybeam.pipeline.sandbox.faults import POISON_ANSWERS
from capybeam.transforms.core.events import event_id

REFUSED: Final = "cursed"  # what the event_id holds of those that Meta alone knows to be bad
VENOM: Final = "venom"  # the same of those that a server may fail on
DAY: Final = 86_400

Ending = Literal["none", "kill", "interrupt", "interrupt twice"]
Proxy = Literal["none", "dead", "alive"]

# What kind of trouble a server makes, with its weight. All refuse events that are cursed, but for those that refuse or
# fail everything.
Character = Literal["noisy", "failing", "poisonous", "refusing", "braking", "narrow"]
CHARACTERS: Final[Mapping[Character, int]] = {
    "noisy": 46,  # every fault at random, and dead tokens
    "failing": 8,  # whatever is sent, for longer than anybody waits
    "poisonous": 20,  # fails where an event is venomous, with any kind of answer
    "refusing": 12,  # everything, with any code, from some request on
    "braking": 8,  # asks once for a pause that is longer than anybody waits
    "narrow": 6,  # takes no more than a few events at a time
}
UNKNOWN_CODES: Final = (6, 7, 100, 1349, 1500, 4711, 10_900, 2_147_483_648)
DESTINATION_CODES: Final = (3, 5, 10, 12, 101, 102, 104, 200, 299, 368, 803, 2500, 2635)
PASSING_CODES: Final = (1, 2, 341, 5000, 21009)
BRAKING_CODES: Final = (4, 17, 613, 80004)
LONG_WAITS: Final[tuple[Mapping[str, Any], ...]] = (
    {"retry_after": "3600"},
    {"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"},
    {"retry_after": "1e9", "throttle_status": 429},
    {"retry_minutes": 600.0},
)
DIGITS: Final = 20_000  # of a number that is none


class Conversion(NamedTuple):
    """An event for one subscription, as books and dead letters name it."""

    destination: str
    subscription: str
    event_id: str


class Stored(NamedTuple):
    """A conversion as the server knows it."""

    destination: str
    event_name: str
    event_id: str


NAMES: Final[Mapping[tuple[str, str], str]] = {
    ("web", "orders"): "Purchase",
    ("web", "carts"): "AddToCart",
    ("web", "pages"): "PageView",
    ("web", "sign_ups"): "CompleteRegistration",
    ("crm", "large_orders"): "Purchase",
    ("crm", "leads"): "Lead",
}
DATASETS: Final[Mapping[str, str]] = {"web": "11100111", "crm": "22200222"}


def stored(conversion: Conversion) -> Stored:
    return Stored(conversion.destination, NAMES[conversion.destination, conversion.subscription], conversion.event_id)


@dataclasses.dataclass
class Truth:
    """What must become of the input, known from how it was made and not from what the product makes of it.

    Attributes:
        good: conversions that Meta takes.
        refused: conversions that are valid by every rule, and that Meta refuses nevertheless.
        rejected: conversions that a rule rejects, with stage and code.
        unparsable: lines that are no event, by code.
        taken, filtered: events.
        bombs: texts of `DIGITS` digits.
    """

    good: Counter[Conversion] = dataclasses.field(default_factory=Counter)
    refused: Counter[Conversion] = dataclasses.field(default_factory=Counter)
    rejected: Counter[tuple[Conversion, str, str]] = dataclasses.field(default_factory=Counter)
    unparsable: Counter[str] = dataclasses.field(default_factory=Counter)
    taken: int = 0
    filtered: int = 0
    bombs: int = 0

    @property
    def read(self) -> int:
        return self.taken + self.filtered + self.unparsable.total()

    @property
    def sendable(self) -> Counter[Conversion]:
        return self.good + self.refused

    def matched(self, destination: str, subscription: str) -> int:
        rejected = ((conversion, n) for (conversion, _, _), n in self.rejected.items())
        return sum(
            n for conversion, n in [*self.sendable.items(), *rejected] if conversion[:2] == (destination, subscription)
        )


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What one destination's server does wrong.

    Attributes:
        faults: for `SandboxServer.set_faults`.
        brakes_at: the request from which on the next one is asked to wait for long; None where none is.
        dies_at: the token is dead from this request on; None where it lives.
        back_after: seconds until the token is good again; None where it stays dead to the end of the run.
    """

    character: Character
    faults: Mapping[str, Any]
    brakes_at: int | None = None
    dies_at: int | None = None
    back_after: float | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing fails at random, so that what becomes of each event is known."""
        return not any(self.faults[kind] for kind in (*RATES, "slow_rate")) and self.dies_at is None

    @property
    def refuses_poison(self) -> bool:
        """Whether venomous events are refused, rather than that the server fails on them."""
        return self.character == "poisonous" and self.faults["poison_answer"] in ("no_code", "text_error", "unknown")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One seed's run, by `workers`. `ends_at` is the request, counted over both servers, at which `ending` comes."""

    seed: int
    files: tuple[bytes, ...]
    truth: Truth = dataclasses.field(repr=False)
    personal: frozenset[str] = dataclasses.field(repr=False)
    tokens: Mapping[str, str] = dataclasses.field(repr=False)
    delivery: Mapping[str, Any]
    trouble: Mapping[str, Trouble]
    ending: Ending
    ends_at: int
    proxy: Proxy
    verbose: bool
    own_process: bool
    workers: int = 1

    @property
    def answers_get_lost(self) -> bool:
        """Whether a server may take events and the sender not hear of it. A machine that is busy is late, too."""
        kinds = ("drop_after_rate", "short_rate", "slow_rate", "excess_rate", "double_rate")
        is_short_of_time = self.seconds("timeout") < PATIENT
        return is_short_of_time or any(trouble.faults[kind] for trouble in self.trouble.values() for kind in kinds)

    def seconds(self, setting: str) -> float:
        """A duration of the delivery settings."""
        value = self.delivery[setting]
        return float(value[:-2]) / 1000 if value.endswith("ms") else float(value[:-1])

    def job(self, endpoints: Mapping[str, str]) -> str:
        """The job file; JSON is YAML."""
        return json.dumps({"destinations": _destinations(endpoints), "delivery": self.delivery}, indent=1)


def _destinations(endpoints: Mapping[str, str]) -> list[dict[str, Any]]:
    def destination(name: str, token: str, subscriptions: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "name": name,
            "type": "facebook_conversions_api",
            "dataset_id": DATASETS[name],
            "access_token": token,
            "endpoint": endpoints[name],
            "subscriptions": subscriptions,
        }

    signed_up = 'type = "track" and event = "Signed Up"'
    return [
        destination(
            "web",
            "env:CHAOS_WEB_TOKEN",
            [
                {"action": "purchase", "name": "orders"},
                {"action": "addToCart", "name": "carts"},
                {"action": "pageView", "name": "pages"},
                {
                    "action": "custom",
                    "name": "sign_ups",
                    "trigger": signed_up,
                    "mapping": {"event_name": "CompleteRegistration"},
                },
            ],
        ),
        destination(
            "crm",
            "file:crm.token",
            [
                {
                    "action": "purchase",
                    "name": "large_orders",
                    "trigger": 'event = "Order Completed" and properties.revenue >= 100',
                },
                {"action": "custom", "name": "leads", "trigger": signed_up, "mapping": {"event_name": "Lead"}},
            ],
        ),
    ]


PATIENT: Final = 10.0  # seconds; a time-out that no answer of these servers exceeds
RATES: Final = (
    "error_rate",
    "html_rate",
    "throttle_rate",
    "drop_before_rate",
    "drop_after_rate",
    "short_rate",
    "excess_rate",
    "double_rate",
)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    characters: dict[str, Character] = {
        name: chance.choices(tuple(CHARACTERS), tuple(CHARACTERS.values()))[0] for name in DATASETS
    }
    poison = chance.choice(tuple(POISON_ANSWERS))
    is_poisonous = "poisonous" in characters.values()
    hangs = is_poisonous and poison == "hang"  # each request with such an event costs a time-out
    share = chance.choice((0.01, 0.02) if hangs else (0.01, 0.05, 0.2, 0.6)) if is_poisonous else 0.0
    writer = _Writer(chance, share)
    count = chance.randint(100, 300)
    lines = [writer.line() for _ in range(count)]
    parts = chance.choice((1, 1, 2, 3))
    batch = chance.choice((5, 10, 20, 50))
    # A delay below the time-out and one beyond it, where anything is slow at all.
    timeout = chance.choice((0.5, 1.0)) if hangs or chance.random() < 0.4 else PATIENT
    delivery = {
        "max_batch_events": batch,
        "concurrency": chance.choice((4, 8) if hangs else (1, 2, 4, 8, 16)),
        "timeout": f"{round(timeout * 1000)}ms",
        "retry_for": chance.choice(("500ms", "1s", "2s", "4s")),
        **({"requests_per_second": chance.choice((20, 60))} if chance.random() < 0.2 else {}),
    }
    requests = max(2, writer.truth.sendable.total() // batch)
    ending: Ending = chance.choices(("none", "kill", "interrupt", "interrupt twice"), (56, 24, 14, 6))[0]
    return Plan(
        seed=seed,
        files=tuple(b"".join(line + b"\n" for line in lines[part::parts]) for part in range(parts)),
        truth=writer.truth,
        personal=frozenset(writer.personal),
        tokens={name: f"EAAB{name}{chance.getrandbits(96):024x}" for name in DATASETS},
        delivery=delivery,
        trouble={name: _trouble(chance, characters[name], poison, timeout, requests, batch) for name in DATASETS},
        ending=ending,
        ends_at=chance.randint(1, max(1, requests // 2)),
        proxy=chance.choice(("none", "dead", "alive")),
        verbose=chance.random() < 0.25,
        own_process=seed % 12 == 5,
    )


def _trouble(
    chance: random.Random, character: Character, poison: str, timeout: float, requests: int, batch: int
) -> Trouble:
    faults: dict[str, Any] = {
        **dict.fromkeys(RATES, 0.0),
        "slow_rate": 0.0,
        "slow_seconds": 0.0,
        "latency": chance.choice((0.0, 0.005, 0.02)),
        "throttle_status": chance.choice((400, 429)),
        # Not 0: without this word the sender waits a minute. Nor much usage: from 75 % on it slows down.
        "retry_minutes": chance.choice((0.003, 0.01)),
        "usage_percent": chance.choice((0, 0, 50, 77)),
        "refused_ids": REFUSED,
        "seed": chance.getrandbits(30),
    }
    if character == "failing":
        faults |= chance.choice(
            (
                {chance.choice(("error_rate", "html_rate", "drop_before_rate")): 1.0},
                {"refused_code": chance.choice((*PASSING_CODES, *BRAKING_CODES))},
            )
        )
        return Trouble(character, faults)
    if character == "refusing":
        faults |= {
            "refused_code": chance.choice(chance.choice((UNKNOWN_CODES, UNKNOWN_CODES, DESTINATION_CODES))),
            "refused_subcode": chance.choice((0, 0, 33, 1_234_567)),
            "refused_after": chance.choice((0, chance.randint(1, requests))),
        }
        return Trouble(character, faults)
    if character == "narrow":
        return Trouble(character, {**faults, "max_events": chance.randint(1, batch - 1)})
    if character == "braking":
        return Trouble(character, {**faults, **chance.choice(LONG_WAITS)}, brakes_at=chance.randint(0, requests))
    if character == "poisonous":
        faults |= {"poisoned_ids": VENOM, "poison_answer": poison}
    level = chance.choice((0.0, 0.0, 0.05) if character == "poisonous" else (0.0, 0.05, 0.1, 0.2, 0.4))
    picked = chance.sample(RATES, chance.randint(1, len(RATES)))  # of all requests, how many meet a fault
    faults |= dict.fromkeys(picked, round(level / len(picked), 3))
    if character == "poisonous":
        return Trouble(character, faults)
    if timeout < PATIENT and chance.random() < 0.8:
        faults |= {"slow_rate": 0.1, "slow_seconds": timeout * chance.choice((0.5, 1.3))}
    dies = chance.random() < 0.25
    returns = chance.random() < 0.5
    return Trouble(
        character,
        faults,
        dies_at=chance.randint(1, requests) if dies else None,
        back_after=chance.choice((0.05, 0.3)) if dies and returns else None,
    )


_ORDER: Final = {"event": "Order Completed", "type": "track"}


class _Writer:
    """Writes events of all kinds and notes in `truth` what must become of each."""

    def __init__(self, chance: random.Random, venomous: float) -> None:
        self._chance, self._venomous = chance, venomous
        self._now = int(time.time())
        self._number = 0
        self._earlier: list[tuple[bytes, Callable[[], None]]] = []
        self.truth = Truth()
        self.personal: set[str] = set()

    def line(self) -> bytes:
        chance = self._chance
        kinds: list[Callable[[], bytes]] = [self._order, self._cart, self._page, self._sign_up]
        if self._earlier and chance.random() < 0.04:  # an export may hold an event twice
            line, note = chance.choice(self._earlier)
            note()
            return line
        if chance.random() < 0.75:
            return chance.choice(kinds)()
        kinds = [self._filtered, self._broken, self._rejected, self._refused, self._bomb]
        return chance.choices(kinds, (5, 5, 12, 2, 2))[0]()

    # --- events that Meta takes, or refuses for a reason of its own ---

    def _order(self, **changes: Any) -> bytes:
        revenue = self._chance.randint(1, 200)
        properties = {"revenue": revenue, "currency": "EUR"}
        large = [("crm", "large_orders")] if revenue >= 100 else []
        event = self._event("track", event="Order Completed", properties=properties, **changes)
        return self._sendable(event, ("web", "orders"), *large)

    def _cart(self, **changes: Any) -> bytes:
        properties = {"product_id": "mug", "price": 4.5, "currency": "EUR"}
        event = self._event("track", event="Product Added", properties=properties, **changes)
        return self._sendable(event, ("web", "carts"))

    def _page(self, **changes: Any) -> bytes:
        return self._sendable(self._event("page", **changes), ("web", "pages"))

    def _sign_up(self, **changes: Any) -> bytes:
        event = self._event("track", event="Signed Up", properties={"plan": "free"}, **changes)
        return self._sendable(event, ("web", "sign_ups"), ("crm", "leads"))

    def _refused(self) -> bytes:
        make = self._chance.choice([self._order, self._cart, self._page, self._sign_up])
        return make(messageId=f"m-{REFUSED}-{self._number}")

    def _sendable(self, event: dict[str, Any], *keys: tuple[str, str]) -> bytes:
        refused = REFUSED in event["messageId"]
        if not refused and self._chance.random() < self._venomous:
            event["messageId"] = f"m-{VENOM}-{self._number}"
        elif not refused and self._chance.random() < 0.05:
            del event["messageId"]  # its event_id is then made from the content
        found = [Conversion(*key, event_id(event)) for key in keys]

        def note() -> None:
            self.truth.taken += 1
            (self.truth.refused if refused else self.truth.good).update(found)

        return self._written(json.dumps(event).encode(), note)

    def _bomb(self) -> bytes:
        """An event with a text of digits that takes for ever where it is tried as a number in every way."""
        self.truth.bombs += 1
        digits = f"{self._number}" + "9" * DIGITS + "x"
        kind = self._chance.choice(("revenue", "time", "user", "phone"))
        if kind == "revenue":
            return self._rejected_for(
                "orders", "map", "invalid_field", {**_ORDER, "properties": {"revenue": digits, "currency": "EUR"}}
            )
        if kind == "time":
            return self._rejected_for("pages", "map", "invalid_event_time", {"timestamp": digits})
        self.personal.add(digits)
        person = self._person()
        if kind == "phone":
            person["context"]["traits"]["phone"] = digits
        return self._page(**person if kind == "phone" else {"userId": digits})

    # --- events that never get that far ---

    def _filtered(self) -> bytes:
        event = self._event(self._chance.choice(["screen", "identify", "group"]))

        def note() -> None:
            self.truth.filtered += 1

        return self._written(json.dumps(event).encode(), note)

    def _broken(self) -> bytes:
        whole = json.dumps(self._event("page")).encode()
        line, code = self._chance.choice(
            [(whole[:-2], "invalid_json"), (whole + b"\xff", "invalid_utf8"), (b"[" + whole + b"]", "not_an_object")]
        )

        def note() -> None:
            self.truth.unparsable[code] += 1

        return self._written(line, note)

    def _rejected(self) -> bytes:
        """An event with one fault that a rule finds. Some have personal data where a message might quote it."""
        traits = self._person()["context"]["traits"]
        key, stage, code, changes = self._chance.choice(
            [
                ("orders", "map", "missing_required_field", {**_ORDER, "properties": {"revenue": 5}}),
                (
                    "orders",
                    "map",
                    "invalid_currency",
                    {**_ORDER, "properties": {"revenue": 5, "currency": traits["email"]}},
                ),
                ("pages", "map", "invalid_event_time", {"timestamp": traits["phone"]}),
                ("pages", "validate", "event_too_old", {"timestamp": self._time(8 * DAY)}),
                ("pages", "validate", "event_in_future", {"timestamp": self._time(-3600)}),
                (
                    "pages",
                    "validate",
                    "match_keys_too_broad",
                    {"userId": None, "context": {"userAgent": "Mozilla/5.0", "traits": {"address": {"country": "DE"}}}},
                ),
            ]
        )
        return self._rejected_for(key, stage, code, changes)

    def _rejected_for(self, key: str, stage: str, code: str, changes: Mapping[str, Any]) -> bytes:
        event = self._event("page", **changes)
        conversion = Conversion("web", key, event["messageId"])

        def note() -> None:
            self.truth.taken += 1
            self.truth.rejected[conversion, stage, code] += 1

        return self._written(json.dumps(event).encode(), note)

    # --- what events are made of ---

    def _written(self, line: bytes, note: Callable[[], None]) -> bytes:
        note()
        self._earlier.append((line, note))
        return line

    def _event(self, kind: str, **changes: Any) -> dict[str, Any]:
        self._number += 1
        return {
            "type": kind,
            "messageId": f"m-{self._number}",
            "timestamp": self._time(self._chance.randint(60, DAY)),
            "properties": {},
            **self._person(),
            **changes,
        }

    def _person(self) -> dict[str, Any]:
        number = self._chance.randint(100_000, 999_999)
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        digits = f"44207{number}"
        traits = {
            "email": f"Zephyrine.{letters}@quackmail.example",
            "phone": f"+44 207 {number}",
            "firstName": f"Zephyrine{letters}",
            "lastName": f"Quackenbush-{letters}",
            "address": {"city": f"Llanfair{letters}", "country": "GB"},
        }
        ip = f"203.0.113.{number % 256}"
        user = f"user-{number}"
        named = [traits["email"], traits["phone"], traits["firstName"], traits["lastName"], f"Llanfair{letters}"]
        self.personal |= {*map(str, named), digits, ip, user}
        mine = ["", *traits.values()][number % 5]  # of their own, in the URL of a page
        page = {"url": f"https://shop.example/?{urlencode({'p': number % 7, 'q': mine, 'utm_source': 'mail'})}"}
        return {"userId": user, "context": {"ip": ip, "userAgent": "Mozilla/5.0", "traits": traits, "page": page}}

    def _time(self, age: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self._now - age))
