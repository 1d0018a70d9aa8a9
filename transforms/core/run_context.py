"""What the steps of one run share in one process, found by a handle that travels with each step.

Beam pickles steps, and runs them in the process that built the graph or on workers elsewhere. So a step carries a
`RunHandle`, and asks it for the context when it is set up. In the process that started the run it gets the context that
the run reports from; in any other process the first step to ask makes one, which all steps of the run share there.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from capybeam.transforms.core.progress import Progress
from capybeam.transforms.core.reasons import Reasons
from capybeam.transforms.core.recent_ids import RecentIds
from capybeam.transforms.core.windows import Windows

T = TypeVar("T")


class RunContext:
    """What the steps of one run share in one process. Safe to use from many threads.

    Attributes:
        handle: by which steps find it.
        progress: what has been counted, and the status of each destination.
        shutdown: set when the run is to end early: sources read no more, and nobody waits for a better time to send.
            What has been read is still delivered or rejected, so the report of such a run is true.
        recent_ids: repeat keys of conversions, of all the pipelines that the run consists of.
        reasons: for which events were rejected, as far as they are counted one by one.
        standstill: of a stream that reads no more until something that it has read is settled.
    """

    def __init__(self, handle: RunHandle | None = None) -> None:
        self.handle = handle or RunHandle()
        self.progress = Progress()
        self.shutdown = threading.Event()
        self.recent_ids = RecentIds()
        self.reasons = Reasons()
        self.standstill = Standstill()
        self._lock = threading.Lock()
        self._clients: dict[Hashable, Any] = {}
        with _LOCK:
            _CONTEXTS[self.handle.run_id] = self

    def client(self, key: Hashable, make: Callable[[], T]) -> T:
        """The run's client of that key, made when it is first asked for."""
        with self._lock:
            if key not in self._clients:
                self._clients[key] = make()
            client: T = self._clients[key]
            return client


class Standstill:
    """Why a stream reads no more, and since when. Safe to use from many threads."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # monotonic seconds, by the reason

    def begin(self, reason: str) -> None:
        """It reads no more, for this reason, since the first of these calls."""
        self._since.setdefault(reason, time.monotonic())

    def end(self, reason: str) -> None:
        self._since.pop(reason, None)

    def lasts(self, since: float = 0.0) -> float:
        """Seconds that it has read nothing, as far as that was after `since`; 0 while it reads."""
        begun = min(self._since.copy().values(), default=None)
        return 0.0 if begun is None else max(0.0, time.monotonic() - max(begun, since))


@dataclasses.dataclass(frozen=True)
class RunHandle:
    """Names a run, wherever it travels. A new handle names a run of its own.

    Attributes:
        windows: of the run's books; None where nothing is counted by windows.
        shard: which of several processes this is that work for the run, from 0: each has files of its own at a URL.
    """

    run_id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    windows: Windows | None = None
    shard: int | None = None

    def context(self) -> RunContext:
        """The run's context in this process."""
        with _LOCK:
            context = _CONTEXTS.get(self.run_id)
            if context is None:
                context = RunContext(self)
                _MADE_ON_DEMAND.append(context)
            return context


_LOCK: Final = threading.RLock()
# A context lasts as long as somebody uses it: the run that made it, or steps. Workers tear idle steps down and set them
# up again, so the latest contexts that were made on demand are kept meanwhile.
_CONTEXTS: Final[WeakValueDictionary[str, RunContext]] = WeakValueDictionary()
_MADE_ON_DEMAND: Final[deque[RunContext]] = deque(maxlen=64)
