"""Job files for the tests, and what they load as."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from capybeam.pipeline.job.loader import ConfigError, Job, parse_job

TODAY = date(2026, 11, 22)
EXAMPLES = sorted(
    path for path in (Path(__file__).parents[3] / "examples").glob("*.yaml") if not path.name.endswith(".test.yaml")
)
TOKEN = "EAABsbCS1iHgBAExampleExampleExample"

# The smallest job; tests put their lines in place of one of these.
MINIMAL = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
"""

# The format as the design has it.
WHOLE = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    api_version: v26.0
    endpoint: https://graph.example.com/
    test_event_code: TEST123
    default_country: us
    allow_in_custom_data: [city, age]
    personal_data_in_text: allow
    subscriptions:
      - action: purchase
        name: orders
        trigger: type = "track" and event = "Order Paid"
        use_default_mapping: true
        mapping:
          action_source: website
          value: {"@path": "$.properties.total"}
      - action: pageView
  - name: crm
    type: facebook_conversions_api
    pixel_id: 456654
    access_token: secret:projects/acme/secrets/meta/versions/latest
    subscriptions:
      - action: custom
        trigger: all
        use_default_mapping: false
        mapping:
          event_name: Lead
          event_time: {"@path": $.timestamp}
          action_source: system_generated
          user_data: {email: {"@path": $.traits.email}}
delivery:
  max_batch_events: 500
  max_batch_bytes: 1048576
  max_batch_delay: 1m
  concurrency: 4
  requests_per_second: 2.5
  share_unused_rate: false
  rate_limit_service: envoy:8081
  timeout: 1500ms
  retry_for: 2h
  receipts: detailed
unwrap: $.detail
"""

# The same for offline conversions.
OFFLINE = """\
destinations:
  - name: stores
    type: facebook_offline_conversions
    access_token: env:META_ACCESS_TOKEN
    events: {Order Completed: "555"}
"""

TOKEN_PROBLEM = (
    "must be a reference to the token, not the token itself: env:NAME, file:PATH or"
    " secret:projects/P/secrets/S/versions/V"
)
NAME_PROBLEM = "must consist of letters, digits, spaces, dots, dashes and underscores"


def job(text: str) -> Job:
    return parse_job(text, "job.yaml", TODAY)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        job(text)
    return caught.value.problems


def with_line(line: str) -> str:
    """The minimal job with one more line in its destination, at line 5, column 5."""
    return MINIMAL.replace("    access_token", f"    {line}\n    access_token")


def with_subscription(lines: str) -> str:
    """The minimal job with `lines` in its subscription, from line 8, column 9 on."""
    return MINIMAL + "".join(f"        {line}\n" for line in lines.splitlines())


def with_action(action: str, lines: str = "") -> str:
    return with_subscription(lines).replace("action: purchase", f"action: {action}")
