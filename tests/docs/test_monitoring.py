"""docs/monitoring.md keeps its word, and its files do what it says."""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from capybeam.pipeline.command_line import byte_count
from capybeam.pipeline.delivery_commands import replay, run
from capybeam.pipeline.run import report_document
from capybeam.pipeline.run.metrics import GAUGES, METRICS
from capybeam.pipeline.run.options import BATCH, OPTIONS
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.pipeline.time_options import GivenTimes, time_range
from capybeam.transforms.core.counters import CounterKey, CounterKind
from capybeam.transforms.core.progress import State
from capybeam.transforms.core.rejections import CODES, Stage
from tests.docs.test_docs import ROOT, section, table
from tests.pipeline.jobs import TOKEN, job_file
from tests.pipeline.run.runs import small_order

PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
FILES = ROOT / "examples" / "monitoring"
RULES = yaml.safe_load((FILES / "prometheus-rules.yaml").read_text())
OF_SCRIPT = {"capybeam_last_exit_code", "capybeam_last_end_time_seconds"}
PLACES = {
    "subscription": "DESTINATION/SUBSCRIPTION",
    "destination": "DESTINATION",
    "stage": "STAGE",
    "code": "CODE",
    "note": "NOTE",
    "answer": "ANSWER",
}


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_every_counter_of_beams_is_listed_with_its_metric() -> None:
    rows = table(section(PAGE, "## Prometheus"), "counter of Beam")
    listed = {}
    for counter, metric, labels, what in rows:
        key = CounterKey.decode(counter)
        assert key is not None, counter
        listed[key.kind] = (metric, tuple(re.findall(r"\w+", labels)), what)
        for label in re.findall(r"\w+", labels):
            assert PLACES[label] in counter
    assert listed.keys() == set(get_args(CounterKind))
    for kind, metric in METRICS.items():
        assert listed[kind] == (exposed(metric.name, metric.is_gauge), metric.labels, metric.help)


def test_every_gauge_is_listed() -> None:
    rows = table(section(PAGE, "## Prometheus"), "gauge")
    assert {name: (tuple(re.findall(r"\w+", labels)), what) for name, labels, what in rows} == {
        metric.name: (metric.labels, metric.help) for metric in GAUGES.values()
    }
    assert ", ".join(f"`{state}`" for state in get_args(State)) in PAGE


def exposed(name: str, is_gauge: bool) -> str:
    return name if is_gauge else f"{name}_total"


# --- alerts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [rule for group in RULES["groups"] for rule in group["rules"]], ids=lambda r: r["alert"]
)
def test_an_alert_is_about_metrics_labels_and_codes_that_there_are(rule: dict[str, Any]) -> None:
    labels_of = {exposed(m.name, m.is_gauge): set(m.labels) for m in (*METRICS.values(), *GAUGES.values())}
    labels_of["capybeam_destination_state"].add("state")
    names = set(re.findall(r"capybeam_\w+", rule["expr"]))
    assert names
    assert names <= labels_of.keys() | OF_SCRIPT
    labels = set().union(*(labels_of.get(name, set()) for name in names))
    said = rule["annotations"]["summary"]
    used = {name for names in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for name in names.split(", ")}
    assert used | set(re.findall(r"\$labels\.(\w+)", said)) | set(re.findall(r"[{,](\w+)!?=", rule["expr"])) <= labels
    assert set(re.findall(r"\$labels\.(\w+)", said)) <= used
    closed = {"code": CODES, "stage": get_args(Stage), "state": get_args(State)}
    for label, values in re.findall(r'[{,](\w+)!?=~?"([^"]+)"', rule["expr"]):
        assert set(values.split("|")) <= set(closed[label])
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_alerts() -> None:
    subprocess.run(["promtool", "check", "rules", str(FILES / "prometheus-rules.yaml")], check=True, timeout=60)


@pytest.mark.parametrize("code", ["destination_refused", "gave_up_retrying"])
def test_a_policy_of_cloud_monitoring_finds_the_counters_of_its_code(code: str) -> None:
    policy = json.loads((FILES / "cloud-monitoring-refused.json").read_text())
    found = [
        condition["conditionThreshold"]["filter"]
        for condition in policy["conditions"]
        if condition["displayName"] == code
    ]
    (pattern,) = re.findall(r'full_match\("(.*)"\)', found[0])
    assert re.fullmatch(pattern, CounterKey("rejected", "web/a: b", "send", code).encode())
    assert not re.fullmatch(pattern, CounterKey("rejected", "web/a", "send", "meta_refused_event").encode())


def test_the_query_on_reports_reads_keys_that_they_have() -> None:
    keys = report_document.json_schema()["properties"].keys()
    used = set(re.findall(r"report\.(\w+)", (FILES / "reports.sql").read_text()))
    assert used
    assert used <= keys


# --- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in (*FILES.glob("*.service"), *FILES.glob("*.timer")):
        text = path.read_text().replace("/opt/capybeam/nightly.sh", str(FILES / "nightly.sh"))
        (tmp_path / path.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    about_ours = [line for line in verified.stderr.splitlines() if "capybeam" in line]
    assert (verified.returncode, about_ours) == (0, [])


def test_the_parameters_of_the_scheduled_template_are_its_own() -> None:
    launch = json.loads((FILES / "cloud-scheduler.json").read_text())["launchParameter"]
    forms = {
        option.parameter_name: option.templates[BATCH.name] for option in OPTIONS if BATCH.name in option.templates
    }
    for name, value in launch["parameters"].items():
        assert re.fullmatch(forms[name].pattern, value), name
    assert {name for name, form in forms.items() if form.required} <= launch["parameters"].keys()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the page has it, with capybeam on the path."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "capybeam"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m capybeam "$@"\n')
    command.chmod(0o755)
    (tmp_path / "exports").mkdir()
    with gzip.open(tmp_path / "exports" / "2026-11-20-00.jsonl.gz", "wb") as file:
        file.write(b"".join(small_order(number) + b"\n" for number in range(20)))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TOKEN", TOKEN)
    return tmp_path


@pytest.fixture
def sandbox(folder: Path) -> Any:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as server:
        (folder / "conversions.yaml").write_text(job_file(server.url))
        yield server


def nightly(folder: Path, **environment: str) -> int:
    command = [str(FILES / "nightly.sh"), "2026-11-20"]
    settings = {"cwd": folder, "env": {**os.environ, **environment}, "timeout": 100}
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False, **settings).returncode  # type: ignore[call-overload,no-any-return]


@pytest.mark.slow
def test_the_nightly_script_replays_what_an_outage_has_left(folder: Path, sandbox: SandboxServer) -> None:
    sandbox.set_faults(throttle_next=1, throttle_status=429, retry_after="3600")  # longer than retry_for
    assert nightly(folder, CAPYBEAM_REPLAY_AFTER="0", CAPYBEAM_TEXTFILES=str(folder)) == 0
    first, again = (json.loads((folder / "reports" / f"2026-11-20{end}.json").read_text()) for end in ("", "-again"))
    assert (first["exit_code"], first["retryable"], again["exit_code"], again["delivered"]) == (5, 20, 0, 20)
    lines = [json.loads(line) for line in (folder / "logs" / "2026-11-20.jsonl").read_text().splitlines()]
    assert [line["exit_code"] for line in lines if line.get("kind") == "end"] == [5, 0]
    assert re.fullmatch(
        r"capybeam_last_exit_code 0\ncapybeam_last_end_time_seconds \d{10}\n", (folder / "capybeam.prom").read_text()
    )
    subprocess.run(["flock", "capybeam.lock", "true"], cwd=folder, check=True, timeout=5)  # it is free again


def test_the_nightly_script_leaves_a_run_alone_that_is_under_way(folder: Path) -> None:
    with subprocess.Popen(["flock", "capybeam.lock", "cat"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # fmt: skip  # noqa: E501
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"held\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"held\n"
        assert nightly(folder) == 75
        other.stdin.close()
    assert not list((folder / "reports").iterdir())


def tasks(file: str = "airflow_dag.py") -> dict[str, dict[str, Any]]:
    """The tasks of a DAG, by their names, with what its file says of each in so many words."""
    found = {}
    for node in ast.walk(ast.parse((FILES / file).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BashOperator":
            said = {
                keyword.arg: keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)
            }
            found[said["task_id"]] = said
    return found  # type: ignore[return-value]


def airflow_task(name: str, folder: Path) -> int:
    """The exit code of what a worker would run for a task."""
    command = tasks()[name]["bash_command"].replace("{{ ds }}", "2026-11-20")
    assert "{{" not in command
    return subprocess.run(["bash", "-c", command], cwd=folder, stdout=subprocess.DEVNULL, timeout=100).returncode


@pytest.mark.slow
def test_the_tasks_of_the_dag_deliver_and_replay(folder: Path, sandbox: SandboxServer) -> None:
    assert [(name, task.get("trigger_rule")) for name, task in tasks().items()] == [
        ("deliver", None),
        ("replay", "all_failed"),
    ]
    sandbox.set_faults(dead_token=True)
    assert airflow_task("deliver", folder) == 3
    sandbox.set_faults(dead_token=False)
    assert airflow_task("replay", folder) == 0
    assert json.loads((folder / "report-2026-11-20-again.json").read_text())["delivered"] == 20


def test_the_dag_skips_the_replay_of_a_run_that_failed_otherwise(folder: Path) -> None:
    (folder / "report-2026-11-20.json").write_text('{"exit_code": 4}')
    assert airflow_task("replay", folder) == 99
    (folder / "report-2026-11-20.json").unlink()
    assert airflow_task("replay", folder) == 99


# --- a warehouse -----------------------------------------------------------------------------------------------------


def commands(text: str) -> list[list[str]]:
    """The command lines of capybeam in a script, as a shell splits them."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"\bcapybeam ((?:run|replay) .*?)(?: \|\| | 2>> |\n|$)", joined)
    return [shlex.split(each) for each in found]


def understood(words: list[str]) -> dict[str, Any]:
    """What the command line makes of its words; a word that it does not know is an error."""
    name, *arguments = (word for word in words if word not in ("--log-format", "json"))  # an option of every command
    context = {"run": run, "replay": replay}[name].make_context(name, arguments)
    assert context.params.pop("beam_options") == ()
    return context.params


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(next(line for line in PAGE.splitlines() if "--since last" in line and "* * *" in line), id="cron"),
        pytest.param(tasks("airflow_warehouse_dag.py")["deliver"]["bash_command"], id="airflow"),
    ],
)
def test_a_nightly_command_reads_on_from_the_last_one_in_a_zone_and_within_a_limit(script: str) -> None:
    (words,) = commands(script)
    given = understood(words)
    between, last = time_range(GivenTimes(*(given[name] for name in GivenTimes._fields)))
    assert last is not None
    assert last.first is not None, "the first night has no watermark"
    assert (between.column, between.zone) == ("loaded_at", "Europe/Berlin")
    assert given["inputs"] == ("bigquery:acme-prod.segment.order_completed",)
    assert byte_count("--max-bytes-billed", given["max_bytes_billed"]) == 50 * 10**9
    assert "{{" not in given["receipts"], "another place each night has no watermark"


def test_the_dag_of_a_warehouse_needs_no_replay() -> None:
    assert list(tasks("airflow_warehouse_dag.py")) == ["deliver"]


@pytest.mark.parametrize(
    ("file", "names"), [("airflow_dag.py", ["deliver", "replay"]), ("airflow_warehouse_dag.py", ["deliver"])]
)
def test_airflow_takes_the_dags(file: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed")
    pytest.importorskip(
        "airflow.providers.standard.operators.bash", reason="Airflow's standard provider is not installed"
    )
    operators = pytest.importorskip("airflow.providers.standard.operators.bash")
    made: list[Any] = []
    plain = operators.BashOperator
    monkeypatch.setattr(operators, "BashOperator", lambda **given: made.append(plain(**given)) or made[-1])
    runpy.run_path(str(FILES / file))
    dag = made[0].dag
    assert sorted(dag.task_ids) == names
    assert (dag.schedule, dag.max_active_runs) == ("17 3 * * *", 1)
    if len(names) == 2:
        assert dag.get_task("replay").upstream_task_ids == {"deliver"}


def test_the_days_of_the_scheduled_template_follow_each_other() -> None:
    given = json.loads((FILES / "cloud-scheduler.json").read_text())["launchParameter"]["parameters"]
    times = GivenTimes(given["since"], given["until"], given["time_zone"], given["time_column"])
    first, _ = time_range(times, now=1_795_749_420)  # 2026-11-27T03:17:00Z
    second, _ = time_range(times, now=1_795_749_420 + 86_400)
    assert first.until == second.since
    assert first.column == "loaded_at"
