"""Job files at URLs (``gs://…``), read through Beam's file systems."""

from __future__ import annotations

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from capybeam.pipeline.file_systems import reason_of, unavailable_reason
from capybeam.pipeline.job.loader import ConfigError, Job, parse_job


def load_job_at(url: str) -> Job:
    """Reads a job file. Raises ConfigError with every problem there is."""
    FileSystems.set_options(PipelineOptions([]))  # without any, s3:// and hdfs:// cannot be asked
    hindered = unavailable_reason(url)
    if hindered:
        raise ConfigError([f"{url}: cannot be read: {hindered}"])
    try:
        with FileSystems.open(url) as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{url}: cannot be read: it is not UTF-8 text"]) from None
    except Exception as error:  # file systems raise what their clients raise
        raise ConfigError(
            [
                f"{url}: cannot be read ({reason_of(error)}). Is it there, and does this account hold"
                " roles/storage.objectViewer on the bucket?"
            ]
        ) from None
    return parse_job(text, url)
