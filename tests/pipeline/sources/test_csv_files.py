"""CSV files as a source."""

from __future__ import annotations

import gzip
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from capybeam.pipeline.sources import NoInput, open_source
from capybeam.pipeline.sources.files import ReadRows
from capybeam.transforms.core.events import UnreadableRest


def test_each_file_of_a_glob_has_its_own_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("type,event\npage,a\n")
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("event,type\nb,page\n")
    (tmp_path / "empty.csv").write_text("")
    for name, expected in (("*.csv", [{"type": "page", "event": "a"}]), ("*.csv.gz", [{"type": "page", "event": "b"}])):
        with beam.Pipeline("FnApiRunner") as pipeline:
            assert_that(pipeline | ReadRows(str(tmp_path / name)) | beam.FlatMap(list), equal_to(expected))


def test_a_bad_header_is_found_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("type,type\n")
    with pytest.raises(NoInput, match=r"a\.csv: column 2 \(type\) appears twice"):
        open_source(str(tmp_path / "*.csv"))


def test_a_packed_file_that_was_cut_off_is_read_to_its_last_whole_row(tmp_path: Path) -> None:
    """The row that breaks off might look whole: a@example.co for a@example.com."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b'type,event\npage,a\npage,"b\n1"\npage,c')[:-8])
    message = f"{path} is incomplete: it was cut off. What came before is read."
    events = [{"type": "page", "event": "a"}, {"type": "page", "event": "b\n1"}, UnreadableRest(b"page,c", message)]
    open_source(str(path))
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(pipeline | ReadRows(str(path)) | beam.FlatMap(list), equal_to(events))


def test_a_packed_file_that_was_cut_off_before_its_first_row_is_found_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"type,event\npage,a")[:-8])
    with pytest.raises(NoInput, match=r"a\.csv\.gz is incomplete: it was cut off"):
        open_source(str(tmp_path / "*.csv.gz"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
def test_a_header_that_is_not_utf_8_is_found_with_its_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("type,event,traits.größe\npage,a,1\n".encode(encoding))
    with pytest.raises(NoInput, match=r"a\.csv: the header is not UTF-8$"):
        open_source(str(tmp_path / "a.csv"))
