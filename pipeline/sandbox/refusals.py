"""Why a request is refused, and how Meta words that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

INVALID_PARAMETER: Final = 2804019
TOO_OLD: Final = 2804003
NO_VALUE: Final = 2804009
NO_CURRENCY: Final = 2804010
BAD_LEAD_ID: Final = 2804036
TOO_BROAD: Final = 2804050

Json = dict[str, Any]


class Refusal(Exception):
    """Why a request is refused, in Meta's terms.

    ``reason`` names fields, never their values. ``where`` is for the page: Meta's answer does not name the event.
    ``rule`` is the reason without what varies from one event to the next, by default the reason. ``verbatim``: the
    message is the reason, too, where Meta's would be "Invalid parameter".
    """

    def __init__(
        self,
        reason: str,
        subcode: int | None = INVALID_PARAMETER,
        *,
        code: int = 100,
        status: int = 400,
        transient: bool = False,
        kind: str = "OAuthException",
        rule: str = "",
        verbatim: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.subcode = subcode
        self.code = code
        self.status = status
        self.transient = transient
        self.kind = kind
        self.verbatim = verbatim
        self.rule = rule or reason
        self.where = ""

    def body(self, fbtrace_id: str) -> Json:
        """The error as Meta words it. The optional keys are left out, as Meta does."""
        error: Json = {
            "message": self.reason
            if self.verbatim or self.code != 100 or self.subcode == 33 or self.kind != "OAuthException"
            else "Invalid parameter",
            "type": self.kind,
            "code": self.code,
            "is_transient": self.transient,
            "error_user_title": TITLES.get(self.subcode, "Request Refused"),
            "error_user_msg": self.reason,
            "fbtrace_id": fbtrace_id,
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": error}


TITLES: Final[Mapping[int | None, str]] = {
    33: "Unknown Object",
    463: "Session Expired",
    INVALID_PARAMETER: "Invalid Parameter",
    TOO_OLD: "Event Timestamp Too Old",
    NO_VALUE: "Missing Value for Purchase Event",
    NO_CURRENCY: "Missing Currency for Purchase Event",
    BAD_LEAD_ID: "Invalid Lead ID",
    TOO_BROAD: "Too Few Customer Information Parameters",
}


def shown(key: str) -> str:
    # A key is shown only where it looks like a name: it may be personal data.
    return key if len(key) <= 60 and key.isidentifier() else "(a key that is not a name)"


MAX_GROUPS: Final = 200
OTHER_RULES: Final = "other rules"


@dataclass
class RefusalGroup:
    """Refusals by one rule. Times are in Unix seconds; `where` is of the last one."""

    code: int
    subcode: int | None
    rule: str
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    where: str = ""
    dataset: str = ""

    def note(self, refusal: Refusal, dataset: str, now: float) -> None:
        self.first = self.first if self.count else now
        self.count, self.last, self.where, self.dataset = self.count + 1, now, refusal.where, dataset


class RefusalGroups:
    """Refused requests by code, subcode and rule: at most `MAX_GROUPS`, and one for all others."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int | None, str], RefusalGroup] = {}

    def note(self, refusal: Refusal, dataset: str, now: float) -> None:
        key = (refusal.code, refusal.subcode, refusal.rule)
        if key not in self._groups and len(self._groups) >= MAX_GROUPS:
            key = (0, None, OTHER_RULES)
        self._groups.setdefault(key, RefusalGroup(*key)).note(refusal, dataset, now)

    def newest_first(self) -> list[RefusalGroup]:
        return sorted(self._groups.values(), key=lambda group: group.last, reverse=True)
