"""The columns of tables, made from the dataclasses that are their rows."""

from __future__ import annotations

import dataclasses
import json
import re

import orjson
import pytest
from apache_beam.io.gcp.bigquery import MAX_INSERT_PAYLOAD_SIZE
from apache_beam.runners.worker.statecache import get_deep_size

from capybeam.pipeline.sinks import SinkError, dead_letters, receipts
from capybeam.pipeline.sinks.receipts import _row
from capybeam.pipeline.sinks.tables import parts_of, row_of
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.delivery.batches import DeliveredEvents, Receipt

RECEIPT = Receipt("web", "1", 2, 3, 4, None, ("Soon v26.0",), 1, 0.1, 5)


def test_a_column_has_its_fields_type_and_mode() -> None:
    assert receipts.SCHEMA.columns == (
        ("destination", "STRING", "REQUIRED"),
        ("dataset_id", "STRING", "REQUIRED"),
        ("events", "INTEGER", "REQUIRED"),
        ("first_event_time", "TIMESTAMP", "REQUIRED"),
        ("last_event_time", "TIMESTAMP", "REQUIRED"),
        ("fbtrace_id", "STRING", "NULLABLE"),
        ("messages", "STRING", "REPEATED"),
        ("tries", "INTEGER", "REQUIRED"),
        ("seconds", "FLOAT", "REQUIRED"),
        ("delivered_at", "TIMESTAMP", "REQUIRED"),
        ("conversions", "STRING", "REPEATED"),
        ("event_ids", "STRING", "REPEATED"),
    )
    assert dead_letters.SCHEMA.columns == (
        ("stage", "STRING", "REQUIRED"),
        ("code", "STRING", "REQUIRED"),
        ("message", "STRING", "REQUIRED"),
        ("destination", "STRING", "NULLABLE"),
        ("subscription", "STRING", "NULLABLE"),
        ("dataset_id", "STRING", "NULLABLE"),
        ("event_id", "STRING", "NULLABLE"),
        ("payload", "STRING", "NULLABLE"),
        ("retryable", "BOOLEAN", "NULLABLE"),
        ("meta_code", "STRING", "NULLABLE"),
        ("first_dead_lettered_at", "TIMESTAMP", "NULLABLE"),
        ("replays", "INTEGER", "NULLABLE"),
        ("dead_lettered_at", "TIMESTAMP", "REQUIRED"),
        ("payload_encoding", "STRING", "NULLABLE"),
    )


def test_a_row_has_no_other_columns() -> None:
    """BigQuery refuses a row with a column that its table lacks."""
    assert Rejection("parse", "invalid_utf8", "…", payload=b"\xff", replays=1).row().keys() == {
        name for name, *_ in dead_letters.SCHEMA.columns
    }
    conversions = (DeliveredEvents("orders", "Purchase", 2),)
    named = dataclasses.replace(RECEIPT, conversions=conversions, event_ids=("m-1", "m-2"))
    row = _row(named)
    assert (row["conversions"], row["event_ids"]) == (
        ['{"subscription":"orders","event_name":"Purchase","events":2}'],
        ["m-1", "m-2"],
    )
    assert row.keys() == {name for name, *_ in receipts.SCHEMA.columns}


@pytest.mark.parametrize(
    ("text", "size"),
    [("j" * 9_100_000, 9.1e6), ("é" * 1_600_000, 9.6e6), ("j" * 2_300_000 + "😀", 9.2e6)],
    ids=["as text", "as JSON of ASCII", "in memory"],
)
def test_a_dead_letter_too_large_for_a_row_is_written_without_its_payload(text: str, size: float) -> None:
    large = Rejection("map", "mapping_failed", "No.", "web", "orders", "123", "m1", {"email": text})
    row = row_of(large, dead_letters.DEAD_LETTERS)
    said = re.fullmatch(
        r"No\. The payload is left out: ([\d,]+) bytes are more than the 9 MB of a row\.", row["message"]
    )
    assert said
    assert int(said[1].replace(",", "")) == pytest.approx(size, rel=0.001)
    assert row == dataclasses.replace(large, message=row["message"], payload=None).row(row["dead_lettered_at"])
    assert get_deep_size(row) < MAX_INSERT_PAYLOAD_SIZE


@pytest.mark.parametrize("text", ["j" * 8_900_000, "é" * 1_400_000, "j" * 2_200_000 + "😀"])
def test_a_dead_letter_that_fits_is_written_whole_and_beam_takes_it(text: str) -> None:
    row = row_of(Rejection("map", "mapping_failed", "No.", payload={"email": text}), dead_letters.DEAD_LETTERS)
    assert get_deep_size((row, "an-insert-id")) < MAX_INSERT_PAYLOAD_SIZE
    assert orjson.loads(row["payload"]) == {"email": text}
    assert len(json.dumps(row)) < 10_000_000


def test_what_a_row_may_lack_is_no_required_column() -> None:
    required = {name for name, _, mode in dead_letters.SCHEMA.columns if mode == "REQUIRED"}
    assert required <= Rejection("parse", "invalid_json", "…").row().keys()


def test_a_repeated_column_is_never_null() -> None:
    assert (_row(RECEIPT)["messages"], _row(RECEIPT)["event_ids"]) == (["Soon v26.0"], [])


@pytest.mark.parametrize("project", ["acme-prod", "example.com:acme-prod"])
def test_a_tables_name_has_the_parts_that_beam_and_google_see_in_it(project: str) -> None:
    bigquery = pytest.importorskip("google.cloud.bigquery", reason="needs the extra gcp")
    from apache_beam.io.gcp.bigquery_tools import parse_table_reference

    parts = parts_of(f"bigquery:{project}.capybeam.dead_letters", "Dead letters")
    assert parts == (project, "capybeam", "dead_letters")
    theirs = bigquery.Table(".".join(parts))
    assert (theirs.project, theirs.dataset_id, theirs.table_id) == parts
    beams = parse_table_reference(f"{parts[0]}:{parts[1]}.{parts[2]}")
    assert (beams.projectId, beams.datasetId, beams.tableId) == parts


@pytest.mark.parametrize("table", ["dead", "capybeam.dead", "acme-prod:capybeam.dead", "a.b.c.d", "a..c", "a.b.c "])
def test_what_is_no_tables_name_is_refused(table: str) -> None:
    with pytest.raises(SinkError, match=r"it is not bigquery:PROJECT\.DATASET\.TABLE$"):
        parts_of(f"bigquery:{table}", "Dead letters")
