"""`check` as a command: several files, standard input, JSON, --strict, and a sample of events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.sample_paths import PathCounts, dotted, paths_of

HEAD = """\
destinations:
  - name: shop
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
"""
MAPPED = """\
        mapping:
          value: {"@path": $.properties.totl}
          contents: {"@arrayPath": [$.properties.products, {id: {"@path": $.skuu}}]}
          user_data: {email: {"@coalesce": [{"@path": $.traits.email}, {"@path": $.context.traits.email}]}}
      - action: search
"""
ORDER = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "timestamp": "2020-01-01T00:00:00Z",
    "userId": "u-1",
    "properties": {"total": 24.9, "currency": "usd", "products": [{"sku": "mug-7"}], "by": {"jo@shop.example": 1}},
    "context": {"userAgent": "Mozilla/5.0", "traits": {"email": "jane@shop.example", "loyalty_tier": "gold"}},
}
WITHOUT_CURRENCY = {**ORDER, "properties": {"total": 3}}
AT = "destinations[0].subscriptions[0]"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fine.yaml").write_text(HEAD)
    (tmp_path / "odd.yaml").write_text(HEAD + "        mapping: {content_name: $.properties.name}\n")
    (tmp_path / "bad.yaml").write_text(HEAD + "        mapping: {value: abc, content_name: $.properties.name}\n")
    (tmp_path / "mapped.yaml").write_text(HEAD + MAPPED)
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (ORDER, WITHOUT_CURRENCY)))
    return tmp_path


def run(*arguments: str, stdin: str | bytes = b"") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["check", *arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_several_files_are_checked_and_one_problem_is_enough(place: Path) -> None:
    code, out, err = run("fine.yaml", "bad.yaml")

    assert (code, out) == (2, "fine.yaml is fine: 1 destination, 1 subscription.\n")
    assert err.splitlines()[-1] == "1 problem and 1 warning in bad.yaml."


def test_standard_input_is_checked(place: Path) -> None:
    assert run("-", stdin=HEAD) == (0, "standard input is fine: 1 destination, 1 subscription.\n", "")
    assert run("-", stdin=b"\xff")[0] == 2
    assert run("-", "--against", "-", stdin=HEAD)[0] == 2


EVENT = {"type": "track", "event": "Order Completed", "messageId": "jane@example.com"}
EXPORT = {"data": {"subscriptions": [{"name": "Purchase", "trigger": 'event = "Order Completed"'}]}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{json.dumps(EVENT)}\n{json.dumps(EVENT)}\n", "it is a file of events; a job file says what becomes of them"),
        (json.dumps([EVENT, EVENT], indent=2), "it is a file of events; a job file says what becomes of them"),
        (f"\n{json.dumps(EVENT, indent=2)}\n", "it is a file of events; a job file says what becomes of them"),
        (json.dumps(EXPORT), "it is an export of Segment's; make a job file of it: capybeam import segment FILE"),
        (
            'resource "segment_destination_subscription" "a" {\n  name = "A"\n}\n',
            "it is Terraform; make a job file of it: capybeam import segment FILE",
        ),
    ],
)
def test_what_is_no_job_file_is_named_as_what_it_is(place: Path, text: str, reason: str) -> None:
    (place / "other").write_text(text)

    assert run("other") == (2, "", f"other: cannot be read: {reason}\n1 problem in other.\n")


def test_a_job_file_may_be_json(place: Path) -> None:
    destination = {"name": "shop", "type": "facebook_conversions_api", "dataset_id": "1", "access_token": "env:T"}
    job = {"destinations": [{**destination, "subscriptions": [{"action": "purchase"}]}]}
    (place / "job.json").write_text(json.dumps(job))

    assert run("job.json")[0] == 0


def test_strict_makes_warnings_errors(place: Path) -> None:
    code, out, err = run("odd.yaml")
    assert (code, err.endswith("(warning)\n")) == (0, True)
    assert "odd.yaml is fine" in out

    code, out, err = run("--strict", "odd.yaml")
    assert (code, out, err.splitlines()[-1]) == (2, "", "1 problem in odd.yaml.")


def test_json_has_an_object_a_finding_and_nothing_else(place: Path) -> None:
    code, out, err = run("--format", "json", "fine.yaml", "bad.yaml", "none.yaml")

    assert (code, err) == (2, "")
    assert [(each["file"], each["line"], each["column"], each["severity"]) for each in objects(out)] == [
        ("bad.yaml", 8, 19, "error"),
        ("bad.yaml", 8, 31, "warning"),
        ("none.yaml", None, None, "error"),
    ]
    assert objects(out)[2]["message"] == "cannot be read: No such file or directory"


def test_a_sample_shows_what_is_never_there_missing_and_mapped_nowhere(place: Path) -> None:
    code, out, _ = run("--format", "json", "mapped.yaml", "--against", "events.jsonl")

    assert code == 0
    assert [(each["line"], each["severity"], each["message"]) for each in objects(out)] == [
        (
            1,
            "info",
            "destinations: mapped nowhere, of 2 events: $.properties.total (2), $.context.traits.loyalty_tier (2),"
            " $.properties.products[].sku (1)".replace(
                "$.properties.total (2), $.context.traits.loyalty_tier (2)",
                "$.context.traits.loyalty_tier (2), $.properties.total (2)",
            ),
        ),
        (
            7,
            "warning",
            f"{AT}: shop/purchase: currency, which is required, would be missing in 1 of 2 events",
        ),
        (7, "warning", f"{AT}: shop/purchase: value, which is required, would be missing in 2 of 2 events"),
        (
            7,
            "info",
            f"{AT}: shop/purchase: the default mapping finds nothing for event_source_url, referrer_url, order_id",
        ),
        (
            9,
            "warning",
            f"{AT}.mapping.value.@path: $.properties.totl is in none of the 2 events that shop/purchase takes;"
            " nearest: $.properties.total (2)",
        ),
        (
            10,
            "warning",
            f"{AT}.mapping.contents.@arrayPath[1].id.@path: $.properties.products[].skuu is in none of the 2 events"
            " that shop/purchase takes; nearest: $.properties.products[].sku (1)",
        ),
        (
            11,
            "info",
            f"{AT}.mapping.user_data.email.@coalesce[0].@path: $.traits.email is in none of the 2 events that"
            " shop/purchase takes; nearest: $.context.traits.email (2)",
        ),
        (12, "warning", "destinations[0].subscriptions[1]: shop/search takes none of the 2 events"),
    ]


def test_values_of_events_are_never_shown(place: Path) -> None:
    _, out, err = run("mapped.yaml", "--against", "events.jsonl")

    said = out + err
    assert [text for text in ("jane", "jo@", "gold", "mug-7", "24.9", "Order Completed") if text in said] == []


def test_a_sample_is_as_large_as_asked_for_and_strict_holds_for_it(place: Path) -> None:
    code, out, _ = run("--strict", "mapped.yaml", "--against", "events.jsonl", "--sample", "1")

    assert code == 2
    assert out.startswith("events.jsonl: 1 event, of which 1 are taken")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "none.jsonl: No such file or directory"),
        ("empty.jsonl", b"", "empty.jsonl: "),
        ("blank.jsonl", b"\n\n", "blank.jsonl: "),
        ("a.zip", b"PK\x03\x04", "a.zip: "),
    ],
)
def test_a_sample_that_cannot_be_read_ends_with_a_sentence(
    place: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (place / name).write_bytes(content)

    code, _, err = run("fine.yaml", "--against", name)

    assert (code, err.startswith(f"capybeam: {message}"), len(err.splitlines())) == (2, True, 1)


def test_offline_events_have_their_own_places(place: Path) -> None:
    (place / "stores.yaml").write_text(
        "destinations:\n  - name: stores\n    type: facebook_offline_conversions\n"
        "    access_token: env:T\n    events:\n      Order Completed: '5'\n      Product Viewed: '5'\n"
    )

    _, out, _ = run("--format", "json", "stores.yaml", "--against", "events.jsonl")

    assert {(each["line"], each["column"]) for each in objects(out) if "takes none" in each["message"]} == {(7, 7)}


def test_paths_are_counted_within_bounds_and_without_keys_that_are_data() -> None:
    counts = PathCounts()
    for number in range(40):
        counts.add(paths_of({"properties": {"a": {"b": {f"k{number}": 1}}, "x": [{"y": 1}], "12345": 1, "é@b": 2}}))

    assert sorted((dotted(keys), count) for keys, count in counts.leaves()) == [("$.properties.x[].y", 40)]
    deep: Any = 1
    for _ in range(100):
        deep = {"k": deep}
    assert max(map(len, paths_of(deep))) == 8
    assert len(paths_of({f"k{'x' * (n % 40)}_{n % 999}": 1 for n in range(20_000)})) <= 5_000


def test_events_that_are_called_like_those_of_an_action_that_the_job_lacks_are_counted(place: Path) -> None:
    names = ["Signed Up", "signed_up", "Subscribe", "Jane Doe Added", "Order Completed", "Product Viewed"]
    events = [{**ORDER, "event": name} for name in names]
    (place / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    (place / "two.yaml").write_text(HEAD + '      - action: viewContent\n        trigger: event = "Product Seen"\n')

    _, out, _ = run("--strict", "--format", "json", "two.yaml", "--against", "events.jsonl")

    said = [each for each in objects(out) if "by the name" in each["message"]]
    assert [(each["severity"], each["message"]) for each in said] == [
        (
            "info",
            "destinations: 2 events taken by no subscription, by the name meant for `action: completeRegistration`,"
            " which sends CompleteRegistration",
        ),
        (
            "info",
            "destinations: 1 event taken by no subscription, by the name meant for `action: subscribe`,"
            " which sends Subscribe",
        ),
    ]


def test_a_part_of_the_default_mapping_that_a_job_file_repeats_is_no_mistake_of_the_file(place: Path) -> None:
    (place / "repeated.yaml").write_text(
        HEAD
        + """\
        mapping:
          value: {"@path": $.properties.total}
          contents: {"@arrayPath": [$.properties.products, {id: {"@path": $.product_id},
            quantity: {"@path": $.quantity}, item_price: {"@path": $.price}}]}
          user_data:
            email: {"@path": $.context.traits.email}
            phone: {"@coalesce": [{"@path": $.context.traits.phone}, {"@path": $.traits.phone}]}
            city: {"@path": $.context.traits.city}
"""
    )

    _, out, _ = run("--format", "json", "repeated.yaml", "--against", "events.jsonl")

    said = [(each["severity"], each["message"]) for each in objects(out)]
    assert [message for severity, message in said if severity == "warning" and "in none" in message] == [
        f"{AT}.mapping.user_data.city.@path: $.context.traits.city is in none of the 2 events that shop/purchase takes;"
        " nearest: $.context.traits (2), $.context.traits.email (2)"
    ]
    (nothing,) = [message for severity, message in said if severity == "info" and "default mapping" in message]
    assert nothing.endswith(
        "for event_source_url, referrer_url, user_data.phone, order_id, contents.id, contents.quantity,"
        " contents.item_price"
    )


def test_events_without_consent_are_counted_by_what_they_say(place: Path) -> None:
    consent = "    consent: {any_of: Ads}\n    subscriptions:"
    (place / "asks.yaml").write_text(HEAD.replace("    subscriptions:", consent))
    preferences = ({"Ads": True}, {"Ads": False}, {"ads": True}, {})
    orders = [{**ORDER, "context": {"consent": {"categoryPreferences": each}}} for each in preferences]
    (place / "some.jsonl").write_text("".join(json.dumps(each) + "\n" for each in orders))
    (place / "none.jsonl").write_text("".join(json.dumps(each) + "\n" for each in orders[1:]))

    def consents(events: str) -> list[tuple[str, str]]:
        _, out, _ = run("--format", "json", "asks.yaml", "--against", events)
        found = [(each["severity"], each["message"]) for each in objects(out)]
        return [each for each in found if "consent" in each[1] or "takes none" in each[1]]

    at = f"{AT}: shop/purchase:"
    assert consents("some.jsonl") == [
        ("info", f"{at} 3 of 4 events would be filtered, for they have no consent: refused 1, unknown 2")
    ]
    assert consents("none.jsonl") == [
        ("warning", f"{at} 3 of 3 events would be filtered, for they have no consent: refused 1, unknown 2")
    ]


def test_a_rejection_names_the_field_and_no_value(place: Path) -> None:
    orders = [{**ORDER, "properties": {"revenue": revenue, "currency": "USD"}} for revenue in ("12,50", "n/a", 3)]
    (place / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in orders) + "not an event\n")

    _, out, _ = run("--format", "json", "fine.yaml", "--against", "events.jsonl")

    assert [each["message"] for each in objects(out) if each["severity"] == "warning"] == [
        "events.jsonl: 1 row is not an event, invalid_json: The line is not valid JSON.",
        f"{AT}: shop/purchase: 2 of 3 events would be rejected, invalid_field: value should be a number.",
    ]
