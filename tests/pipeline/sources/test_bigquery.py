"""What is said of BigQuery inputs that cannot be opened; reading is in tests/integration."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from capybeam.pipeline.sources import ANY_TIME, NoInput, ReadOptions, TimeRange, open_dead_letters, open_source
from capybeam.pipeline.sources.bigquery import client as clients
from capybeam.pipeline.sources.bigquery.tables import open_source as open_table

TABLE = "bigquery:acme.shop.orders"


class Client:
    """A client whose every call fails with `error`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise self._error

        return fail


def refusal(text: str, client: Any = None, between: TimeRange = ANY_TIME) -> str:
    with pytest.raises(NoInput) as raised:
        open_table(text, ReadOptions(between, project="acme"), client=client)
    return str(raised.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("NotFound", "no such table (Not found). Check its name, and that it was not deleted meanwhile"),
        (
            "Forbidden",
            "no permission (Not found). Reading takes roles/bigquery.dataViewer on the dataset, and on the project"
            " roles/bigquery.jobUser and roles/bigquery.readSessionUser",
        ),
        ("BadRequest", "cannot be read (Not found)"),
        ("ServiceUnavailable", "cannot be read (Not found)"),
    ],
)
@pytest.mark.parametrize(
    "text", [TABLE, "bigquery:example.com:acme.shop.orders", "bigquery:SELECT * FROM `acme.shop.orders`"]
)
def test_what_bigquery_refuses_is_named(text: str, error: str, message: str) -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
    pytest.importorskip("google.cloud.bigquery", reason="needs the extra gcp")
    assert refusal(text, Client(getattr(exceptions, error)("Not found"))) == f"{text}: {message}"


def test_a_long_query_is_named_by_its_beginning() -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
    query = f"bigquery:SELECT\n  {', '.join(f'column_{number}' for number in range(50))} FROM t"
    said = refusal(query, Client(exceptions.BadRequest("Syntax error at [2:5]")))
    assert said.startswith("bigquery:SELECT column_0, column_1, ")
    assert said.endswith("…: cannot be read (Syntax error at [2:5]). Correct the query")


def test_what_is_reported_of_rows_is_not_repeated() -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
    error = exceptions.BadRequest("Bad int64 value: jane@example.com\n\nLocation: EU\nJob ID: 3f5e-1")
    said = refusal("bigquery:SELECT CAST(email AS INT64) FROM `acme.shop.orders`", Client(error))
    assert said.endswith(
        ": cannot be read (Bad int64 value: …). … may be a row's value; bq show -j 3f5e-1 has the whole sentence"
    )


@pytest.mark.parametrize(
    "text",
    ["bigquery:", "bigquery:orders", "bigquery:shop.orders", "bigquery:a.b.c.d", "bigquery:a.b.", "bigquery:..c"],
)
def test_what_is_neither_table_nor_query_is_refused(text: str) -> None:
    assert refusal(text) == f"{text}: neither bigquery:PROJECT.DATASET.TABLE nor bigquery:SELECT …"


@pytest.mark.parametrize("text", ["bigquery:p.d.", "bigquery:.d.t", "bigquery:p.d", "bigquery:SELECT 1"])
def test_dead_letters_are_in_a_table_with_a_whole_name(text: str) -> None:
    with pytest.raises(NoInput) as raised:
        open_dead_letters(text)
    assert str(raised.value) == f"{text}: not bigquery:PROJECT.DATASET.TABLE"


@pytest.mark.parametrize(("project", "payer"), [("payer", "payer"), (None, "acme")])
def test_the_count_of_dead_letters_is_paid_by_the_project_that_is_given_else_by_the_tables(
    monkeypatch: pytest.MonkeyPatch, project: str | None, payer: str
) -> None:
    def client(_name: str, project: str | None) -> Any:
        raise NoInput(f"{project} pays")

    monkeypatch.setattr(clients, "new_client", client)
    with pytest.raises(NoInput, match=f"^{payer} pays$"):
        open_dead_letters("bigquery:acme.meta.dead_letters", ReadOptions(project=project))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    assert refusal(TABLE) == f"{TABLE}: needs pip install 'capybeam[gcp]'"


def test_since_is_not_for_files() -> None:
    with pytest.raises(NoInput, match=r"events\.jsonl: --since and --until are for bigquery: inputs"):
        open_source("events.jsonl", ReadOptions(TimeRange(since=1)))


def test_the_first_rows_of_a_table_are_a_sample() -> None:
    bigquery = pytest.importorskip("google.cloud.bigquery", reason="needs the extra gcp")
    from capybeam.pipeline.sources.bigquery.samples import first_rows

    schema = [bigquery.SchemaField("payload", "JSON"), bigquery.SchemaField("at", "TIMESTAMP")]
    asked: dict[str, Any] = {}

    class Table:
        table_type, table_id = "TABLE", "orders"

    class Rows:
        def get_table(self, _table: str, **_: Any) -> Any:
            table = Table()
            vars(table)["schema"] = schema
            return table

        def list_rows(self, _table: Any, **options: Any) -> list[dict[str, Any]]:
            asked.update(options)
            return [{"payload": {"type": "page"}}]

    assert list(first_rows(TABLE, 5, Rows())) == [b'{"type":"page"}']
    assert (asked["max_results"], asked["selected_fields"]) == (5, schema[:1])

    with pytest.raises(NoInput, match="a query is not read"):
        next(first_rows("bigquery:SELECT 1", 5, Rows()))
