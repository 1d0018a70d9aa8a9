"""The distributions that a fresh clone gives: what is in them, and the package that is installed from them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from apache_beam.runners.portability.stager import Stager

import capybeam

ROOT = Path(__file__).parents[2]
DATA = {
    "capybeam/py.typed",
    "capybeam/pipeline/job/presets/facebook_conversions_api.yaml",
    "capybeam/pipeline/job/presets/facebook_offline_conversions.yaml",
    "capybeam/pipeline/quality_report/macros.html.j2",
    "capybeam/pipeline/quality_report/match.html.j2",
    "capybeam/pipeline/quality_report/meta.html.j2",
    "capybeam/pipeline/quality_report/page.css",
    "capybeam/pipeline/quality_report/page.html.j2",
    "capybeam/pipeline/quality_report/run.html.j2",
    "capybeam/pipeline/sandbox/page.css",
    "capybeam/pipeline/sandbox/page.html",
    "capybeam/pipeline/sandbox/page.js",
    "capybeam/transforms/standards/countries.json",
}
JOB = """\
destinations:
  - name: shop
    type: facebook_conversions_api
    dataset_id: "123"
    access_token: env:TOKEN
    subscriptions: [{action: pageView}]
"""
EVENT = """\
{"type":"page","messageId":"m-1","timestamp":1795341600,"anonymousId":"a-1",\
"context":{"userAgent":"Mozilla/5.0","page":{"url":"https://shop.example/"}}}
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def modules() -> set[str]:
    """The names that the package's modules have in a distribution."""
    found = [path for room in ("pipeline", "transforms") for path in (ROOT / room).rglob("*.py")]
    found_here = [path.name for path in (ROOT / "capybeam").glob("*.py")]
    return {*(f"capybeam/{name}" for name in found_here), *(f"capybeam/{path.relative_to(ROOT)}" for path in found)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as it would be committed now, its links included."""
    folder = tmp_path_factory.mktemp("clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).split("\0"):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    assert (folder / "capybeam" / "pipeline").is_symlink()
    return folder


@pytest.fixture(scope="module")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as Beam builds it for ``--setup_file``, for workers to install."""
    return Path(Stager._build_setup_package(str(clone / "setup.py"), str(tmp_path_factory.mktemp("sdist"))))


def wheel_of(source: Path, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which only the wheel is installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", folder, wheel], check=True)
    return folder


def test_the_source_distribution_has_real_files_in_place_of_the_links(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    assert [member.name for member in members if not (member.isfile() or member.isdir())] == []
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert {name for name in names if name.startswith("capybeam/")} == modules() | DATA
    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.py"}


def test_the_wheel_has_one_top_level_name_all_modules_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(f"capybeam-{capybeam.__version__}.dist-info/METADATA").decode()
        licences = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert names == modules() | DATA
    assert f"\nVersion: {capybeam.__version__}\n" in metadata
    assert "\nAuthor: capybeam contributors\n" in metadata
    assert len(licences) == 1


def test_what_the_image_copies_is_all_that_its_package_needs(wheel: Path, clone: Path, tmp_path: Path) -> None:
    dockerfile = (clone / "templates" / "Dockerfile").read_text(encoding="utf-8")
    context = tmp_path / "template"
    context.mkdir()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE):
        for source in map(clone.joinpath, sources.split()):
            if source.is_dir():
                shutil.copytree(source, context / source.name, symlinks=True)
            else:
                shutil.copy(source, context)
    built = wheel_of(context, tmp_path / "wheel")
    with zipfile.ZipFile(built) as ours, zipfile.ZipFile(wheel) as other:
        assert set(ours.namelist()) == set(other.namelist())


def test_a_clone_without_its_links_is_not_built_but_reported(clone: Path, tmp_path: Path) -> None:
    shutil.copy(clone / "setup.py", tmp_path)
    (tmp_path / "capybeam").mkdir()
    (tmp_path / "capybeam" / "transforms").write_text("../transforms")
    build = [sys.executable, "setup.py", "sdist"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "capybeam/transforms is a file and should be a link to ../transforms: git config core.symlinks true,"
        " then git checkout -- capybeam (on Windows with developer mode switched on)\n",
    )


def test_the_installed_package_gives_pytest_its_fixture(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import capybeam, capybeam.sandbox\n"
        "def test_it(capybeam_sandbox):\n"
        "    assert isinstance(capybeam_sandbox, capybeam.Sandbox)\n"
        f"    assert capybeam.__file__.startswith({str(site)!r})\n"
        "    assert capybeam_sandbox.events() == [] and capybeam_sandbox.url.startswith('http://127.0.0.1:')\n"
    )
    # What else is installed here has plugins, too; ours is found by its entry point.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:bqemulator", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "[pytest11]\ncapybeam = capybeam.pytest_plugin\n" in entry_points.read_text()


def test_the_installed_package_runs_beside_folders_of_the_names_of_its_parts(site: Path, tmp_path: Path) -> None:
    for name in ("pipeline", "transforms"):  # say, of a scheduler's tasks
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the wrong package')\n")
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "events.jsonl").write_text(EVENT)

    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(site)])}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import capybeam; print(capybeam.__file__)") == f"{site}/capybeam/__init__.py\n"
    assert run("-m", "capybeam", "--version") == f"capybeam, version {capybeam.__version__}\n"
    assert run("-m", "capybeam", "check", "job.yaml") == "job.yaml is fine: 1 destination, 1 subscription.\n"
    shown = run("-m", "capybeam", "map", "--config", "job.yaml", "--input", "events.jsonl", "--now", "1795341660")
    assert '"status":"ready"' in shown
    run("-c", "import capybeam.pipeline.run.execute, capybeam.pipeline.sandbox.server")
    assert {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")} == {"bin", "capybeam"}
