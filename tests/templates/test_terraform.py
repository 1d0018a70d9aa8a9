"""The Terraform module, as far as it can be checked without Google: syntax, format, that it fits code and documents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.sinks import dead_letters, receipts, window_books
from capybeam.transforms.core.rejections import Rejection
from capybeam.transforms.core.windows import WindowRow
from capybeam.transforms.delivery.batches import Receipt
from tests.docs.test_docs import section, table

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "templates" / "terraform"
FILES = sorted(MODULE.rglob("*.tf"))
DOCUMENT = (ROOT / "docs" / "dataflow.md").read_text(encoding="utf-8")


def plain(node: Any) -> Any:
    """What was read, without the quotes that the reader keeps around texts."""
    if isinstance(node, dict):
        return {plain(key): plain(value) for key, value in node.items() if not key.startswith("__")}
    if isinstance(node, list):
        return [plain(item) for item in node]
    return node[1:-1] if isinstance(node, str) and len(node) > 1 and node[0] == node[-1] == '"' else node


def blocks(folder: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All blocks of a kind by name; resources by type and name."""
    for path in sorted(folder.glob("*.tf")):
        with path.open(encoding="utf-8") as file:
            for block in plain(hcl2.load(file)).get(kind, []):
                ((name, content),) = block.items()
                if kind in ("resource", "data"):
                    ((inner, content),) = content.items()
                    name = f"{name}.{inner}"
                yield name, content


VARIABLES = dict(blocks(MODULE, "variable"))
OF_NETWORK = dict(blocks(MODULE / "network", "variable"))
RESOURCES = dict(blocks(MODULE, "resource"))
JOB = RESOURCES["google_dataflow_flex_template_job.this"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MODULE)))
def test_a_file_is_terraform_in_its_usual_format(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        assert hcl2.load(file)
    if terraform := shutil.which("terraform"):
        command = [terraform, "fmt", "-check", "-diff", str(path)]
    elif go := shutil.which("go"):
        command = [
            go,
            "run",
            "github.com/hashicorp/hcl/v2/cmd/hclfmt@v2.24.0",
            "-check",
            "-require-no-change",
            str(path),
        ]
    else:
        pytest.skip("neither terraform nor go is here: syntax was checked, format was not")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "variable"),
    [*VARIABLES.items(), *OF_NETWORK.items()],
    ids=[*VARIABLES, *(f"network.{n}" for n in OF_NETWORK)],
)
def test_a_variable_says_what_it_is_and_checks_it(name: str, variable: dict[str, Any]) -> None:
    assert variable["description"].endswith(".")
    assert variable["type"]
    assert (
        "validation" in variable or variable["type"] == "${bool}" or variable["type"] == "bool"
    )  # which checks itself
    for validation in variable.get("validation", []):
        assert f"var.{name}" in validation["condition"]
        assert validation["error_message"].endswith(".")


def test_every_variable_is_used_and_declared() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in MODULE.glob("*.tf") if path.name != "variables.tf")
    assert set(re.findall(r"\bvar\.(\w+)", text)) == VARIABLES.keys()


def test_every_variable_is_in_the_table_of_the_document() -> None:
    listed = [
        name
        for names, _ in table(section(DOCUMENT, "## The jobs, by Terraform"), "variable")
        for name in re.findall(r"\w+", names)
    ]
    assert sorted(listed) == sorted(VARIABLES)


def test_every_alert_policy_is_in_the_table_of_the_document() -> None:
    listed = [name for name, *_ in table((ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8"), "policy")]
    text = (MODULE / "monitoring.tf").read_text(encoding="utf-8")
    policies = re.findall(r"^ +(\w+) += \{\n +name +=", text, re.MULTILINE)
    assert sorted(listed) == sorted(policies)


def test_every_output_has_a_description() -> None:
    assert all(output["description"] for _, output in blocks(MODULE, "output"))


def test_a_pasted_token_is_no_secrets_name() -> None:
    (validation,) = VARIABLES["secrets"]["validation"]
    (pattern,) = re.findall(r'regex\("(.+?)", secret', validation["condition"].replace('\\"', '"'))
    assert re.search(pattern, "meta-access-token")
    assert not re.search(pattern, f"EAAB{'Zb4' * 60}ZD")


def test_the_roles_granted_are_those_that_the_document_lists() -> None:
    granted = {
        role
        for name, resource in RESOURCES.items()
        if "_iam_" in name
        for role in re.findall(r"roles/[\w.]+", json.dumps(resource))
    }
    section = DOCUMENT.split("## What the account may do")[1].split("\n## ")[0]
    assert granted == set(re.findall(r"^\| `(roles/[\w.]+)` \|", section, re.MULTILINE))
    assert not granted & {"roles/owner", "roles/editor", "roles/viewer"}


def test_nothing_is_granted_on_the_whole_project_that_reads_data() -> None:
    of_project = {
        role
        for name, resource in RESOURCES.items()
        if name.startswith("google_project_iam")
        for role in re.findall(r"roles/[\w.]+", json.dumps(resource))
    }
    assert of_project == {
        "roles/dataflow.worker",
        "roles/dataflow.viewer",
        "roles/dataflow.developer",
        "roles/bigquery.jobUser",  # to ask, not what for
        "roles/bigquery.readSessionUser",
    }


def test_the_jobs_own_subscription_moves_no_message_away_while_it_waits() -> None:
    subscription = RESOURCES["google_pubsub_subscription.events"]
    assert "dead_letter_policy" not in subscription
    assert "retry_policy" not in subscription
    assert subscription["message_retention_duration"] == "604800s"


def test_the_streaming_job_is_drained_by_the_provider_that_has_such_jobs() -> None:
    assert (JOB["provider"], JOB["on_delete"]) == ("google-beta", "drain")


def test_the_columns_are_those_of_what_is_written() -> None:
    rows = {
        "dead_letters": Rejection("map", "invalid_field", "…", payload=b"\xff", replays=1).encode(),
        "receipts": Receipt("web", "1", 2, 3, 4, None, (), 1, 0.1, 5, event_ids=("a",)).encode(),
        "window_books": WindowRow(60, 60, None, None, None).encode(),
    }
    for name, row in rows.items():
        columns = {column["name"] for column in json.loads((MODULE / "schemas" / f"{name}.json").read_bytes())}
        assert columns == json.loads(row).keys()


def test_tables_are_partitioned_as_those_that_a_run_makes() -> None:
    main = (MODULE / "main.tf").read_text(encoding="utf-8")
    assert dict(re.findall(r'(\w+) += \{ partition = "(\w+)"', main)) == {
        "dead_letters": dead_letters.SCHEMA.day,
        "receipts": receipts.SCHEMA.day,
        "window_books": window_books.SCHEMA.day,
    }


@pytest.mark.parametrize("example", ["example", "example-production"])
def test_an_example_gives_what_the_modules_need(example: str) -> None:
    for name, module in blocks(MODULE / example, "module"):
        variables = VARIABLES if name == "capybeam" else dict(blocks(MODULE / name, "variable"))
        given = module.keys() - {"source"}
        assert given <= variables.keys()
        assert {name for name, variable in variables.items() if "default" not in variable} <= given


def test_the_examples_secrets_are_those_of_its_job_file() -> None:
    ((_, module),) = blocks(MODULE / "example", "module")
    job = load_job(MODULE / "example" / "conversions.yaml")
    assert {f"projects/acme-prod/secrets/{secret}/versions/latest" for secret in module["secrets"]} == {
        destination.token.text.removeprefix("secret:") for destination in job.destinations
    }
