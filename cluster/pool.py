"""A pool of Python workers that the TaskManagers of one machine may share.

Beam's own pool knows a worker by an id that is unique to its TaskManager: shared, the end of one TaskManager's worker
ends the other's. Here no worker is ended by the pool: each ends with the connection to its TaskManager.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class SharedPool(BeamFnExternalWorkerPoolServicer):
    """Starts workers, and leaves them to end by themselves."""

    def StopWorker(self, stop_worker_request: Any, unused_context: Any) -> Any:
        return beam_fn_api_pb2.StopWorkerResponse()


def main() -> None:
    """Serves on the port that is the first argument, until the process is ended."""
    _address, _server = SharedPool.start(use_process=True, port=int(sys.argv[1]))
    threading.Event().wait()


if __name__ == "__main__":
    main()
