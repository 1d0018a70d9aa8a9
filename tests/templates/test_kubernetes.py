"""The manifests hold for Kubernetes' own schemas, and for what they start."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from capybeam.pipeline.cli import main
from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.run import exit_codes
from tools.kubernetes_schemas import KINDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "templates" / "kubernetes"
SCHEMAS = json.loads((Path(__file__).parent / "kubernetes_schemas.json").read_bytes())
NOT_OF_KUBERNETES = {"Kustomization", "FlinkDeployment"}  # their schemas are their programs' own
BEAM = re.findall(r"^ARG BEAM=(\S+)$", (ROOT / "templates" / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if "kind" in each:
                yield f"{path.relative_to(FOLDER)}:{each['kind']}", each


OBJECTS = dict(objects())
FLINK = OBJECTS["flink/history.yaml:FlinkDeployment"]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The specifications of all pods."""
    for name, each in OBJECTS.items():
        if each["kind"] == "CronJob":
            yield name, each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif each["kind"] in ("Deployment", "Job"):
            yield name, each["spec"]["template"]["spec"]
    yield "flink/history.yaml:FlinkDeployment", FLINK["spec"]["taskManager"]["podTemplate"]["spec"]


PODS = dict(pods())
CONTAINERS = {
    f"{name}:{container['name']}": container
    for name, pod in PODS.items()
    for container in (*pod.get("initContainers", ()), *pod["containers"])
}
OURS = {name: each for name, each in CONTAINERS.items() if re.search(r"\bcapybeam\b", each.get("image", ""))}


def problems(value: dict[str, Any], kind: str) -> list[str]:
    schema = {"$ref": f"#/$defs/{SCHEMAS['kinds'][kind]}", "$defs": SCHEMAS["$defs"]}
    return [each.message for each in jsonschema.Draft202012Validator(schema).iter_errors(value)]


@pytest.mark.parametrize("name", [name for name, each in OBJECTS.items() if each["kind"] not in NOT_OF_KUBERNETES])
def test_an_object_is_one_of_kubernetes(name: str) -> None:
    each = OBJECTS[name]
    assert problems(each, f"{each['apiVersion']} {each['kind']}") == []


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_one_of_kubernetes(name: str) -> None:
    assert problems({"apiVersion": "v1", "kind": "Pod", "spec": PODS[name]}, "v1 Pod") == []


def test_what_kubernetes_does_not_have_is_found() -> None:
    assert SCHEMAS["kinds"] == KINDS
    deployment = json.loads(json.dumps(OBJECTS["stream.yaml:Deployment"]))
    deployment["spec"]["replica"] = deployment["spec"].pop("replicas")
    deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "metrics"
    assert sorted(problems(deployment, "apps/v1 Deployment")) == [
        "'metrics' is not of type 'integer'",
        "Additional properties are not allowed ('replica' was unexpected)",
    ]


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_may_do_nothing_that_it_need_not(name: str) -> None:
    container, pod = OURS[name], PODS[name.rsplit(":", 1)[0]]
    context = {**pod.get("securityContext", {}), **container["securityContext"]}
    assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
    assert context["capabilities"] == {"drop": ["ALL"]}
    for dockerfile in (ROOT / "Dockerfile", ROOT / "templates" / "Dockerfile"):
        assert f"useradd --uid {context['runAsUser']} " in dockerfile.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name, each in OURS.items() if each["args"] != ["--worker_pool"]])
def test_a_container_starts_a_command_that_there_is(name: str) -> None:
    command, *arguments = OURS[name]["args"]
    found = main.get_command(click.Context(main), command)
    assert found is not None
    context = found.make_context(command, arguments)
    assert context.args == []  # an option that is not known would be Beam's
    for argument in arguments:
        assert argument.startswith("--")


def test_a_nightly_run_is_tried_again_where_that_may_help() -> None:
    (rule,) = OBJECTS["nightly.yaml:CronJob"]["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    ends = {exit_codes.DEAD_LETTERS, exit_codes.CONFIGURATION, exit_codes.REFUSED}
    assert (rule["action"], set(rule["onExitCodes"]["values"])) == ("FailJob", ends)


def test_the_job_file_is_fine_and_its_token_is_where_it_is_mounted() -> None:
    (destination,) = load_job(FOLDER / "conversions.yaml").destinations
    for name in ("stream.yaml:Deployment:capybeam", "nightly.yaml:CronJob:capybeam"):
        mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINERS[name]["volumeMounts"]}
        assert destination.token.text == f"file:{mounts['token']}/token"
        assert f"--config={mounts['job']}/conversions.yaml" in CONTAINERS[name]["args"]


def test_the_job_server_is_of_the_images_beam() -> None:
    (version,) = BEAM
    assert CONTAINERS["flink/history.yaml:Deployment:job-server"]["image"].endswith(f":{version}")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_puts_names_and_job_file_in() -> None:
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    assert sorted(each["kind"] for each in made) == [
        "ConfigMap",
        "CronJob",
        "Deployment",
        "Namespace",
        "ServiceAccount",
    ]
    (job,) = (each for each in made if each["kind"] == "ConfigMap")
    assert job["data"]["conversions.yaml"] == (FOLDER / "conversions.yaml").read_text(encoding="utf-8")
    for each in made:
        if each is not job:
            assert problems(each, f"{each['apiVersion']} {each['kind']}") == []
        assert "image: capybeam\n" not in yaml.safe_dump(each)
    mounted = set(re.findall(r"name: (capybeam-\w+)", done.stdout))
    assert mounted == {job["metadata"]["name"]}
