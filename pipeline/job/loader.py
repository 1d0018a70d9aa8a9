"""The job file: ``conversions.yaml`` → `Job`, frozen and typed.

The format is pydantic models (`models`, and `destinations` for what differs by type); the JSON Schema for editors
(``capybeam schema``) is made from them. Everything wrong with a file is reported at once, each with line, column and,
where there is one, a suggestion. A file holds only a reference to an access token, and what looks like a literal one
is never repeated.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from capybeam.pipeline.file_kinds import HEAD, kind_of, kind_of_text
from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.destinations import DESTINATION_TYPES
from capybeam.pipeline.job.models import BOOKS_WINDOW, JobModel
from capybeam.pipeline.job.problems import Finding, Problems
from capybeam.pipeline.job.validation import validate
from capybeam.pipeline.job.yaml_source import Document
from capybeam.transforms.core.events import CLOCK_KEYS
from capybeam.transforms.delivery.destination import Delivery, Destination
from capybeam.transforms.language.subscriptions import Subscription


@dataclasses.dataclass(frozen=True)
class Job:
    """A job file's content, validated and ready to run.

    Attributes:
        deduplicate: seconds for which a stream's duplicates are dropped, by event_id; None for not at all.
        books_window: seconds of a window of the books in windows.
        unwrap: the path to the event in messages that wrap it; None for messages that are events.
        warnings: formatted; they do not keep the job from running.
        sha256: of the file's text in UTF-8.
    """

    destinations: tuple[Destination, ...]
    subscriptions: tuple[Subscription, ...]
    delivery: Delivery
    deduplicate: float | None = None
    books_window: int = BOOKS_WINDOW
    unwrap: str | None = None
    warnings: tuple[str, ...] = ()
    sha256: str = dataclasses.field(default="", compare=False)

    def unread(self) -> tuple[str, ...]:
        """The time fields at an event's root, other than its timestamp, that no subscription maps."""
        return tuple(key for key in CLOCK_KEYS if not any(each.maps(key) for each in self.subscriptions))


class ConfigError(Exception):
    """A job file that cannot be used.

    Attributes:
        findings: its errors, and the warnings beside them, in the file's order.
        problems: the errors as lines ``file:line:column: what is wrong``.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        self.problems = tuple(str(finding) for finding in findings if finding.severity == "error")
        super().__init__("\n".join(self.problems))


def unreadable(file: str, reason: str) -> ConfigError:
    """The error of a job file of which nothing can be read."""
    return ConfigError([Finding(file, None, None, "error", f"cannot be read: {reason}")])


@dataclasses.dataclass(frozen=True)
class CheckedFile:
    """A job file that has been looked at.

    Attributes:
        job: None where there are errors.
        findings: errors and warnings, in the file's order.
    """

    document: Document
    job: Job | None
    findings: tuple[Finding, ...]


def load_job(path: str | Path, today: date | None = None) -> Job:
    """Reads a job file. Raises ConfigError with every problem there is."""
    return parse_job(read_text(path), str(path), today)


def read_text(path: str | Path) -> str:
    """A job file's text. Raises ConfigError."""
    try:
        return decoded(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise unreadable(str(path), str(error.strerror)) from None


def decoded(content: bytes, name: str) -> str:
    """The text of a file that people write. Raises ConfigError for a file of another kind."""
    kind = kind_of(content[:HEAD])
    if kind:
        raise unreadable(name, f"it is {kind}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise unreadable(name, "it is not UTF-8 text") from None


def parse_job(text: str, source: str = "conversions.yaml", today: date | None = None) -> Job:
    """A job file's text as a `Job`; `source` is what problems call it. Raises ConfigError."""
    checked = check_text(text, source, today)
    if checked.job is None:
        raise ConfigError(checked.findings) from None
    return checked.job


def check_text(text: str, source: str = "conversions.yaml", today: date | None = None) -> CheckedFile:
    """A job file's text with all that is found in it. Raises ConfigError for what is something else altogether."""
    other = kind_of_text(text)
    if other:
        raise unreadable(source, f"it is {other}")
    document = yaml_source.read(text, source)
    problems = Problems(document, today or date.today())
    model = None if document.data is None and problems else validate(problems)
    findings = problems.findings()
    return CheckedFile(document, None if model is None else _job(model, findings, text), findings)


def _job(model: JobModel, findings: tuple[Finding, ...], text: str) -> Job:
    destinations = [(DESTINATION_TYPES[destination.type], destination) for destination in model.destinations]
    return Job(
        destinations=tuple(kind.destination(destination) for kind, destination in destinations),
        subscriptions=tuple(
            subscription for kind, destination in destinations for subscription in kind.subscriptions(destination)
        ),
        delivery=Delivery(**model.delivery.model_dump(exclude={"deduplicate", "books_window"})),
        deduplicate=model.delivery.deduplicate,
        books_window=model.delivery.books_window,
        unwrap=model.unwrap,
        warnings=tuple(map(str, findings)),
        sha256=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
    )
