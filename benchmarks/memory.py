"""How much memory a process takes at most, by Linux's own mark.

What `wait4` says of a child begins with the memory of the process that it was forked from.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_EVERY = 0.05  # seconds between two looks


def most_memory(pid: int) -> float:
    """Megabytes so far; 0 where that cannot be seen, as of a process that has ended."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 / 1e6 if found else 0.0
    return 0.0


@contextlib.contextmanager
def watching_memory(pid: int) -> Iterator[Callable[[], float]]:
    """Looks at a process until the context ends; gives the function that says what it took."""
    ended, most = threading.Event(), 0.0

    def watch() -> None:
        nonlocal most
        while not ended.wait(_EVERY):
            most = max(most, most_memory(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: most
    finally:
        ended.set()
        thread.join()
