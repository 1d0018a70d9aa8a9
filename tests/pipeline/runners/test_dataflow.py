"""What is wrong with a job for Dataflow is said before anything is asked, read or started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capybeam.pipeline.cli import main
from capybeam.pipeline.run.beam_options import parse_beam_options
from capybeam.pipeline.runners.dataflow import (
    WAYS,
    check_packages,
    option_problems,
    package_warnings,
    submission_problem,
)
from capybeam.pipeline.runners.errors import UnsupportedRunner
from tests.pipeline.jobs import job_file

SECRET = "secret:projects/acme-prod/secrets/meta/versions/latest"
IMAGE = "europe-west1-docker.pkg.dev/acme-prod/capybeam/capybeam:1"
BEAMS_IMAGE = "apache/beam_python3.11_sdk:2.77.0"
CLOUD = ("--project=acme-prod", "--region=europe-west1", "--temp_location=gs://acme/tmp")
STREAM = (
    "--input=pubsub:projects/acme-prod/subscriptions/events",
    "--dead-letters=pubsub:projects/acme-prod/topics/dead",
    "--receipts=pubsub:projects/acme-prod/topics/receipts",
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(job_file("https://graph.facebook.com", token=SECRET))
    for name in ("setup.py", "requirements.txt", "capybeam-1.0-py3-none-any.whl", "other-1.0.whl"):
        Path(name).write_text("")


def command(name: str, *options: str) -> Result:
    return CliRunner().invoke(main, [name, "--config=job.yaml", "--runner=DataflowRunner", *options])


@pytest.mark.parametrize("runner", ["DataflowRunner", "dataflow", "TestDataflowRunner"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        (f"--sdk_container_image={BEAMS_IMAGE}",),
        (f"--worker_harness_container_image={BEAMS_IMAGE}",),
        ("--prebuild_sdk_container_engine=cloud_build",),  # of what, without packages?
    ],
)
def test_a_job_whose_workers_would_lack_capybeam_is_refused_with_all_the_ways(
    runner: str, options: tuple[str, ...]
) -> None:
    result = CliRunner().invoke(main, ["run", "--config=job.yaml", f"--runner={runner}", *STREAM, *CLOUD, *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("capybeam: Dataflow's workers would be started without capybeam")
    assert (f"{BEAMS_IMAGE} is Beam's own image" in result.stderr) is ("image" in "".join(options))
    for way in WAYS:
        assert f"\n  {way}  (" in result.stderr


def test_replay_refuses_it_as_well() -> None:
    result = command("replay", "--from=bigquery:acme-prod.d.dead", *STREAM[1:], *CLOUD)
    assert result.exit_code == 2
    assert "workers would be started without capybeam" in result.stderr


@pytest.mark.parametrize(
    "given",
    [
        f"--sdk_container_image={IMAGE}",
        f"--worker_harness_container_image={IMAGE}",
        f"--sdk_harness_container_image_overrides=.*python.*,{IMAGE}",
        "--setup_file=./setup.py",
        "--setup_file=./setup.py --prebuild_sdk_container_engine=cloud_build",
        "--extra_package=capybeam-1.0-py3-none-any.whl",
        "--extra_packages=capybeam-1.0-py3-none-any.whl",
        "--extra_package=gs://acme/capybeam-1.0-py3-none-any.whl",
        "--requirements_file=requirements.txt",
        f"--sdk_container_image={IMAGE} --template_location=gs://acme/job",  # as a Flex template's launcher does it
    ],
)
def test_each_way_is_taken(given: str) -> None:
    check_packages(parse_beam_options(given.split()))


@pytest.mark.parametrize("option", ["--setup_file", "--requirements_file", "--extra_package"])
def test_a_package_that_is_not_there_is_named(option: str) -> None:
    with pytest.raises(UnsupportedRunner, match=rf"^The file no/such cannot be found\. .* the {option} option\.$"):
        check_packages(parse_beam_options([f"{option}=no/such"]))


@pytest.mark.parametrize(
    ("given", "requirements", "warned"),
    [
        ("--requirements_file=requirements.txt", "apache-beam\n", True),
        ("--requirements_file=requirements.txt", "capybeam[gcp]==1.0\n", False),
        ("--extra_package=other-1.0.whl", "", True),
        ("--extra_package=other-1.0.whl --extra_package=capybeam-1.0-py3-none-any.whl", "", False),
        ("--requirements_file=requirements.txt --setup_file=./setup.py", "", False),
        (f"--sdk_container_image={IMAGE} --requirements_file=requirements.txt", "", False),
    ],
)
def test_packages_without_capybeam_among_them_are_warned_of(given: str, requirements: str, warned: bool) -> None:
    Path("requirements.txt").write_text(requirements)
    assert bool(list(package_warnings(parse_beam_options(given.split())))) is warned


GOOD = (*CLOUD, f"--sdk_container_image={IMAGE}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--region=",), "Missing required option: region."),
        (("--project=",), "Invalid Project ID ()."),
        (("--project=1234",), "Invalid Project ID (1234). Please make sure you specified the Project ID, not project"),
        (("--temp_location=acme/tmp",), "Invalid GCS path (acme/tmp), given for the option: temp_location."),
        (("--temp_location=gs://Acme_/tmp",), "Invalid GCS bucket (gs://Acme_/tmp), given for the option: temp_loc"),
        (("--temp_location=gs://acme",), "Invalid GCS path: 'gs://acme' given for option: temp_location. Did you mean"),
        # Beam would quietly take the other one
        (("--staging_location=acme/staging",), "Invalid GCS path (acme/staging), given for the option: staging_loc"),
        (("--temp_location=",), "Missing GCS path option: temp_location."),
        (("--job_name=Shop 1",), "Invalid job_name (Shop 1); the name must consist of only the characters [-a-z0-9]"),
        (("--pickle_library=pickle5",), "argument --pickle_library: invalid choice: 'pickle5' (choose from"),
        (("--num_workers=many",), "argument --num_workers: invalid int value: 'many'"),
        (("--num_workers=9", "--max_num_workers=2"), "num_workers (9) cannot exceed max_num_workers (2)"),
        (("--worker_region=a", "--worker_zone=b"), "worker_region and worker_zone are mutually exclusive."),
        (("--update",), "Existing job name must be provided when updating a pipeline."),
        (("--regoin=x",), "no such option: --regoin; did you mean --region?"),
        (("--dataflow_endpoint=nowhere",), "Invalid url (nowhere) for dataflow endpoint."),
    ],
)
def test_what_beam_says_of_its_options_is_said_before_anything_starts(
    options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    monkeypatch.setattr(DataflowRunner, "get_default_gcp_region", lambda _runner: None)
    names = {option.partition("=")[0] for option in options}
    kept = [option for option in GOOD if option.partition("=")[0] not in names]
    given = [option for option in options if not option.endswith("=") or option == "--project="]
    result = command("run", *STREAM, *kept, *given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "usage:" not in result.stderr  # of Beam's hundreds of options


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    monkeypatch.setattr(DataflowRunner, "get_default_gcp_region", lambda _runner: None)
    said = command("run", *STREAM).stderr.splitlines()
    assert said[:3] == [
        "capybeam: Missing GCS path option: temp_location.",
        "Missing required option: project.",
        "Missing required option: region.",
    ]
    assert said[3].startswith("Dataflow's workers would be started without capybeam")


def test_options_of_a_run_on_this_machine_are_checked_by_beam_as_well() -> None:
    arguments = ["run", "--config=job.yaml", "--input=setup.py", "--pickle_library=dill"]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, "Option pickle_library=dill requires dill" in result.stderr) == (2, True)


def test_checking_changes_no_option() -> None:
    options = parse_beam_options(["--runner=DataflowRunner", *GOOD, "--worker_harness_container_image=a/b:1"])
    before = dict(options.get_all_options())
    assert option_problems(options, streaming=True) != []  # two images
    assert options.get_all_options() == before


def raised(module: str, error: Exception) -> Exception:
    """The error as code of a module raises it."""
    scope: dict[str, Any] = {"__name__": module, "error": error}
    try:
        exec("raise error", scope)
    except Exception as found:
        return found
    raise AssertionError


@pytest.mark.parametrize(
    ("module", "error", "said"),
    [
        ("apache_beam.runners.dataflow.internal.apiclient", RuntimeError("The --x option must be given."), True),
        ("apache_beam.runners.portability.stager", RuntimeError("The file x cannot be found."), True),
        ("capybeam.pipeline.graph", ValueError("jane@example.com"), False),
        ("apache_beam.runners.portability.fn_api_runner.fn_runner", RuntimeError("jane@example.com"), False),
    ],
)
def test_what_beam_says_as_it_makes_the_job_is_said(module: str, error: Exception, said: bool) -> None:
    found = submission_problem(raised(module, error), "DataflowRunner")
    assert (str(found) == f"Beam does not make a job of it: {error}") if said else found is None
    assert submission_problem(raised(module, error), "FlinkRunner") is None


def test_what_google_says_to_the_job_is_said() -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions", reason="needs the extra gcp")
    error = exceptions.Forbidden("Current user cannot act as service account capybeam@acme.iam.gserviceaccount.com.")
    assert str(submission_problem(error, "DataflowRunner")) == (
        "Google Cloud does not take the job: Current user cannot act as service account"
        " capybeam@acme.iam.gserviceaccount.com."
    )
