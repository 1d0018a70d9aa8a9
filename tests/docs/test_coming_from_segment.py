"""The page "Coming from Segment": its example is what `import segment --compare` prints, and its rules are listed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.segment.difference_rules import Rule, rules
from tests.pipeline.segment.exports import answer, destination, subscription

ROOT = Path(__file__).parents[2]
MAPPING: dict[str, Any] = {
    "action_source": "website",
    "event_time": {"@path": "$.timestamp"},
    "event_id": {"@path": "$.messageId"},
    "currency": {"@path": "$.properties.currency"},
    "value": {"@path": "$.properties.revenue"},
    "user_data": {
        "externalId": {"@path": "$.userId"},
        "email": {"@path": "$.context.traits.email"},
        "phone": {"@path": "$.context.traits.phone"},
        "lastName": {"@path": "$.context.traits.lastName"},
        "client_user_agent": {"@path": "$.context.userAgent"},
        "fbc": {"@path": "$.properties.fbclid"},
    },
    "custom_data": {"@path": "$.properties"},
}


def order(number: int, traits: dict[str, Any], **properties: Any) -> dict[str, Any]:
    time = f"2026-11-20T10:{number:02}:00.000Z"
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order-{number}",
        "userId": f"u{number}",
        "timestamp": time,
        "receivedAt": time,
        "context": {"traits": {"email": f"jane{number}@example.com", **traits}, "userAgent": "Mozilla/5.0"},
        "properties": {"currency": "USD", "revenue": 20, **properties},
    }


EVENTS = [
    *(order(number, {}) for number in range(30)),
    *(order(number, {"phone": "+44 (0)7700 900123"}) for number in range(30, 40)),
    *(order(number, {"lastName": "O'Connor"}) for number in range(40, 46)),
    *(order(number, {}, fbclid="IwAR2F4dZx") for number in range(46, 50)),
    *(order(number, {}, email="jane@example.com") for number in range(50, 53)),
    *(order(number, {}, currency="usd") for number in range(53, 55)),
    {**order(55, {}), "receivedAt": "2026-12-04T10:00:00.000Z"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "subscriptions.json").write_bytes(answer(subscription(name="Purchase (Copy)", settings=MAPPING)))
    (tmp_path / "destination.json").write_text(json.dumps({"data": {"destination": destination()}}))
    (tmp_path / "last-week.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in EVENTS))
    return tmp_path


def test_the_comparison_prints_what_the_page_shows(folder: Path) -> None:
    page = (ROOT / "docs" / "coming-from-segment.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("capybeam") and "--compare" in line)

    result = CliRunner().invoke(main, command.split()[1:])

    assert result.exit_code == 0
    assert result.stdout.strip() in page


SECTIONS = {
    match[1].lower().replace(" ", "-"): match[2]
    for name in ("normalisation", "mapping", "operations")
    for match in re.finditer(
        r"^#+ ([^\n]+)\n(.*?)(?=^#|\Z)", (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"), re.M | re.S
    )
}


@pytest.mark.parametrize("rule", rules(), ids=[rule.name for rule in rules()])
def test_every_rule_of_the_comparison_is_a_row_of_the_section_that_it_names(rule: Rule) -> None:
    section = SECTIONS[rule.docs.partition("#")[2].lower()]

    assert f"| {rule.row}" in section
