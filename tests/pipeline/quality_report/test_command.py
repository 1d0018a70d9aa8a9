"""The `report` command: what it reads and writes, and how it ends where it cannot."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from tests.pipeline.quality_report.reported import JOB, NOW, order, row

WITH_MOBILE = JOB.replace(
    "      - action: purchase\n",
    """\
      - action: purchase
        mapping:
          user_data:
            email: {"@path": $.context.traits.email}
            phone: {"@path": $.context.traits.mobile}
            client_user_agent: {"@path": $.context.userAgent}
""",
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "other.yaml").write_text(WITH_MOBILE)
    orders = [order(1), order(2), order(3, properties={"revenue": 3})]
    orders[0]["context"]["traits"]["mobile"] = "+44 20 7946 0123"
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(row, orders)) + b"\n\n{\n")
    return tmp_path


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    given = ["report", "--config", "job.yaml", "--now", str(NOW), *arguments]
    result = CliRunner().invoke(main, given, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def as_json(*arguments: str, stdin: bytes = b"") -> Any:
    code, out, _ = run("--format", "json", *arguments, stdin=stdin)
    assert code == 0
    return json.loads(out)


def test_the_page_and_the_json_have_the_same_numbers() -> None:
    code, out, err = run("--input", "events.jsonl")
    numbers = as_json("--input", "events.jsonl")

    assert (code, out) == (0, "")
    assert err.startswith("report.html (")
    assert err.endswith(" kB): 3 events, 3 conversions, 100 % with a strong match key.\n")
    page = Path("report.html").read_text(encoding="utf-8")
    assert "Match quality of job.yaml" in page
    assert {
        name: numbers[name]
        for name in ("version", "now", "inputs", "incomplete", "compared", "comparison", "run", "meta")
    } == {
        "version": "0.1.0",
        "now": NOW,
        "inputs": ["events.jsonl"],
        "incomplete": "",
        "compared": None,
        "comparison": [],
        "run": None,
        "meta": [],
    }
    job = numbers["job"]
    assert [job[name] for name in ("config", "events", "conversions", "ready", "rejected")] == ["job.yaml", 3, 3, 2, 1]
    assert job["unreadable"] == [{"name": "invalid_json", "count": 1}]
    assert job["changes"][0]["title"] in page.replace("&#34;", '"')


def test_two_job_files_are_shown_before_and_after() -> None:
    numbers = as_json("--input", "events.jsonl", "--compare", "other.yaml")

    assert (numbers["job"]["config"], numbers["compared"]["config"]) == ("job.yaml", "other.yaml")
    (purchase,) = numbers["comparison"]
    assert (purchase["destination"], purchase["event_name"]) == ("shop", "Purchase")
    assert purchase["counts"] == [
        {"name": "conversions", "before": 3, "after": 3},
        {"name": "ready", "before": 2, "after": 2},
        {"name": "rejected", "before": 1, "after": 1},
    ]
    assert purchase["shares"] == [
        {"name": "strong", "before": 1.0, "after": 1.0},
        {"name": "em", "before": 1.0, "after": 1.0},
        {"name": "ph", "before": 0.0, "after": 0.5},
        {"name": "client_ip_address", "before": 1.0, "after": 0.0},
        {"name": "client_user_agent", "before": 1.0, "after": 1.0},
    ]


def test_standard_input_and_packed_files_are_read_as_map_reads_them() -> None:
    events = Path("events.jsonl").read_bytes()
    Path("packed.jsonl.gz").write_bytes(gzip.compress(events))

    assert as_json(stdin=events)["job"] == as_json("--input", "packed.jsonl.gz")["job"]
    assert as_json(stdin=events)["inputs"] == ["standard input"]


def test_several_inputs_are_read_one_after_the_other(place: Path) -> None:
    (place / "more-1.jsonl").write_bytes(row(order(4)))
    (place / "more-2.jsonl").write_bytes(row(order(5)))
    found = as_json("--input", "events.jsonl", "--input", "more-*.jsonl", "--input", "-", stdin=row(order(6)))

    assert found["inputs"] == ["events.jsonl", "more-*.jsonl", "standard input"]
    assert (found["job"]["events"], found["job"]["conversions"]) == (6, 6)


def test_the_first_rows_of_a_table_are_read_beside_files(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.cloud.bigquery", reason="needs the extra gcp")
    asked: list[tuple[str, int]] = []

    def first_rows(text: str, most: int) -> Iterator[bytes]:
        asked.append((text, most))
        yield from (row(order(number)) for number in range(10, 10 + most))

    monkeypatch.setattr("capybeam.pipeline.sources.bigquery.samples.first_rows", first_rows)
    found = as_json("--input", "events.jsonl", "--input", "bigquery:acme.shop.events", "--sample", "7")

    assert asked == [("bigquery:acme.shop.events", 7)]
    assert found["inputs"] == ["events.jsonl", "bigquery:acme.shop.events (its first 7 rows)"]
    assert found["job"]["events"] == 10


def test_an_input_that_breaks_off_does_not_keep_the_next_from_being_read() -> None:
    packed = gzip.compress(b"".join(row(order(n)) + b"\n" for n in range(3_000)), compresslevel=0)
    Path("broken.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    Path("whole.jsonl").write_bytes(b"\n".join(row(order(n)) for n in range(3_000, 6_000)))
    code, out, _ = run("--input", "broken.jsonl.gz", "--input", "whole.jsonl", "--format", "json")

    numbers = json.loads(out)
    assert (code, numbers["job"]["events"] > 4_000) == (2, True)
    assert "broken.jsonl.gz" in numbers["incomplete"]


def test_an_input_that_breaks_off_is_reported_is_reported_up_to_there_and_the_report_says_so() -> None:
    packed = gzip.compress(b"".join(row(order(n)) + b"\n" for n in range(3_000)), compresslevel=0)
    Path("broken.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    code, out, err = run("--input", "broken.jsonl.gz", "--format", "json")

    numbers = json.loads(out)
    assert code == 2
    assert err.splitlines()[-1] == f"capybeam: {numbers['incomplete']}"
    assert "broken.jsonl.gz" in numbers["incomplete"]
    assert 1_000 < numbers["job"]["events"] < 2_000
    assert numbers["job"]["unreadable"] == [{"name": "unreadable_rest", "count": 1}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "nowhere.jsonl"), "nowhere.jsonl: No such file or directory"),
        (("--input", "empty.jsonl"), "empty.jsonl: holds no events"),
        (("--input", "bigquery:p.d"), "bigquery:p.d: a sample is the first rows of bigquery:PROJECT.DATASET.TABLE"),
        (("--input", "events.jsonl", "--input", "nowhere.jsonl"), "nowhere.jsonl: No such file or directory"),
        (("--input", "-", "--input", "-"), "standard input can be read once"),
        (("--run", "job.yaml", "--input", "events.jsonl"), "job.yaml: is not the report of a run"),
        (("--run", "nowhere.json", "--input", "events.jsonl"), "nowhere.json: No such file or directory"),
        (("--run", "there.html"), "--config: there is nothing to do with it; give --input"),
        (("--quality", "--quality-from", "q.json"), "--quality asks Meta, and --quality-from reads an earlier answer"),
        (("--quality-from", "job.yaml", "--input", "-"), "job.yaml: is not what `capybeam quality --format json`"),
        (("--compare", "other.yaml", "--quality-from", "q.json"), "--compare: two job files are compared over events"),
        (("--input", "events.jsonl", "--output", "there.html"), "there.html: is there already"),
        (("--input", "events.jsonl", "--output", "events.jsonl", "--force"), "events.jsonl: this is read for the"),
        (("--input", "*.jsonl", "--output", "events.jsonl", "--force"), "events.jsonl: this is read for the report"),
        (("--input", "events.jsonl", "--output", "job.yaml", "--force"), "job.yaml: this is read for the report"),
        (("--input", "events.jsonl", "--compare", "nowhere.yaml"), "1 problem in nowhere.yaml"),
        (("--input", "events.jsonl", "--now", "soon"), "--now soon is not a time: ISO 8601"),
    ],
)
def test_what_cannot_be_done_ends_with_exit_code_2_and_changes_nothing(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    for name in ("empty.jsonl", "there.html"):
        (place / name).write_text("")
    before = {path: path.read_bytes() for path in place.iterdir()}
    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert f"capybeam: {message}" in err
    assert {path: path.read_bytes() for path in place.iterdir()} == before


def test_a_report_that_is_there_is_overwritten_only_by_force() -> None:
    Path("report.html").write_text("mine")

    assert run("--input", "events.jsonl")[0] == 2
    assert Path("report.html").read_text() == "mine"
    assert run("--input", "events.jsonl", "--force")[0] == 0
    assert Path("report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_extra_is_named_where_it_is_missing_and_json_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "capybeam.pipeline.quality_report.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)

    assert run("--input", "events.jsonl")[::2] == (
        2,
        "capybeam: the page needs jinja2: pip install 'capybeam[report]'; --format json has the same numbers without"
        " it\n",
    )
    assert as_json("--input", "events.jsonl")["job"]["events"] == 3


def test_nothing_of_a_person_gets_into_a_report() -> None:
    person = {
        "email": "Jane.Doe@shop.example",
        "phone": "0171-WRONG-5550123",
        "firstName": "Jacqueline",
        "lastName": "Doe-Exampleson",
        "birthday": "7th of Octember",
        "gender": "prefer not to tell you",
        "address": {"city": "Capybaraville", "postalCode": "94035x", "country": "Neverland", "street": "Reed Road 7"},
    }
    events = []
    for number in range(30):
        event = order(number, userId="user-jdoe-4711", anonymousId="anon-0815-jdoe")
        event["context"] |= {
            "traits": person,
            "ip": "203.0.113.77",
            "page": {"url": "https://shop.example/?m=jdoe@x.example"},
        }
        event["properties"] |= {"email": person["email"], "note": "call Jacqueline", "jane.doe@shop.example": 1}
        event["properties"]["currency"] = ["EUR", "Doe-Exampleson"][number % 2]
        event["timestamp"] = ["2026-11-22T09:30:00Z", "Jacqueline"][number % 3 == 2]
        events.append(event)
        events.append({**event, "event": "Jacqueline Doe-Exampleson"})
    Path("people.jsonl").write_bytes(b"\n".join(map(row, events)) + b"\nJacqueline Doe-Exampleson\n")

    numbers = as_json("--input", "people.jsonl", "--compare", "other.yaml")
    assert run("--input", "people.jsonl", "--compare", "other.yaml")[0] == 0
    secrets = """
        jane. shop.example 5550123 0171 Jacqueline Exampleson Octember prefer Capybaraville 94035 Neverland Reed
        jdoe 4711 0815 203.0.113 call
    """.split()
    for text in (json.dumps(numbers), Path("report.html").read_text(encoding="utf-8").partition("<main>")[2]):
        assert [secret for secret in secrets if secret.lower() in text.lower()] == []
    shapes = {shape["name"] for each in numbers["job"]["groups"][0]["dropped"] for shape in each["shapes"]}
    assert {"9aa aa Aaaa", "aaa aaa aa aaa aaa"} <= shapes
