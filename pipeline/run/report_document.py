"""The report of a run for programs: a JSON document, its schema, and the sums that hold in it.

    read        = taken + filtered + unreadable
    matched     = delivered + dead_lettered + without_consent + repeated + already_delivered + already_dead_lettered
                  + in_flight

The second holds of the run, of each destination and of each subscription, and the levels add up. `in_flight` is 0
unless the run was ended before it could finish. `dead_letters` is `unreadable` + `dead_lettered`, and `rejections` list
them by cause. Personal data is in none of it: names are the job's, fields the action's or Meta's, reasons are cleaned.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import pydantic

from capybeam import __version__
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.exit_codes import State, state_of
from capybeam.pipeline.run.report import Account, Cause, RunReport, Traffic
from capybeam.transforms.core.backlog import Backlog
from capybeam.transforms.delivery.answers import CUT
from capybeam.transforms.meta.personal_data.emails import emails

FORMAT: Final = "capybeam run report"
VERSION: Final = 1

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
    """Whether the runner may have counted work again that it did again."""
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


@dataclasses.dataclass(frozen=True)
class Occasion:
    """What is known of a run beside its counts. Times in Unix seconds.

    Attributes:
        job: None where the job file cannot be read.
        config: path or URL of the job file.
        runner: the name of its class.
    """

    command: Literal["run", "replay"]
    started: float
    job: Job | None = None
    config: str | None = None
    runner: str | None = None
    inputs: tuple[InputModel, ...] = ()
    tolerate: str | None = None


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a run ends.

    Attributes:
        problems: sentences that the user is shown.
        replay: the command that delivers the dead letters.
        backlog: of the stream that was read.
    """

    exit_code: int
    problems: tuple[str, ...] = ()
    replay: str | None = None
    backlog: Backlog | None = None


def document(occasion: Occasion, report: RunReport, ending: Ending) -> dict[str, Any]:
    """The report of a run, as `json_schema` has it."""
    ended = time.time()
    total = report.total
    every = _together(report.traffic)
    job = occasion.job
    fields = {
        "format": FORMAT,
        "format_version": VERSION,
        "state": state_of(ending.exit_code, has_rejections=report.dead_letters > 0),
        "exit_code": ending.exit_code,
        "problems": [without_emails(problem) for problem in ending.problems],
        "tolerate": occasion.tolerate,
        "command": occasion.command,
        "version": __version__,
        "runner": occasion.runner,
        "started": _time(occasion.started),
        "ended": _time(ended),
        "seconds": round(max(0.0, ended - occasion.started), 3),
        "job": {"file": occasion.config and without_emails(occasion.config), "sha256": job.sha256 if job else None},
        "inputs": [each.model_dump() for each in occasion.inputs],
        "balanced": report.balanced,
        "at_least": report.at_least,
        "sent": report.sent,
        "restarts": report.restarts,
        "read": report.read,
        "taken": report.taken,
        "filtered": report.filtered,
        "unreadable": report.unreadable,
        **_conversions(total),
        "dead_letters": report.dead_letters,
        "retryable": report.retryable,
        "notes": _added(report.notes, total.notes),
        "rejections": _rejections(report.causes),
        **_sent(every),
        "throttled_seconds": report.throttled,
        "backlog": ending.backlog and ending.backlog.fields(_time),
        "unfinished": [without_emails(sentence) for sentence in report.unfinished],
        "no_event": without_emails(report.no_event) or None,
        "replay": ending.replay,
        "destinations": dict(_destinations(job, report)),
    }
    ReportModel.model_validate(fields)
    return fields


def _destinations(job: Job | None, report: RunReport) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of the job, and of a replay's dead letters for destinations that the job has no longer."""
    accounts = {account.subscription: account for account in report.accounts}
    keys = [subscription.key for subscription in job.subscriptions] if job else []
    keys += [key for key in accounts if key not in keys]
    names = [destination.name for destination in job.destinations] if job else []
    refused = report.refused_destinations
    for name in dict.fromkeys([*names, *(key.partition("/")[0] for key in keys)]):
        own = {key.partition("/")[2]: accounts.get(key, Account(key)) for key in keys if key.partition("/")[0] == name}
        yield (
            name,
            {
                **_conversions(Account.total(own.values())),
                **_sent(report.traffic.get(name, Traffic())),
                "refused": name in refused,
                "refusals": [{"problem": each.problem, "cure": each.cure or None} for each in refused.get(name, ())],
                "subscriptions": {subscription: _conversions(account) for subscription, account in own.items()},
            },
        )


def _conversions(account: Account) -> dict[str, Any]:
    return {
        "matched": account.matched,
        "delivered": account.delivered,
        "dead_lettered": account.dead,
        "without_consent": account.without_consent,
        "repeated": account.repeated,
        "already_delivered": account.already_delivered,
        "already_dead_lettered": account.already_dead_lettered,
        "in_flight": account.in_flight,
        "retryable": account.retryable,
        "consent": dict(sorted(account.withheld.items())),
        "notes": dict(account.notes),
        "rejections": _rejections(account.dead_lettered),
    }


def _rejections(causes: Mapping[Cause, int]) -> list[dict[str, Any]]:
    return [
        {
            "stage": cause.stage,
            "code": cause.code,
            "field": cause.field or None,
            "meta_code": cause.meta_code or None,
            "reason": cause.reason or None,
            "retryable": cause.is_retryable,
            "count": count,
        }
        for cause, count in sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    ]


def _sent(traffic: Traffic) -> dict[str, Any]:
    first, last = traffic.first_event_time, traffic.last_event_time
    return {
        "requests": traffic.requests,
        "tries": traffic.tries,
        "bytes": traffic.bytes,
        "first_event_time": None if first is None else _time(first),
        "last_event_time": None if last is None else _time(last),
    }


def _together(traffic: Mapping[str, Traffic]) -> Traffic:
    every = traffic.values()
    first = [each.first_event_time for each in every if each.first_event_time is not None]
    last = [each.last_event_time for each in every if each.last_event_time is not None]
    return Traffic(
        requests=sum(each.requests for each in every),
        tries=sum(each.tries for each in every),
        bytes=sum(each.bytes for each in every),
        first_event_time=min(first, default=None),
        last_event_time=max(last, default=None),
    )


def _added(*counts: Mapping[str, int]) -> dict[str, int]:
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def without_emails(text: str) -> str:
    """A text without the email addresses in it: a path may have one."""
    for start, end in reversed(emails(text)):
        text = text[:start] + CUT + text[end:]
    return text


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
