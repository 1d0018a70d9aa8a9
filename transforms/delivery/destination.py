"""What a destination is to those that send: how a request is made, and what its answer means."""

from __future__ import annotations

import abc
import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.rejections import Rejected
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.answers import Answer, Trouble


class Request(NamedTuple):
    """An HTTP request. Secrets are in headers or the body, never in the URL.

    Attributes:
        headers: beside Content-Type, which is JSON unless it is among them.
    """

    url: str
    body: bytes
    headers: Mapping[str, str]
    method: Literal["POST", "GET"] = "POST"


class Reading(NamedTuple):
    """What came of a request that reads.

    Attributes:
        answer: of the kind ``delivered`` where there is a document.
        document: the JSON object; None where the request was refused or failed.
        headers: of the answer.
    """

    answer: Answer
    document: dict[str, Any] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Destination(abc.ABC):
    """Where conversions are sent. A type of destination is a subclass; it is frozen and is pickled.

    Retries, isolation of what is refused, rate limits and connections are the same for all types: they go by what
    `classify` says of an answer.

    Attributes:
        endpoint: URL of the server.
    """

    name: str
    endpoint: str = dataclasses.field(kw_only=True)

    @property
    @abc.abstractmethod
    def secrets(self) -> Mapping[str, TokenReference]:
        """By the key of the job file: what has to be read for `request`."""

    @abc.abstractmethod
    def join(self, bodies: Sequence[bytes], address: Address) -> bytes:
        """The body of a request with these events, which are not encoded again."""

    @abc.abstractmethod
    def request(self, dataset_id: str, body: bytes, secrets: Mapping[str, str]) -> Request:
        """The request with what `join` has made, for a dataset. `secrets` are those read, by their keys."""

    @abc.abstractmethod
    def classify(self, status: int, headers: Mapping[str, str], body: bytes, sent: int) -> Answer:
        """What an HTTP answer means for the `sent` events of its request."""

    @abc.abstractmethod
    def failed(self, trouble: Trouble, message: str) -> Answer:
        """The answer for a request that got none; `message` is its text for people."""

    def understand(self, status: int, headers: Mapping[str, str], body: bytes) -> Reading:
        """What an HTTP answer means to a request that reads; for the types of which anything can be read."""
        raise NotImplementedError

    def check_age(self, event_time: int, age_limit: int, now: float) -> None:
        """Raises Rejected, event_too_old, for an event that has become too old while it waited. Unix seconds."""
        if now - event_time > age_limit:
            raise Rejected("event_too_old")

    def describe(self, address: Address) -> Mapping[str, Any]:
        """What a request to an address says beside its events, for ``capybeam map``."""
        return {}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclasses.dataclass(frozen=True)
class Delivery:
    """How conversions are sent. Durations in seconds, sizes in bytes.

    Attributes:
        concurrency: requests in flight, of each destination and worker.
        requests_per_second: of the whole job at most, or None. A worker has its share.
        rate_limit_service: address (host:port) of an Envoy rate limit service that is asked before each request.
        timeout: of one request, in all.
        retry_for: how long a throttled or failing destination is tried before its events become dead letters.
        receipts: brief, or detailed: with the event_ids.
        share_unused_rate: whether workers that send also use the shares of those that do not, where the job has a place
            for their leases.
    """

    max_batch_events: int = 1000
    max_batch_bytes: int = 4 * 1024 * 1024
    max_batch_delay: float = 10.0
    concurrency: int = 8
    requests_per_second: float | None = None
    rate_limit_service: str | None = None
    timeout: float = 10.0
    retry_for: float = 900.0
    receipts: Literal["brief", "detailed"] = "detailed"
    share_unused_rate: bool = True
