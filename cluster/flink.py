"""Flink on this machine: a JobManager, TaskManagers, Beam's job server and a pool of Python workers.

Each is a process group of its own, on a free port of the loopback interface, with its log in a folder; all of them end
with the cluster, whatever happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cluster.install import install

SLOTS: Final = 2  # of a TaskManager
START_UP: Final = 90.0  # seconds until everything has to be there

_OPENED: Final = (  # what Flink needs opened of Java 17, as its own scripts have it
    "java.base/java.lang", "java.base/java.net", "java.base/java.io", "java.base/java.nio", "java.base/sun.nio.ch",
    "java.base/java.lang.reflect", "java.base/java.text", "java.base/java.time", "java.base/java.util",
    "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)  # fmt: skip


class ClusterFailed(Exception):
    """A part of the cluster did not come up: says which, and where its log is."""


class FlinkCluster:
    """A cluster as a context manager.

    Args:
        folder: for configuration, logs and temporary files.
        environment: of the Python workers; they have to find this package and the tokens.

    >>> with FlinkCluster(Path("out/cluster"), 2, dict(os.environ)) as cluster:  # doctest: +SKIP
    ...     subprocess.run(["capybeam", "run", ..., *cluster.options])
    """

    def __init__(self, folder: Path, task_managers: int, environment: dict[str, str]) -> None:
        self._folder, self._wanted, self._environment = folder, task_managers, environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self._task_managers: list[subprocess.Popen[bytes]] = []
        self.master, self._endpoint, self._pool = (f"127.0.0.1:{_free_port()}" for _ in range(3))

    @property
    def options(self) -> list[str]:
        """The Beam options that make a job run here."""
        return [
            *("--runner", "PortableRunner", "--job_endpoint", self._endpoint, "--flink_master", self.master),
            *("--environment_type", "EXTERNAL", "--environment_config", self._pool),
            *("--parallelism", str(self._wanted * SLOTS)),
        ]

    def __enter__(self) -> FlinkCluster:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    # --- what happens to clusters ----------------------------------------------------------------------------------

    def start_task_manager(self) -> None:
        heap = ("-Xmx384m", "-XX:MaxDirectMemorySize=512m")
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        name = f"task-manager-{len(self._task_managers) + 1}"
        self._task_managers.append(self._java(name, self._flink, main, "--configDir", str(self._folder), jvm=heap))

    def kill_task_manager(self) -> int:
        """Kills the TaskManager that was started first; its process id."""
        process = next(process for process in self._task_managers if process.poll() is None)
        process.kill()
        process.wait()
        return process.pid

    def kill_python_worker(self) -> int:
        """Kills a Python worker that a TaskManager has asked for; its process id."""
        pid = self.python_workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def python_workers(self) -> list[int]:
        """The process ids of the workers, which are children of the pool."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True, check=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, parent, state in rows if int(parent) == self._workers.pid and state[0] != "Z"]

    def rest(self, path: str) -> Any:
        """What the JobManager's web interface says."""
        with urllib.request.urlopen(f"http://{self.master}{path}", timeout=10) as answer:
            return json.load(answer)

    def failures(self) -> int:
        """How many attempts of tasks of the last job have failed; Flink lists sixteen at most."""
        jobs = sorted(self.rest("/jobs/overview")["jobs"], key=lambda job: int(job["start-time"]))
        return len(self.rest(f"/jobs/{jobs[-1]['jid']}/exceptions")["exceptionHistory"]["entries"])

    def wait_for_slots(self) -> None:
        """Waits until nothing runs. Raises ClusterFailed."""
        slots = self._wanted * SLOTS
        self._await("the TaskManagers", lambda: self.rest("/overview")["slots-available"] >= slots, self._manager)

    # --- starting and ending ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        flink, job_server = install()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "artifacts").mkdir(exist_ok=True)
        (self._folder / "config.yaml").write_text(self._configuration())
        self._flink = f"{flink}/*"
        manager = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._manager = self._java(
            "job-manager", self._flink, manager, "--configDir", str(self._folder), jvm=("-Xmx512m",)
        )
        pool = ("-m", "cluster.pool", _port(self._pool))
        # a pool starts its workers as `python`, which has to be this one
        path = f"{Path(sys.executable).parent}{os.pathsep}{self._environment.get('PATH', '')}"
        self._workers = self._process("worker-pool", sys.executable, *pool, env={**self._environment, "PATH": path})
        self._await("the JobManager", lambda: self.rest("/overview") is not None, self._manager)
        for _ in range(self._wanted):
            self.start_task_manager()
        server = self._java(
            "job-server", f"{job_server}/*", "org.apache.beam.runners.flink.FlinkJobServerDriver",
            "--job-host=127.0.0.1", f"--flink-master={self.master}", f"--job-port={_port(self._endpoint)}",
            f"--artifact-port={_free_port()}", f"--expansion-port={_free_port()}",
            f"--artifacts-dir={self._folder / 'artifacts'}", jvm=("-Xmx512m",),
        )  # fmt: skip
        self._await("the job server", lambda: _answers(self._endpoint), server)
        self._await("the pool of Python workers", lambda: _answers(self._pool), self._workers)
        self.wait_for_slots()

    def _configuration(self) -> str:
        """Flink's own, in which a TaskManager's memory has to be spelled out: its scripts are not there to do it."""
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": _free_port(),
            "jobmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": _port(self.master),
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": SLOTS,
            "taskmanager.cpu.cores": float(SLOTS),
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.task.heap.size": "256m",
            "taskmanager.memory.task.off-heap.size": "128m",
            "taskmanager.memory.managed.size": "128m",
            "taskmanager.memory.network.min": "64m",
            "taskmanager.memory.network.max": "64m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "external-resources": "none",
            "classloader.resolve-order": "parent-first",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 20,
            "restart-strategy.fixed-delay.delay": "2 s",
            "heartbeat.interval": 2000,
            "heartbeat.timeout": 20000,
            "io.tmp.dirs": str(self._folder / "tmp"),
            "blob.storage.directory": str(self._folder / "tmp"),
        }
        (self._folder / "tmp").mkdir(exist_ok=True)
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    def _java(self, name: str, jars: str, main: str, *arguments: str, jvm: tuple[str, ...]) -> subprocess.Popen[bytes]:
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED]
        return self._process(name, "java", *jvm, *opened, "-cp", jars, main, *arguments, env=dict(os.environ))

    def _process(self, name: str, *command: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        self._processes.append(process)
        return process

    def _await(self, what: str, there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_UP
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                if there():
                    return
            time.sleep(0.25)
        raise ClusterFailed(f"{what} did not come up; the logs are in {self._folder}")

    def _end(self) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):  # the group outlives its leader where a worker does
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=1):
        return True
