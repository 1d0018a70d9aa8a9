"""A worker: a process that has been forked before anything was opened, and waits for its part of the work."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import mmap
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Final

from capybeam.pipeline import log_lines
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.exit_codes import FAILED
from capybeam.pipeline.run.outcome import WorkerFailed, user_error_of
from capybeam.pipeline.run.request import Outputs
from capybeam.pipeline.run.workers.desk import CALM, WANTED
from capybeam.pipeline.run.workers.leases import leased_limits
from capybeam.pipeline.run.workers.messages import Call, Done, LogLine, Recall, Reply, Start, Stop, Target
from capybeam.pipeline.sources.parts import NEXT_PART
from capybeam.transforms.core.run_context import RunContext, RunHandle
from capybeam.transforms.core.windows import Windows
from capybeam.transforms.sending import limits_key

_TELL_EVERY: Final = 0.3  # seconds between two snapshots

Result = tuple[Mapping[str, int], "BaseException | None"]


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker does.

    Attributes:
        outputs: of the run, but for the books in windows, which the coordinator adds up.
    """

    run: RunContext
    start: Start
    outputs: Outputs


@dataclasses.dataclass(frozen=True)
class Serving:
    """What a forked process does: it waits for the work, does it, and ends. It returns to nobody.

    Attributes:
        outputs: of the run.
        carry_out: does the work.
    """

    job: Job
    outputs: Outputs
    carry_out: Callable[[Work], Result]

    def __call__(self, connection: Connection, signals: mmap.mmap) -> None:
        try:
            self._serve(_Coordinator(connection, signals))
            os._exit(0)
        except BaseException:  # nothing of this process's parent may run here
            os._exit(FAILED)

    def _serve(self, coordinator: _Coordinator) -> None:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)  # they come to all processes of a terminal or a service at once
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        start = coordinator.start()
        _log_to(coordinator)
        run = self._context(start, coordinator)
        coordinator.serve(run.shutdown)
        over = threading.Event()
        telling = threading.Thread(target=_tell, args=(coordinator, run, over), daemon=True)
        telling.start()
        outputs = self.outputs
        with tempfile.TemporaryFile() as rows:
            if outputs.window_books:
                outputs = dataclasses.replace(outputs, window_books=f"/dev/fd/{rows.fileno()}")
            counts, failure = self.carry_out(Work(run, start, outputs))
            rows.seek(0)
            window_rows = rows.read()
        over.set()
        telling.join()
        coordinator.send(Done(dict(counts), run.progress.snapshot(), window_rows, _sendable(failure)))

    def _context(self, start: Start, coordinator: _Coordinator) -> RunContext:
        job = self.job
        windows = Windows(job.books_window) if self.outputs.window_books else None
        run = RunContext(RunHandle(windows=windows, shard=start.number))
        run.progress.is_shown = True  # by the coordinator
        limits = leased_limits(coordinator, job.destinations, job.delivery)
        run.client(limits_key(job.destinations, job.delivery), lambda: limits)
        run.client(NEXT_PART, lambda: functools.partial(coordinator.call, "parts", "take"))
        return run


STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def _sendable(failure: BaseException | None) -> Exception | None:
    """A failure without what led to it, which cannot be sent."""
    if failure is None:
        return None
    error = user_error_of(failure)
    if error is not None:
        found = error.kind(error.text)
        if isinstance(found, Exception):
            return found
    return WorkerFailed(f"{type(failure).__name__} (run again with --verbose for Beam's own log)")


def _tell(coordinator: _Coordinator, run: RunContext, over: threading.Event) -> None:
    told = None
    while not over.wait(_TELL_EVERY):
        snapshot = run.progress.snapshot()
        if snapshot != told:
            coordinator.send(snapshot)
            told = snapshot


class _Coordinator:
    """The process that the user has started, as a worker has it. When it is gone, so is the worker, at once."""

    def __init__(self, connection: Connection, signals: mmap.mmap) -> None:
        self._connection, self._signals = connection, signals
        self._give_back: Callable[[str], object] = lambda name: None
        self._recalled: SimpleQueue[str] = SimpleQueue()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._asked: dict[int, Future[Any]] = {}

    def is_calm(self) -> bool:
        return bool(self._signals[CALM])

    def is_slot_wanted(self) -> bool:
        return bool(self._signals[WANTED])

    def when_recalled(self, give_back: Callable[[str], object]) -> None:
        self._give_back = give_back

    def call(self, target: Target, method: str, *arguments: Any, name: str = "") -> Any:
        number, reply = next(self._numbers), Future[Any]()
        self._asked[number] = reply
        self.send(Call(number, target, method, name, arguments))
        return reply.result()

    def tell(self, target: Target, method: str, *arguments: Any, name: str = "") -> None:
        self.send(Call(None, target, method, name, arguments))

    def send(self, message: Any) -> None:
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            os._exit(FAILED)

    def start(self) -> Start:
        """Waits for the beginning. Ends the process where there is nothing for it to do."""
        message = self._receive()
        assert isinstance(message, Start)
        return message

    def serve(self, shutdown: threading.Event) -> None:
        """Takes in what the coordinator says from now on."""
        threading.Thread(target=self._listen, args=(shutdown,), daemon=True).start()
        threading.Thread(target=self._give_back_recalled, daemon=True).start()

    def _give_back_recalled(self) -> None:
        """Not by the thread that listens: what it said could wait for a coordinator that waits for it to listen."""
        while True:
            self._give_back(self._recalled.get())

    def _listen(self, shutdown: threading.Event) -> None:
        while True:
            message = self._receive()
            if isinstance(message, Reply):
                self._asked.pop(message.number).set_result(message.value)
            elif isinstance(message, Recall):
                self._recalled.put(message.name)
            elif isinstance(message, Stop):
                shutdown.set()

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(FAILED)


def _log_to(coordinator: _Coordinator) -> None:
    """Has the coordinator say what Python's logging says here, so that lines are not mixed."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_Handler(coordinator))
    log_lines.forget()


class _Handler(logging.Handler):
    def __init__(self, coordinator: _Coordinator) -> None:
        super().__init__()
        self._coordinator = coordinator
        self.setFormatter(logging.Formatter("%(message)s"))  # with the traceback of an exception

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._coordinator.send(LogLine(record.name, record.levelno, self.format(record)))
        except Exception:
            self.handleError(record)
