"""Terraform as an export: what its literals, functions and references become."""

from __future__ import annotations

import json
import sys

import pytest

from capybeam.pipeline.segment.exports import read_export
from capybeam.pipeline.segment.expressions import Expression, UnreadableExport
from tests.pipeline.segment.exports import PURCHASE, TRACK

FILE = r"""
variable "currency" { default = "EUR" }
locals {
  shared = { email = { "@path" = "$.context.traits.email" } }
}
resource "segment_source" "web" { slug = "web" }
resource "segment_destination" "meta" {
  name     = "Meta"
  metadata = { id = "5f7dd8" }
  settings = jsonencode({ pixelId = "123" })
}
resource "segment_destination_subscription" "a" {
  destination_id = segment_destination.meta.id
  name           = "Purchase (Copy)"
  enabled        = true
  action_id      = "8whh4kyqahLHgTJqUwvEwh"
  trigger        = "type = \"track\" and event = \"Order Completed\""
  settings = jsonencode({
    "value" : { "@path" : "$.properties.revenue" },
    currency  = var.currency
    user_data = local.shared
    content_name = { "@template" = "{{properties.a}} \u00e9 $${x}" }
    num_items = 2
    content_type = "a-${var.currency}"
    order_id = var.unknown
    contents = concat([], [])
  })
}
resource "segment_destination_subscription" "b" {
  destination_id = "dest-2"
  name           = "A & B"
  enabled        = false
  action_id      = "an-id"
  trigger        = <<-EOT
    type = "page"
  EOT
  settings = "{\"value\":{\"@path\":\"$.x\"},\"content_name\":\"a\\\"b\"}"
}
"""


def test_every_value_that_is_in_the_file_is_read() -> None:
    export = read_export(FILE.encode(), "main.tf")
    one, two = export.subscriptions

    assert [(each.id, each.name, each.settings) for each in export.destinations] == [
        ("meta", "Meta", {"pixelId": "123"})
    ]
    assert (one.name, one.action_id, one.destination_id, one.is_enabled, one.trigger, one.label) == (
        "Purchase (Copy)", "8whh4kyqahLHgTJqUwvEwh", "meta", True, TRACK, "a",
    )  # fmt: skip
    assert one.mapping == {
        "value": {"@path": "$.properties.revenue"},
        "currency": "EUR",
        "user_data": {"email": {"@path": "$.context.traits.email"}},
        "content_name": {"@template": "{{properties.a}} é ${x}"},
        "num_items": 2,
        "content_type": "a-EUR",
        "order_id": "var.unknown",
        "contents": "concat([], [])",
    }
    assert [name for name, node in one.mapping.items() if isinstance(node, Expression)] == ["order_id", "contents"]
    assert (two.name, two.destination_id, two.is_enabled, two.trigger.strip()) == (
        "A & B",
        "dest-2",
        False,
        'type = "page"',
    )
    assert two.mapping == {"value": {"@path": "$.x"}, "content_name": 'a"b'}


SHARED = r"""
variable "least" { default = 5 }
locals {
  triggers = {
    orders    = "type = \"track\" and event = \"Order Completed\""
    "sign-up" = "type = \"track\" and event = \"Signed Up\""
  }
  base = { action_source = "website", value = 1 }
}
resource "segment_destination_subscription" "a" {
  destination_id = "d"
  name           = "Orders over ${var.least}"
  action_id      = "a"
  trigger        = %s
  settings       = %s
}
"""


@pytest.mark.parametrize(
    ("trigger", "settings", "read"),
    [
        (
            '"${local.triggers.orders} and properties.total > ${var.least}"',
            "jsonencode(merge(local.base, { value = 2, user_data = {} }))",
            (f"{TRACK} and properties.total > 5", {"action_source": "website", "value": 2, "user_data": {}}),
        ),
        (
            'local.triggers["sign-up"]',
            "jsonencode({ user_data = merge(local.base, local.base) })",
            ('type = "track" and event = "Signed Up"', {"user_data": {"action_source": "website", "value": 1}}),
        ),
        # what does not follow from the file, as people read it
        (
            '"event = \\"${terraform.workspace}\\""',
            "jsonencode({ value = merge(local.base, var.unknown) })",
            ('event = "${terraform.workspace}"', {"value": "merge(local.base, var.unknown)"}),
        ),
        (
            "local.triggers.none",
            'jsonencode({ a = 1 }) == jsonencode({ b = 1 }) ? jsonencode({ c = 1 }) : ""',
            ("local.triggers.none", None),
        ),
    ],
)
def test_shared_parts_are_put_together(trigger: str, settings: str, read: tuple[str, object]) -> None:
    (one,) = read_export((SHARED % (trigger, settings)).encode(), "main.tf").subscriptions

    assert (one.name, one.trigger, one.mapping) == ("Orders over 5", *read)


def test_locals_that_refer_to_each_other_in_a_circle_are_expressions() -> None:
    text = "locals {\n a = local.b\n b = local.a\n}\n" + FILE.replace("var.currency\n", "local.a\n")

    assert read_export(text.encode(), "main.tf").subscriptions[0].mapping["currency"] == "local.a"  # type: ignore[index]


def test_broken_terraform_is_reported_with_its_line_and_without_its_text() -> None:
    with pytest.raises(UnreadableExport) as caught:
        read_export(b'resource "segment_destination" "secret" {\n  name = = "secret"\n}\n', "main.tf")
    assert str(caught.value) == "main.tf:2: is not valid Terraform"


def test_without_python_hcl2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hcl2", None)
    with pytest.raises(UnreadableExport) as caught:
        read_export(FILE.encode(), "main.tf")
    assert str(caught.value) == "main.tf: reading Terraform needs python-hcl2: pip install 'capybeam[terraform]'"


def test_what_terraform_makes_several_of_or_may_switch_off_is_said() -> None:
    text = f"""
resource "segment_destination_subscription" "orders" {{
  count = 2
  destination_id = "d"
  name = "Orders"
  enabled = var.is_on
  action_id = "8whh4kyqahLHgTJqUwvEwh"
  trigger = "type = \\"track\\""
  settings = jsonencode({json.dumps(PURCHASE)})
}}
"""
    (found,) = read_export(text.encode(), "a.tf").subscriptions

    assert (found.is_enabled, found.doubts) == (
        True,
        (
            "enabled: is an expression of Terraform's, whose value is not in the file; taken as true",
            "count: Terraform makes subscriptions of this one by it; here it is one",
        ),
    )
