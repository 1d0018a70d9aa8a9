"""The image, and the program that publishes it with both templates, as far as they can be checked without Google."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from capybeam.pipeline.launch import IMAGE
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings

ROOT = Path(__file__).parents[2]
PLAIN = (ROOT / "Dockerfile").read_text(encoding="utf-8")
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


# --- the images ------------------------------------------------------------------------------------------------------


def requirements() -> dict[str, str]:
    """What the images install: versions by names."""
    text = (ROOT / "templates" / "requirements.txt").read_text(encoding="utf-8")
    return {canonicalize_name(name): version for name, version in re.findall(r"^(\S+)==(\S+) \\$", text, re.MULTILINE)}


LOCKED = requirements()
IN_IMAGE = {
    **default_environment(),
    "python_version": "3.11",
    "python_full_version": "3.11.15",
    "sys_platform": "linux",
}


def needed(package: str, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """What an installed package needs in the image."""
    for text in metadata.requires(package) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**IN_IMAGE, "extra": extra}) for extra in ("", *extras)):
            yield requirement


def is_here(name: str) -> bool:
    """Whether what is installed here is what the image has."""
    try:
        return metadata.version(name) == LOCKED[name]
    except metadata.PackageNotFoundError:  # such as a backport that only the image's Python needs
        return False


def test_the_lock_has_all_that_capybeam_needs_in_versions_that_it_takes() -> None:
    wanted = [("capybeam", frozenset({"gcp", "report", "sandbox"}))]
    seen = set(wanted)
    while wanted:
        package, extras = wanted.pop()
        for requirement in needed(package, extras):
            name = canonicalize_name(requirement.name)
            assert name in LOCKED, f"{package} needs {requirement}: make lock"
            assert requirement.specifier.contains(LOCKED[name], prereleases=True), f"{package} needs {requirement}"
            further = (name, frozenset(requirement.extras))
            if (
                further not in seen and metadata.version(name) == LOCKED[name]
            ):  # what another version needs is not known
                seen.add(further)
                wanted.append(further)


def test_every_locked_package_has_hashes() -> None:
    text = (ROOT / "templates" / "requirements.txt").read_text(encoding="utf-8")
    for entry in re.split(r"\n(?=\w)", text.split("\n", 1)[1]):
        assert re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry.strip()), entry[:60]


def test_the_images_beam_and_python_are_ones_that_capybeam_takes() -> None:
    (beam,) = re.findall(r"^ARG BEAM=(\S+)$", DOCKERFILE, re.MULTILINE)
    (python,) = re.findall(r"^FROM python:(\d+\.\d+\.\d+)-slim-\w+$", DOCKERFILE, re.MULTILINE)
    version = python.rsplit(".", 1)[0]
    assert LOCKED["apache-beam"] == beam
    assert f"apache-beam=={beam}\n" in (ROOT / "templates" / "constraints.txt").read_text(encoding="utf-8")
    assert python in Requirement(f"python{metadata.metadata('capybeam')['Requires-Python']}").specifier
    assert f"apache/beam_python{version}_sdk:" in DOCKERFILE
    assert f"python{version.replace('.', '')}-template-launcher-base:" in DOCKERFILE
    assert set(re.findall(r"^FROM python:(\S+)", PLAIN, re.MULTILINE)) == {f"{python}-slim-bookworm"}


@pytest.mark.parametrize("text", [DOCKERFILE, PLAIN], ids=["templates", "plain"])
def test_every_base_image_is_of_an_exact_version(text: str) -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", text, re.MULTILINE))
    for image in set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages:
        name, colon, tag = image.partition(":")
        assert colon, name
        assert re.fullmatch(r"\$\{BEAM\}|\d+\.\d+\.\d+-\S+|\d{8}_RC\d\d", tag), image


@pytest.mark.parametrize("text", [DOCKERFILE, PLAIN], ids=["templates", "plain"])
def test_requirements_are_a_layer_below_capybeam_and_nothing_else_is_fetched(text: str) -> None:
    first, second = re.findall(r"^RUN (pip install .*)$", text, re.MULTILINE)
    assert "--require-hashes --no-deps --requirement requirements.txt" in first
    assert "--no-deps --no-build-isolation ." in second
    assert text.index(first) < text.index("COPY capybeam capybeam") < text.index(second)


@pytest.mark.parametrize("text", [DOCKERFILE, PLAIN], ids=["templates", "plain"])
def test_all_that_an_image_copies_is_there_and_not_ignored(text: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored


def test_the_plain_image_runs_capybeam_and_not_as_root() -> None:
    assert re.findall(r"^(?:USER|ENTRYPOINT|CMD) .*$", PLAIN, re.MULTILINE) == [
        "USER 10001",
        'ENTRYPOINT ["capybeam"]',
        'CMD ["sandbox", "--port", "8765"]',
        'CMD ["--help"]',
    ]


def test_the_sandboxs_health_is_asked_of_the_sandbox() -> None:
    (check,) = re.findall(r"HEALTHCHECK .*\\\n  CMD (\[.*\])$", PLAIN, re.MULTILINE)
    _, *arguments = json.loads(check)
    with SandboxServer(SandboxSettings()) as sandbox:
        here = [argument.replace("http://127.0.0.1:8765", sandbox.url) for argument in arguments]
        assert here != arguments
        assert subprocess.run([sys.executable, *here], timeout=60).returncode == 0
    assert subprocess.run([sys.executable, *here], capture_output=True, timeout=60).returncode == 1


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_cloud_build_is_sent_what_the_images_are_made_of_and_nothing_else() -> None:
    done = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    sent = {Path(line).parts[0] if "/" in line else line for line in done.stdout.splitlines()}
    files = {".dockerignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml", "setup.py"}
    assert sent == files | {"capybeam", "pipeline", "templates", "transforms"}
    assert {line for line in done.stdout.splitlines() if line.startswith("templates/")} == {
        "templates/Dockerfile",
        "templates/main.py",
        "templates/requirements.txt",
    }
    assert "capybeam/pipeline/cli.py" in done.stdout  # links are followed, or the package would be empty
    assert "__pycache__" not in done.stdout


def test_the_image_tells_the_launcher_its_name() -> None:
    assert f"ENV {IMAGE}=${{IMAGE}}" in DOCKERFILE
    assert '--build-arg, "IMAGE=${_IMAGE}"' in (ROOT / "templates" / "cloudbuild.yaml").read_text(encoding="utf-8")
