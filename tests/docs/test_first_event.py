"""README's walk from `init` to the first real event, command by command, up to a sandbox in Meta's place."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from capybeam.pipeline.cli import main
from capybeam.pipeline.sandbox.server import SandboxServer
from tests.docs.test_docs import ROOT, section
from tests.pipeline.run.runs import unstamped

README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = section(README, "## From `init` to the first real event")
EVENTS = re.findall(r"^cat > events.jsonl <<END\n(.*?)^END$", README, re.MULTILINE | re.DOTALL)[0]
(SETTINGS,) = re.findall(r"^```yaml\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL)
SANDBOX = "http://127.0.0.1:8791"


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the walk with the lines that it is said to print."""
    for info, block in re.findall(r"^```(.*?)\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL):
        if info:
            continue
        for found in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield found[1], found[2].splitlines()


def edit(settings: str) -> None:
    """Puts settings into the job file in place of those that it has, also where they are commented out."""
    file = Path("first.yaml")
    names = [line.split(":")[0].strip() for line in settings.splitlines()]
    kept = [
        line
        for line in file.read_text().splitlines(keepends=True)
        if line.strip().removeprefix("# ").split(":")[0] not in {*names, "test_event_code", "endpoint"}
    ]
    at = kept.index("    type: facebook_conversions_api\n") + 1
    file.write_text("".join([*kept[:at], settings, *kept[at:]]))


@pytest.mark.slow
def test_each_command_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("META_ACCESS_TOKEN", "any-will-do-here")
    Path("events.jsonl").write_text(EVENTS.replace("$now", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))
    walked = []
    with SandboxServer() as sandbox:
        settings = SETTINGS.replace(SANDBOX, sandbox.url)
        real = "".join(line for line in settings.splitlines(keepends=True) if "test_event_code" not in line)
        for command, printed in commands():
            program, *arguments = shlex.split(command)
            walked.append(" ".join([program, *arguments[:1]]))
            if program == "head":
                Path(arguments[-1]).write_text("".join(Path(arguments[2]).read_text().splitlines(keepends=True)[:1]))
                continue
            if arguments[0] == "run":
                edit(settings if "one.jsonl" in arguments else real)
            result = CliRunner().invoke(main, arguments)
            said = unstamped(result.stdout + result.stderr).splitlines()
            assert [line for line in printed if line not in said] == [], said
        received = sandbox.stats()

    assert walked == ["capybeam init", "capybeam check", "capybeam map", "head -n", "capybeam run", "capybeam run"]
    assert (received["events_received"], received["duplicates"]) == (3, 1)
