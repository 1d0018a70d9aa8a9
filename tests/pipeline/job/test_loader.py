"""The job file as a `Job`: what it may say, and files that cannot be read."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from capybeam.pipeline.job.destinations.facebook_offline_conversions import END_OF_OFFLINE_EVENTS
from capybeam.pipeline.job.loader import ConfigError, Job, load_job
from capybeam.pipeline.job.presets import presets
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.meta.destinations import MetaDestination
from capybeam.transforms.meta.subscriptions import MetaSubscription
from tests.pipeline.job.job_files import EXAMPLES, MINIMAL, OFFLINE, TODAY, WHOLE, job, with_subscription


def test_the_smallest_job_has_every_default() -> None:
    purchase = presets()["purchase"]
    mapping = {name: node for name, node in purchase.defaults.items() if name != "app_data_field"}

    assert job(MINIMAL) == Job(
        destinations=(
            MetaDestination(
                name="web",
                token=TokenReference("env:META_ACCESS_TOKEN"),
                api_version="v25.0",
                endpoint="https://graph.facebook.com",
            ),
        ),
        subscriptions=(
            MetaSubscription(
                destination="web",
                name="purchase",
                trigger='type = "track" and event = "Order Completed"',
                mapping={**mapping, "event_name": "Purchase"},
                fields=purchase.fields,
                dataset_ids=("123321",),
                needs_user_agent=True,
                default_country=None,
                test_event_code=None,
                allow_in_custom_data=frozenset(),
                personal_data_in_text="cut",
            ),
        ),
        delivery=Delivery(
            max_batch_events=1000,
            max_batch_bytes=4194304,
            max_batch_delay=10.0,
            concurrency=8,
            requests_per_second=None,
            timeout=10.0,
            retry_for=900.0,
        ),
        warnings=(),
    )


def test_a_job_says_everything_that_the_format_has() -> None:
    made = job(WHOLE)

    assert made.destinations == (
        MetaDestination("web", TokenReference("env:META_ACCESS_TOKEN"), "v26.0", endpoint="https://graph.example.com"),
        MetaDestination("crm", TokenReference("secret:projects/acme/secrets/meta/versions/latest")),
    )
    assert made.delivery == Delivery(500, 1048576, 60.0, 4, 2.5, "envoy:8081", 1.5, 7200.0, "detailed", False)
    assert made.unwrap == "$.detail"
    assert made.warnings == ()
    orders, pages, leads = made.subscriptions
    assert [s.key for s in made.subscriptions] == ["web/orders", "web/pageView", "crm/custom"]
    assert (orders.trigger, pages.trigger, leads.trigger) == (
        'type = "track" and event = "Order Paid"',
        'type = "page"',
        "all",
    )
    assert (orders.dataset_ids, leads.dataset_ids) == (("123321",), ("456654",))
    assert (orders.default_country, orders.test_event_code, orders.allow_in_custom_data) == (
        "US",
        "TEST123",
        frozenset({"city", "age"}),
    )
    assert (leads.default_country, leads.test_event_code, leads.allow_in_custom_data) == (None, None, frozenset())
    assert (orders.personal_data_in_text, leads.personal_data_in_text) == ("allow", "cut")
    assert (orders.needs_user_agent, leads.needs_user_agent) == (True, False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("15m", 900.0), ("1h", 3600.0), ("1d", 86400.0), ("1.5m", 90.0), ("7", 7.0)],
)
def test_a_duration_is_text_with_a_unit_or_seconds(text: str, seconds: float) -> None:
    assert job(MINIMAL + f"delivery: {{retry_for: {text}}}\n").delivery == Delivery(retry_for=seconds)


def test_a_mapping_copied_from_segment_as_json_works_as_it_is() -> None:
    text = """{"destinations": [{"name": "web", "type": "facebook_conversions_api", "pixel_id": "123321",
"access_token": "env:T", "subscriptions": [{"action": "purchase", "trigger":
"type = \\"track\\" and event = \\"Order Completed\\"", "mapping": {"value": {"@path": "$.properties.total"},
"contents": {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]}}}]}]}"""

    (subscription,) = job(text).subscriptions

    assert subscription.trigger == 'type = "track" and event = "Order Completed"'
    assert {name: subscription.mapping[name] for name in ("value", "contents")} == {
        "value": {"@path": "$.properties.total"},
        "contents": {"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}}]},
    }


def test_one_definition_serves_several_subscriptions_by_an_anchor() -> None:
    text = (
        with_subscription("mapping: &mapping {action_source: email}\n".rstrip())
        + "      - action: addToCart\n        mapping: {<<: *mapping, content_type: product}\n"
    )

    _, cart = job(text).subscriptions

    assert (cart.mapping["action_source"], cart.mapping["content_type"]) == ("email", "product")


@pytest.mark.parametrize("path", ["$.detail", "$.Records[0].Sns.Message", '$["a b"].c', "$.detail-type", "$.@message"])
def test_unwrap_is_a_path(path: str) -> None:
    assert job(f"{MINIMAL}unwrap: {path!r}\n").unwrap == path


def test_two_thousand_events_may_share_a_request_where_all_wires_are_the_older() -> None:
    made = job(OFFLINE + "    wire: offline_events\ndelivery: {max_batch_events: 2000}\n")

    assert made.delivery.max_batch_events == 2000


def test_a_job_is_loaded_from_a_file_even_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "conversions.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())

    assert load_job(path, TODAY) == job(MINIMAL)


def test_windows_line_ends_are_line_ends() -> None:
    assert job(MINIMAL.replace("\n", "\r\n")) == job(MINIMAL)


def test_a_file_that_is_not_there_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path / "none.yaml", TODAY)

    assert caught.value.problems == (f"{tmp_path}/none.yaml: cannot be read: No such file or directory",)


def test_a_directory_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path, TODAY)

    assert caught.value.problems == (f"{tmp_path}: cannot be read: Is a directory",)


def test_a_file_that_is_not_text_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"name: \xff\xfe")

    with pytest.raises(ConfigError) as caught:
        load_job(tmp_path / "job.yaml", TODAY)

    assert caught.value.problems == (f"{tmp_path}/job.yaml: cannot be read: it is not UTF-8 text",)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_fine_without_a_warning_but_that_of_offline_conversions(path: Path) -> None:
    assert [warning for warning in load_job(path, TODAY).warnings if END_OF_OFFLINE_EVENTS not in warning] == []


def test_there_is_an_example() -> None:
    assert "conversions.yaml" in [path.name for path in EXAMPLES]


def test_a_job_pickles_to_an_equal_one() -> None:
    for made in (job(WHOLE), job(OFFLINE)):
        assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("part", ["job", "destination", "subscription", "delivery", "token"])
def test_a_job_is_frozen(part: str) -> None:
    made = job(MINIMAL)
    frozen: dict[str, tuple[Any, str]] = {
        "job": (made, "delivery"),
        "destination": (made.destinations[0], "api_version"),
        "subscription": (made.subscriptions[0], "trigger"),
        "delivery": (made.delivery, "timeout"),
        "token": (made.destinations[0].token, "text"),
    }
    target, name = frozen[part]

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(target, name, None)


@pytest.mark.parametrize(
    ("subscription", "unread"),
    [
        ("{action: purchase}", ["receivedAt", "sentAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {event_time: {'@path': $.originalTimestamp}}}", ["receivedAt", "sentAt"]),
        ("{action: purchase, mapping: {event_time: {'@path': '$[\"sentAt\"]'}}}", ["receivedAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {event_time: {'@template': '{{sentAt}}'}}}", ["receivedAt", "originalTimestamp"]),
        ("{action: purchase, mapping: {custom_data: {'@path': $.}}}", []),
        ("{action: purchase, mapping: {custom_data: {'@path': $}}}", ["receivedAt", "sentAt", "originalTimestamp"]),
    ],
)
def test_a_job_knows_the_clocks_that_nothing_reads(subscription: str, unread: list[str]) -> None:
    assert list(job(MINIMAL.replace("action: purchase", subscription)).unread()) == unread


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("1s", 1), ("90", 90), ("1.5m", 90), ("1h", 3600)])
def test_a_window_of_the_books_is_whole_seconds(text: str, seconds: int) -> None:
    assert job(MINIMAL + f"delivery: {{books_window: {text}}}\n").books_window == seconds
    assert job(MINIMAL).books_window == 60


@pytest.mark.parametrize("text", ["0s", "500ms", "1.5s", "true", "minute"])
def test_another_window_of_the_books_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"books_window|whole seconds|duration"):
        job(MINIMAL + f"delivery: {{books_window: {text}}}\n")
