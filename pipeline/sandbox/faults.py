"""The faults that the sandbox can simulate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple

from capybeam.pipeline.sandbox.refusals import Json

# In the order in which they happen. A request has at most one, drawn once: each rate is a share of all requests.
FAULT_KINDS: Final = ("drop_before", "error", "html", "throttle", "drop_after", "short", "excess", "double")

# How a request is answered that holds an event which the server fails on (poisoned_ids); status and body.
POISON_ANSWERS: Final[Mapping[str, tuple[int, str]]] = {
    "error": (500, '{"error":{"message":"An unknown error occurred","type":"OAuthException","code":1}}'),
    "transient": (400, '{"error":{"message":"Try again later","code":4711,"is_transient":true}}'),
    "html": (502, "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>"),
    "no_code": (400, '{"error":{"message":"Something is wrong"}}'),
    "text_code": (400, '{"error":{"message":"Something is wrong","code":"1","is_transient":"true"}}'),
    "text_error": (400, '{"error":"Something is wrong"}'),
    "unknown": (400, '{"error":{"message":"Something is wrong","type":"OAuthException","code":4711}}'),
    "silence": (200, "{}"),
    "drop": (0, ""),
    "hang": (0, ""),
}


class Switch(NamedTuple):
    """A fault that can be on or off.

    Attributes:
        name: of the field of `Faults`; the fault is off while that has its default.
        sample: a value that switches it on.
        parameters: fields that say more of it, and mean nothing while it is off.
        needs: the parameter without which it has no effect.
    """

    name: str
    sample: Any
    parameters: tuple[str, ...] = ()
    needs: str = ""


_THROTTLING: Final = ("throttle_status", "retry_minutes", "retry_after")
SWITCHES: Final = (
    Switch("error_rate", 0.1),
    Switch("throttle_rate", 0.1, _THROTTLING),
    Switch("html_rate", 0.1),
    Switch("drop_before_rate", 0.1),
    Switch("drop_after_rate", 0.1),
    Switch("short_rate", 0.1),
    Switch("excess_rate", 0.1),
    Switch("double_rate", 0.1),
    Switch("latency", 0.5),
    Switch("slow_rate", 0.1, ("slow_seconds",), needs="slow_seconds"),
    Switch("usage_percent", 90),
    Switch("fail_next", 5),
    Switch("throttle_next", 5, _THROTTLING),
    Switch("dead_token", True),
    Switch("refused_code", 200, ("refused_subcode", "refused_after")),
    Switch("max_events", 100),
    Switch("refused_ids", "order-1"),
    Switch("poisoned_ids", "order-1", ("poison_answer",)),
)


@dataclass(frozen=True)
class Faults:
    """The faults to simulate. Rates are shares of all requests, 0 to 1, and add up to at most 1.

    The rates below are drawn from `seed`, in the order in which requests arrive. Raises ``ValueError`` when a value
    is invalid.
    """

    error_rate: float = field(default=0.0, metadata={"help": "HTTP 500 with code 2, transient"})
    html_rate: float = field(default=0.0, metadata={"help": "HTTP 502 with an HTML body"})
    throttle_rate: float = field(default=0.0, metadata={"help": "code 80004, too many calls"})
    drop_before_rate: float = field(default=0.0, metadata={"help": "connection aborted, batch not processed"})
    drop_after_rate: float = field(default=0.0, metadata={"help": "batch stored, then connection aborted"})
    short_rate: float = field(default=0.0, metadata={"help": "last event neither stored nor counted as received"})
    excess_rate: float = field(default=0.0, metadata={"help": "one event more reported as received than was sent"})
    double_rate: float = field(default=0.0, metadata={"help": "the answer sent twice on the connection"})
    slow_rate: float = field(default=0.0, metadata={"help": "answers delayed by slow_seconds; with any other fault"})
    slow_seconds: float = field(default=0.0, metadata={"help": "delay of slow answers, seconds"})
    latency: float = field(default=0.0, metadata={"help": "delay of every answer, seconds"})
    throttle_status: int = field(default=400, metadata={"help": "HTTP status of throttled answers, 400 or 429"})
    retry_minutes: float = field(default=0.0, metadata={"help": "minutes to regain access, reported when throttling"})
    retry_after: str = field(default="", metadata={"help": "Retry-After of throttled answers, seconds or a date"})
    usage_percent: int = field(default=0, metadata={"help": "rate limit used, reported in the usage headers"})
    fail_next: int = field(default=0, metadata={"help": "the next n requests answer HTTP 500"})
    throttle_next: int = field(default=0, metadata={"help": "the next n requests are throttled"})
    dead_token: bool = field(default=False, metadata={"help": "every token has expired (code 190, subcode 463)"})
    refused_code: int = field(default=0, metadata={"help": "every request is refused, HTTP 400 with this code"})
    refused_subcode: int = field(default=0, metadata={"help": "the subcode of refused_code; 0 for none"})
    refused_after: int = field(default=0, metadata={"help": "the next n requests are exempt from refused_code"})
    max_events: int = field(default=0, metadata={"help": "requests of more events answer HTTP 413; 0 for no limit"})
    refused_ids: str = field(default="", metadata={"help": "events whose event_id holds this text are refused"})
    poisoned_ids: str = field(
        default="", metadata={"help": "events whose event_id holds this text make the server fail"}
    )
    poison_answer: str = field(default="error", metadata={"help": f"how it fails: {', '.join(POISON_ANSWERS)}"})
    seed: int = field(default=0, metadata={"help": "of the random draws"})

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            wanted = (int, float) if type(f.default) is float else (type(f.default),)
            if type(value) not in wanted:
                raise ValueError(f"{f.name} must be {wanted[-1].__name__}, not {type(value).__name__}")
            most = 1 if f.name.endswith("_rate") else float("inf")
            if f.name != "seed" and type(value) is not str and not 0 <= value <= most:
                raise ValueError(f"{f.name} is out of range")
        if self.throttle_status not in (400, 429):
            raise ValueError("throttle_status must be 400 or 429")
        if self.poison_answer not in POISON_ANSWERS:
            raise ValueError(f"poison_answer must be one of {', '.join(POISON_ANSWERS)}")
        if sum(getattr(self, f"{kind}_rate") for kind in FAULT_KINDS) > 1 + 1e-9:
            raise ValueError(f"{', '.join(f'{kind}_rate' for kind in FAULT_KINDS)} must add up to at most 1")

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """A copy with `changes`. Raises ``ValueError`` for an unknown name or a bad value."""
        unknown = changes.keys() - {f.name for f in fields(self)}
        if unknown:
            raise ValueError(f"unknown fault; choose from {', '.join(f.name for f in fields(self))}")
        return replace(self, **changes)

    def active(self) -> Json:
        """Those that are on, and those of their parameters that differ from their defaults."""
        found: Json = {}
        for switch in SWITCHES:
            if self.is_on(switch):
                found[switch.name] = getattr(self, switch.name)
                found.update((name, v) for name in switch.parameters if (v := getattr(self, name)) != _FIELDS[name])
        return found

    def is_on(self, switch: Switch) -> bool:
        """Whether a fault shows in answers, now or once its time has come."""
        return getattr(self, switch.name) != _FIELDS[switch.name] and bool(
            not switch.needs or getattr(self, switch.needs)
        )

    def switches(self) -> list[Json]:
        """All that can be switched on, for people: see `Switch`."""
        return [
            {
                **self._described(switch.name),
                "on": self.is_on(switch),
                "sample": {
                    switch.name: switch.sample,
                    **({switch.needs: 1.0} if switch.needs and not getattr(self, switch.needs) else {}),
                },
                "parameters": [self._described(name) for name in switch.parameters],
            }
            for switch in SWITCHES
        ]

    def _described(self, name: str) -> Json:
        default = _FIELDS[name]
        choices = {"poison_answer": list(POISON_ANSWERS), "throttle_status": [400, 429]}.get(name, [])
        described = {"name": name, "value": getattr(self, name), "default": default, "help": _HELP[name]}
        return {**described, "type": type(default).__name__, "choices": choices}


_FIELDS: Final[Mapping[str, Any]] = {f.name: f.default for f in fields(Faults)}
_HELP: Final[Mapping[str, str]] = {f.name: f.metadata["help"] for f in fields(Faults)}


class Poisoned(Exception):
    """The batch holds an event that the server fails on."""


def parse_fault(text: str) -> tuple[str, Any]:
    """``name=value`` as a change for `Faults.changed`; a name alone switches a flag on. Raises ``ValueError``."""
    name, given, value = text.partition("=")
    types: dict[str, type] = {f.name: type(f.default) for f in fields(Faults)}
    if name not in types:
        raise ValueError(f"unknown fault {name}; choose from {', '.join(types)}")
    if types[name] is bool:
        if value.lower() not in ("", "true", "false", "1", "0"):
            raise ValueError(f"{name} must be true or false")
        return name, not given or value.lower() in ("true", "1")
    try:
        return name, types[name](value)
    except ValueError:
        raise ValueError(f"{name} must be a number, as in {name}=1") from None
