"""``make demo``: a real job against a server that checks like Meta, and the proof that the books balance.

Starts the sandbox, runs ``examples/conversions.yaml`` over ten thousand seeded events of all kinds (one in a hundred of
them broken), shows the books, and compares them with what the sandbox received. Exit code 0 when all of it adds up.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from examples.generate_events import events

EXAMPLES = Path(__file__).parent
COUNT, SEED, PORT = 10_000, 7, 8791
TOKEN = "demo-token"


def main() -> int:
    """Runs the demo and returns its exit code."""
    lines = list(events(COUNT, SEED, datetime.now(timezone.utc)))
    (EXAMPLES / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    blank = sum(map(_is_blank, lines))
    print(f"{COUNT:,} seeded lines are in {_shown(EXAMPLES / 'events.jsonl')}, {blank} of them blank.")
    out = EXAMPLES.parent / "out" / "demo"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        config = out / "conversions.yaml"
        config.write_text((EXAMPLES / "conversions.yaml").read_text().replace(f"http://127.0.0.1:{PORT}", sandbox.url))
        command = [sys.executable, "-m", "capybeam", "run", "--config", str(config)]
        command += ["--input", _shown(EXAMPLES / "events.jsonl"), "--books", _shown(out / "books.json")]
        command += [
            "--dead-letters",
            _shown(out / "dead-letters.jsonl"),
            "--receipts",
            _shown(out / "receipts.jsonl.gz"),
        ]
        finished = subprocess.run(command, env={**os.environ, "META_ACCESS_TOKEN": TOKEN}, check=False)
        if finished.returncode not in (0, 1):
            print(f"The run failed with exit code {finished.returncode}.")
            return 1
        problems = _compared(lines, out, sandbox)
    print("\nWhat the sandbox says:")
    for problem in problems:
        print(f"  WRONG: {problem}")
    if not problems:
        print("  The sandbox received exactly what the books say was delivered. Everything is accounted for.")
    return 1 if problems else 0


def _compared(lines: list[bytes], out: Path, sandbox: SandboxServer) -> list[str]:
    """What does not agree between input, books, receipts, dead letters and the sandbox."""
    books = json.loads((out / "books.json").read_text())
    dead = Counter(json.loads(line)["stage"] for line in (out / "dead-letters.jsonl").read_bytes().splitlines())
    receipts = [json.loads(line) for line in gzip.decompress((out / "receipts.jsonl.gz").read_bytes()).splitlines()]
    stats = sandbox.stats()
    expected = {
        "events in the file": (sum(not _is_blank(line) for line in lines), books["read"]),
        "the books' own balance": (True, books["balanced"]),
        "events on receipts": (books["delivered"], sum(receipt["events"] for receipt in receipts)),
        "events that the sandbox received": (books["delivered"], stats["events_received"]),
        "events that the sandbox stored, and duplicates": (
            books["delivered"],
            stats["events_stored"] + stats["duplicates"],
        ),
        "dead letters": (books["dead_letters"], sum(dead.values())),
        "requests that the sandbox refused": (0, stats["refused_requests"]),
        "raw personal data on the wire": (0, stats["raw_pii"]),
        "personal data in custom_data": (0, stats["pii_in_custom_data"]),
        "personal data in URLs": (0, stats["pii_in_urls"]),
        "tokens in URLs": (0, stats["tokens_in_url"]),
    }
    return [f"{name}: {right:,} expected, {got:,} found" for name, (right, got) in expected.items() if right != got]


def _is_blank(line: bytes) -> bool:
    return not line.removeprefix(b"\xef\xbb\xbf").strip()


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    sys.exit(main())
