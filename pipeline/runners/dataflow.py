"""Dataflow: what is known to be wrong with a job's options before it is started, and how workers get capybeam."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner
from apache_beam.transforms.environments import is_apache_beam_container

from capybeam.pipeline.runners.errors import UnsupportedRunner

RUNNERS: Final = ("DataflowRunner", "TestDataflowRunner")  # the names of their classes

WAYS: Final[Mapping[str, str]] = {
    "--sdk_container_image=IMAGE": "an image that has capybeam, such as the one of templates/publish.sh",
    "--setup_file=./setup.py": "the one of capybeam's repository",
    "--extra_package=capybeam-VERSION.whl": "repeatable, or --extra_packages",
    "--requirements_file=requirements.txt": "which names capybeam, at a place that workers can install it from",
    "--prebuild_sdk_container_engine=cloud_build": "with one of the three above, installed once and not on each worker",
    "a Flex template": "docs/dataflow.md: its image has capybeam, and its workers are started from that",
}
"""How workers get capybeam: what to give, and what is to be known of it."""


def check_packages(options: PipelineOptions) -> None:
    """Makes sure that workers get capybeam. Raises UnsupportedRunner where nothing brings it.

    Beam's own image has Beam alone: workers of it fail to read the first step, over and over, and a stream never ends.
    """
    setup, worker = options.view_as(SetupOptions), options.view_as(WorkerOptions)
    images = [worker.sdk_container_image, worker.worker_harness_container_image]
    images += [text.partition(",")[2] for text in worker.sdk_harness_container_image_overrides or ()]
    if any(image and not is_apache_beam_container(image) for image in images):
        return
    for option, path in _package_files(setup):
        if not Path(path).exists() and "://" not in path:
            raise UnsupportedRunner(f"The file {path} cannot be found. It was specified in the {option} option.")
    if any(True for _ in _package_files(setup)):
        return
    lead = "Dataflow's workers would be started without capybeam"
    if image := next(filter(None, images), None):
        lead += f": {image} is Beam's own image, which has Beam alone"
    ways = "".join(f"\n  {way}  ({what})" for way, what in WAYS.items())
    raise UnsupportedRunner(f"{lead}. Nothing is started. Give one of:{ways}")


def _package_files(setup: SetupOptions) -> Iterator[tuple[str, str]]:
    """The options by which Beam installs packages on workers, with their files."""
    if setup.setup_file:
        yield "--setup_file", setup.setup_file
    if setup.requirements_file:
        yield "--requirements_file", setup.requirements_file
    for path in setup.extra_packages or ():
        yield "--extra_package", path


def package_warnings(options: PipelineOptions) -> Iterator[str]:
    """Packages that workers get and that do not seem to have capybeam among them."""
    setup, worker = options.view_as(SetupOptions), options.view_as(WorkerOptions)
    if setup.setup_file or worker.sdk_container_image:
        return
    for option, path in _package_files(setup):
        if "capybeam" in Path(path).name:
            return
        if option == "--requirements_file" and "capybeam" in _text_of(path):
            return
    files = ", ".join(path for _, path in _package_files(setup))
    yield f"Neither the name nor the text of {files} mentions capybeam: without it, workers fail to start."


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def option_problems(options: PipelineOptions, streaming: bool) -> list[str]:
    """What Beam finds wrong with its options for the runner that they name, in its own words. Asks nothing of a cloud.

    Where Beam would go on with something else, as with the project's default bucket for a bad --temp_location, that is
    a problem here: data would be staged at a place that nobody has named.
    """
    tried = copy.deepcopy(options)  # which Beam's checks change
    standard = tried.view_as(StandardOptions)
    standard.streaming = streaming
    tried.view_as(TestOptions).dry_run = True  # keeps them from asking for a bucket's settings
    validator = PipelineOptionsValidator(tried, create_runner(standard.runner))
    cloud, problems = tried.view_as(GoogleCloudOptions), list[str]()
    if validator.is_service_runner():
        given = [name for name in ("temp_location", "staging_location") if getattr(cloud, name)]
        for name in given or ("temp_location",):
            found: list[Any] = validator.validate_gcs_path(cloud, name)
            problems += found
        if problems:
            cloud.temp_location = cloud.staging_location = "gs://bucket/temp"
    problems += [str(problem) for problem in validator.validate()]
    return list(dict.fromkeys(problems))


def submission_problem(error: BaseException, runner: str) -> UnsupportedRunner | None:
    """The error to show where Beam cannot make a job of the graph, or Google refuses it; None for any other.

    Neither has seen an event: what they say is of options, files and accounts.

    Args:
        runner: the name of the runner's class.
    """
    if runner not in RUNNERS:
        return None
    if type(error).__module__.startswith(("google.api_core.", "google.auth.")):
        return UnsupportedRunner(f"Google Cloud does not take the job: {_one_line(error)}")
    if type(error) in (RuntimeError, ValueError, ImportError, OSError) and _is_beams(error):
        return UnsupportedRunner(f"Beam does not make a job of it: {_one_line(error)}")
    return None


def _one_line(error: BaseException) -> str:
    text = str(getattr(error, "message", None) or error).strip()
    return " ".join(text.split())[:500] or type(error).__name__


def _is_beams(error: BaseException) -> bool:
    """Whether an error was raised by the code of Beam that makes a job of a graph."""
    trace, last = error.__traceback__, ""
    while trace is not None:
        last = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    return last.startswith(("apache_beam.runners.dataflow.", "apache_beam.runners.portability.stager"))
