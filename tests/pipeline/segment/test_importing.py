"""An export as a job file: what is carried over, what is a comment, and what the report says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.job.yaml_source import read
from capybeam.pipeline.segment.exports import read_export
from capybeam.pipeline.segment.importing import Imported, NothingToImport, import_segment
from tests.pipeline.segment.exports import PURCHASE, TOKEN, TRACK, answer, destination, subscription

LEAD = {**PURCHASE, "event_name": "Lead"}


def imported(*subscriptions: dict[str, Any], settings: Any = None, **options: Any) -> Imported:
    document = [{"data": {"destination": destination(**(settings or {}))}}, json.loads(answer(*subscriptions))]
    return import_segment(read_export(json.dumps(document).encode(), "a.json"), **options)


def written(result: Imported) -> Any:
    parse_job(result.text)  # as `check`
    return read(result.text, "job").data["destinations"]


def test_a_destination_comes_with_its_dataset_its_triggers_and_its_mappings() -> None:
    result = imported(subscription())

    assert written(result) == [
        {
            "name": "Shop web",
            "type": "facebook_conversions_api",
            "dataset_id": "123321",
            "access_token": "env:META_ACCESS_TOKEN",
            "subscriptions": [
                {
                    "action": "purchase",
                    "name": "Purchase (Copy)",
                    "trigger": TRACK,
                    "use_default_mapping": False,
                    "mapping": {
                        **{
                            name: PURCHASE[name]
                            for name in ("action_source", "event_time", "event_id", "currency", "value")
                        },
                        "user_data": {key: node for key, node in PURCHASE["user_data"].items() if key != "city"},
                        "app_data_field": {"use_app_data": False},
                    },
                }
            ],
        }
    ]
    assert result.is_whole
    assert result.report == (
        "destination Shop web:",
        "  access_token: read from META_ACCESS_TOKEN in the environment",
        "  accessToken: a secret in the export; it is not written into the job file",
        "  Purchase (Copy): purchase",
        "    user_data.city: left out; it is empty",
        "    app_data_field.anonId: left out; app_data_field has no such key, at Segment neither",
        "    enable_batching: left out; batches are the job's (`delivery`)",
        "    batch_size: left out; batches are the job's (`delivery`)",
        "    __segment_internal_sync_mode: left out; it is Segment's own",
        "    user_data.fbc: an fbc is made of the click ID here; Segment sends it as it is, which Meta cannot use",
    )


def test_the_same_export_gives_the_same_job_file() -> None:
    assert imported(subscription()) == imported(subscription())


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"actionSlug": "purchase2"}, "purchase"),
        ({"actionSlug": "custom2", "settings": LEAD}, "custom"),
        ({"actionSlug": None, "actionId": "cKRefik3FJxeKpj45W5WMo"}, "pageView"),
        (
            {"actionSlug": None, "actionId": "3d5gFs6q9sfwJVAYPDyGQc", "settings": LEAD},
            "custom",
        ),
        (
            {"actionSlug": None, "actionId": "evdcEYsm4uM3LNKtFqLBR4", "settings": LEAD},
            "custom",
        ),
        ({"actionSlug": None, "actionId": "mine"}, "viewContent"),
        ({"actionSlug": None, "actionId": "an-id"}, "search"),  # the destination's catalogue says so
    ],
)
def test_actions_are_known_by_their_slug_their_second_variant_or_their_id(changes: dict[str, Any], action: str) -> None:
    (wrote,) = written(imported(subscription(**changes), actions={"mine": "viewContent"}))

    assert [each["action"] for each in wrote["subscriptions"]] == [action]


def test_an_unknown_action_id_is_asked_for_by_name_with_what_it_probably_is() -> None:
    result = imported(
        subscription(), subscription(name="Begin", actionSlug=None, actionId="new-id", trigger='type="page"')
    )

    assert not result.is_whole
    assert (
        "  Begin: a comment only: its action ID (new-id) is unknown; look it up in Segment's app, and say for example"
        " --action new-id=pageView" in result.report
    )
    assert [each["name"] for each in written(result)[0]["subscriptions"]] == ["Purchase (Copy)"]


def test_an_action_that_segment_does_not_have_is_never_what_an_export_means() -> None:
    result = imported(subscription(), subscription(name="Leads", actionSlug="lead"))

    assert not result.is_whole
    assert (
        "  Leads: a comment only: the action lead is unknown; there are purchase, initiateCheckout, addToCart,"
        " viewContent, search, pageView, custom" in result.report
    )
    subscribers = subscription(name="Subscribe", actionSlug=None, actionId="new-id", trigger='type = "group"')
    assert any("--action new-id=purchase" in line for line in imported(subscription(), subscribers).report)


def test_a_disabled_subscription_is_a_comment_that_works_when_it_is_taken_back_in() -> None:
    result = imported(subscription(), subscription(name="A & B", enabled=False))

    assert result.is_whole
    assert [each["name"] for each in written(result)[0]["subscriptions"]] == ["Purchase (Copy)"]
    comment = result.text[result.text.index("      # A & B: disabled at Segment.") :].splitlines()[1:]
    uncommented = result.text.replace(
        "\n".join(comment), "\n".join(line.replace("      # ", "      ", 1) for line in comment)
    )
    assert [each.name for each in parse_job(uncommented).subscriptions] == ["Purchase (Copy)", "A & B"]


def test_where_all_are_disabled_they_are_written_and_stay_disabled() -> None:
    result = imported(subscription(enabled=False))

    assert written(result)[0]["subscriptions"][0]["enabled"] is False
    assert parse_job(result.text).subscriptions == ()


NAMES = [
    ("Subscription Started & Estimate Created", "Subscription Started & Estimate Created"),
    ("  two\nlines ", "two lines"),
    ("", "purchase"),
    ("x" * 300, "x" * 190),
    (TOKEN, "unnamed"),
]


@pytest.mark.parametrize(("name", "kept"), NAMES)
def test_names_are_kept_where_a_job_file_can_have_them(name: str, kept: str) -> None:
    assert written(imported(subscription(name=name)))[0]["subscriptions"][0]["name"] == kept


def test_equal_names_are_numbered_and_that_is_reported() -> None:
    result = imported(subscription(), subscription())

    assert [each["name"] for each in written(result)[0]["subscriptions"]] == ["Purchase (Copy)", "Purchase (Copy) 2"]
    assert "    name: changed; names are unique lines of text here" in result.report


def test_a_field_that_cannot_be_mapped_here_is_a_comment_and_the_rest_goes_on() -> None:
    result = imported(subscription(settings={**PURCHASE, "content_name": {"@pth": "$.a"}}))

    assert not result.is_whole
    assert "content_name" not in written(result)[0]["subscriptions"][0]["mapping"]
    assert '# content_name: {"@pth": $.a}' in result.text
    (lost,) = [line for line in result.report if "lost" in line]
    assert lost.startswith("    lost: content_name: has an invalid directive: @pth")


BROKEN = {
    "a required field": ({"settings": {**PURCHASE, "value": {"@nope": 1}}}, "value: has an invalid directive: @nope"),
    "the trigger": ({"trigger": 'email = "a"'}, "trigger: "),
    "the action": ({"actionSlug": "sendThing"}, "the action sendThing is unknown; there are purchase, "),
    "settings": ({"settings": "[1"}, "its settings are not an object"),
}


@pytest.mark.parametrize(("changes", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_subscription_that_cannot_be_one_is_a_comment_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    result = imported(subscription(name="Good"), subscription(name="Bad", **changes))

    assert not result.is_whole
    assert [each["name"] for each in written(result)[0]["subscriptions"]] == ["Good"]
    (line,) = [line for line in result.report if line.startswith("  Bad: ")]
    assert line.startswith(f"  Bad: a comment only: {reason}")


SECRETS: dict[str, dict[str, Any]] = {
    "in a field": {"settings": {**PURCHASE, "content_name": f"see {TOKEN}"}},
    "in a key called so": {"settings": {**PURCHASE, "custom_data": {"api_key": TOKEN.lower()}}},
    "in a required field": {"settings": {**PURCHASE, "value": {"@template": TOKEN}}},
    "in an unknown field": {"settings": {**PURCHASE, "token": TOKEN}},
    "in a trigger": {"trigger": f'event = "{TOKEN}"'},
    "in a disabled one": {"enabled": False, "settings": {**PURCHASE, "content_name": TOKEN}},
    "in an action": {"actionSlug": TOKEN},
    "in an action id": {"actionSlug": "", "actionId": TOKEN},
}


@pytest.mark.parametrize("changes", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_of_an_export_is_written_nowhere(changes: dict[str, Any]) -> None:
    settings = {"settings": {"pixelId": "123321", "accessToken": TOKEN, "testEventCode": TOKEN}, "name": TOKEN}
    result = imported(subscription(name="Good"), subscription(**changes), settings=settings)

    assert TOKEN.lower() not in (result.text + "\n".join(result.report)).lower()
    assert written(result)[0]["subscriptions"][0]["name"] == "Good"


def test_a_destination_of_another_kind_is_left_out() -> None:
    other = destination(id="dest-2", name="Analytics", metadata={"slug": "actions-google-analytics-4"})
    result = import_segment(
        read_export(
            json.dumps([other, destination(), subscription(), subscription(destinationId="dest-2")]).encode(), "a"
        )
    )

    assert [each["name"] for each in written(result)] == ["Shop web"]
    assert "Analytics: left out: it goes to actions-google-analytics-4" in result.report
    assert result.is_whole


def test_without_a_dataset_id_zeros_stand_in_and_that_is_reported() -> None:
    result = import_segment(read_export(answer(subscription()), "a.json"))

    assert (written(result)[0]["name"], written(result)[0]["dataset_id"]) == ("meta", "000000000000000")
    assert "  dataset_id: is not in the export; replace the zeros, or give --dataset-id" in result.report
    given = import_segment(read_export(answer(subscription()), "a.json"), dataset_id="77")
    assert written(given)[0]["dataset_id"] == "77"


def test_a_page_of_several_is_not_the_whole() -> None:
    assert not import_segment(read_export(answer(subscription(), next="MQ=="), "a.json")).is_whole


def test_a_destination_without_subscriptions_says_what_is_missing() -> None:
    with pytest.raises(NothingToImport, match=r"GET /destinations/\{id\}/subscriptions"):
        import_segment(read_export(json.dumps(destination()).encode(), "a.json"))


def test_an_action_may_be_an_object_of_its_own() -> None:
    nested = {"actionSlug": None, "actionId": None, "action": {"id": "8whh4kyqahLHgTJqUwvEwh", "slug": "purchase"}}

    assert [each["action"] for each in written(imported(subscription(**nested)))[0]["subscriptions"]] == ["purchase"]


def test_without_an_action_that_is_said() -> None:
    result = imported(subscription(), subscription(name="Odd", actionSlug=None, actionId=None))

    assert (
        "  Odd: a comment only: the export does not say which action it is: it has neither an actionSlug nor an"
        " actionId" in result.report
    )
    assert result.left_out == ("Odd",)


@pytest.mark.parametrize("appends", [True, {"@path": "$.properties.late"}])
def test_what_appends_to_earlier_purchases_is_never_carried_over_as_purchases(appends: Any) -> None:
    settings = {**PURCHASE, "is_append_event": appends, "append_event_details": {"original_event_id": "1"}}

    result = imported(subscription(), subscription(name="Late", actionSlug="purchase2", settings=settings))

    assert [each["name"] for each in written(result)[0]["subscriptions"]] == ["Purchase (Copy)"]
    assert (
        "  Late: a comment only: is_append_event: appends to earlier purchases at Segment; here such events would be"
        " further purchases" in result.report
    )


def test_a_purchase2_that_appends_nothing_is_a_purchase() -> None:
    settings = {
        **PURCHASE,
        "is_append_event": False,
        "append_event_details": {},
        "order_id": {"@path": "$.properties.id"},
    }
    result = imported(subscription(actionSlug="purchase2", settings=settings))

    assert result.is_whole
    assert written(result)[0]["subscriptions"][0]["mapping"]["order_id"] == {"@path": "$.properties.id"}
    assert [(each.key, each.action) for each in result.subscriptions] == [("Shop web/Purchase (Copy)", "purchase2")]
