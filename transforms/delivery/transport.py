"""One request, from the secrets to what the answer means. Knows nothing of batches that wait or fail."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from capybeam.transforms.core.tokens import TokenError
from capybeam.transforms.delivery.answers import CUT, Answer
from capybeam.transforms.delivery.connections import TimedAdapter, reserved
from capybeam.transforms.delivery.destination import Delivery, Destination, Reading, Request, is_loopback

_LONGEST_ANSWER: Final = 1024 * 1024  # bytes
TOKEN_PAUSE: Final = 15.0  # seconds between two looks at where the token of a destination is kept


class Transport:
    """The connections, tokens and secrets of a process. Safe to use from many threads.

    Raises:
        TokenError: a token or secret cannot be read.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        delivery: Delivery,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout, self._clock = delivery.timeout, clock
        session, count = requests.Session(), max(1, len(destinations))
        for scheme in ("http://", "https://"):
            session.mount(scheme, TimedAdapter(pool_connections=count, pool_maxsize=delivery.concurrency * count))
        self._access = {destination.name: _Access(destination, session) for destination in destinations}

    def post(self, name: str, dataset_id: str, body: bytes, events: int) -> Answer:
        """Sends a body to a dataset of the destination of that name; what the answer, or its lack, means."""
        access = self._access[name]
        destination, secrets = access.destination, access.secrets

        def understood(status: int, headers: Mapping[str, str], content: bytes, connection: Any) -> Answer:
            answer = destination.classify(status, headers, content, events)
            if connection is None:
                return _withheld(answer, secrets)
            if access.is_repeated(connection.last_trace, answer.fbtrace_id):
                text = f"{destination.endpoint} sent the answer to an earlier request once more."
                answer = destination.failed("repeated", text)
            connection.last_trace = answer.fbtrace_id
            if answer.received == "more" or not access.is_identifiable(answer):
                connection.close()  # what comes next on it may not be meant for the next request
            return _withheld(answer, secrets)

        return self._exchange(access, lambda: destination.request(dataset_id, body, secrets), understood)

    def read(self, name: str, make: Callable[[Mapping[str, str]], Request]) -> Reading:
        """Asks the destination of that name for something; `make` is given its secrets."""
        access = self._access[name]
        destination, secrets = access.destination, access.secrets
        found: list[Reading] = []

        def understood(status: int, headers: Mapping[str, str], content: bytes, connection: Any) -> Answer:
            for secret in secrets.values():  # should the server have quoted one
                content = content.replace(secret.encode(), "…".encode())
            reading = destination.understand(status, headers, content)
            found.append(reading)
            if connection is not None:
                connection.close()  # an answer of this kind has nothing by which a repeated one would be known
            return reading.answer

        answer = self._exchange(access, lambda: make(secrets), understood)
        return found[0] if found else Reading(answer)

    def _exchange(
        self,
        access: _Access,
        make: Callable[[], Request],
        understood: Callable[[int, Mapping[str, str], bytes, Any], Answer],
    ) -> Answer:
        """Sends a request; what `understood` says of the answer's status, headers, body and connection."""
        endpoint, failed = access.destination.endpoint, access.destination.failed
        try:
            request = make()
            with (
                _opened(request, access.route, self._timeout) as response,
                reserved(response) as connection,
            ):
                return understood(response.status, response.headers, _read(response), connection)
        except SSLError as error:
            if "certificate" in str(error):
                return failed("certificate", f"The certificate of {endpoint} is not valid.")
            return failed("broken", f"No secure connection to {endpoint} ({type(error).__name__}).")
        except urllib3.exceptions.TimeoutError:
            return failed("timeout", f"{endpoint} did not answer within {self._timeout:g} s.")
        except _Endless:
            return failed("endless", f"{endpoint} sent an answer that did not end.")
        except _NotSent as error:
            return failed("unreachable", f"{endpoint} cannot be reached ({_reason(error.__cause__ or error)}).")
        except OSError as error:
            return failed("unreachable", f"{endpoint} cannot be reached ({_reason(error)}).")
        except Exception as error:  # urllib3 and http.client have errors of their own for broken answers
            return failed("broken", f"{endpoint} broke off during its answer ({type(error).__name__}).")

    def access_number(self, name: str) -> int:
        """Counts the tokens and secrets that a destination has had: two requests with the same number had the same."""
        return self._access[name].number

    def look_for_new_token(self, name: str) -> None:
        """Reads token and secret again, at most once in `TOKEN_PAUSE` however many threads ask."""
        self._access[name].refresh(self._clock())


class _Access:
    """What lets a process use a destination: read when it is made, and again when asked."""

    def __init__(self, destination: Destination, session: requests.Session) -> None:
        self.destination, self._session = destination, session
        self.number = 0
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._doubted: str | None = None
        self._traces_are_unique = True
        self.secrets = _read_secrets(destination)

    @functools.cached_property
    def route(self) -> _Route:
        """Raises _NotSent: there is no way to the endpoint."""
        try:
            return _route(self.destination.endpoint, self._session)
        except (HTTPError, OSError, ValueError) as error:  # of certificates and proxies that the environment names
            raise _NotSent from error

    def is_repeated(self, before: str | None, trace: str | None) -> bool:
        """Whether the fbtrace_id of an answer shows that it is the one before on its connection, sent twice.

        Meta's are unique. Whether a server's are, which only speaks like Meta, shows when the request is sent again: an
        ID that was doubted and comes on a new connection, too, is not. From then on each request has a connection of
        its own; those that were under way on a used one are doubted, as nothing tells their answers from repeated ones.
        """
        with self._lock:
            if not self._traces_are_unique:
                return before is not None
            if trace is None:
                return False
            if before is None:
                self._traces_are_unique = trace != self._doubted
                return False
            if trace == before:
                self._doubted = trace
            return trace == before

    def is_identifiable(self, answer: Answer) -> bool:
        """Whether it would be noticed if the same answer came again. A connection is not used again otherwise."""
        return answer.fbtrace_id is not None and self._traces_are_unique

    def refresh(self, now: float) -> None:
        with self._lock:
            if now - self._read_at < TOKEN_PAUSE:
                return
            self._read_at = now
        try:
            found = _read_secrets(self.destination)
        except TokenError:
            return
        if found != self.secrets:
            self.secrets = found
            self.number += 1


def _read_secrets(destination: Destination) -> dict[str, str]:
    return {key: reference.read() for key, reference in destination.secrets.items()}


@dataclasses.dataclass(frozen=True)
class _Route:
    """The way to an endpoint.

    Attributes:
        pool: connections to the endpoint's server, or to a proxy.
        is_told_urls: whether a request's first line has the whole URL, as a proxy that is to pass it on needs it.
    """

    pool: urllib3.HTTPConnectionPool
    is_told_urls: bool

    def target(self, url: str) -> str:
        """What the first line has of a URL."""
        if self.is_told_urls:
            return url.strip()
        parts = urlsplit(url.strip())
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _route(endpoint: str, session: requests.Session) -> _Route:
    """The way by the proxies and certificates that the environment names, as requests finds it. It would do so before
    each request: that, and what else it does beside sending, was two thirds of a short request's time.

    An endpoint on this machine has no proxy: none could reach it, and its token would be sent there in the clear.
    """
    host = urlsplit(endpoint.strip()).hostname or ""
    request = requests.Request("POST", endpoint).prepare()
    url = str(request.url)
    found: Any = session.merge_environment_settings(
        url, {"no_proxy": host} if is_loopback(host) else {}, stream=True, verify=None, cert=None
    )
    adapter: Any = session.get_adapter(url)
    pool = adapter.get_connection_with_tls_context(request, found["verify"], found["proxies"], found["cert"])
    adapter.cert_verify(pool, url, found["verify"], found["cert"])
    return _Route(pool, adapter.request_url(request, found["proxies"]) != request.path_url)


@contextlib.contextmanager
def _opened(request: Request, route: _Route, timeout: float) -> Iterator[Any]:
    """What a request is answered with, of which the body is still to be read. A redirect is an answer like any other:
    it would take the token along.

    Raises:
        SSLError, TimeoutError: of urllib3.
        _NotSent: there was no connection, or it broke.
    """
    headers = HTTPHeaderDict(_HEADERS)
    headers.update(request.headers)
    try:
        response = route.pool.urlopen(
            request.method,
            route.target(request.url),
            request.body or None,  # not a Content-Length of 0 behind a GET
            headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(connect=timeout, read=timeout),
            preload_content=False,
        )
    except NewConnectionError as error:  # a kind of time-out to urllib3
        raise _NotSent from error
    except (SSLError, urllib3.exceptions.TimeoutError):
        raise
    except (HTTPError, OSError) as error:
        raise _NotSent from error
    try:
        yield response
    finally:
        response.close()  # what has not been read is not read any more; a connection without any goes on
        response.release_conn()


# Of each request, beside its own.
_HEADERS: Final = {
    "User-Agent": "capybeam",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
}


class _NotSent(Exception):
    """A request that nobody answered; why is its cause."""


def _withheld(answer: Answer, secrets: Mapping[str, str]) -> Answer:
    """The answer without the secrets, should the server have quoted one."""
    text = f"{answer.message}{answer.reason}{answer.messages}"
    for secret in secrets.values():
        if secret in text:
            messages = tuple(message.replace(secret, CUT) for message in answer.messages)
            message, reason = answer.message.replace(secret, CUT), answer.reason.replace(secret, CUT)
            answer = dataclasses.replace(answer, message=message, reason=reason, messages=messages)
    return answer


class _Endless(Exception):
    """An answer that goes on for too long."""


def _read(raw: Any) -> bytes:
    """The body of an answer, decoded. Raises _Endless where it is too long."""
    parts, size = [], 0
    while part := raw.read1(1 << 16, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > _LONGEST_ANSWER:
            raise _Endless
    return b"".join(parts)


_REASONS: Final = (
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "certificate verify failed",
)


def _reason(error: BaseException) -> str:
    """Why nothing was reached, in words that hold nothing of the request."""
    text = str(error)
    return next((reason.lower() for reason in _REASONS if reason in text), type(error).__name__)
