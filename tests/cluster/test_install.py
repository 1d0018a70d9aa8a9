"""What a cluster is made of, fetched once and whole. The cluster itself: `make cluster-test`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.install import NotInstalled, _fetched, install


def test_what_a_cluster_needs_and_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalled, match="not on the path: java and mvn"):
        install(tmp_path)


def test_a_folder_has_its_name_only_once_it_is_complete(tmp_path: Path) -> None:
    def breaks_off(folder: Path) -> None:
        (folder / "half.jar").touch()
        raise NotInstalled("the network is gone")

    wanted = tmp_path / "flink"
    with pytest.raises(NotInstalled):
        _fetched(wanted, breaks_off)
    assert not wanted.exists()
    _fetched(wanted, lambda folder: (folder / "whole.jar").touch())
    assert [jar.name for jar in wanted.iterdir()] == ["whole.jar"]
