"""`capybeam init`: a job file to start from, and one that is proposed from events."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.initial_job import initial_job, proposed_job
from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.loader import parse_job

CONTEXT = {"userAgent": "Mozilla/5.0", "traits": {"email": "jane.doe@example.com"}}


def track(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "messageId": "m", "timestamp": "2026-11-26T00:00:00Z", "context": CONTEXT,
            "properties": properties}  # fmt: skip


def proposed(*events: dict[str, Any]) -> list[dict[str, Any]]:
    text = proposed_job(events)
    assert parse_job(text).warnings == ()
    subscriptions: list[dict[str, Any]] = yaml_source.read(text, "job").data["destinations"][0]["subscriptions"]
    return subscriptions


def test_the_file_to_start_from_passes_check_without_a_warning() -> None:
    job = parse_job(initial_job())

    assert (job.warnings, len(job.subscriptions)) == ((), 8)


@pytest.mark.parametrize(
    ("event", "action"),
    [
        (track("Order Completed"), "purchase"),
        (track("order_completed"), "purchase"),
        (track("OrderCompleted"), "purchase"),
        (track("Checkout Started"), "initiateCheckout"),
        (track("Product Added"), "addToCart"),
        (track("Product Viewed"), "viewContent"),
        (track("Products Searched"), "search"),
        ({"type": "page"}, "pageView"),
        (track("Payment Info Entered"), "addPaymentInfo"),
        (track("product_added_to_wishlist"), "addToWishlist"),
        (track("Signed Up"), "completeRegistration"),
        (track("User Signed Up"), "completeRegistration"),
        (track("Live Chat Conversation Started"), "contact"),
        (track("Lead Generated"), "lead"),
        (track("Trial Started"), "startTrial"),
        (track("Subscription Started"), "subscribe"),
        (track("Product List Viewed"), "viewContent"),
        (track("Schedule"), "schedule"),
        (track("Submit Application"), "submitApplication"),
        (track("find_location"), "findLocation"),
        (track("Donate"), "donate"),
        (track("customizeProduct"), "customizeProduct"),
        (track("begin_checkout"), "initiateCheckout"),
        (track("view_item"), "viewContent"),
        (track("view_item_list"), "viewContent"),
        (track("sign_up"), "completeRegistration"),
        (track("generate_lead"), "lead"),
        (track("add_payment_info"), "addPaymentInfo"),
    ],
)
def test_names_of_segments_specs_and_metas_become_actions_however_they_are_spelt(
    event: dict[str, Any], action: str
) -> None:
    (subscription,) = proposed(event)

    assert subscription["action"] == action
    (trigger,) = [each.trigger for each in parse_job(proposed_job([event])).subscriptions]
    assert event.get("event", 'type = "page"') in trigger


def test_an_event_that_seems_to_be_meant_for_an_action_is_proposed_under_its_own_name() -> None:
    assert proposed(track("Account Created"), track("Account Created"), track("Signed Up")) == [
        {"action": "completeRegistration", "trigger": 'type = "track" and event = "Account Created"'},
        {
            "action": "completeRegistration",
            "name": "completeRegistration 2",
            "trigger": 'type = "track" and event = "Signed Up"',
        },
    ]


def test_other_places_are_looked_at_where_the_default_mapping_finds_less() -> None:
    (subscription,) = proposed(track("Order Completed", total=5), track("Order Completed", revenue=7))

    assert subscription["mapping"] == {
        "value": {"@coalesce": [{"@path": "$.properties.revenue"}, {"@path": "$.properties.total"}]}
    }


def test_places_stand_in_the_order_in_which_they_are_likely_to_be_meant() -> None:
    (subscription,) = proposed(track("Order Completed", total=5, price=1), track("Order Completed", price=1))

    assert subscription["mapping"]["value"] == {
        "@coalesce": [{"@path": "$.properties.total"}, {"@path": "$.properties.price"}]
    }


def test_a_value_that_its_field_cannot_take_is_not_found() -> None:
    events = [
        track("Order Completed", total="12,50 EUR", amount=12.5, currency="EUR"),
        track("Order Completed", total=5),
    ]

    (subscription,) = proposed(*events)

    assert subscription["mapping"] == {"value": {"@path": "$.properties.total"}}
    text = proposed_job(events)
    assert "#   value: 50 % <- required" in text
    assert "#   currency: 50 % <- required" in text


@pytest.mark.parametrize(("key", "id_"), [("products", "sku"), ("items", "item_id"), ("line_items", "variant_id")])
def test_products_are_looked_for_under_other_names(key: str, id_: str) -> None:
    events = [track("Order Completed", **{key: [{id_: "a", "quantity": 2, "price": 3}]})]

    (subscription,) = proposed(*events)

    item = {"id": {"@path": f"$.{id_}"}, "quantity": {"@path": "$.quantity"}, "item_price": {"@path": "$.price"}}
    assert subscription["mapping"] == {"contents": {"@arrayPath": [f"$.properties.{key}", item]}}
    assert "#   contents: 100 %\n" in proposed_job(events)


def test_products_without_an_id_are_not_counted_as_found() -> None:
    text = proposed_job([track("Order Completed", products=[{"name": "Mug", "quantity": 2}])])

    assert "contents" not in text


def test_comments_say_how_many_of_the_events_have_a_value() -> None:
    text = proposed_job(
        [track("Order Completed", revenue=5, currency="EUR")] * 2 + [track("Order Completed", revenue=5)]
    )

    assert "      # Order Completed: 100 %. Found by the mapping:\n" in text
    assert "      #   value: 100 %\n" in text
    assert "      #   currency: 66 % <- required: an event without it is rejected\n" in text


def test_no_value_of_an_event_and_no_personal_name_gets_into_the_file() -> None:
    secret = {"jane.doe@example.com": "v-1", "revenue": 31337, "email": "jane.doe@example.com"}
    events = [track("Order Completed", **secret), track("Mail to jane.doe@example.com"), track("Call 441632960001")]

    text = proposed_job(events)

    assert not any(part in text for part in ("jane", "example.com", "v-1", "31337", "441632960001", "Mozilla"))
    assert "#   (a name that is not shown): 33 %" in text


@pytest.mark.parametrize("name", ['a "quoted"\\ name', "x: y # z", "Жуй {{a}}", "- a", "'", "null"])
def test_any_name_of_an_event_gives_a_file_that_passes_check(name: str) -> None:
    assert proposed(track(name)) == [{"action": "pageView"}]
    assert name in proposed_job([track(name)])


def test_the_same_events_give_the_same_file_in_any_order() -> None:
    events = [track("Order Completed", total=1), track("Product Viewed"), {"type": "page"}, track("Other")]

    assert proposed_job(events) == proposed_job(events[::-1])


# --- the command ----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_is_written_once_and_overwritten_only_when_asked() -> None:
    assert (run().exit_code, Path("conversions.yaml").read_text()) == (0, initial_job())
    Path("conversions.yaml").write_text("mine")

    refused = run()
    assert (refused.exit_code, Path("conversions.yaml").read_text()) == (2, "mine")
    assert refused.stderr == (
        "capybeam: conversions.yaml: is there already; choose another --output, or overwrite it with --force\n"
    )
    assert (run("--force").exit_code, Path("conversions.yaml").read_text()) == (0, initial_job())


def test_events_are_read_as_map_reads_them_and_lines_that_are_none_are_counted() -> None:
    Path("events.jsonl").write_text(json.dumps(track("Order Completed")) + "\n\nnonsense\n")

    result = run("--from-events", "events.jsonl", "--output", "-")

    assert (result.exit_code, result.stderr) == (
        0,
        "Left out, as they are not events: 1 lines; capybeam map says why.\n",
    )
    assert result.stdout == proposed_job([track("Order Completed")])


def test_only_the_sample_is_read() -> None:
    Path("events.jsonl").write_text((json.dumps(track("Order Completed")) + "\n") * 5)

    assert "# Proposed from 2 events;" in run("--from-events", "events.jsonl", "--sample", "2", "--output", "-").stdout


def test_input_without_events_is_exit_code_2_with_one_sentence() -> None:
    Path("empty.jsonl").write_text("")
    Path("other.jsonl").write_text('{"a": 1}\n')
    with zipfile.ZipFile("events.zip", "w") as archive:
        archive.writestr("events.jsonl", "{}")

    for name in ("missing.jsonl", "empty.jsonl", "other.jsonl", "events.zip"):
        result = run("--from-events", name)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
        assert result.stderr.startswith(f"capybeam: {name}: "), result.stderr
        assert not Path("conversions.yaml").exists()
