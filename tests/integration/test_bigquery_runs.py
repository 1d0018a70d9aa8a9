"""From tables of a BigQuery emulator, by the graph, to the sandbox; dead letters and receipts into tables."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
import pytest
from apache_beam.testing.util import assert_that, equal_to
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.loader import parse_job
from capybeam.pipeline.run.execute import replay_job, run_job
from capybeam.pipeline.run.exit_codes import CONFIGURATION, DEAD_LETTERS, FAILED, OK, REFUSED
from capybeam.pipeline.run.request import Outputs, RunRequest
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.sinks import SinkError, dead_letters, receipts
from capybeam.pipeline.sinks.tables import prepare_table
from capybeam.pipeline.sources import ANY_TIME, NoInput, ReadOptions, TimeRange
from capybeam.pipeline.sources.bigquery import open_source
from capybeam.transforms.core.dead_letters import ReplayFilter
from capybeam.transforms.core.events import UnreadableRow
from capybeam.transforms.core.run_context import RunContext
from tests.integration.conftest import PROJECT, BigQuery

pytestmark = pytest.mark.slow

NOW = time.time()
DAY = 86_400


def field(name: str, type_: str = "STRING", mode: str = "NULLABLE", fields: tuple[Any, ...] = ()) -> Any:
    from google.cloud.bigquery import SchemaField

    return SchemaField(name, type_, mode, fields=fields)


def iso(age: float) -> str:
    """The time so many seconds ago, as Segment writes it."""
    at = dt.datetime.fromtimestamp(int(NOW - age), dt.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


ORDER_COLUMNS = [
    ("id", "STRING"),
    ("user_id", "STRING"),
    ("timestamp", "TIMESTAMP"),
    ("event", "STRING"),
    ("event_text", "STRING"),
    ("context_ip", "STRING"),
    ("context_user_agent", "STRING"),
    ("context_page_url", "STRING"),
    ("context_traits_email", "STRING"),
    ("revenue", "FLOAT"),
    ("currency", "STRING"),
    ("products", "STRING"),
    ("loaded_at", "TIMESTAMP"),
]


def order(number: int, age: float = 600, **changes: Any) -> dict[str, Any]:
    """A row of Segment's table order_completed."""
    return {
        "id": f"order-{number}",
        "user_id": f"user-{number}",
        "timestamp": iso(age),
        "event": "order_completed",
        "event_text": "Order Completed",
        "context_ip": "192.0.2.7",
        "context_user_agent": "Mozilla/5.0",
        "context_page_url": "https://shop.example/thanks",
        "context_traits_email": f"jane{number}@example.com",
        "revenue": number + 0.5,
        "currency": "EUR",
        "products": '[{"product_id":"mug","quantity":1,"price":9.5}]',
        "loaded_at": iso(0),
        **changes,
    }


def order_event(number: int, age: float = 600) -> dict[str, Any]:
    """The event of that row."""
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"order-{number}",
        "userId": f"user-{number}",
        "timestamp": iso(age),
        "context": {
            "ip": "192.0.2.7",
            "userAgent": "Mozilla/5.0",
            "page": {"url": "https://shop.example/thanks"},
            "traits": {"email": f"jane{number}@example.com"},
        },
        "properties": {
            "revenue": number + 0.5,
            "currency": "EUR",
            "products": [{"product_id": "mug", "quantity": 1, "price": 9.5}],
        },
    }


def orders(big_query: BigQuery, rows: list[dict[str, Any]], table: str = "order_completed") -> str:
    return big_query.make_table(table, [field(*column) for column in ORDER_COLUMNS], rows)


def read(text: str, expected: list[Any], between: TimeRange = ANY_TIME) -> str:
    """Reads an input, as a whole and in parts, and asserts what comes; what is said of its extent."""
    source = open_source(text, ReadOptions(between, project=PROJECT))
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | source.read, equal_to(expected))
    assert source.split is not None
    equal_to(expected)([event for part in source.split(1, 2) for event in part.read(RunContext())])
    return source.extent


# --- reading ----------------------------------------------------------------------------------------------------


def test_a_warehouse_table_is_read_as_the_events_that_were_sent(big_query: BigQuery) -> None:
    text = orders(big_query, [order(1), order(2, 8 * DAY), order(3, 70 * DAY)])
    extent = read(text, [order_event(1), order_event(2, 8 * DAY), order_event(3, 70 * DAY)])
    assert extent == ("3 rows, 2 older than the 7 days that Meta takes, 1 older than the 62 days of store events")


@pytest.mark.parametrize(
    ("since", "until", "numbers"),
    [(NOW - 3 * DAY, None, [1, 2]), (None, NOW - DAY, [2, 3]), (NOW - 3 * DAY, NOW - DAY, [2])],
    ids=["since", "until", "between"],
)
def test_since_and_until_are_about_the_events_time(
    big_query: BigQuery, since: float | None, until: float | None, numbers: list[int]
) -> None:
    ages = {1: 600, 2: 2 * DAY, 3: 5 * DAY}
    text = orders(big_query, [order(number, age) for number, age in ages.items()])
    read(text, [order_event(number, ages[number]) for number in numbers], TimeRange(since, until))


@pytest.mark.parametrize(("type_", "literal"), [("DATETIME", "%Y-%m-%dT%H:%M:%S"), ("DATE", "%Y-%m-%d")])
def test_since_is_about_columns_of_other_types_too(big_query: BigQuery, type_: str, literal: str) -> None:
    ages = (1 * DAY, 30 * DAY)
    times = [dt.datetime.fromtimestamp(NOW - age, dt.timezone.utc).strftime(literal) for age in ages]
    rows = [{"id": str(number), "event_text": "E", "timestamp": at} for number, at in enumerate(times)]
    text = big_query.make_table("t", [field("id"), field("event_text"), field("timestamp", type_)], rows)
    source = open_source(text, ReadOptions(TimeRange(since=NOW - 10 * DAY), project=PROJECT))
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | source.read | beam.Map(lambda event: event["messageId"]), equal_to(["0"]))


@pytest.mark.parametrize(
    ("between", "ids"),
    [
        (TimeRange(since=NOW), ["tomorrow"]),
        (TimeRange(since=NOW - DAY), ["today", "tomorrow"]),
        (TimeRange(until=NOW), ["yesterday", "today"]),
        (TimeRange(until=NOW - DAY), ["yesterday"]),
    ],
)
def test_an_event_of_a_date_happened_as_the_day_began(big_query: BigQuery, between: TimeRange, ids: list[str]) -> None:
    days = {"yesterday": NOW - DAY, "today": NOW, "tomorrow": NOW + DAY}
    rows = [
        {"id": name, "event_text": "E", "timestamp": f"{dt.datetime.fromtimestamp(at, dt.timezone.utc):%Y-%m-%d}"}
        for name, at in days.items()
    ]
    text = big_query.make_table("t", [field("id"), field("event_text"), field("timestamp", "DATE")], rows)
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = (
            pipeline
            | open_source(text, ReadOptions(between, project=PROJECT)).read
            | beam.Map(lambda event: event["messageId"])
        )
        assert_that(found, equal_to(ids))


@pytest.mark.parametrize("type_", ["STRING", "JSON", "BYTES"])
def test_a_column_of_json_is_read_as_lines(big_query: BigQuery, type_: str) -> None:
    event = json.dumps(order_event(1))
    stored = base64.b64encode(event.encode()).decode() if type_ == "BYTES" else event
    rows = [{"payload": stored, "received_at": iso(0)}, {"payload": None, "received_at": iso(9 * DAY)}]
    text = big_query.make_table("archive", [field("payload", type_), field("received_at", "TIMESTAMP")], rows)
    source = open_source(text, ReadOptions(TimeRange(), project=PROJECT))
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = pipeline | source.read | beam.Map(lambda line: orjson.loads(line) if type(line) is bytes else line)
        assert_that(found, equal_to([order_event(1), UnreadableRow({"payload": None})]))
    assert source.extent.startswith("2 rows, 1 older than the 7 days")


@pytest.mark.parametrize("type_", ["STRING", "JSON"])
def test_without_a_column_of_time_ages_are_those_of_the_events(big_query: BigQuery, type_: str) -> None:
    payloads = [json.dumps(order_event(n, age)) for n, age in enumerate((60, 8 * DAY, 70 * DAY))]
    payloads += ['{"timestamp": "some day"}', '{"type": "page"}'] + ["{broken"] * (type_ == "STRING")
    text = big_query.make_table("archive", [field("payload", type_)], [{"payload": text} for text in payloads])
    extent = open_source(text, ReadOptions(ANY_TIME, project=PROJECT)).extent
    assert extent.startswith(f"{len(payloads)} rows, 2 older than the 7 days that Meta takes, 1 older")


@pytest.mark.parametrize(
    ("ids", "said", "times"),
    [
        pytest.param(["a", "b"], "", {}, id="every row has an id"),
        pytest.param(
            ["a", None], "; 1 without id", {"sentAt": "2026-11-22T10:00:00.000Z"}, id="an event_id is to be made"
        ),
    ],
)
def test_clocks_that_the_job_does_not_read_are_left_out(
    big_query: BigQuery, ids: list[str | None], said: str, times: dict[str, str]
) -> None:
    columns = [field("id"), field("event_text"), field("timestamp", "TIMESTAMP"), field("sent_at", "TIMESTAMP")]
    rows = [
        {"id": id_, "event_text": "E", "timestamp": iso(60), "sent_at": "2026-11-22T10:00:00Z", "total": 5}
        for id_ in ids
    ]
    text = big_query.make_table("e", [*columns, field("total", "INTEGER")], rows)
    source = open_source(text, ReadOptions(ANY_TIME, project=PROJECT, unread=("sentAt",)))
    common = {"type": "track", "event": "E", "timestamp": iso(60), **times, "properties": {"total": 5}}
    with beam.Pipeline("FnApiRunner") as pipeline:
        expected = [common if id_ is None else {**common, "messageId": id_} for id_ in ids]
        assert_that(pipeline | source.read, equal_to(expected))
    assert source.extent.endswith(f"store events{said}")


def test_only_tracks_are_reported_to_have_no_properties(big_query: BigQuery) -> None:
    columns = [field(*column) for column in ORDER_COLUMNS[:9]]
    row = {name: value for name, value in order(1).items() if name in dict(ORDER_COLUMNS[:9])}
    extent = open_source(big_query.make_table("tracks", columns, [row]), ReadOptions(ANY_TIME, project=PROJECT)).extent
    assert extent.endswith("; without properties, which Segment keeps in the event tables")


def test_the_table_of_a_pubsub_subscription_is_read_by_its_data(big_query: BigQuery) -> None:
    columns = [
        field("subscription_name"),
        field("message_id"),
        field("publish_time", "TIMESTAMP"),
        field("data"),
        field("attributes"),
    ]
    rows = [
        {"message_id": "1", "publish_time": iso(60), "data": '{"type":"page"}', "attributes": "{}"},
        {"message_id": "2", "publish_time": iso(9 * DAY), "data": '{"type":"page"}', "attributes": "{}"},
    ]
    read(big_query.make_table("archive", columns, rows), [b'{"type":"page"}'], TimeRange(since=NOW - DAY))


def test_the_time_of_publishing_is_not_taken_for_that_of_the_event(big_query: BigQuery) -> None:
    columns = [field("subscription_name"), field("message_id"), field("publish_time", "TIMESTAMP"), field("data")]
    rows = [{"message_id": str(age), "publish_time": iso(age), "data": '{"type":"page"}'} for age in (60, 9 * DAY)]
    extent = open_source(big_query.make_table("archive", columns, rows), ReadOptions(ANY_TIME, project=PROJECT)).extent
    assert extent.startswith("2 rows, 1 older by publish_time than the 7 days that Meta takes, 0 older than")


def test_the_table_of_a_subscription_with_a_schema_is_read_without_what_is_the_messages(big_query: BigQuery) -> None:
    columns = [field("subscription_name"), field("message_id"), field("publish_time", "TIMESTAMP"), field("attributes")]
    columns += [field("type"), field("event"), field("messageId"), field("timestamp", "TIMESTAMP"), field("properties")]
    message = {"subscription_name": "s", "message_id": "77", "publish_time": iso(60), "attributes": "{}"}
    event = {"type": "track", "event": "Sold", "messageId": "own", "timestamp": iso(90)}
    rows = [{**message, **event, "properties": '{"total":5}'}]
    read(big_query.make_table("events", columns, rows), [{**event, "properties": {"total": 5}}])
    without_id = [{**message, **event, "messageId": None, "properties": None}]
    source = open_source(big_query.make_table("nameless", columns, without_id), ReadOptions(ANY_TIME, project=PROJECT))
    assert "; 1 without messageId" in source.extent


def test_a_table_without_an_id_is_read_and_says_so(big_query: BigQuery) -> None:
    columns = [field("event_text"), field("timestamp", "TIMESTAMP"), field("context_ip")]
    row = {"event_text": "Sold", "timestamp": iso(60), "context_ip": "192.0.2.7"}
    text = big_query.make_table("models", columns, [row])
    assert "; 1 without an ID" in open_source(text, ReadOptions(ANY_TIME, project=PROJECT)).extent
    read(text, [{"type": "track", "event": "Sold", "timestamp": iso(60), "context": {"ip": "192.0.2.7"}}])


def test_columns_in_capitals_are_read(big_query: BigQuery) -> None:
    columns = [field("ID"), field("TIMESTAMP", "TIMESTAMP"), field("EVENT_TEXT"), field("REVENUE", "FLOAT")]
    row = {"ID": "o", "TIMESTAMP": iso(60), "EVENT_TEXT": "Sold", "REVENUE": 5.0}
    expected = {"type": "track", "messageId": "o", "timestamp": iso(60), "event": "Sold", "properties": {"revenue": 5}}
    read(big_query.make_table("orders", columns, [row]), [expected], TimeRange(since=NOW - DAY))


def test_columns_of_all_types_are_read(big_query: BigQuery) -> None:
    inner = (field("a"), field("n", "NUMERIC"), field("moment", "TIMESTAMP"))
    columns = [
        field("id"),
        field("timestamp", "TIMESTAMP"),
        field("event_text"),
        field("n", "NUMERIC"),
        field("i", "INTEGER"),
        field("f", "FLOAT"),
        field("b", "BOOLEAN"),
        field("by", "BYTES"),
        field("d", "DATE"),
        field("dtm", "DATETIME"),
        field("t", "TIME"),
        field("j", "JSON"),
        field("texts", "STRING", "REPEATED"),
        field("record", "RECORD", fields=inner),
        field("records", "RECORD", "REPEATED", fields=inner),
    ]
    record = {"a": "x", "n": "1.5", "moment": "2026-11-22T17:16:43.5Z"}
    row = {
        "id": "m", "timestamp": "2026-11-22T17:16:43.123Z", "event_text": "E", "n": "12.50", "i": 3, "f": 24.0,
        "b": True, "by": "aGk=", "d": "2026-11-22", "dtm": "2026-11-22T01:02:03", "t": "01:02:03",
        "j": '{"a": [1, 2.5]}', "texts": ["x", "y"], "record": record, "records": [record, {"a": "y"}],
    }  # fmt: skip
    event = {
        "type": "track",
        "messageId": "m",
        "timestamp": "2026-11-22T17:16:43.123Z",
        "event": "E",
        "properties": {
            "n": 12.5,
            "i": 3,
            "f": 24,
            "b": True,
            "by": "aGk=",
            "d": "2026-11-22",
            "dtm": "2026-11-22T01:02:03",
            "t": "01:02:03",
            "j": {"a": [1, 2.5]},
            "texts": ["x", "y"],
            "record": {"a": "x", "n": 1.5, "moment": "2026-11-22T17:16:43.500Z"},
            "records": [{"a": "x", "n": 1.5, "moment": "2026-11-22T17:16:43.500Z"}, {"a": "y"}],
        },
    }
    nothing = {"type": "track", "messageId": "n", "event": "E"}
    read(big_query.make_table("t", columns, [row, {"id": "n", "event_text": "E"}]), [event, nothing])


def test_a_query_is_read_as_a_table_is(big_query: BigQuery) -> None:
    text = orders(big_query, [order(1), order(2), order(3, 3 * DAY)])
    sql = f"bigquery:SELECT * FROM `{text.removeprefix('bigquery:')}` WHERE id != 'order-1'"
    assert read(sql, [order_event(2)], TimeRange(since=NOW - DAY)).startswith("1 row, 0 older")


def test_tracks_joined_with_an_event_table_are_whole_events(big_query: BigQuery) -> None:
    common, own = ORDER_COLUMNS[:9], [ORDER_COLUMNS[0], *ORDER_COLUMNS[9:12]]
    row = order(1)
    tracks = big_query.make_table("tracks", [field(*c) for c in common], [{name: row[name] for name, _ in common}])
    table = big_query.make_table("order_completed", [field(*c) for c in own], [{name: row[name] for name, _ in own}])
    sql = (
        f"bigquery:SELECT t.*, o.revenue, o.currency, o.products FROM `{tracks.removeprefix('bigquery:')}` AS t"
        f" JOIN `{table.removeprefix('bigquery:')}` AS o USING (id)"
    )
    read(sql, [order_event(1)])


def test_a_view_is_read(big_query: BigQuery) -> None:
    from google.cloud.bigquery import Table

    text = orders(big_query, [order(1), order(2, 3 * DAY)])
    columns = [field(*column) for column in ORDER_COLUMNS]  # the emulator does not make them of the query
    view = Table(big_query.name("order_completed_view"), schema=columns)
    view.view_query = f"SELECT * FROM `{text.removeprefix('bigquery:')}`"
    big_query.client.create_table(view)
    read(f"bigquery:{big_query.name('order_completed_view')}", [order_event(1)], TimeRange(since=NOW - DAY))


# --- what cannot be read ----------------------------------------------------------------------------------------


def refusal(text: str, between: TimeRange = ANY_TIME) -> str:
    with pytest.raises(NoInput) as raised:
        open_source(text, ReadOptions(between, project=PROJECT))
    return str(raised.value)


def test_a_table_that_is_not_there_is_named(big_query: BigQuery) -> None:
    text = f"bigquery:{big_query.name('nowhere')}"
    assert refusal(text).startswith(f"{text}: no such table (")


def test_an_empty_table_is_named(big_query: BigQuery) -> None:
    text = orders(big_query, [])
    assert refusal(text) == f"{text}: has no rows"


def test_no_rows_in_the_time_asked_for_is_reported(big_query: BigQuery) -> None:
    text = orders(big_query, [order(1)])
    found = open_source(text, ReadOptions(TimeRange(until=NOW - DAY), project=PROJECT))
    assert (found.extent, found.size.rows) == ("no rows", 0)


def test_a_column_that_is_no_json_is_named(big_query: BigQuery) -> None:
    text = big_query.make_table("t", [field("data")], [{"data": "plain"}, {"data": "[1]"}])
    assert refusal(text) == f"{text}: the column data holds no events as JSON (2 rows checked)"


def test_a_column_is_judged_by_its_values_in_the_time_asked_for(big_query: BigQuery) -> None:
    columns = [field("payload"), field("received_at", "TIMESTAMP")]
    old = [{"payload": "an old format", "received_at": iso(5 * DAY)}] * 21
    empty = [{"payload": None, "received_at": iso(60)}] * 25
    text = big_query.make_table("archive", columns, [*old, *empty, {"payload": "{}", "received_at": iso(60)}])
    assert open_source(text, ReadOptions(TimeRange(since=NOW - DAY), project=PROJECT)).extent.startswith("26 rows")
    assert "the column payload holds no events as JSON (20 rows checked)" in refusal(text)


@pytest.mark.parametrize(("error", "said"), [("PermissionDenied", "no permission"), ("NotFound", "no such table")])
def test_that_reading_itself_is_not_allowed_is_reported_before_a_run(
    big_query: BigQuery, monkeypatch: pytest.MonkeyPatch, error: str, said: str
) -> None:
    from apache_beam.io.gcp import bigquery as beam_bigquery
    from google.api_core import exceptions

    class Reader:
        def create_read_session(self, **_: Any) -> Any:
            raise getattr(exceptions, error)("bigquery.readsessions.create")

    text = orders(big_query, [order(1)])
    monkeypatch.setattr(beam_bigquery.bq_storage, "BigQueryReadClient", Reader)
    assert refusal(text).startswith(f"{text}: {said} (bigquery.readsessions.create)")


def test_what_a_query_says_of_rows_is_not_repeated(big_query: BigQuery) -> None:
    text = orders(big_query, [order(1)])
    sql = f"bigquery:SELECT *, CAST(context_traits_email AS INT64) AS n FROM `{text.removeprefix('bigquery:')}`"
    said = refusal(sql)
    assert "… may be a row's value; bq show -j " in said
    assert "jane" not in said


def test_a_table_of_something_else_is_named_with_its_columns(big_query: BigQuery) -> None:
    text = big_query.make_table("t", [field("a", "INTEGER"), field("b", "DATE")], [{"a": 1}])
    assert refusal(text).endswith("its columns are a, b")


def test_since_without_a_column_of_time_is_refused(big_query: BigQuery) -> None:
    text = big_query.make_table("t", [field("data")], [{"data": "{}"}])
    assert "has no time column for --since and --until" in refusal(text, TimeRange(since=1))


JOB = """
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    endpoint: {endpoint}
    subscriptions: [{{action: purchase}}, {{action: pageView}}]
"""


# --- whole runs -------------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SandboxServer]:
    monkeypatch.setenv("TOKEN", "EAAB-token")
    monkeypatch.chdir(tmp_path)
    with SandboxServer(SandboxSettings(tokens=frozenset({"EAAB-token"}))) as server:
        yield server


def run(endpoint: str, text: str, dead: str = "dead.jsonl", kept: str = "receipts.jsonl") -> tuple[int, dict[str, Any]]:
    job = parse_job(JOB.format(endpoint=endpoint))
    code = run_job(RunRequest(job, [text], Outputs(dead, kept, "books.json")))
    return code, json.loads(Path("books.json").read_text()) if Path("books.json").exists() else {}


def test_a_run_from_table_to_sandbox_balances_with_dead_letters_and_receipts_in_tables(
    big_query: BigQuery, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [order(number) for number in range(200)]
    rows += [order(201, currency=None), order(202, 8 * DAY), order(203, revenue=None), order(204, event_text="Other")]
    text = orders(big_query, rows)
    dead, kept = (f"bigquery:{big_query.name(name)}" for name in ("dead_letters", "receipts"))
    code, books = run(sandbox.url, text, dead, kept)
    assert code == DEAD_LETTERS
    assert (books["read"], books["taken"], books["filtered"], books["balanced"]) == (204, 203, 1, True)
    assert books["destinations"]["web"]["subscriptions"]["purchase"]["delivered"] == 200
    assert f"Reading {text} (204 rows, 1 older than the 7 days that Meta takes" in capsys.readouterr().err

    stats = sandbox.stats()
    assert (stats["events_stored"], stats["refused_requests"], stats["raw_pii"]) == (200, 0, 0)
    assert sorted(sandbox.event_ids("123")) == sorted(("Purchase", f"order-{number}") for number in range(200))

    found = big_query.rows(f"SELECT * FROM `{big_query.name('dead_letters')}`")
    assert Counter(row["code"] for row in found) == {"missing_required_field": 2, "event_too_old": 1}
    (lacking,) = (row for row in found if row["event_id"] == "order-201")
    assert abs(lacking.pop("dead_lettered_at").timestamp() - time.time()) < 600
    expected = order_event(201)
    del expected["properties"]["currency"]
    assert json.loads(lacking.pop("payload")) == expected
    assert lacking == {
        "stage": "map",
        "code": "missing_required_field",
        "message": "The required field 'currency' has no value (looked for $.properties.currency).",
        "destination": "web",
        "subscription": "purchase",
        "dataset_id": "123",
        "event_id": "order-201",
        "payload_encoding": None,
        "retryable": False,
        "meta_code": None,
        "first_dead_lettered_at": None,
        "replays": None,
    }
    (receipt,) = big_query.rows(f"SELECT * FROM `{big_query.name('receipts')}`")
    assert (receipt["destination"], receipt["events"], receipt["messages"]) == ("web", 200, [])
    assert int(receipt["first_event_time"].timestamp()) == int(NOW - 600)
    for name, day in (("dead_letters", "dead_lettered_at"), ("receipts", "delivered_at")):
        partitioning = big_query.client.get_table(big_query.name(name)).time_partitioning
        assert (partitioning.type_, partitioning.field) == ("DAY", day)


def test_a_run_goes_on_after_receipts_and_dead_letters_in_tables(big_query: BigQuery, sandbox: SandboxServer) -> None:
    text = orders(big_query, [order(number) for number in range(5)] + [order(5, currency=None)])
    records = [f"bigquery:{big_query.name(name)}" for name in ("dead_letters", "receipts")]
    query = f"bigquery:SELECT * FROM `{text.removeprefix('bigquery:')}` WHERE id < 'order-3'"
    run(sandbox.url, query, *records)
    assert sandbox.stats()["events_received"] == 3
    Path("job.yaml").write_text(JOB.format(endpoint=sandbox.url))

    def reconciled() -> dict[str, Any]:
        options = ["--input", text, "--receipts", records[1], "--dead-letters", records[0], "--format", "json"]
        result = CliRunner().invoke(main, ["reconcile", "--config", "job.yaml", *options])
        found: dict[str, Any] = json.loads(result.stdout)["subscriptions"]["web/purchase"]
        return {"exit_code": result.exit_code, **{name: count for name, count in found.items() if count}}

    assert reconciled() == {"exit_code": 1, "conversions": 6, "delivered": 3, "rejected": 1, "nowhere": 2}
    job = parse_job(JOB.format(endpoint=sandbox.url))
    assert run_job(RunRequest(job, [text], Outputs(*records, "books.json"), resume=records)) == DEAD_LETTERS
    books = json.loads(Path("books.json").read_text())
    assert (books["delivered"], books["already_delivered"], books["dead_lettered"]) == (2, 3, 1)
    assert sandbox.stats()["duplicates"] == 0
    assert reconciled() == {"exit_code": 0, "conversions": 6, "delivered": 5, "dead_lettered": 1}


def test_dead_letters_in_a_table_are_replayed(big_query: BigQuery, sandbox: SandboxServer, tmp_path: Path) -> None:
    lines = [json.dumps(order_event(number)).encode() for number in range(3)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join([*lines, b"no json"]))
    dead = f"bigquery:{big_query.name('dead_letters')}"
    sandbox.set_faults(dead_token=True)
    code, _ = run(sandbox.url, str(tmp_path / "events.jsonl"), dead, str(tmp_path / "receipts.jsonl"))
    assert code == REFUSED
    sandbox.set_faults(dead_token=False)

    again = Outputs(str(tmp_path / "again.jsonl"), str(tmp_path / "receipts.jsonl"), str(tmp_path / "books.json"))
    for _ in range(2):  # twice, and yet delivered once
        assert (
            replay_job(RunRequest(parse_job(JOB.format(endpoint=sandbox.url)), [dead], again), ReplayFilter())
            == DEAD_LETTERS
        )
        books = json.loads((tmp_path / "books.json").read_bytes())
        assert (books["delivered"], books["dead_letters"], books["balanced"]) == (3, 1, True)
    assert sorted(sandbox.event_ids("123")) == [("Purchase", f"order-{number}") for number in range(3)]
    assert (sandbox.stats()["events_stored"], sandbox.stats()["duplicates"]) == (3, 3)
    (letter,) = map(json.loads, (tmp_path / "again.jsonl").read_bytes().splitlines())
    assert (letter["code"], letter["payload"], letter["replays"]) == ("invalid_json", "no json", 1)


IN_A_PROCESS = """
import itertools, os, sys
from types import SimpleNamespace
from capybeam.pipeline.cli import main
from tests.servers import bigquery
rest, grpc, *arguments = sys.argv[1:]
bigquery._NUMBERS = itertools.count(os.getpid() * 1000)  # of datasets, whose names may be taken
with bigquery.clients_of(SimpleNamespace(rest_url=rest, grpc_endpoint=grpc)):
    main(arguments)
"""


def test_two_processes_share_tables_of_events_and_of_dead_letters(
    big_query: BigQuery, sandbox: SandboxServer, tmp_path: Path
) -> None:
    text = orders(big_query, [order(number) for number in range(30)] + [order(30, currency=None)])
    more = orders(big_query, [order(number) for number in range(40, 50)], "order_completed_view")
    (tmp_path / "job.yaml").write_text(JOB.format(endpoint=sandbox.url))

    def run(*arguments: str) -> dict[str, Any]:
        ended = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, big_query.server.rest_url, big_query.server.grpc_endpoint, *arguments,
             "--config", "job.yaml", "--workers", "2", "--report", "report.json"],
            cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert "with 2 processes" in ended.stderr, ended.stderr
        report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
        return report

    dead_letters = f"bigquery:{big_query.name('dead_letters')}"
    report = run("run", "--input", text, "--input", more, "--dead-letters", dead_letters)
    assert (report["read"], report["delivered"], report["dead_letters"], report["balanced"]) == (41, 40, 1, True)
    report = run("replay", "--from", dead_letters, "--from", dead_letters)
    assert (report["read"], report["dead_letters"], report["balanced"]) == (2, 2, True)


def test_a_table_without_dead_letters_is_not_replayed(
    big_query: BigQuery, sandbox: SandboxServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = orders(big_query, [order(1)])
    outputs = Outputs(str(tmp_path / "again.jsonl"), str(tmp_path / "receipts.jsonl"), None)
    assert (
        replay_job(RunRequest(parse_job(JOB.format(endpoint=sandbox.url)), [text], outputs), ReplayFilter())
        == CONFIGURATION
    )
    assert "is not a table of dead letters: it has no column code, dead_lettered_at" in capsys.readouterr().err


def test_the_same_events_by_row_and_by_line_are_sent_alike(big_query: BigQuery, sandbox: SandboxServer) -> None:
    rows = [order(number) for number in range(20)]
    assert run(sandbox.url, orders(big_query, rows))[0] == OK
    assert sandbox.stats()["events_stored"] == 20
    Path("events.jsonl").write_bytes(b"".join(orjson.dumps(order_event(n)) + b"\n" for n in range(20)))
    assert run(sandbox.url, "events.jsonl")[0] == OK
    assert (sandbox.stats()["events_stored"], sandbox.stats()["duplicates"]) == (20, 20)


def test_rows_with_bad_dates_or_broken_json_become_dead_letters(big_query: BigQuery, sandbox: SandboxServer) -> None:
    good, bad = json.dumps(order_event(1)), json.dumps({**order_event(2), "timestamp": "the day before"})
    rows = [{"payload": text} for text in (good, bad, "{broken", None)]
    code, books = run(sandbox.url, big_query.make_table("archive", [field("payload")], rows))
    assert code == DEAD_LETTERS
    assert (books["read"], books["taken"], books["unreadable"], books["balanced"]) == (4, 2, 2, True)
    found = [json.loads(line) for line in Path("dead.jsonl").read_bytes().splitlines()]
    assert {(row["stage"], row["code"]) for row in found} == {
        ("map", "invalid_event_time"),
        ("parse", "invalid_json"),
        ("parse", "unreadable_row"),
    }


def test_the_command_line_hands_on_since_and_until(big_query: BigQuery, sandbox: SandboxServer) -> None:
    text = orders(big_query, [order(1), order(2, 2 * DAY), order(3, 5 * DAY)])
    Path("job.yaml").write_text(JOB.format(endpoint=sandbox.url))
    bounds = ["--since", iso(3 * DAY), "--until", str(NOW - DAY)]
    result = CliRunner().invoke(main, ["run", "--config", "job.yaml", "--input", text, *bounds])
    assert result.exit_code == OK
    assert sandbox.event_ids("123") == [("Purchase", "order-2")]


def test_an_empty_table_exits_2_before_anything_is_sent_or_written(
    big_query: BigQuery, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    text = orders(big_query, [])
    assert run(sandbox.url, text)[0] == CONFIGURATION
    assert f"capybeam: {text}: has no rows" in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0
    assert not Path("dead.jsonl").exists()


# --- writing ----------------------------------------------------------------------------------------------------


def test_a_table_that_is_there_is_added_to(big_query: BigQuery) -> None:
    path = f"bigquery:{big_query.name('dead')}"
    for _ in range(2):
        prepare_table(path, dead_letters.DEAD_LETTERS.name, dead_letters.SCHEMA)
    found = big_query.client.get_table(big_query.name("dead"))
    assert [(f.name, f.field_type) for f in found.schema] == [(n, t) for n, t, _ in dead_letters.SCHEMA.columns]


def test_a_table_with_other_columns_is_refused(big_query: BigQuery) -> None:
    path = big_query.make_table("dead", [field("stage", "INTEGER"), field("code")])
    with pytest.raises(SinkError, match=r"^Receipts cannot be written to .*: the existing table lacks the columns"):
        prepare_table(path, receipts.RECEIPTS.name, receipts.SCHEMA)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"bigquery:{PROJECT}.nowhere.dead", "no such dataset"),
        ("bigquery:dead", "it is not bigquery:PROJECT.DATASET.TABLE"),
    ],
)
def test_a_table_that_cannot_be_made_exits_2(
    big_query: BigQuery, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], path: str, reason: str
) -> None:
    text = orders(big_query, [order(1)])
    assert run(sandbox.url, text, path)[0] == CONFIGURATION
    assert f"Dead letters cannot be written to {path}: {reason}" in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0


def test_rows_that_bigquery_refuses_fail_the_run_loudly(
    big_query: BigQuery, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud.bigquery import Client

    errors = [{"index": 0, "errors": [{"reason": "invalid", "message": "bad value jane@example.com"}]}]
    monkeypatch.setattr(Client, "insert_rows_json", lambda *_, **__: errors, raising=False)
    path = f"bigquery:{big_query.name('dead')}"
    Path("events.jsonl").write_bytes(b"{broken\n")
    assert run(sandbox.url, "events.jsonl", path)[0] == FAILED
    said = capsys.readouterr()
    assert f"the run failed: Dead letters cannot be written to {path}: BigQuery refuses rows (invalid)" in said.err
    assert "jane" not in said.err + said.out


def test_the_table_of_dead_letters_that_goes_away_fails_the_run_loudly(
    big_query: BigQuery, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capybeam.pipeline.run.preflight.prepare", lambda *_: None)  # as if it was there at the start
    path = f"bigquery:{big_query.name('gone')}"
    Path("events.jsonl").write_bytes(b"{broken\n")
    assert run(sandbox.url, "events.jsonl", path)[0] == FAILED
    assert f"Dead letters cannot be written to {path}: BigQuery refuses rows (Not Found)" in capsys.readouterr().err
