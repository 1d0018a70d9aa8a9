"""A Graph API that answers as a test says: a real server, on a port of its own, that keeps connections open."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer, sent `after` so many seconds, and once more `again` seconds later.

    `raw` bytes stand in place of all else, and `keep` the connection or not.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after: float = 0.0
    again: float | None = None
    raw: bytes | None = None
    keep: bool = False


_numbers = itertools.count(1)


def taken(events: list[Json]) -> Reply:
    trace = f"A{next(_numbers)}"
    return Reply(200, orjson.dumps({"events_received": len(events), "messages": [], "fbtrace_id": trace}))


def error(code: Any, subcode: int | None = None, status: int = 400, **more: Any) -> Reply:
    found: Json = {"message": "It is refused.", "type": "OAuthException", "code": code, **more}
    if subcode is not None:
        found["error_subcode"] = subcode
    return Reply(status, orjson.dumps({"error": found}))


class GraphServer:
    """Answers with what `answer` gives for the events of a request, and keeps count.

    Attributes:
        url: of the server, once it runs.
        requests, bodies, paths: the events, the body and the path of each request, in the order of arrival.
        stored: how often each event_id was answered with a 200.
    """

    url: str

    def __init__(self, answer: Callable[[list[Json]], Reply]) -> None:
        self.answer = answer
        self.requests: list[list[Json]] = []
        self.bodies: list[Json] = []
        self.paths: list[str] = []
        self.connections = 0
        self.stored: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    @property
    def sizes(self) -> list[int]:
        return [len(events) for events in self.requests]


@contextlib.contextmanager
def graph_server(answer: Callable[[list[Json]], Reply]) -> Iterator[GraphServer]:
    graph = GraphServer(answer)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            graph.connections += 1

        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            events = body["data"]
            with graph.lock:
                graph.requests.append(events)
                graph.bodies.append(body)
                graph.paths.append(self.path)
                graph.in_flight += 1
                graph.most_in_flight = max(graph.most_in_flight, graph.in_flight)
                reply = graph.answer(events)
                if reply.status == 200:
                    graph.stored.update(event["event_id"] for event in events)
            time.sleep(reply.after)
            with graph.lock:
                graph.in_flight -= 1
            with contextlib.suppress(OSError):  # the sender may have had enough
                if reply.raw is not None:
                    self.wfile.write(reply.raw)
                    self.close_connection = not reply.keep
                    return
                self._write(reply)
                if reply.again is not None:
                    time.sleep(reply.again)
                    self._write(reply)

        def _write(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]  # of senders that hang up
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    graph.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield graph
    finally:
        server.shutdown()
        server.server_close()
