"""ISO 4217, pinned."""

from __future__ import annotations

import pytest

from capybeam.transforms.standards.currencies import CURRENCIES, CURRENT, WITHDRAWN


def test_a_currency_is_current_or_withdrawn_in_the_last_ten_years() -> None:
    assert len(CURRENT) == 178
    assert CURRENT.isdisjoint(WITHDRAWN)
    assert all("2016-11" <= month <= "2026-11" for month in WITHDRAWN.values())
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize("code", ["EUR", "USD", "SLE", "ZWG", "XCG", "HRK", "BGN", "VEF", "BYR"])
def test_a_code_that_a_shop_may_send_is_known(code: str) -> None:
    assert code in CURRENCIES


@pytest.mark.parametrize("code", ["DEM", "LTL", "EEK", "ZMK", "FAKE", "usd", ""])
def test_a_code_that_is_gone_for_longer_is_not(code: str) -> None:
    assert code not in CURRENCIES
