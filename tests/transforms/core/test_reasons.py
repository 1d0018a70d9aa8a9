"""Reasons are counted one by one within a bound."""

from __future__ import annotations

from capybeam.transforms.core.reasons import MOST_REASONS, OTHERS, Reasons
from capybeam.transforms.core.rejections import Rejection


def refused(reason: str, meta_code: str | None = "100") -> Rejection:
    return Rejection("send", "meta_refused_event", "", meta_code=meta_code, about=reason)


def test_a_reason_is_counted_under_the_destinations_code_and_a_field_under_its_name() -> None:
    reasons = Reasons()
    assert reasons.bounded("w/s", refused("No.")) == "100 No."
    assert reasons.bounded("w/s", refused("No.", None)) == "- No."
    assert reasons.bounded("w/s", Rejection("map", "invalid_field", "", about="value")) == "value"


def test_the_reasons_beyond_the_first_few_of_a_code_are_counted_together() -> None:
    reasons = Reasons()
    found = [reasons.bounded("w/s", refused(f"Reason {number}")) for number in range(MOST_REASONS + 50)]
    assert len(set(found)) == MOST_REASONS + 1
    assert found[-1] == f"100 {OTHERS}"
    assert reasons.bounded("w/s", refused("Reason 3")) == "100 Reason 3"
    assert reasons.bounded("w/s", refused("Reason 999", "4711")) == "4711 Reason 999", "another code has its own"
    assert reasons.bounded("w/t", refused("Reason 999")) == "100 Reason 999", "and so has another subscription"
