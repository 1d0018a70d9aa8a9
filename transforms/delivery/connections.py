"""HTTP connections whose answers are there within the time-out, and are answers to what was asked.

Python's own time-out is for each read of a socket: a server that sends a byte now and then holds a thread for ever. And
a connection that carries one request after the other gives the next one whatever a server has sent too much.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Iterator
from typing import Any

import requests.adapters
from urllib3.util.wait import wait_for_read


class TimedAdapter(requests.adapters.HTTPAdapter):
    """Carries requests over such connections. An answer that is late raises what a time-out does."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _make_timed(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            _make_timed(manager)
        return manager


def _make_timed(manager: Any) -> None:
    """Gives a manager, of HTTP or of a kind of proxy, pools of its own kind whose connections have such answers."""
    manager.pool_classes_by_scheme = {scheme: _timed(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


def _timed(pool: Any) -> Any:
    connection = type("_Connection", (_AskedFirst, pool.ConnectionCls), {"response_class": _Answer})
    return type("_Pool", (_Waiting, pool), {"ConnectionCls": connection})


@contextlib.contextmanager
def reserved(response: Any) -> Iterator[Any]:
    """The connection of an answer that is still to be read; nobody else is given it meanwhile. None without a body.

    urllib3 gives a connection to the next request with the last byte of an answer. Whether that answer belongs to the
    request is known only when it has been understood.
    """
    connection = response.connection
    if connection is None:
        yield None
        return
    connection.is_reserved = True
    try:
        yield connection
    finally:
        connection.is_reserved = False
        pool, connection.returned_to = connection.returned_to, None
        if pool is not None:
            pool._put_conn(connection)


class _Waiting:
    """A pool that takes a connection back only once it is not reserved any more."""

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.is_reserved:
            conn.returned_to = self
        else:
            super()._put_conn(conn)  # type: ignore[misc]


class _AskedFirst:
    """A connection that ends when an answer comes before the request is sent: it belongs to an earlier request.

    Attributes:
        last_trace: fbtrace_id of the last answer, if it had one.
        is_reserved, returned_to: see `reserved`.
    """

    last_trace: str | None = None
    is_reserved = False
    returned_to: Any = None
    _answered = False

    def send(self, data: Any) -> None:
        send = super().send  # type: ignore[misc]
        if not self._answered or not isinstance(data, bytes):
            send(data)
            return
        for start in range(0, len(data), _PIECE):
            # Before the first a pool has just looked; a body follows at once on its head.
            if start and wait_for_read(self.sock, timeout=0.0):  # type: ignore[attr-defined]
                raise ConnectionError("an answer came before the request was sent")
            send(memoryview(data)[start : start + _PIECE])

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self._answered = True
        return response

    def close(self) -> None:
        self._answered, self.last_trace = False, None
        super().close()  # type: ignore[misc]


# Bytes that are sent between two looks, and within the time-out: a thousand usual events. Each look and each send lets
# go of the interpreter, and takes it back from a step that computes: with 256 kB a run took some 4 % more time.
_PIECE = 1 << 21


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        timeout = sock.gettimeout()
        if timeout is not None:
            self.fp = io.BufferedReader(_Timed(self.fp, sock, timeout))


class _Timed(io.RawIOBase):
    """What a socket sends within `timeout` seconds, which is also the socket's own; then a TimeoutError."""

    def __init__(self, file: Any, sock: socket.socket, timeout: float) -> None:
        self._file, self._raw = file, file.raw
        self._socket, self._timeout = sock, timeout
        self._deadline = time.monotonic() + timeout
        self._reads = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._reads += 1
        if self._reads > 1:  # the first, of most answers the only one, has all of the time
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()
            if self._reads > 1 and self._socket.fileno() >= 0:  # it may carry another request
                self._socket.settimeout(self._timeout)
