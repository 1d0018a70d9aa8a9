"""The report of a run as a model, for its JSON Schema and to check a report against."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from capybeam.pipeline.run.exit_codes import State

Count = Annotated[int, pydantic.Field(ge=0)]
Time = Annotated[str, pydantic.Field(description="UTC, RFC 3339.", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""Only whole seconds: fractions of them decide nothing here."""


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InputModel(_Model):
    """An input."""

    name: str
    """As it was given; of a query only that it is one."""
    files: Count | None
    """null where it does not consist of files."""
    bytes: Count | None
    """Of its files as they are, packed or not; null where that is not known."""
    rows: Count | None
    """Of a table or a query's result; null where that is not known."""


class JobModel(_Model):
    """The job file."""

    file: str | None
    """Its path or URL; null where the run was started from Python."""
    sha256: str | None
    """Of its text, in UTF-8 without a byte order mark; null where it cannot be read."""


class RejectionModel(_Model):
    """Dead letters with the same cause."""

    stage: str
    code: str
    field: str | None
    """That is at fault, or several with commas between them; null where it is none, or not known."""
    meta_code: str | None
    """Meta's own, as code or code/subcode; null where Meta has given none."""
    reason: str | None
    """In Meta's words, without what they may quote of an event; null where there are none."""
    retryable: bool
    """Whether the event is fine and the destination was not: a replay delivers it."""
    count: Count


class RefusalModel(_Model):
    """Why a destination refuses everything."""

    problem: str
    cure: str | None
    """What somebody can do about it; null where only Meta's words say."""


class _ConversionsModel(_Model):
    matched: Count
    """Conversions that triggers took. delivered + dead_lettered + without_consent + repeated + already_delivered +
    already_dead_lettered + in_flight."""
    delivered: Count
    dead_lettered: Count
    without_consent: Count
    """Filtered, as there is no consent."""
    repeated: Count
    """Dropped by `deduplicate`."""
    already_delivered: Count
    """Named by receipts of earlier runs, or of attempts of this one that failed, and not sent again."""
    already_dead_lettered: Count
    """Among the dead letters of earlier runs, and not sent."""
    in_flight: int
    """0, unless the run ended before it could finish, or counted work again that it did again."""
    retryable: Count
    """Of the dead letters: those of events that are fine, which a replay delivers."""
    consent: dict[str, int]
    """without_consent by what the events say."""
    notes: dict[str, int]
    """What is worth knowing of conversions that went on."""
    rejections: list[RejectionModel]
    """Dead letters by cause, the most frequent first."""


class _TrafficModel(_Model):
    requests: Count
    """That were taken: as many as there are receipts."""
    tries: Count
    """Requests that were sent, those that failed or were refused included."""
    bytes: Count
    """Of the bodies of all tries."""
    first_event_time: Time | None
    """Of what was ready to be sent; null if nothing was."""
    last_event_time: Time | None


class SubscriptionModel(_ConversionsModel):
    """A subscription."""


class DestinationModel(_ConversionsModel, _TrafficModel):
    """A destination."""

    refused: bool
    """Whether it refuses everything: token, permission, version."""
    refusals: list[RefusalModel]
    subscriptions: dict[str, SubscriptionModel]


class BacklogModel(_Model):
    """What a subscription still had when the run ended. Ages and delays in seconds."""

    messages: Count
    """Not acknowledged."""
    at_least: bool
    """Whether there may have been more, and older ones: those here are only what the run had taken and gave back."""
    oldest_published: Time | None
    """When the oldest was published, as Cloud Monitoring had it; null where it did not say."""
    counted: Time | None
    """When Cloud Monitoring had counted; null where it did not say."""
    in_hand: Count
    """That the run had taken, and gave back."""
    oldest_in_hand_seconds: float | None
    """Age of the oldest of those; null where there were none."""
    longest_delay_seconds: float | None
    """From a message's publication to its acknowledgement, at most; null where none was acknowledged."""


class ReportModel(_ConversionsModel, _TrafficModel):
    """The report of a run of capybeam."""

    format: Literal["capybeam run report"]
    format_version: Literal[1]
    state: State
    """succeeded: all was delivered or filtered; succeeded_with_rejections: some events were bad; refused: a destination
    refuses everything; failed: the run could not begin, did not end well, or gave events up for an outage (exit code
    2, 4 or 5); stopped: by a signal."""
    exit_code: int
    problems: list[str]
    """What the user was told."""
    tolerate: str | None
    """What --tolerate allows; null without it."""
    command: Literal["run", "replay"]
    version: str
    """capybeam's."""
    runner: str | None
    started: Time
    ended: Time
    seconds: float
    job: JobModel
    inputs: list[InputModel]
    balanced: bool
    """Whether all sums hold with nothing in flight."""
    at_least: bool
    """Whether the runner may have counted work again that it did again, or a process was lost before it had told all
    that it counted."""
    sent: Count | None
    """Events on the receipts, where a runner elsewhere delivered and the receipts can be read."""
    restarts: Count
    """How often work was lost and done again, as far as the runner says so: at least the requests in flight then were
    sent again."""
    read: Count
    """Events: taken + filtered + unreadable."""
    taken: Count
    """By at least one trigger."""
    filtered: Count
    """By all triggers, or for lack of consent."""
    unreadable: Count
    """No events, or not to be read."""
    dead_letters: Count
    """Lines of dead letters: unreadable + dead_lettered."""
    throttled_seconds: Count
    """In which something waited for a rate limit."""
    backlog: BacklogModel | None
    """null where no subscription was read on this machine."""
    unfinished: list[str]
    """Inputs that could not be read to their end."""
    no_event: str | None
    """What the first object looks like that is not an event."""
    replay: str | None
    """The command that delivers the dead letters; null where there are none."""
    destinations: dict[str, DestinationModel]
    """By name, all that the job has; {} where the job file cannot be read."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ReportModel.model_json_schema()}
