"""One request, from the secrets to what the answer means. Knows nothing of batches that wait or fail."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import requests.auth
import urllib3.exceptions

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
        self._access = {destination.name: _Access(destination) for destination in destinations}
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            connections = delivery.concurrency * max(1, len(destinations))
            self._session.mount(scheme, TimedAdapter(pool_maxsize=connections))

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
                self._session.request(
                    request.method,
                    request.url,
                    data=request.body,
                    headers={"Content-Type": "application/json"},
                    auth=_Headers(request.headers),
                    timeout=self._timeout,
                    proxies=access.proxies,
                    allow_redirects=False,  # a redirect would take the token along
                    stream=True,
                ) as response,
                reserved(response.raw) as connection,
            ):
                return understood(response.status_code, response.headers, _read(response.raw), connection)
        except requests.exceptions.SSLError as error:
            if "certificate" in str(error):
                return failed("certificate", f"The certificate of {endpoint} is not valid.")
            return failed("broken", f"No secure connection to {endpoint} ({type(error).__name__}).")
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            return failed("timeout", f"{endpoint} did not answer within {self._timeout:g} s.")
        except _Endless:
            return failed("endless", f"{endpoint} sent an answer that did not end.")
        except (requests.RequestException, OSError) as error:
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

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.proxies = _proxies(destination.endpoint)
        self.number = 0
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._doubted: str | None = None
        self._traces_are_unique = True
        self.secrets = _read_secrets(destination)

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


def _proxies(endpoint: str) -> dict[str, str] | None:
    """How requests is to go about proxies: by the environment, but never for an endpoint on this machine, which no
    proxy can reach and whose token would be sent to the proxy in the clear."""
    host = urlsplit(endpoint).hostname or ""
    return {"no_proxy": host} if is_loopback(host) else None


class _Headers(requests.auth.AuthBase):
    """A request's own headers, the token among them: it stays out of URLs and logs, and .netrc cannot replace it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request

    def __repr__(self) -> str:
        return "_Headers(…)"


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
