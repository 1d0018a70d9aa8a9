"""A coordinator's workers: forked, given work, listened to, and ended."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import mmap
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.beam_options import BadOption
from capybeam.pipeline.run.outcome import WorkerLost
from capybeam.pipeline.run.workers.desk import SIGNALS, Desk
from capybeam.pipeline.run.workers.messages import Call, Done, LogLine, Recall, Reply, Start, Stop
from capybeam.pipeline.run.workers.worker import STOPPING
from capybeam.pipeline.sources import Part
from capybeam.transforms.core.counters import add_counts
from capybeam.transforms.core.progress import Snapshot
from capybeam.transforms.core.run_context import RunContext
from capybeam.transforms.resuming import LoadProcessed

_LOOK: Final = 0.1  # seconds between two looks at the run's shutdown
_ENDED_WITHIN: Final = 5.0  # seconds that workers have for ending once nobody listens any more

_RUNNER: Final = "apache_beam.runners.portability.fn_api_runner"

Serve = Callable[[Connection, mmap.mmap], None]


@dataclasses.dataclass(frozen=True)
class TeamResult:
    """What came of the work.

    Attributes:
        counts: of all workers, by the names of counters.
        failure: the first; before all others, that a worker was lost.
        window_rows: lines of books in windows, of all workers.
    """

    counts: Mapping[str, int]
    failure: Exception | None
    window_rows: Sequence[bytes] = ()


class Team:
    """Workers that wait for work.

    Attributes:
        size: how many there are.
    """

    def __init__(self, workers: Sequence[_Worker], signals: mmap.mmap) -> None:
        self._workers, self._signals = workers, signals
        self.size = len(workers)

    def work(self, run: RunContext, job: Job, parts: Sequence[Part], processed: LoadProcessed | None) -> TeamResult:
        """Has the parts worked off. A worker that fails, or is killed, stops the others; what they have read they still
        deliver. The run's shutdown does so, too."""
        busy = self._workers[: len(parts)]

        def recall(number: int, name: str) -> None:
            self._workers[number].send(Recall(name))

        desk = Desk(job.destinations, job.delivery, parts, self._signals, recall)
        listeners = [_Listener(worker, run, desk) for worker in busy]
        for worker in busy:
            worker.send(Start(worker.number, processed))
        for worker in self._workers[len(busy) :]:
            worker.close()
        is_stopped, throttled = False, 0
        while any([listener.is_alive() for listener in listeners]):
            failed = any(listener.failure is not None for listener in listeners)
            if not is_stopped and (failed or run.shutdown.is_set()):
                is_stopped = True
                for worker in busy:
                    worker.send(Stop())
            throttled += (more := desk.throttled.take())
            run.progress.update({"throttled": more} if more else {})
            for listener in listeners:
                listener.join(_LOOK / len(listeners))
        throttled += desk.throttled.take()
        counts: dict[str, int] = {"throttled": throttled} if throttled else {}
        for listener in listeners:
            add_counts(counts, listener.counts)
        failures = [listener.failure for listener in listeners if listener.failure is not None]
        failures.sort(key=lambda failure: not isinstance(failure, WorkerLost))
        rows = [line for listener in listeners for line in listener.window_rows.splitlines()]
        return TeamResult(counts, failures[0] if failures else None, rows)


@dataclasses.dataclass(frozen=True)
class _Worker:
    """A process, and the way to it."""

    number: int
    pid: int
    connection: Connection
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def send(self, message: Any) -> None:
        """Says something to a worker, if it is still there."""
        with self.lock, contextlib.suppress(OSError):
            self.connection.send(message)

    def close(self) -> None:
        """Ends a worker that waits for work."""
        self.connection.close()


class _Listener:
    """Listens to a worker until it has ended.

    Attributes:
        counts: what it has counted.
        failure: what went wrong.
    """

    def __init__(self, worker: _Worker, run: RunContext, desk: Desk) -> None:
        self._worker, self._run, self._desk = worker, run, desk
        self.counts: Mapping[str, int] = {}
        self.failure: Exception | None = None
        self.window_rows = b""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.is_alive, self.join = self._thread.is_alive, self._thread.join

    def _listen(self) -> None:
        try:
            while not isinstance(message := self._worker.connection.recv(), Done):
                self._take_in(message)
            self._take_in(message.snapshot)
            self.counts, self.failure, self.window_rows = message.counts, message.failure, message.window_rows
        except (EOFError, OSError):
            self.failure = WorkerLost(
                f"a worker (process {self._worker.pid}) has ended in the middle of its work: it was killed, or ran out"
                " of memory"
            )
        except Exception as error:  # of capybeam's own, which must not pass for the worker's end
            self.failure = WorkerLost(f"a worker was not understood: {type(error).__name__}")
            self._worker.close()
        finally:
            self._desk.gone(self._worker.number)

    def _take_in(self, message: Any) -> None:
        if isinstance(message, Call):
            self._desk.handle(self._worker.number, message, self._answering(message.number))
        elif isinstance(message, Snapshot):
            self.counts = message.counts
            self._run.progress.include(self._worker.number, message)
        elif isinstance(message, LogLine):
            row = {"name": message.logger, "levelno": message.level, "levelname": logging.getLevelName(message.level)}
            logging.getLogger(message.logger).handle(logging.makeLogRecord({**row, "msg": message.text}))

    def _answering(self, number: int | None) -> Callable[[Any], object]:
        return lambda value: None if number is None else self._worker.send(Reply(number, value))


@contextmanager
def forked(count: int, serve: Serve) -> Iterator[Team | None]:
    """Workers that wait for work; None where one process is enough. They are ended at the end.

    To be called before connections are opened and threads are started: a forked process has neither its parent's
    threads nor any business with its connections.
    """
    if count < 2:
        yield None
        return
    importlib.import_module(_RUNNER)  # once, rather than by each of them
    signals = mmap.mmap(-1, SIGNALS)
    workers: list[_Worker] = []
    try:
        for number in range(count):
            try:
                workers.append(_fork(number, [worker.connection for worker in workers], signals, serve))
            except OSError as error:
                reason = f"the system lets this run start {number}, and no more ({os.strerror(error.errno or 0)})"
                raise BadOption(f"--workers {count}: {reason}") from None
        yield Team(workers, signals)
    finally:
        for worker in workers:
            worker.close()
        _wait_for([worker.pid for worker in workers])
        signals.close()


def _fork(number: int, others: Sequence[Connection], signals: mmap.mmap, serve: Serve) -> _Worker:
    here, there = Pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are those of standard error's lines
            pid = os.fork()
        if pid == 0:
            for each in (here, *others):
                each.close()
            serve(there, signals)
            os._exit(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    return _Worker(number, pid, here)


def _wait_for(pids: Sequence[int]) -> None:
    """Waits until processes have ended, which they do when nobody listens; ends those that do not."""
    left, deadline = set(pids), time.monotonic() + _ENDED_WITHIN
    while left:
        for pid in list(left):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            left.discard(pid)
        if left and time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if left:
            time.sleep(0.005)
