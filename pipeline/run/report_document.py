"""The report of a run for programs: a JSON document, and the sums that hold in it; `report_model` has its schema.

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
from typing import Any, Final, Literal, NamedTuple

from capybeam import __version__
from capybeam.pipeline.job.loader import Job
from capybeam.pipeline.run.exit_codes import state_of
from capybeam.pipeline.run.report import Account, Cause, RunReport, Traffic
from capybeam.transforms.core.backlog import Backlog
from capybeam.transforms.delivery.answers import CUT
from capybeam.transforms.meta.personal_data.emails import emails

FORMAT: Final = "capybeam run report"
VERSION: Final = 1


class Input(NamedTuple):
    """An input, as `report_model.InputModel` says."""

    name: str
    files: int | None = None
    bytes: int | None = None
    rows: int | None = None


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
    inputs: tuple[Input, ...] = ()
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
    """The report of a run, as `report_model` has it."""
    from capybeam.pipeline.run.report_model import ReportModel  # takes its time, and most runs write no report

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
        "inputs": [each._asdict() for each in occasion.inputs],
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
