"""`capybeam test`: cases beside the job file, their diffs, and expectations rewritten in place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main

ROOT = Path(__file__).parents[3]
JOB = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: purchase
        name: orders
      - action: pageView
  - name: crm
    type: facebook_conversions_api
    dataset_id: "456"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: pageView
"""
HEAD = """\
now: 2026-11-22T10:00:00Z # fixed
tests:
"""
ORDER = """\
    event:
      type: track
      event: Order Completed
      messageId: m-1
      timestamp: 2026-11-22T09:59:00Z
      userId: u-1
      properties: {revenue: 24.9, currency: EUR, products: [{product_id: mug}, {product_id: cup}]}
      context: {userAgent: Mozilla/5.0, ip: 203.0.113.77, traits: {email: Jane@Example.com}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


def run(folder: Path, *arguments: str, cases: str | None = None) -> tuple[int, str, str]:
    if cases is not None:
        (folder / "job.test.yaml").write_text(cases)
    result = CliRunner().invoke(main, ["test", "--config", str(folder / "job.yaml"), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout.replace(f"{folder}/", ""), result.stderr.replace(f"{folder}/", "")


def case(expect: str, event: str = ORDER) -> str:
    return f"{HEAD}  - name: an order\n{event}    expect:{expect}\n"


# --- what passes, and what does not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expect",
    [
        " [{subscription: orders}]",
        " {subscription: web/orders, payload: {event_name: Purchase}}",
        " [{subscription: orders, dataset_id: 123321, payload: {custom_data: {value: 24.9}}}]",
        " [{subscription: orders, payload: {user_data: {em: {hash_of: jane@example.com}, ph: null}}}]",
        " [{subscription: orders, payload: {user_data: {external_id: [{hash_of: u-1}]}}}]",
        " [{subscription: orders, payload: {custom_data: {contents: [{id: mug}, {}]}}}]",
    ],
)
def test_what_is_expected_in_part_passes(folder: Path, expect: str) -> None:
    assert run(folder, cases=case(expect)) == (0, "job.test.yaml\n  PASS  an order\n1 passed, 0 failed.\n", "")


@pytest.mark.parametrize(
    ("payload", "lines"),
    [
        ("{custom_data: {value: 25}}", ["web/orders payload.custom_data.value", "- expected 25", "+ got      24.9"]),
        ("{custom_data: {order: x}}", ["web/orders payload.custom_data.order", '- expected "x"', "+ got      nothing"]),
        (
            "{custom_data: {contents: [{id: cup}, {}]}}",
            ["web/orders payload.custom_data.contents[0].id", '- expected "cup"', '+ got      "mug"'],
        ),
        (
            "{custom_data: {contents: [{id: mug}]}}",
            ["web/orders payload.custom_data.contents", '- expected [{"id":"mug"}]',
             '+ got      [{"id":"mug"},{"id":"cup"}]', "1 items are expected, and there are 2"],
        ),
        (
            "{user_data: {em: {hash_of: Jane@Example.com}}}",
            ["web/orders payload.user_data.em", '- expected {"hash_of":"Jane@Example.com"}', '+ got      "8c87b489…"',
             "hash_of takes the text as it is hashed: jane@example.com"],
        ),
        (
            "{user_data: {client_ip_address: x}}",
            ["web/orders payload.user_data.client_ip_address", '- expected "x"', '+ got      "999.9.999.99"'],
        ),
    ],
)  # fmt: skip
def test_a_payload_that_differs_says_where(folder: Path, payload: str, lines: list[str]) -> None:
    code, out, _ = run(folder, cases=case(f" [{{subscription: orders, payload: {payload}}}]"))
    shown = [line.strip() for line in out.splitlines()]
    assert (code, shown) == (
        1,
        ["job.test.yaml", "FAIL  an order", "job.test.yaml:3:5", *lines, "0 passed, 1 failed."],
    )


@pytest.mark.parametrize(
    ("event", "expect"),
    [
        ("    event: {type: track, event: x}\n", " filtered"),
        ("    event: '{'\n", " [{rejected: invalid_json}]"),
        ("    event: []\n", " [{rejected: {stage: parse}}]"),
        ("    events: [{type: track, event: x}, '{']\n", " [filtered, {rejected: }]"),
        (ORDER.replace("EUR", '""'), " [{subscription: orders, rejected: missing_required_field}]"),
        (ORDER.replace("24.9", "none"), " [{subscription: orders, rejected: {stage: map, code: invalid_field}}]"),
    ],
)
def test_rejections_and_filtered_events_are_expected_by_name(folder: Path, event: str, expect: str) -> None:
    assert run(folder, cases=case(expect, event))[0] == 0


@pytest.mark.parametrize(
    ("expect", "shown"),
    [
        (" filtered", ['- expected "filtered"', "+ got      web/orders ready"]),
        (" [{subscription: web/pageView}]", ["- expected web/pageView ready", "+ got      nothing"]),
        (" [{subscription: orders, rejected: missing_value}]", ["- expected web/orders rejected missing_value"]),
    ],
)
def test_another_outcome_than_expected_is_reported(folder: Path, expect: str, shown: list[str]) -> None:
    code, out, _ = run(folder, cases=case(expect))
    assert code == 1
    assert [line for line in shown if line not in out] == []


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        (" [{subscription: orders, filtered: consent_unknown}]", 0),
        (" [{subscription: orders, filtered: true}]", 0),
        (" [filtered]", 0),
        (" [{subscription: orders, filtered: consent_refused}]", 1),
        (" [{subscription: orders}]", 1),
    ],
)
def test_an_event_without_consent_is_expected_by_its_reason(folder: Path, expect: str, code: int) -> None:
    (folder / "job.yaml").write_text(JOB.replace("subscriptions:", "consent: {any_of: [Ads]}\n    subscriptions:", 1))
    assert run(folder, cases=case(expect))[0] == code
    assert run(folder, "--update")[0] == run(folder)[0] == 0


def test_events_of_a_file_are_read_beside_the_test_file(folder: Path) -> None:
    (folder / "events.jsonl").write_text('{"type":"track","event":"x"}\n{"type":"identify"}\n')
    assert run(folder, cases=case(" [filtered, filtered]", "    input: events.jsonl\n"))[0] == 0


def test_values_of_a_files_events_are_shown_by_their_shape_unless_asked_for(folder: Path) -> None:
    mapping = "name: orders\n        mapping: {content_name: {'@path': $.properties.note}}"
    (folder / "job.yaml").write_text(JOB.replace("name: orders", mapping))
    properties = {"note": "for Max Muster", "revenue": 2, "currency": "EUR"}
    event = {"type": "track", "event": "Order Completed", "timestamp": "2026-11-22T09:59:00Z", "userId": "u-1"}
    context = {"userAgent": "UA", "page": {"url": "https://shop.example/of/max"}}
    (folder / "events.jsonl").write_text(json.dumps({**event, "properties": properties, "context": context}) + "\n")
    payload = "{event_source_url: x, custom_data: {content_name: x, value: 1, currency: USD}}"
    cases = case(f" [{{subscription: orders, payload: {payload}}}]", "    input: events.jsonl\n")

    _, out, _ = run(folder, cases=cases)
    got = [line.strip() for line in out.splitlines() if "+ got" in line]
    assert got == ['+ got      "https://shop.example/…"', "+ got      aaa Aaa Aaaa", "+ got      2", '+ got      "EUR"']
    assert "+ got      for Max Muster\n" in run(folder, "--show-values")[1]


def test_a_text_that_the_test_file_has_is_shown_unless_it_is_a_persons(folder: Path) -> None:
    names = "{'@path': $.properties.note}, content_category: {'@path': $.context.traits.firstName}"
    mapping = f"name: orders\n        mapping: {{content_name: {names}}}"
    (folder / "job.yaml").write_text(JOB.replace("name: orders", mapping))
    event = ORDER.replace("revenue:", "note: blue mug, revenue:").replace("traits: {", "traits: {firstName: Maxine, ")
    expect = " [{subscription: orders, payload: {custom_data: {content_name: x, content_category: null}}}]"

    assert '- expected "x"\n          + got      blue mug\n' in run(folder, cases=case(expect, event))[1]
    named = event.replace("blue mug", "Maxine")
    out = run(folder, cases=case(expect, named))[1]
    assert [line.strip() for line in out.splitlines() if "+ got" in line] == ['+ got      "Aaaa"']


# --- files that are wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "problem"),
    [
        (
            case(" [{subscription: ordres}]"),
            "12:15: tests[0].expect[0].subscription: the job file has no such subscription; did you mean orders?",
        ),
        (
            case(" [{subscription: pageView}]"),
            "12:15: tests[0].expect[0].subscription: several destinations have it: write web/pageView or crm/pageView",
        ),
        (
            case(" [{subscription: orders, rejected: missing_valeu}]"),
            "12:37: tests[0].expect[0].rejected: there is no such code; did you mean missing_value?",
        ),
        (case(" filterd"), "12:5: tests[0].expect: should be filtered, or an object; did you mean filtered?"),
        (case(" filtered", "    evnt: {}\n"), "4:5: tests[0].evnt: is unknown; did you mean event?"),
        (
            case(" filtered", "    event: {}\n    input: x\n"),
            "3:5: tests[0]: should have one of event, events and input",
        ),
        (
            case(" filtered", "    input: x.jsonl\n"),
            "4:5: tests[0].input: x.jsonl cannot be read: No such file or directory",
        ),
        (case(" filtered").replace("2026-11-22T10", "soon"), "1:1: now: should be a time: ISO 8601, or Unix seconds"),
        (
            case(" filtered").partition("\n")[2],
            "2:5: tests[0]: should have a now, as the age limits depend on it; or the whole file has one",
        ),
        ("tests: []\n", "1:1: tests: should be a list with one item at least"),
        ("a: [\n", "2:1: this is not valid YAML: did not find expected node content"),
        ("- x\n", "1:1: should be an object with now, tests"),
    ],
)
def test_what_is_wrong_with_a_test_file_is_reported_with_its_place(folder: Path, cases: str, problem: str) -> None:
    code, out, err = run(folder, cases=cases)
    assert (code, out) == (2, "")
    assert f"job.test.yaml:{problem}" in err.splitlines()


def test_two_cases_of_one_name_are_a_problem(folder: Path) -> None:
    cases = HEAD + "  - {name: a, event: {}, expect: filtered}\n" * 2
    assert "job.test.yaml:4:6: tests[1].name: is already the name of the case at line 3" in run(folder, cases=cases)[2]


def test_without_a_test_file_it_says_where_it_looked(folder: Path) -> None:
    code, _, err = run(folder)
    assert code == 2
    assert err.endswith("has no test files; they are called *.test.yaml or *.test.yml\n")


def test_files_and_folders_are_given_by_name_and_cases_by_a_part_of_theirs(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "a.test.yml").write_text(HEAD + "  - {name: One, event: {type: x}, expect: filtered}\n")
    (folder / "b.yaml").write_text(HEAD + "  - {name: other, event: {type: x}, expect: filtered}\n")
    files = [str(folder / "more"), str(folder / "b.yaml")]
    assert run(folder, *files)[1].endswith("2 passed, 0 failed.\n")
    assert run(folder, *files, "-k", "oNe")[1] == "more/a.test.yml\n  PASS  One\n1 passed, 0 failed.\n"
    assert run(folder, *files, "-k", "none") == (2, "", "capybeam: no case has 'none' in its name\n")


# --- --update ---------------------------------------------------------------------------------------------------------

WRONG = f"""\
# Cases of the shop.
{HEAD}\
  - name: an order # the only one
{ORDER}\
    expect:
      - subscription: orders # ours
        payload:
          custom_data:
            value: 25.9 # in euros
            currency: 'EUR'
          user_data: {{em: {{hash_of: Jane@Example.com}}}}

  # and this
  - {{name: passes, event: {{type: x}}, expect: filtered}}
  - name: no currency
    event: {{type: track, event: Order Completed, userId: u}}
    expect: [{{subscription: orders, rejected: missing_value}}]
"""


def test_update_rewrites_what_differs_and_keeps_all_else_to_the_byte(folder: Path) -> None:
    code, out, _ = run(folder, "--update", cases=WRONG)
    assert (code, out.splitlines()[-1]) == (0, "3 passed, 0 failed, 2 rewritten.")
    assert (folder / "job.test.yaml").read_text() == (
        WRONG.replace("25.9", "24.9")
        .replace("{hash_of: Jane@Example.com}", '{"hash_of":"jane@example.com"}')
        .replace("missing_value", '"missing_required_field"')
    )


@pytest.mark.parametrize(
    "expect", ["", " filtered", " [{subscription: crm/pageView}]", "\n      - filtered\n      - filtered"]
)
def test_update_writes_the_outcomes_where_others_were_expected(folder: Path, expect: str) -> None:
    code, _, _ = run(folder, "--update", cases=case(expect))
    assert code == 0
    text = (folder / "job.test.yaml").read_text()
    assert text.startswith(HEAD + "  - name: an order\n" + ORDER + "    expect:\n      - subscription: web/orders\n")
    assert run(folder)[0] == 0


@pytest.mark.parametrize(
    "text", ["1e5", "NO", "null", "24", "12:30", "# x", "a: b", "2026-11-22", "ünï", "a\nb", "'\""]
)
def test_what_update_writes_reads_back_as_the_same_text(folder: Path, text: str) -> None:
    mapping = "name: orders\n        mapping: {content_name: {'@path': $.properties.t}}"
    (folder / "job.yaml").write_text(JOB.replace("name: orders", mapping))
    event = ORDER.replace("revenue:", f"t: {json.dumps(text)}, revenue:")
    for expect in ("", " [{subscription: orders, payload: {custom_data: {content_name: x}}}]"):
        assert run(folder, "--update", cases=case(expect, event))[0] == 0
        assert run(folder)[0] == 0


def test_update_changes_nothing_where_all_pass(folder: Path) -> None:
    text = case(" [{subscription: orders}]")
    assert run(folder, "--update", cases=text)[0] == 0
    assert (folder / "job.test.yaml").read_text() == text


def test_update_of_some_cases_leaves_the_others(folder: Path) -> None:
    assert run(folder, "--update", "-k", "no currency", cases=WRONG)[0] == 0
    assert (folder / "job.test.yaml").read_text() == WRONG.replace("missing_value", '"missing_required_field"')


def test_update_keeps_the_files_line_ends(folder: Path) -> None:
    text = case("") + "  - {name: passes, event: {type: x}, expect: filtered}\n"
    (folder / "job.test.yaml").write_bytes(text.replace("\n", "\r\n").encode())

    assert run(folder, "--update")[0] == 0

    written = (folder / "job.test.yaml").read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") > text.count("\n")
    assert run(folder)[0] == 0


SHARED = f"""\
{HEAD}\
  - name: an order
{ORDER}\
    expect: &sent
      - subscription: orders
        payload: {{custom_data: {{value: &value 25, currency: EUR}}}}
  - name: the same
{ORDER}\
    expect: *sent
  - name: no currency
    event: {{type: track, event: Order Completed, userId: u}}
    expect: *sent # shared
  - name: another value
{ORDER}\
    expect: [{{subscription: orders, payload: {{custom_data: {{value: *value}}}}}}]
"""


def test_update_writes_a_shared_expectation_once_and_another_one_at_its_own_place(folder: Path) -> None:
    code, out, _ = run(folder, "--update", cases=SHARED)

    assert (code, out.splitlines()[-1]) == (0, "4 passed, 0 failed, 4 rewritten.")
    rejected = "\n".join(
        (
            "    expect:",
            "      - subscription: web/orders",
            "        rejected:",
            "          stage: map",
            "          code: missing_required_field # shared",
        )
    )
    assert (folder / "job.test.yaml").read_text() == SHARED.replace("&value 25", "&value 24.9").replace(
        "    expect: *sent # shared", rejected
    )


def test_update_of_an_anchored_expectation_keeps_the_anchor(folder: Path) -> None:
    cases = SHARED.replace("subscription: orders\n", "subscription: crm/pageView\n").partition("  - name: no currency")[
        0
    ]
    cases = cases.replace("&value 25", "25")

    assert run(folder, "--update", cases=cases)[0] == 0
    assert "    expect: &sent\n      - subscription: web/orders\n" in (folder / "job.test.yaml").read_text()


# --- the example ------------------------------------------------------------------------------------------------------


def test_the_examples_cases_pass(tmp_path: Path) -> None:
    for name in ("conversions.yaml", "conversions.test.yaml"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    result: Any = CliRunner().invoke(main, ["test", "--config", str(tmp_path / "conversions.yaml")])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "4 passed, 0 failed.")
