"""Beam is imported without its optional libraries where a run has no use for them, and without garbage collections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from capybeam.pipeline.run.beam_import import OPTIONAL

LOOK = f"""
import json, logging, sys
from capybeam.pipeline.run.beam_import import importing_beam
places, options = json.loads(sys.argv[1])
with importing_beam(places, options):
    import apache_beam
    from capybeam.pipeline.run import execute
from apache_beam.io.filesystems import FileSystems
before = [name for name in {OPTIONAL!r} if any(each.startswith(f"{{name}}.") for each in sys.modules)]
import google.cloud.storage, pandas
print(json.dumps([before, FileSystems.get_scheme("gs://a/b"), logging.root.manager.disable, len(sys.meta_path)]))
import apache_beam.io.gcp.gcsfilesystem
print(json.dumps(type(FileSystems.get_filesystem("gs://a/b")).__name__))
"""


def look(places: list[str | None], options: list[str]) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps([places, options])], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("place", ["events.jsonl", "pubsub:projects/acme/subscriptions/events"])
def test_a_run_that_needs_none_imports_no_optional_library_which_anybody_else_still_can(place: str) -> None:
    pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    (imported, scheme, disabled, _), after = look([place, "file:///tmp/dead.jsonl", None], [])
    assert (imported, scheme, disabled) == ([], "gs", 0)
    assert after == "GCSFileSystem"


@pytest.mark.parametrize(
    ("places", "options"),
    [
        (["events.jsonl", "gs://acme/dead.jsonl"], []),
        (["bigquery:acme.shop.events"], []),
        (["pubsub:projects/acme/subscriptions/events", "bigquery:acme.shop.dead"], []),
        (["pubsub:projects/acme/subscriptions/events"], ["--runner=DataflowRunner"]),
    ],
    ids=["a bucket", "a table", "a table of dead letters", "an option of Beam's"],
)
def test_any_other_run_imports_all_that_beam_has(places: list[str | None], options: list[str]) -> None:
    pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    (imported, *_), _ = look(places, options)
    assert {"apitools", "google.cloud", "pandas"} <= set(imported)


COLLECT = """
import gc, sys
from capybeam.pipeline.run.beam_import import importing_beam
with importing_beam([], []):
    during = gc.isenabled()
    import apache_beam
modules = gc.get_freeze_count()
with importing_beam([], []):
    again = gc.isenabled()
print(during, gc.isenabled(), modules > 10_000, again, gc.get_freeze_count() == modules)
"""


def test_modules_are_left_out_of_garbage_collection_once() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECT], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True", "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_numpy_starts_no_threads_of_its_own() -> None:
    code = """
import os
from capybeam.pipeline.run.beam_import import importing_beam
with importing_beam(["events.jsonl"], []):
    import numpy
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["1", "None"]
