"""What Dataflow hands to a template's container, as the command line of `run`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import click
import pytest

from capybeam.pipeline import cli, launch
from capybeam.pipeline.launch import arguments
from capybeam.pipeline.run.beam_options import parse_beam_options

GIVEN = [
    "--config=gs://acme/conversions.yaml",
    "--input=pubsub:projects/acme-prod/subscriptions/capybeam",
    "--dead_letters=bigquery:acme-prod.capybeam.dead_letters",
    "--receipts=bigquery:acme-prod.capybeam.receipts",
]
FIRST = ["run", "--no-wait", "--runner=DataflowRunner"]
RUN = [
    *FIRST,
    "--config=gs://acme/conversions.yaml",
    "--input=pubsub:projects/acme-prod/subscriptions/capybeam",
    "--dead-letters=bigquery:acme-prod.capybeam.dead_letters",
    "--receipts=bigquery:acme-prod.capybeam.receipts",
]


def test_parameters_become_options() -> None:
    assert arguments([*GIVEN, "--id_attribute=message_id"]) == [*RUN, "--id-attribute=message_id"]


def test_options_of_beam_pass_through_as_they_are() -> None:
    more = ["--job_name=shop", "--experiments=a=b", "--experiments=c", '--labels={"k": "v"}', "--streaming"]
    assert arguments([*GIVEN, *more]) == [*RUN, *more]


def test_the_places_of_a_job_are_printed_as_terraform_looks_for_them() -> None:
    outputs = ["--temp_location=gs://acme/tmp", "--staging_location=gs://acme/staging"]
    command = arguments([*GIVEN, *outputs])
    java = ["--tempLocation=gs://acme/tmp", "--stagingLocation=gs://acme/staging"]
    assert command == [*RUN, outputs[0], java[0], outputs[1], java[1]]
    # what the service shows of a job, and Terraform's provider reads, is all options that are not as by default
    assert parse_beam_options([*outputs, *java]).get_all_options(drop_default=True) == {
        "temp_location": "gs://acme/tmp",
        "staging_location": "gs://acme/staging",
        "tempLocation": "gs://acme/tmp",
        "stagingLocation": "gs://acme/staging",
    }


def test_an_optional_parameter_left_empty_is_not_given() -> None:
    assert arguments([*GIVEN, "--timestamp_attribute="]) == RUN


def test_a_value_with_an_equals_sign_stays_whole() -> None:
    query = "--input=bigquery:SELECT * FROM `a-project.b.c` WHERE d = 'e'"
    assert query in arguments([query, *GIVEN[2:]])


def test_the_job_file_is_the_images_own_unless_one_is_given() -> None:
    assert arguments(GIVEN[1:])[-1] == "--config=/template/conversions.yaml"


def test_workers_are_of_the_launchers_image_unless_another_is_given() -> None:
    assert arguments(GIVEN, "europe-docker.pkg.dev/a/b/c:1") == [
        *RUN,
        "--sdk_container_image=europe-docker.pkg.dev/a/b/c:1",
    ]
    own = "--sdk_container_image=europe-docker.pkg.dev/mine:2"
    assert arguments([*GIVEN, own], "europe-docker.pkg.dev/a/b/c:1") == [*RUN, own]


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_missing_parameter_is_named_with_an_example(index: int) -> None:
    name = GIVEN[index].removeprefix("--").partition("=")[0]
    with pytest.raises(click.UsageError, match=rf"^the parameter {name} is missing\. .+ For example: \S+"):
        arguments([*GIVEN[:index], *GIVEN[index + 1 :]])


def test_the_launchers_program_starts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "main", started.append)
    monkeypatch.setattr(sys, "argv", ["main.py", *GIVEN])
    monkeypatch.setenv(launch.IMAGE, "europe-docker.pkg.dev/a/b/c:1")
    runpy.run_path(str(Path(__file__).parents[2] / "templates" / "main.py"))
    assert started == [[*RUN, "--sdk_container_image=europe-docker.pkg.dev/a/b/c:1"]]


IMAGE = "europe-docker.pkg.dev/a/b/c:1"


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *given: str, image: str) -> str:
    """What the launcher's program says before it starts anything."""
    monkeypatch.setattr(sys, "argv", ["main.py", *given])
    monkeypatch.setenv(launch.IMAGE, image)
    with pytest.raises(SystemExit) as end:
        launch.main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_an_image_that_does_not_know_its_name_starts_no_workers_of_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(monkeypatch, capsys, *GIVEN, image="") == (
        "capybeam: this image does not know its own name, and workers from Beam's default image would lack capybeam."
        " Build it"
        " with --build-arg IMAGE=NAME, as templates/publish.sh does, or set ENV CAPYBEAM_IMAGE=NAME in its Dockerfile\n"
    )


def test_a_job_file_that_is_neither_given_nor_in_the_image_is_reported_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(monkeypatch, capsys, *GIVEN[1:], image=IMAGE) == (
        "capybeam: no job file: give the parameter config, such as gs://acme-capybeam/conversions.yaml, or use"
        " an image that has one at /template/conversions.yaml\n"
    )


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("--config", "--config=gs://acme/x?access_token={}"),
        ("--config", "--config=/template/{}"),
        ("--input", "--input={}"),
        ("--dead-letters", "--dead_letters=pubsub:projects/acme-prod/topics/{}"),
        ("--id-attribute", "--id_attribute=a_{}"),
        ("--labels", '--labels={{"token": "{}"}}'),
    ],
)
def test_a_token_inside_a_parameter_is_refused_and_not_repeated(
    named: str, given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [argument for argument in GIVEN if argument.partition("=")[0] != given.partition("=")[0]]
    assert refused(monkeypatch, capsys, *others, given.format(f"EAAB{'Zb4' * 60}ZD"), image=IMAGE) == (
        f"capybeam: {named} appears to contain an access token. Store the token in a secret, and write a reference"
        " to it in the job file: access_token: secret:projects/P/secrets/S/versions/latest\n"
    )


def test_the_last_line_of_the_launchers_program_is_found_by_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "conversions.yaml"
    assert refused(monkeypatch, capsys, f"--config={config}", *GIVEN[1:], image=IMAGE) == (
        f"{config}: cannot be read: No such file or directory\ncapybeam: 1 problem in {config}.\n"
    )


def test_the_launchers_program_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", *GIVEN[:2], GIVEN[3]])
    with pytest.raises(SystemExit) as end:
        launch.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "capybeam: the parameter dead_letters is missing. What was not delivered, and why."
        " For example: bigquery:acme-prod.capybeam.dead_letters\n"
    )
