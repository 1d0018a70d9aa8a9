"""The faults that the sandbox can simulate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

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
        """Those that differ from their defaults."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}


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
