"""The options of ``capybeam run``, each defined once: the command line and the templates' parameters are made from it.

A parameter of a Dataflow template is called like its option, with _ for -. What a value may look like there is narrower
than on a command line: workers see neither this machine's files nor its environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from capybeam.pipeline import log_lines

REPLAYED_DEAD_LETTERS: Final = "replayed-dead-letters.jsonl"  # the defaults of `replay`
REPLAYED_RECEIPTS: Final = "replayed-receipts.jsonl.gz"
MOST_WORKERS: Final = 256


@dataclasses.dataclass(frozen=True)
class TemplateParameter:
    """What a value looks like in a template.

    Attributes:
        pattern: that it matches as a whole; in RE2's language, as all of Google's are: no look-ahead, no large counts.
            So it refuses an access token in a value's place, but not every one inside of a value: `cli` does that.
        examples: each matches, and is shown in the help text.
        help: in place of the option's, where that promises more.
        default: of the template; None if it has none.
        required: whether a job needs it, without a default.
    """

    pattern: str
    examples: tuple[str, ...]
    help: str | None = None
    default: str | None = None
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of ``run``.

    Attributes:
        name: as on the command line, without the dashes.
        label: what Dataflow's console calls it.
        help: for the command line and, with examples, for the console.
        default: on the command line.
        required: on the command line.
        templates: by the name of the template that has it.
    """

    name: str
    label: str
    help: str
    default: str | None = None
    required: bool = False
    templates: Mapping[str, TemplateParameter] = dataclasses.field(default_factory=dict)

    @property
    def parameter_name(self) -> str:
        return self.name.replace("-", "_")


@dataclasses.dataclass(frozen=True)
class Template:
    """A Dataflow Flex template; `name` is also that of its file."""

    name: str
    title: str
    description: str
    streaming: bool


STREAMING: Final = Template(
    "streaming",
    "capybeam: Pub/Sub to Meta's Conversions API",
    "Delivers Segment-style events from a subscription to Meta's Conversions API, accounted for to the last one.",
    streaming=True,
)
BATCH: Final = Template(
    "batch",
    "capybeam: BigQuery or files to Meta's Conversions API",
    "Delivers Segment-style events from tables or files to Meta's Conversions API, accounted for to the last one.",
    streaming=False,
)
TEMPLATES: Final = (STREAMING, BATCH)

IN_CONTAINER: Final = "/template/conversions.yaml"  # where an image may bring its job file along

# The parts of patterns. Names are shorter than any token of Meta's, which would pass for a name otherwise.
_PROJECT: Final = r"([a-z][a-z0-9.-]{0,61}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_RESOURCE: Final = r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_URL: Final = r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/[^\s]+"
_TABLE: Final = rf"bigquery:{_PROJECT}\.[A-Za-z0-9_]+\.[A-Za-z0-9_$-]+"
_QUERY: Final = r"bigquery:\s*([Ss][Ee][Ll][Ee][Cc][Tt]|[Ww][Ii][Tt][Hh])\s[\s\S]+"
_TOPIC: Final = rf"pubsub:projects/{_PROJECT}/topics/{_RESOURCE}"
_TIME: Final = (
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?|\d{9,11}(\.\d{1,9})?"  # ISO or Unix
)
_RELATIVE: Final = r"now|today|yesterday|\d{1,4}[smhdw]"
_BYTES: Final = r"\d{1,15} ?([KMGTP]i?)?B?"
_ZONE: Final = r"[A-Za-z_]{1,20}(/[A-Za-z0-9_+-]{1,20}){0,2}"
LAST: Final = "last"  # of --since
_ATTRIBUTE: Final = TemplateParameter(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", ("message_id",))

_CONFIG: Final = TemplateParameter(
    rf"{_URL}|/[^\s]+",
    ("gs://acme-capybeam/conversions.yaml", IN_CONTAINER),
    help="The job file: at a URL, or in the image. Each token in it is a reference to Secret Manager.",
    default=IN_CONTAINER,
)
_MOMENT: Final = TemplateParameter(f"{_TIME}|{_RELATIVE}", ("yesterday", "2d", "2026-11-01T00:00:00Z", "1793491200"))


def _sink(table: str, topic: str, *more: str, is_required: bool = True) -> TemplateParameter:
    examples = (f"bigquery:acme-prod.capybeam.{table}", f"pubsub:projects/acme-prod/topics/{topic}", *more)
    return TemplateParameter("|".join((_TABLE, _TOPIC, *((_URL,) if more else ()))), examples, required=is_required)


OPTIONS: Final = (
    Option(
        "config",
        "Job file",
        "The job file.",
        required=True,
        templates={"streaming": _CONFIG, "batch": _CONFIG},
    ),
    Option(
        "input",
        "Input",
        "Events: path, glob or URL of JSON lines or .csv, .gz too; bigquery:PROJECT.DATASET.TABLE or"
        " bigquery:SELECT …; pubsub:projects/P/subscriptions/S. Repeatable, except for subscriptions.",
        required=True,
        templates={
            "streaming": TemplateParameter(
                rf"pubsub:projects/{_PROJECT}/subscriptions/{_RESOURCE}",
                ("pubsub:projects/acme-prod/subscriptions/capybeam",),
                help="Events: a subscription whose messages are JSON objects, one event each.",
                required=True,
            ),
            "batch": TemplateParameter(
                f"{_TABLE}|{_QUERY}|{_URL}",
                (
                    "bigquery:acme-prod.segment.tracks",
                    "bigquery:SELECT * FROM `acme-prod.segment.tracks` WHERE event = 'Order Completed'",
                    "gs://acme-events/2026-11-*.jsonl.gz",
                ),
                help="Events: a table or view, a query, or files of JSON lines by URL or glob; .gz too.",
                required=True,
            ),
        },
    ),
    Option(
        "since",
        "Since",
        "Only rows from this time on: ISO 8601, Unix seconds, now, today, yesterday, or how long ago (36h, 2d). For"
        " bigquery: inputs. last: from where the last run ended that succeeded with these receipts; last,2d: from two"
        " days ago if there was none.",
        templates={
            "batch": dataclasses.replace(
                _MOMENT,
                help="Only rows from this time on: ISO 8601, Unix seconds, now, today, yesterday, or how long ago.",
            )
        },
    ),
    Option(
        "until",
        "Until",
        "Only rows before this time, which is given likewise.",
        templates={"batch": dataclasses.replace(_MOMENT, examples=("today", "now", "2026-11-02T00:00:00Z"))},
    ),
    Option(
        "time-zone",
        "Time zone",
        "The time zone in which days begin, and in which times without an offset are given.",
        default="UTC",
        templates={"batch": TemplateParameter(_ZONE, ("Europe/Berlin",))},
    ),
    Option(
        "time-column",
        "Time column",
        "The column that --since and --until are about, such as received_at or loaded_at for rows that land late;"
        " otherwise that of the events' time.",
        templates={"batch": TemplateParameter(r"[A-Za-z_][A-Za-z0-9_]{0,31}", ("received_at", "loaded_at"))},
    ),
    Option(
        "overlap",
        "Overlap",
        f"With --since {LAST}: how much of what the last run has read is read once more, for rows that have landed late"
        " (1h by default). What its receipts and dead letters name is not sent again.",
    ),
    Option(
        "max-bytes-billed",
        "Most bytes billed",
        "The most bytes that a query may scan, and that are read of a table; with more, nothing is read. For bigquery:"
        " inputs; for example 20GB.",
        templates={"batch": TemplateParameter(_BYTES, ("20GB", "500000000"))},
    ),
    Option(
        "dead-letters",
        "Dead letters",
        "What was not delivered, and why.",
        default="dead-letters.jsonl",
        templates={
            "streaming": _sink("dead_letters", "capybeam-dead-letters"),
            "batch": _sink("dead_letters", "capybeam-dead-letters", "gs://acme-capybeam/dead-letters/november"),
        },
    ),
    Option(
        "receipts",
        "Receipts",
        "What Meta accepted, one line per request, with its event_ids.",
        default="receipts.jsonl.gz",
        templates={
            "streaming": _sink("receipts", "capybeam-receipts"),
            "batch": _sink("receipts", "capybeam-receipts", "gs://acme-capybeam/receipts/november"),
        },
    ),
    Option(
        "resume",
        "Resume",
        "Receipts and dead letters of earlier runs: what they name is not sent again. Path, glob or URL, or"
        " bigquery:PROJECT.DATASET.TABLE. Repeatable.",
        templates={
            "batch": TemplateParameter(
                f"{_TABLE}|{_URL}",
                ("bigquery:acme-prod.capybeam.receipts", "gs://acme-capybeam/receipts/november*"),
                help="Receipts or dead letters of earlier runs: what they name is not sent again.",
            )
        },
    ),
    Option(
        "keep",
        "Keep",
        "Delete the dead letters and receipts that earlier runs have left beside this run's, but for the latest N.",
    ),
    Option("report", "Report", "Also write the report of the run as JSON, to a file of this machine."),
    Option(
        "tolerate",
        "Tolerate",
        "Bad events for which the exit code stays 0, at most: a share of them all, for example 1%, or a count. What an"
        " outage leaves is never tolerated.",
    ),
    Option(
        "workers",
        "Workers",
        "Processes of this machine that share the work on files and tables. By default as many as there are cores for"
        " inputs of more than 50 MB, else one.",
    ),
    Option(
        "metrics",
        "Metrics",
        "Serve the counters to Prometheus while the run lasts, at http://127.0.0.1:PORT/metrics or at HOST:PORT. For"
        " runs on this machine; 0 is a free port.",
    ),
    Option("log-format", "Log format", log_lines.HELP, default="text"),
    Option(
        "window-books",
        "Window books",
        "Also write what became of the events of each minute, or of each `books_window` of the job file.",
        templates={
            "streaming": _sink("window_books", "capybeam-windows", is_required=False),
            "batch": _sink("window_books", "capybeam-windows", "gs://acme-capybeam/windows/may", is_required=False),
        },
    ),
    Option("until-idle", "Until idle", "Stop reading a subscription after this long without messages, for example 5s."),
    Option(
        "dry-run",
        "Dry run",
        "Show what would be read, sent and written, and on what; on Dataflow, the job's request, its workers and what"
        " they cost. Nothing is started.",
    ),
    Option("no-wait", "No wait", "Start the job on its runner, print how to look at it, and exit."),
    Option(
        "id-attribute",
        "ID attribute",
        "The message attribute by which Dataflow drops repeats.",
        templates={"streaming": _ATTRIBUTE},
    ),
    Option(
        "timestamp-attribute",
        "Timestamp attribute",
        "The message attribute from which Dataflow takes an event's time.",
        templates={"streaming": dataclasses.replace(_ATTRIBUTE, examples=("sent_at",))},
    ),
)
_BY_NAME: Final = {option.name: option for option in OPTIONS}


def option(name: str, *declarations: str, **more: Any) -> Callable[[Any], Any]:
    """The click option that the table has under `name`; `more` is what concerns click alone."""
    found = _BY_NAME[name]
    if found.default is not None:
        more |= {"default": found.default, "show_default": True}
    return click.option(f"--{name}", *declarations, required=found.required, help=found.help, **more)


def metadata(template: Template) -> dict[str, Any]:
    """What Dataflow wants to know of a template: the content of its metadata file."""
    found: dict[str, Any] = {
        "name": template.title,
        "description": template.description,
        "parameters": [
            _parameter(option, option.templates[template.name])
            for option in OPTIONS
            if template.name in option.templates
        ],
    }
    if template.streaming:  # repeats are harmless to Meta, so that the cheaper mode is one to choose
        found |= {"streaming": True, "supportsAtLeastOnce": True, "supportsExactlyOnce": True}
        found |= {"defaultStreamingMode": "EXACTLY_ONCE"}
    return found


def _parameter(option: Option, parameter: TemplateParameter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": option.parameter_name,
        "label": option.label,
        "helpText": f"{parameter.help or option.help} For example: {', or '.join(parameter.examples)}",
        "isOptional": not parameter.required,
        "regexes": [f"^({parameter.pattern})$"],
        "paramType": "TEXT",
    }
    if parameter.default is not None:
        found["defaultValue"] = parameter.default
    return found


# Terraform's provider looks for a job's outputs by the names that Java has for them, finds none on a Python job, and
# would update the job at each apply: so the launcher says them by those names, too.
JAVA_ALIASES: Final = {"temp_location": "tempLocation", "staging_location": "stagingLocation"}
