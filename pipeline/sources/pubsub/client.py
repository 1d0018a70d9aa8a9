"""Google's Pub/Sub client: how it is made, its errors for people, and the calls that are split into requests."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from capybeam.pipeline.sources import NoInput

T = TypeVar("T")

CALL_TIMEOUT: Final = 10.0  # seconds
MAX_MESSAGES_PER_CALL: Final = 1000
PATIENCE: Final = 10.0  # seconds for which a run that begins asks again
_PAUSE: Final = 1.0  # seconds until it is asked again, at most; doubles at each
_PULL: Final = "/google.pubsub.v1.Subscriber/Pull"


def new_client() -> Any:
    """Google's client. It takes answers of any size; with an emulator gRPC's limit of 4 MB is lifted."""
    from google.cloud.pubsub_v1 import SubscriberClient

    emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
    if not emulator:
        return SubscriberClient()
    import grpc
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    channel = grpc.insecure_channel(emulator, options=[("grpc.max_receive_message_length", -1)])
    return SubscriberClient(transport=SubscriberGrpcTransport(host=emulator, channel=channel))


def pulling(client: Any, path: str) -> Callable[..., Any]:
    """The function that pulls from a subscription over a client's channel, and does not try again. Google's own takes
    more than twice the processor time for a call (165 µs, not 67).

    It takes `max_messages`, `timeout` in seconds and `return_immediately`, returns the response as protobuf has it, and
    raises GoogleAPICallError.
    """
    from google.api_core.gapic_v1.routing_header import to_grpc_metadata
    from google.api_core.grpc_helpers import wrap_errors
    from google.pubsub_v1.types import PullRequest, PullResponse

    request, metadata = PullRequest.pb(), [to_grpc_metadata([("subscription", path)])]
    call = wrap_errors(
        client.transport.grpc_channel.unary_unary(
            _PULL, request_serializer=request.SerializeToString, response_deserializer=PullResponse.pb().FromString
        )
    )

    def pull(max_messages: int, timeout: float, return_immediately: bool = False) -> Any:
        asked = request(subscription=path, max_messages=max_messages, return_immediately=return_immediately)
        return call(asked, timeout=timeout, metadata=metadata)

    return pull


@contextmanager
def client_for(path: str) -> Iterator[Any]:
    """Google's client, its errors as NoInput with the subscription's name."""
    from google.api_core import exceptions
    from google.auth.exceptions import DefaultCredentialsError

    try:
        with new_client() as client:
            yield client
    except DefaultCredentialsError:
        raise NoInput(f"{path}: no Google credentials here; run gcloud auth application-default login") from None
    except exceptions.NotFound:
        raise NoInput(f"{path}: no such subscription") from None
    except exceptions.PermissionDenied:
        raise NoInput(f"{path}: no permission to pull; it needs the role Pub/Sub Subscriber on it") from None
    except exceptions.Unauthenticated:
        raise NoInput(f"{path}: Pub/Sub does not take the credentials (Unauthenticated)") from None
    except exceptions.GoogleAPIError as error:
        raise NoInput(f"{path}: Pub/Sub does not answer ({name_of(error)})") from None


def patience() -> Any:
    """Google's retries of a call by which a run begins, where Pub/Sub fails in a way that may pass."""
    from google.api_core import exceptions, retry

    may_pass = (exceptions.ServerError, exceptions.Aborted, exceptions.TooManyRequests)
    return retry.Retry(retry.if_exception_type(*may_pass), initial=_PAUSE, timeout=PATIENCE)


def name_of(error: Exception) -> str:
    """Of one of Google's errors; of the last one where it was tried again."""
    return type(getattr(error, "cause", None) or error).__name__


def set_deadline(client: Any, path: str, ack_ids: Sequence[str], seconds: int) -> None:
    """Leases messages for so many seconds more; 0 gives them back."""
    from google.pubsub_v1.types import ModifyAckDeadlineRequest

    for part in in_calls(ack_ids):
        request = _request(ModifyAckDeadlineRequest, subscription=path, ack_ids=part, ack_deadline_seconds=seconds)
        try:
            client.modify_ack_deadline(request=request, timeout=CALL_TIMEOUT)
        except Exception:  # it is redelivered then, and Meta drops it
            return


def acknowledge(client: Any, path: str, ack_ids: Sequence[str], timeout: float) -> None:
    """Acknowledges messages by one call, which is not tried again. Raises GoogleAPIError."""
    from google.pubsub_v1.types import AcknowledgeRequest

    request = _request(AcknowledgeRequest, subscription=path, ack_ids=ack_ids)
    client.acknowledge(request=request, timeout=timeout, retry=None)


def _request(kind: Any, **fields: Any) -> Any:
    """A request, made as a protobuf message: of keywords Google's client takes 3 µs for each ID."""
    return kind.wrap(kind.pb()(**fields))


def in_calls(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """IDs, or what there is of each, split by what one call takes."""
    return (ids[start : start + MAX_MESSAGES_PER_CALL] for start in range(0, len(ids), MAX_MESSAGES_PER_CALL))


def is_too_large(error: Exception) -> bool:
    """Whether an answer was larger than the client, the server or what is between them takes, as gRPC has it in its
    several languages; running out of a quota has the same code."""
    from google.api_core.exceptions import ResourceExhausted

    return isinstance(error, ResourceExhausted) and re.search(r"larger than max|exceeds max", str(error)) is not None


def sizes_of(error: Exception) -> str:
    """The sizes that gRPC names in an error, for people; "" where it names none."""
    found = re.search(r"\((\d+) vs\. (\d+)\)", str(error))
    return f" ({int(found[1]):,} bytes, at most {int(found[2]):,})" if found else ""
