"""The command line: check and map, inside this process and as people start them."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.presets import presets
from capybeam.pipeline.moments import FORMS
from capybeam.transforms.core import events as limits

NOW = "2026-11-22T10:00:00Z"
UNIX_NOW = 1_795_341_600
TOKEN = "EAABsbCS1iHgBAExampleExampleExample"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"
ROOT = Path(__file__).parents[2]

JOB = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    subscriptions:
      - action: pageView
        name: pages
      - action: purchase
"""
PAGE = {
    "type": "page",
    "messageId": "m-1",
    "timestamp": "2026-11-22T09:59:00Z",
    "userId": "user_1042",
    "context": {"ip": "203.0.113.7", "userAgent": BROWSER, "page": {"url": "https://shop.example.com/"}},
}
ORDER_WITHOUT_CURRENCY = {**PAGE, "type": "track", "event": "Order Completed", "properties": {"revenue": 5}}
SIGN_UP = {**PAGE, "type": "track", "event": "Signed Up"}
EVENTS = "".join(json.dumps(event) + "\n" for event in (PAGE, ORDER_WITHOUT_CURRENCY, SIGN_UP)) + "{\n"

READY = {
    "line": 1,
    "destination": "web",
    "subscription": "pages",
    "status": "ready",
    "dataset_id": "123321",
    "payload": {
        "event_name": "PageView",
        "event_time": UNIX_NOW - 60,
        "event_id": "m-1",
        "event_source_url": "https://shop.example.com/",
        "action_source": "website",
        "user_data": {
            "external_id": [hashlib.sha256(b"user_1042").hexdigest()],
            "client_ip_address": "203.0.113.7",
            "client_user_agent": BROWSER,
        },
    },
}
REJECTED = {
    "line": 2,
    "destination": "web",
    "subscription": "purchase",
    "status": "rejected",
    "stage": "map",
    "code": "missing_required_field",
    "message": "The required field 'currency' has no value (looked for $.properties.currency).",
}
FILTERED = {
    "line": 3,
    "status": "filtered",
    "type": "track",
    "name": "Signed Up",
    "nearest": {
        "destination": "web",
        "subscription": "purchase",
        "condition": 'event = "Order Completed"',
        "field": "event",
        "type": "string",
        "value": "Signed Up",
    },
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "conversions.yaml"
    path.write_text(JOB, encoding="utf-8")
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text(EVENTS, encoding="utf-8")
    return path


def run(*arguments: object, input: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def seen(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def rows(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# --- check ------------------------------------------------------------------------------------------------------


def test_check_says_that_a_job_file_is_fine(config: Path) -> None:
    assert seen(run("check", config)) == (0, f"{config} is fine: 1 destination, 2 subscriptions.\n", "")


def test_check_needs_no_token(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_ACCESS_TOKEN", raising=False)

    assert run("check", config).exit_code == 0


def test_check_shows_every_problem_on_a_line_of_its_own_and_exits_with_2(config: Path) -> None:
    config.write_text(
        JOB.replace("action: purchase", "action: purchase\n        mapping: {value: {'@pth': $.x}}\n    colour: x")
    )

    code, out, err = seen(run("check", config))

    assert (code, out) == (2, "")
    assert [line.partition(": ")[0] for line in err.splitlines()] == [
        f"{config}:10:27",
        f"{config}:11:5",
        f"2 problems in {config}.",
    ]


def test_check_shows_a_warning_and_is_content(config: Path) -> None:
    config.write_text(JOB.replace("action: purchase", "action: purchase\n        mapping: {valeu: 5}"))

    assert seen(run("check", config)) == (
        0,
        f"{config} is fine: 1 destination, 2 subscriptions.\n",
        f"{config}:10:19: destinations[0].subscriptions[1].mapping.valeu: is not a field of purchase and is left out;"
        " did you mean value? (warning)\n",
    )


def test_check_of_a_file_that_is_not_there_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"

    assert seen(run("check", path)) == (
        2,
        "",
        f"{path}: cannot be read: No such file or directory\n1 problem in {path}.\n",
    )


def test_check_never_shows_what_looks_like_a_token(config: Path) -> None:
    config.write_text(JOB.replace("env:META_ACCESS_TOKEN", TOKEN))

    code, out, err = seen(run("check", config))

    assert code == 2
    assert "access_token" in err
    assert TOKEN not in out + err


def test_check_of_the_example_is_fine() -> None:
    code, out, err = seen(run("check", ROOT / "examples" / "conversions.yaml"))

    assert code == 0
    (warning,) = err.splitlines()
    assert "Meta ended its Offline Conversions API on 2025-05-14" in warning
    assert warning.endswith("(warning)")
    assert out.endswith("conversions.yaml is fine: 4 destinations, 17 subscriptions.\n")


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("an argument", ["check", TOKEN]),
        ("--input", ["map", "--config", "conversions.yaml", "--input", TOKEN]),
        ("--input", ["run", "--config=conversions.yaml", f"--input=gs://acme/x?access_token={TOKEN}"]),
        ("--from", ["replay", "--config", "conversions.yaml", "--from", TOKEN]),
        ("an argument", ["run", "--config", "conversions.yaml", f"--{TOKEN}=1"]),
    ],
)
def test_a_token_on_the_command_line_is_refused_and_not_repeated(named: str, arguments: list[str]) -> None:
    assert seen(run(*arguments)) == (
        2,
        "",
        f"capybeam: {named} appears to contain an access token. Store the token in a secret, and write a reference"
        " to it in the job file: access_token: secret:projects/P/secrets/S/versions/latest\n",
    )


def test_the_sandbox_is_given_its_tokens_on_the_command_line() -> None:
    assert run("sandbox", "--token", TOKEN, "--list-faults").exit_code == 0


def test_a_sandbox_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", "capybeam", "sandbox", "--port", "0"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        "capybeam: the sandbox needs aiohttp: pip install 'capybeam[sandbox]'\n",
    )


def test_nothing_but_the_sandbox_needs_its_extra() -> None:
    """aiohttp is not on workers, nor where only events are delivered."""
    imports = "import capybeam.pipeline.run.execute, capybeam.pipeline.preview, capybeam.pipeline.launch"
    code = f"import sys; sys.modules['aiohttp'] = None; {imports}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- map --------------------------------------------------------------------------------------------------------


def test_map_shows_what_becomes_of_each_event(config: Path, events: Path) -> None:
    code, out, err = seen(run("map", "--config", config, "--input", events, "--now", NOW))

    *first, last = rows(out)
    assert first == [READY, REJECTED, FILTERED]
    assert (last["line"], last["status"], last["stage"], last["code"]) == (4, "rejected", "parse", "invalid_json")
    assert (code, err) == (0, "1 ready, 2 rejected, 1 filtered.\n")


@pytest.mark.parametrize("arguments", [[], ["--input", "-", "--output", "-"]], ids=["by_default", "by_a_dash"])
def test_map_reads_standard_input_and_writes_standard_output(config: Path, arguments: list[str]) -> None:
    code, out, err = seen(run("map", "--config", config, "--now", NOW, *arguments, input=json.dumps(PAGE)))

    assert (code, rows(out), err) == (0, [READY], "1 ready, 0 rejected, 0 filtered.\n")


def test_map_writes_a_file(config: Path, events: Path, tmp_path: Path) -> None:
    output = tmp_path / "outcomes.jsonl"
    output.write_text("what was here before")

    code, out, err = seen(run("map", "--config", config, "--input", events, "--output", output, "--now", NOW))

    assert (code, out, err) == (0, "", "1 ready, 2 rejected, 1 filtered.\n")
    assert rows(output.read_text())[:3] == [READY, REJECTED, FILTERED]


def test_map_of_nothing_is_nothing(config: Path) -> None:
    assert seen(run("map", "--config", config, input="\n\n")) == (0, "", "0 ready, 0 rejected, 0 filtered.\n")


def test_map_tells_what_was_dropped_on_the_way(config: Path) -> None:
    page = {**PAGE, "context": {**PAGE["context"], "page": {}, "traits": {"email": "nobody", "phone": "none"}}}  # type: ignore[dict-item]

    code, _, err = seen(run("map", "--config", config, "--now", NOW, input=f"{json.dumps(page)}\n" * 2))

    assert (code, err) == (
        0,
        "2 ready, 0 rejected, 0 filtered.\n  dropped_em 2\n  dropped_ph 2\n  website_without_url 2\n",
    )


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2026-11-22T10:00:00Z", "ready"),
        ("2026-11-22T10:00:00", "ready"),
        ("2026-11-22T11:00:00+01:00", "ready"),
        ("2026-11-23", "ready"),
        (str(UNIX_NOW), "ready"),
        (f"{UNIX_NOW}.5", "ready"),
        ("2026-11-29T09:59:00Z", "ready"),
        ("2026-11-29T09:59:01Z", "event_too_old"),
        (str(UNIX_NOW + 8 * 86_400), "event_too_old"),
        ("2026-11-22T09:57:59Z", "event_in_future"),
    ],
)
def test_map_judges_ages_by_now(config: Path, now: str, status: str) -> None:
    (row,) = rows(run("map", "--config", config, "--now", now, input=json.dumps(PAGE)).stdout)

    assert row.get("code", row["status"]) == status


def test_map_judges_ages_by_the_clock_by_default(config: Path) -> None:
    (row,) = rows(
        run("map", "--config", config, input=json.dumps({**PAGE, "timestamp": "2020-01-01T00:00:00Z"})).stdout
    )

    assert row["code"] == "event_too_old"


@pytest.mark.parametrize("now", ["soon", "22/11/2026", "nan", "inf", "-inf", ""], ids=repr)
def test_a_now_that_is_no_time_exits_with_2(config: Path, now: str) -> None:
    assert seen(run("map", "--config", config, "--now", now, input=json.dumps(PAGE))) == (
        2,
        "",
        f"capybeam: --now {now} is not a time: {FORMS}\n",
    )


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_bound_that_is_no_time_exits_with_2(config: Path, option: str) -> None:
    assert seen(run("run", "--config", config, "--input", "bigquery:a.b.c", option, "soon")) == (
        2,
        "",
        f"capybeam: {option} soon is not a time: {FORMS}\n",
    )


def test_a_wrong_now_leaves_the_output_as_it_was(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "outcomes.jsonl"
    output.write_text("what was here before")

    assert run("map", "--config", config, "--output", output, "--now", "soon", input="").exit_code == 2
    assert output.read_text() == "what was here before"


def test_an_input_that_is_the_output_too_is_not_lost(config: Path, events: Path) -> None:
    run("map", "--config", config, "--input", events, "--output", events, "--now", NOW)

    assert events.read_text() != "", "the events are still there, or their outcomes are"


def test_an_input_that_is_not_there_exits_with_2(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"

    assert seen(run("map", "--config", config, "--input", path)) == (
        2,
        "",
        f"capybeam: {path}: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (["a.jsonl", "b.jsonl"], "map reads one input; --input was given 2 times"),
        (
            ["bigquery:a.b.c"],
            "bigquery:a.b.c: map reads files, or standard input; put some events into one as JSON lines",
        ),
    ],
)
def test_what_map_does_not_read_is_reported(config: Path, inputs: list[str], said: str) -> None:
    given = [word for text in inputs for word in ("--input", text)]
    assert seen(run("map", "--config", config, *given)) == (2, "", f"capybeam: {said}\n")


def test_a_port_that_is_none_and_a_schema_without_a_folder_exit_with_2(tmp_path: Path) -> None:
    assert run("sandbox", "--port", "99999").exit_code == 2
    path = tmp_path / "none" / "schema.json"
    assert seen(run("schema", "--output", path)) == (2, "", f"capybeam: {path}: No such file or directory\n")


@pytest.mark.parametrize("packed", ["gz", "bz2"])
def test_map_reads_packed_lines(config: Path, events: Path, tmp_path: Path, packed: str) -> None:
    path = tmp_path / f"events.jsonl.{packed}"
    path.write_bytes({"gz": gzip, "bz2": bz2}[packed].compress(events.read_bytes()))
    assert seen(run("map", "--config", config, "--input", path, "--now", NOW)) == seen(
        run("map", "--config", config, "--input", events, "--now", NOW)
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "-"])
def test_map_passes_over_a_line_that_is_too_long(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(limits, "MAX_LINE", 1_000_000)
    data = b'{"type":"screen"}\n' + b"x" * 3_000_000 + b'\n{"type":"screen"}\n'
    path = tmp_path / name
    if name != "-":
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    where = "-" if name == "-" else path
    code, out, _ = seen(run("map", "--config", config, "--input", where, input=data))
    place = "standard input" if name == "-" else path
    outcomes = [{key: row[key] for key in row if key not in ("type", "name", "nearest")} for row in rows(out)]
    assert (code, outcomes) == (
        0,
        [
            {"line": 1, "status": "filtered"},
            {
                "line": 2,
                "status": "rejected",
                "stage": "parse",
                "code": "line_too_long",
                "message": f"Line 2 of {place} has 3,000,000 bytes, and one of more than 0 MB is not read.",
            },
            {"line": 3, "status": "filtered"},
        ],
    )


CUT = "is incomplete: it was cut off. What came before is read."
DAMAGED = "cannot be read to its end: it is damaged, or not compressed as its name says. What came before is read."


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        pytest.param("a.jsonl.gz", lambda data: gzip.compress(data)[:-20], CUT, id="a gz that was cut off"),
        pytest.param("a.jsonl.gz", lambda data: data, DAMAGED, id="no gz at all"),
        pytest.param("a.jsonl.gz", lambda data: gzip.compress(data)[:40] + b"x" * 30, DAMAGED, id="a damaged gz"),
        pytest.param("a.csv.bz2", lambda data: data, DAMAGED, id="no bz2 at all"),
    ],
)
def test_a_packed_input_that_breaks_off_shows_what_a_run_would_make_of_it_and_exits_with_2(
    config: Path, events: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes], reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(events.read_bytes()))
    code, out, err = seen(run("map", "--config", config, "--input", path))
    assert (code, err) == (2, f"capybeam: {path} {reason}\n")
    if name.endswith(".gz"):
        assert (rows(out)[-1]["code"], rows(out)[-1]["message"]) == ("unreadable_rest", f"{path} {reason}")


def test_map_reads_csv(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        "type,event,messageId,timestamp,userId,context.userAgent,context.page.url,properties.currency,properties.revenue\n"
        'track,Order Completed,m-1,2026-11-22T09:59:00Z,u1,"Mozilla/5.0 (a,\nb)",https://shop.example/,USD,25.50\n'
        "track,Order Completed\n"
    )
    code, out, err = seen(run("map", "--config", config, "--input", path, "--now", NOW))
    ready, rejected = rows(out)
    assert (ready["line"], ready["status"], ready["payload"]["custom_data"]) == (
        2,
        "ready",
        {"currency": "USD", "value": 25.5},
    )
    assert rejected == {
        "line": 4,
        "status": "rejected",
        "stage": "parse",
        "code": "unreadable_row",
        "message": f"Line 4 of {path} has 2 cells, the header 9.",
    }
    assert (code, err) == (0, "1 ready, 1 rejected, 0 filtered.\n")


def test_a_csv_whose_header_makes_no_event_exits_with_2(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("type,type\n")
    assert seen(run("map", "--config", config, "--input", path)) == (
        2,
        "",
        f"capybeam: {path}: column 2 (type) appears twice\n",
    )


def test_map_refuses_a_csv_without_a_header_and_does_not_quote_it(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("track,Order Completed,jane@example.com\ntrack,Order Completed,joe@example.com\n")
    assert seen(run("map", "--config", config, "--input", path)) == (
        2,
        "",
        f"capybeam: {path}: no header, or none of its columns is a key of an event; a header looks like"
        " type,event,messageId,timestamp,userId,properties.total\n",
    )


def test_map_shows_all_whole_rows_of_a_packed_csv_that_was_cut_off(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"type,userId\n" + b"screen,u\n" * 3)[:-8])
    code, out, _ = seen(run("map", "--config", config, "--input", path))
    assert (code, [row.get("code") for row in rows(out)]) == (2, [None, None, None, "unreadable_rest"])


def test_an_input_that_is_a_directory_exits_with_2(config: Path, tmp_path: Path) -> None:
    assert seen(run("map", "--config", config, "--input", tmp_path)) == (
        2,
        "",
        f"capybeam: {tmp_path}: Is a directory\n",
    )


@pytest.mark.parametrize(("place", "reason"), [("", "Is a directory"), ("none/out", "No such file or directory")])
def test_an_output_that_cannot_be_written_exits_with_2(config: Path, tmp_path: Path, place: str, reason: str) -> None:
    output = tmp_path / place

    assert seen(run("map", "--config", config, "--output", output, input="")) == (
        2,
        "",
        f"capybeam: {output}: {reason}\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_an_output_that_fills_up_exits_with_2(config: Path, events: Path) -> None:
    code, out, err = seen(run("map", "--config", config, "--input", events, "--output", "/dev/full", "--now", NOW))

    assert (code, out, err) == (2, "", "capybeam: /dev/full: No space left on device\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_input_that_may_not_be_read_exits_with_2(config: Path, events: Path) -> None:
    events.chmod(stat.S_IWUSR)

    assert seen(run("map", "--config", config, "--input", events)) == (
        2,
        "",
        f"capybeam: {events}: Permission denied\n",
    )


def test_map_with_a_broken_job_file_exits_with_2_before_it_reads_anything(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("destinations: []\n")

    assert seen(run("map", "--config", path, "--input", tmp_path / "none.jsonl")) == (
        2,
        "",
        f"{path}:1:1: destinations: must list at least one\ncapybeam: 1 problem in {path}.\n",
    )


def test_no_word_on_the_terminal_repeats_personal_data(config: Path) -> None:
    lines = json.dumps({**ORDER_WITHOUT_CURRENCY, "timestamp": "jane@example.com"}) + '\n{"email": "jane@example.com"\n'

    result = run("map", "--config", config, "--now", NOW, input=lines)

    assert (result.exit_code, "jane" in result.stdout + result.stderr) == (0, False)


PRETTY = json.dumps([PAGE, PAGE], indent=2)
IT_IS = "it is one pretty-printed JSON document, an array, and not JSON lines with one event each."


def test_map_names_a_document_in_the_place_of_lines_and_leaves_the_output_as_it_was(
    config: Path, tmp_path: Path
) -> None:
    (tmp_path / "events.json").write_text(PRETTY)
    output = tmp_path / "outcomes.jsonl"
    output.write_text("what was here before")
    path = f"{tmp_path}/events.json"
    assert seen(run("map", "--config", config, "--input", path, "--output", output)) == (
        2,
        "",
        f"capybeam: {path}: {IT_IS} Convert it to JSON lines: jq -c '.[]' < {path} > events.lines.jsonl\n",
    )
    assert output.read_text() == "what was here before"
    assert seen(run("map", "--config", config, input=PRETTY)) == (
        2,
        "",
        f"capybeam: standard input: {IT_IS} Put jq -c '.[]' in front: … | jq -c '.[]' | capybeam map …\n",
    )


@pytest.mark.skipif(shutil.which("jq") is None, reason="there is no jq here")
@pytest.mark.parametrize("events", [[PAGE, PAGE], PAGE], ids=["an array", "an object"])
def test_what_map_says_of_a_document_makes_lines_of_it(config: Path, tmp_path: Path, events: Any) -> None:
    (tmp_path / "x [1].json").write_text(json.dumps(events, indent=2))
    command = run("map", "--config", config, "--input", tmp_path / "x [1].json").stderr.partition(
        "Convert it to JSON lines: "
    )[2]
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=60)
    lines = (tmp_path / "x [1].lines.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == (events if isinstance(events, list) else [events])


# --- schema and help --------------------------------------------------------------------------------------------


def test_the_schema_is_printed_or_written(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"

    printed = run("schema")
    written = run("schema", "--output", path)

    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert json.loads(printed.stdout) == json.loads(path.read_text())
    assert json.loads(printed.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_the_commands_and_what_each_is_for(flag: str) -> None:
    code, out, err = seen(run(flag))

    assert (code, err) == (0, "")
    for line in (
        "Checks a job file: format, triggers, mappings, names.",
        "Shows what Meta would be sent, event by event, and",
        "A job file says which events go where, and as what.",
        "README.md",
    ):
        assert line in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("check", ["Reads no token and sends nothing", "Exit code 0, or 2", "file:line:column"]),
        (
            "map",
            [
                "sends nothing",
                "in input order",
                '"ready"',
                '"rejected"',
                '"filtered"',
                "--config",
                "--input",
                "--output",
                "--now",
                "- is stdin",
                "- is stdout",
                "ISO 8601",
                "Exit code 0",
                "[required]",
            ],
        ),
    ],
)
def test_the_help_of_a_command_teaches_its_use(command: str, words: list[str]) -> None:
    code, out, _ = seen(run(command, "--help"))

    text = " ".join(out.split())
    assert (code, [word for word in words if word not in text]) == (0, [])


def test_version_is_shown() -> None:
    code, out, _ = seen(run("--version"))

    assert (code, out.startswith("capybeam, version ")) == (0, True)


@pytest.mark.parametrize("arguments", [["chek"], ["check"], ["map"], ["map", "--confg", "x"]], ids=" ".join)
def test_a_wrong_command_line_exits_with_2_and_says_where_help_is(arguments: list[str]) -> None:
    code, out, err = seen(run(*arguments))

    assert (code, out, "--help" in err) == (2, "", True)


# --- as people start them ---------------------------------------------------------------------------------------


def start(*arguments: object, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "capybeam", *map(str, arguments)]
    return subprocess.run(command, input=input, capture_output=True, cwd=ROOT, timeout=60, check=False)


def test_check_as_a_process(config: Path) -> None:
    done = start("check", config)

    assert (done.returncode, done.stdout.decode(), done.stderr) == (
        0,
        f"{config} is fine: 1 destination, 2 subscriptions.\n",
        b"",
    )


def test_a_failing_check_as_a_process(config: Path) -> None:
    config.write_text(JOB.replace("action: pageView", "action: pageview"))

    done = start("check", config)

    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines() == [
        f"{config}:7:9: destinations[0].subscriptions[0].action: must be one of"
        f" {', '.join(presets())}; did you mean pageView?",
        f"1 problem in {config}.",
    ]


def test_map_as_a_process(config: Path) -> None:
    done = start("map", "--config", config, "--now", NOW, input=EVENTS.encode())

    assert (done.returncode, rows(done.stdout.decode())[:3], done.stderr) == (
        0,
        [READY, REJECTED, FILTERED],
        b"1 ready, 2 rejected, 1 filtered.\n",
    )


def test_a_failing_map_as_a_process(config: Path, tmp_path: Path) -> None:
    done = start("map", "--config", config, "--input", tmp_path / "none.jsonl")

    assert (done.returncode, done.stdout, done.stderr.decode()) == (
        2,
        b"",
        f"capybeam: {tmp_path}/none.jsonl: No such file or directory\n",
    )


def test_map_into_a_pipe_that_closes_early_ends_quietly(config: Path) -> None:
    map_ = [sys.executable, "-m", "capybeam", "map", "--config", str(config), "--now", NOW]
    with subprocess.Popen(
        map_, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        try:
            process.stdin.write(EVENTS.encode() * 2000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None
        _, err = process.communicate(timeout=60)

    assert (process.returncode, b"Traceback" in err) == (0, False)


@pytest.mark.parametrize("command", ["check", "map"])
def test_beam_is_not_imported(command: str, config: Path, events: Path, tmp_path: Path) -> None:
    arguments = {
        "check": ["check", str(config)],
        "map": [
            "map",
            "--config",
            str(config),
            "--input",
            str(events),
            "--output",
            str(tmp_path / "out"),
            "--now",
            NOW,
        ],
    }[command]
    program = (
        "import sys\n"
        "from capybeam.pipeline.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "assert 'apache_beam' not in sys.modules\n"
        "print('no Beam')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["no Beam"]), done.stderr
