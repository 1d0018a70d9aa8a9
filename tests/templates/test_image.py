"""The image, and the program that publishes it with both templates, as far as they can be checked without Google."""

from __future__ import annotations

import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from capybeam.pipeline.launch import IMAGE

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "templates" / "Dockerfile").read_text(encoding="utf-8")
PUBLISH = ROOT / "templates" / "publish.sh"


def publish(tmp_path: Path, *arguments: str, gcloud: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the program where nothing but the usual tools and, if given, a gcloud of that text is to be found."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "date", "dirname", "env"):
        found = next(Path(folder) / tool for folder in ("/bin", "/usr/bin") if (Path(folder) / tool).exists())
        (tools / tool).symlink_to(found)
    if gcloud is not None:
        (tools / "gcloud").write_text(f'#!/usr/bin/env bash\necho "$@" >> {tmp_path}/calls\n{gcloud}\n')
        (tools / "gcloud").chmod(0o755)
    environment = {**os.environ, "PATH": str(tools)}
    return subprocess.run(
        ["/bin/bash", PUBLISH, *arguments], capture_output=True, text=True, env=environment, timeout=60
    )


def test_publishing_says_what_it_needs(tmp_path: Path) -> None:
    done = publish(tmp_path, "acme-prod")
    assert done.returncode == 2
    assert done.stderr == (
        "publish: needs a project, a region and a bucket: templates/publish.sh PROJECT REGION BUCKET [REPOSITORY]\n"
    )


def test_publishing_without_gcloud_says_where_to_get_it(tmp_path: Path) -> None:
    done = publish(tmp_path, "acme-prod", "europe-west1", "acme-capybeam")
    assert done.returncode == 2
    assert done.stderr.startswith("publish: needs gcloud: install it (https://cloud.google.com/sdk/docs/install)")


@pytest.mark.parametrize(
    ("absent", "command"),
    [
        (
            "artifacts",
            "gcloud artifacts repositories create capybeam --repository-format=docker --location=europe-west1",
        ),
        ("storage", "gcloud storage buckets create gs://acme-capybeam --location=europe-west1"),
    ],
)
def test_publishing_to_what_is_not_there_says_how_to_make_it(tmp_path: Path, absent: str, command: str) -> None:
    said = {
        "artifacts": "ERROR: (gcloud.artifacts.repositories.describe) NOT_FOUND: Requested entity was not found.",
        "storage": "ERROR: (gcloud.storage.buckets.describe) gs://acme-capybeam not found: 404.",
    }
    gcloud = f"[[ $1 != {absent} ]] || {{ echo '{said[absent]}' >&2; exit 1; }}"
    done = publish(tmp_path, "acme-prod", "europe-west1", "acme-capybeam", gcloud=gcloud)
    assert done.returncode == 2
    assert f"{command} --project=acme-prod\n" in done.stderr


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (
            "ERROR: PERMISSION_DENIED: Permission artifactregistry.repositories.get denied (or it may not exist).",
            "this account may not look at the repository capybeam: it needs the right to, or the name is wrong.",
        ),
        (
            "ERROR: You do not currently have an active account selected.",
            "the repository capybeam cannot be looked at.",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_not_reported_absent(tmp_path: Path, said: str, means: str) -> None:
    gcloud = f"echo '{said}' >&2; exit 1"
    done = publish(tmp_path, "acme-prod", "europe-west1", "acme-capybeam", gcloud=gcloud)
    assert (done.returncode, done.stderr) == (2, f"publish: {means} gcloud says: {said}\n")


@pytest.mark.parametrize("bucket", ["acme-capybeam", "gs://acme-capybeam", "gs://acme-capybeam/"])
def test_publishing_builds_one_image_and_both_templates(tmp_path: Path, bucket: str) -> None:
    done = publish(tmp_path, "acme-prod", "europe-west1", bucket, gcloud="exit 0")
    assert done.returncode == 0, done.stderr
    version = re.search(r"version (\S+):", done.stdout)
    assert version
    image = f"europe-west1-docker.pkg.dev/acme-prod/capybeam/capybeam:{version[1]}"
    assert (tmp_path / "calls").read_text().splitlines()[2:] == [
        f"builds submit --config=templates/cloudbuild.yaml --substitutions=_IMAGE={image} --project=acme-prod .",
        *(
            f"dataflow flex-template build gs://acme-capybeam/templates/{version[1]}/{name}.json --image={image}"
            f" --sdk-language=PYTHON --metadata-file=templates/{name}.json --project=acme-prod"
            for name in ("streaming", "batch")
        ),
    ]


def test_a_build_that_fails_ends_publishing(tmp_path: Path) -> None:
    done = publish(tmp_path, "acme-prod", "europe-west1", "acme-capybeam", gcloud="[[ $1 != builds ]]")
    assert done.returncode == 1
    assert "Published" not in done.stdout


def test_the_images_beam_and_python_are_ones_that_capybeam_takes() -> None:
    (beam,) = re.findall(r"^ARG BEAM=(\S+)$", DOCKERFILE, re.MULTILINE)
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    wanted = [Requirement(text) for text in metadata.requires("capybeam") or ()]
    assert any(item.name == "apache-beam" and item.specifier.contains(beam) for item in wanted)
    assert f"{python}.0" in Requirement(f"python{metadata.metadata('capybeam')['Requires-Python']}").specifier
    assert f"python{python.replace('.', '')}-template-launcher-base" in DOCKERFILE


def test_all_that_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored


def test_the_image_tells_the_launcher_its_name() -> None:
    assert f"ENV {IMAGE}=${{IMAGE}}" in DOCKERFILE
    assert '--build-arg, "IMAGE=${_IMAGE}"' in (ROOT / "templates" / "cloudbuild.yaml").read_text(encoding="utf-8")
