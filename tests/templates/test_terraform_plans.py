"""The Terraform module planned and applied, by Terraform itself, with a stand-in that has the provider's schemas."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format

from capybeam.pipeline.run.options import OPTIONS
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.counters import CounterKey
from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.batches import DestinationHeld
from capybeam.transforms.delivery.client import Client
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.meta.destinations import MetaDestination
from tests.servers.google_provider import NoTerraform, Terraform
from tests.transforms.envelopes import pack, sealed
from tools.provider_schemas import SCHEMAS, used

pytestmark = [pytest.mark.slow, pytest.mark.real_server, pytest.mark.timeout(600)]

MODULE = Path(__file__).parents[2] / "templates" / "terraform"


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    try:
        return Terraform(tmp_path_factory.mktemp("providers"))
    except NoTerraform as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module, to work in."""
    copy = tmp_path_factory.mktemp("module") / "terraform"
    shutil.copytree(MODULE, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return copy


@pytest.fixture(scope="module")
def example(terraform: Terraform, folders: Path) -> Path:
    """The folder of the example, which has been applied."""
    return applied(terraform, folders / "example")


@pytest.fixture(scope="module")
def production_folder(terraform: Terraform, folders: Path) -> Path:
    """The folder of the larger example, which has been applied."""
    return applied(terraform, folders / "example-production")


@pytest.fixture(scope="module")
def production(terraform: Terraform, production_folder: Path) -> dict[str, dict[str, Any]]:
    """The resources of the larger example, by address."""
    state = json.loads(terraform(production_folder, "show", "-json").stdout)
    return {
        resource["address"].removeprefix("module.capybeam."): resource["values"]
        for module in state["values"]["root_module"]["child_modules"]
        for resource in module["resources"]
    }


def applied(terraform: Terraform, folder: Path) -> Path:
    for command in (("init",), ("validate",), ("apply", "-auto-approve")):
        done = terraform(folder, *command)
        assert done.returncode == 0, done.stdout
    return folder


def test_the_schemas_have_all_that_the_module_uses() -> None:
    schemas = json.loads(SCHEMAS.read_bytes())
    assert {name for provider in schemas.values() for name in provider["schemas"]} == used(MODULE)


def test_the_modules_own_tests_pass(terraform: Terraform, folders: Path) -> None:
    for command in ("init", "test"):
        done = terraform(folders, command)
        assert done.returncode == 0, done.stdout


def test_what_the_provider_does_not_have_is_found(terraform: Terraform, folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders, tmp_path, dirs_exist_ok=True)
    wrong = {
        'combiner              = "OR"': 'combiner              = "ANY"',
        "enable_streaming_engine = true": "streaming_engine = true",
    }
    for path in tmp_path.glob("*.tf"):
        text = path.read_text()
        for old, new in wrong.items():
            text = text.replace(old, new)
        path.write_text(text)
    assert terraform(tmp_path, "init").returncode == 0
    done = terraform(tmp_path, "validate")
    assert done.returncode == 1
    assert 'expected combiner to be one of ["AND" "OR" "AND_WITH_MATCHING_RESOURCE"], got ANY' in done.stdout
    assert 'An argument named "streaming_engine" is not expected here.' in done.stdout


def test_a_second_apply_of_an_example_changes_nothing(
    terraform: Terraform, example: Path, production_folder: Path
) -> None:
    for folder in (example, production_folder):
        done = terraform(folder, "plan", "-detailed-exitcode")
        assert (done.returncode, "No changes." in done.stdout) == (0, True), done.stdout


def test_another_job_file_updates_the_job_and_nothing_else(terraform: Terraform, example: Path) -> None:
    with (example / "conversions.yaml").open("a") as file:
        file.write("# changed\n")
    assert terraform(example, "plan", "-out=made.plan").returncode == 0
    shown = json.loads(terraform(example, "show", "-json", "made.plan").stdout)
    changed = {
        each["address"].removeprefix("module.capybeam."): each["change"]["actions"]
        for each in shown["resource_changes"]
        if each["change"]["actions"] != ["no-op"]
    }
    assert changed.keys() == {"google_storage_bucket_object.config", "google_dataflow_flex_template_job.this[0]"}
    assert changed["google_dataflow_flex_template_job.this[0]"] == ["update"]


# --- jobs ------------------------------------------------------------------------------------------------------------


def launch(production: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The request that the schedule makes, whole."""
    (target,) = production["google_cloud_scheduler_job.nightly[0]"]["http_target"]
    request: dict[str, Any] = json.loads(base64.b64decode(target["body"]))
    return request


def test_the_jobs_are_given_parameters_as_their_templates_want_them(production: dict[str, dict[str, Any]]) -> None:
    given = {
        "streaming": production["google_dataflow_flex_template_job.this[0]"]["parameters"],
        "batch": launch(production)["launchParameter"]["parameters"],
    }
    for template, parameters in given.items():
        known = {option.parameter_name: form for option in OPTIONS if (form := option.templates.get(template))}
        assert {name for name, form in known.items() if form.required} <= parameters.keys()
        for name, value in parameters.items():
            assert re.fullmatch(known[name].pattern, value), (template, name, value)


def test_dataflow_knows_all_that_the_schedule_asks_for(production: dict[str, dict[str, Any]]) -> None:
    asked = dataflow.LaunchFlexTemplateRequest.from_json(json.dumps(launch(production))).launch_parameter
    assert asked.environment.ip_configuration == dataflow.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    with pytest.raises(json_format.ParseError, match="no field named"):
        dataflow.LaunchFlexTemplateRequest.from_json('{"launchParameter": {"job": "capybeam"}}')


# --- alerts ----------------------------------------------------------------------------------------------------------


def queries(production: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is asked in PromQL: the alerts by their keys, the charts by their titles."""
    board = json.loads(production["google_monitoring_dashboard.this[0]"]["dashboard_json"])
    found = {
        tile["widget"]["title"]: data["timeSeriesQuery"]["prometheusQuery"]
        for tile in board["mosaicLayout"]["tiles"]
        for data in tile["widget"]["xyChart"]["dataSets"]
    }
    for address, values in production.items():
        if address.startswith("google_monitoring_alert_policy.growth"):
            (condition,) = values["conditions"][0]["condition_prometheus_query_language"]
            found[address.split('"')[1]] = condition["query"]
    return found


COUNTERS = {
    "refused": CounterKey("rejected", "web/a: b", "send", "destination_refused").encode(),
    "given up": CounterKey("rejected", "web/a", "send", "gave_up_retrying").encode(),
    "bad": CounterKey("rejected", "web/a", "map", "missing_required_field").encode(),
    "delivered": CounterKey("delivered", "web/a").encode(),
    "read": CounterKey("read").encode(),
    "throttled": CounterKey("throttled").encode(),
    "tries": CounterKey("tries", destination="web").encode(),
}


@pytest.mark.parametrize(
    ("query", "counters"),
    [
        ("undelivered", {"refused", "given up"}),
        ("dead_letters", {"refused", "given up", "bad"}),
        ("Delivered a minute", {"delivered"}),
        ("Read and taken a minute", {"read"}),
        ("Requests a minute, with those tried again", {"tries"}),
        ("Seconds a minute in which a rate limit held something up", {"throttled"}),
    ],
)
def test_a_query_is_about_counters_that_a_job_has(
    production: dict[str, dict[str, Any]], query: str, counters: set[str]
) -> None:
    patterns = set(re.findall(r'metric_name=~"([^"]+)"', queries(production)[query]))
    (pattern,) = patterns
    assert {name for name, counter in COUNTERS.items() if re.fullmatch(pattern, counter)} == counters


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_on_growth_fire_for_what_is_new_and_then_stop(
    production: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    labels = 'monitored_resource="dataflow_job",job_name="capybeam",job_id="1",metric_name="%s"'
    series = f"dataflow_googleapis_com:job_user_counter{{{labels}}}"
    rules = [{"alert": name, "expr": queries(production)[name]} for name in ("undelivered", "dead_letters")]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "capybeam", "rules": rules}]}))
    fired = {"exp_labels": {"job_name": "capybeam"}}
    cases = [(89, [], []), (91, [fired], [fired]), (149, [fired], [fired]), (160, [], [])]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": series % COUNTERS["refused"], "values": "_x90 120x100"},
            {"series": series % COUNTERS["bad"], "values": "1000x190"},
        ],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected}
            for minute, *both in cases
            for name, expected in zip(("undelivered", "dead_letters"), both, strict=True)
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_on_logs_finds_what_a_worker_says_of_a_destination_that_it_holds(
    production: dict[str, dict[str, Any]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (condition,) = production['google_monitoring_alert_policy.log["refused"]']["conditions"]
    (log,) = condition["condition_matched_log"]
    (pattern,) = re.findall(r'jsonPayload\.message =~ "(.*)"$', log["filter"])
    key = Address("web", "123").encode()
    monkeypatch.setenv("TOKEN", "EAAB-the-token")
    monkeypatch.setattr("capybeam.transforms.delivery.client._HOLD_FOR", 0.0)
    with SandboxServer(SandboxSettings()) as sandbox:
        sandbox.set_faults(dead_token=True)
        destination = MetaDestination("web", TokenReference("env:TOKEN"), endpoint=sandbox.url)
        with pytest.raises(DestinationHeld):
            Client((destination,), Delivery(), on_refusal="hold").deliver(
                pack(key, [sealed({"event_name": "Lead", "event_time": int(time.time())})])
            )
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said
    assert all(re.search(pattern.replace("\\\\", "\\"), each) for each in said)
    assert not re.search(pattern.replace("\\\\", "\\"), "web: Meta, code 80004: rate limit. Trying again in 60 s")


def test_no_account_may_do_more_than_its_part(production: dict[str, dict[str, Any]]) -> None:
    roles: dict[str, set[str]] = {}
    for address, values in production.items():
        if "_iam_member" in address:
            member = re.sub(r"^serviceAccount:|@\S+", "", values["member"])
            roles.setdefault(member, set()).add(values["role"].removeprefix("roles/"))
    assert roles == {
        "capybeam": {
            "artifactregistry.reader",
            "bigquery.dataEditor",
            "bigquery.dataViewer",
            "bigquery.jobUser",
            "bigquery.readSessionUser",
            "dataflow.viewer",
            "dataflow.worker",
            "pubsub.subscriber",
            "pubsub.viewer",
            "secretmanager.secretAccessor",
            "storage.objectAdmin",
        },
        "capybeam-run": {"dataflow.developer", "iam.serviceAccountUser", "storage.objectViewer"},
        "capybeam-sum": {"bigquery.dataViewer", "bigquery.jobUser"},
        "group:data-platform": {"iam.serviceAccountTokenCreator"},
        "service-123456789012": {"cloudkms.cryptoKeyEncrypterDecrypter"},
        "bq-123456789012": {"cloudkms.cryptoKeyEncrypterDecrypter"},
    }
