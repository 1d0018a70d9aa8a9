"""CSV files as a source."""

from __future__ import annotations

import gzip
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipeline.sources import NoInput, open_source
from pipeline.sources.csv_files import ReadCsv


def test_each_file_of_a_glob_has_its_own_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("type,event\npage,a\n")
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("event,type\nb,page\n")
    (tmp_path / "empty.csv").write_text("")
    for name, expected in (("*.csv", [{"type": "page", "event": "a"}]), ("*.csv.gz", [{"type": "page", "event": "b"}])):
        with beam.Pipeline("FnApiRunner") as pipeline:
            assert_that(pipeline | ReadCsv(str(tmp_path / name)), equal_to(expected))


def test_a_bad_header_is_found_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("type,type\n")
    with pytest.raises(NoInput, match=r"a\.csv: column 2 \(type\) comes twice"):
        open_source(str(tmp_path / "*.csv"))
