"""Job files at URLs (``gs://…``), read through Beam's file systems."""

from __future__ import annotations

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.job.loader import ConfigError, Job, decoded, parse_job, unreadable
from capybeam.pipeline.job.problems import Finding


def load_job_at(url: str) -> Job:
    """Reads a job file. Raises ConfigError with every problem there is."""
    return parse_job(read_text_at(url), url)


def read_text_at(url: str) -> str:
    """A job file's text. Raises ConfigError."""
    FileSystems.set_options(PipelineOptions([]))  # without any, s3:// and hdfs:// cannot be asked
    hindered = unavailable_reason(url)
    if hindered:
        raise unreadable(url, hindered)
    try:
        with FileSystems.open(url) as file:
            content = file.read()
    except Exception as error:  # file systems raise what their clients raise
        raise ConfigError(
            [
                Finding(
                    url,
                    None,
                    None,
                    "error",
                    f"cannot be read ({reason_of(error)}). Is it there, and does this account"
                    " hold roles/storage.objectViewer on the bucket?",
                )
            ]
        ) from None
    return decoded(content, url)
