"""An explanation for people to read."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]
Line = Callable[..., None]

_STYLES = {"ready": "bold green", "rejected": "bold red", "filtered": "bold yellow"}


def show(explained: Json, console: Console) -> None:
    """Writes an explanation to a console. No character of an event can control the terminal."""

    def line(text: str = "", style: str = "") -> None:
        console.print(Text(printable(text), style=style))

    place = ", ".join(f"{name} {explained[name]}" for name in ("file", "line") if name in explained)
    event = explained.get("event", {})
    what = " ".join(_text(event[name]) for name in ("type", "name") if event.get(name) is not None)
    identifier = f", messageId {_text(event['message_id'])}" if event.get("message_id") is not None else ""
    line(f"Event ({place}): {what or 'not an event'}{identifier}" if place else f"Event: {what}{identifier}", "bold")
    if "triggers" not in explained:
        _end(explained, line)
        return
    line()
    line("Triggers", "bold underline")
    for trigger in explained["triggers"]:
        name = f"{trigger['destination']}/{trigger['subscription']}"
        if trigger["takes"]:
            line(f"  ✓ {name} takes it", "green")
        else:
            line(f"  ✗ {name}: {_failed(trigger.get('failed'))}")
    if explained["status"] == "filtered" and not explained["conversions"]:
        line()
        line("Filtered: no trigger takes it, so nothing is sent.", _STYLES["filtered"])
    for conversion in explained["conversions"]:
        _show_conversion(conversion, console, line)


def _show_conversion(conversion: Json, console: Console, line: Line) -> None:
    name = "/".join(str(conversion[key]) for key in ("destination", "subscription") if key in conversion)
    dataset = f" → dataset {conversion['dataset_id']}" if "dataset_id" in conversion else ""
    called = f", as {_text(conversion['event_name'])}" if conversion.get("event_name") is not None else ""
    line()
    line(f"{name or 'Conversion'}{dataset}{called}", "bold underline")
    if "fields" in conversion:
        _show_fields(conversion["fields"], line)
    if conversion.get("user_data"):
        table = _table("user_data", "given", "normalised", "sent")
        for row in conversion["user_data"]:
            table.add_row(*map(_cell, _user_data_row(row)))
        console.print(table)
    if "notes" in conversion:
        line("Counted: " + ", ".join(f"{note} {count}" for note, count in conversion["notes"].items()))
    if conversion["status"] == "filtered":
        line(f"Filtered, {conversion['reason']}: the event does not say that it may be sent.", _STYLES["filtered"])
        line(conversion["advice"])
    elif conversion["status"] == "ready":
        line("The destination reads:", "bold")
        line(orjson.dumps(conversion["payload"], option=orjson.OPT_INDENT_2).decode())
        batch = dict(conversion["batch"])
        most = batch.pop("max_events")
        alike = ", ".join(f"{key} {_text(value)}" for key, value in batch.items())
        line(f"Ready. It joins a batch of up to {most} events with the same {alike}.", _STYLES["ready"])
    else:
        _end(conversion, line)


def _end(rejected: Json, line: Line) -> None:
    line(f"Rejected at {rejected['stage']}, {rejected['code']}: {rejected['message']}", _STYLES["rejected"])
    if "advice" in rejected:
        line(f"What would help: {rejected['advice']}")


def _failed(failed: Json | None) -> str:
    if failed is None:
        return "its trigger fails on this event"
    there = ""
    if "value" in failed:
        value = orjson.dumps(failed["value"]).decode()
        there = f"; {failed['field']} is {value if len(value) <= 80 else f'{value[:80]}…'}"
    hint = f"; {failed['hint']}" if "hint" in failed else ""
    return f"failed at {failed['condition']}{there}{hint}"


def _show_fields(fields: list[Json], line: Line) -> None:
    """A line for each field that has a value, or lost it; those of which nothing was found come last."""
    width = max(map(len, (row["field"] for row in fields)), default=0)
    there = [row for row in fields if {"mapped", "becomes", "error"} & row.keys()]
    for row in there:
        line(f"  {row['field']:{width}}  {_becomes(row)}  ← {_came_from(row)}")
    for row in fields:
        if row not in there:
            looked_up = ", ".join(each["path"] for each in row.get("lookups", [])) or "no path"
            line(f"  {row['field']:{width}}  nothing at {looked_up}", "dim")


def _becomes(row: Json) -> str:
    if "error" in row:
        return f"fails: {row['error']}"
    value = _text(row["becomes"] if "becomes" in row else row["mapped"])
    return f"{value} is dropped" if row.get("dropped") else value


def _came_from(row: Json) -> str:
    if "from" in row:
        return str(row["from"])
    if "directives" not in row:
        return "a constant"
    names = [name for name in row["directives"] if name not in ("@path", "@arrayPath", "@template")]
    looked_up = ", ".join(f"{each['path']} {_found(each)}" for each in row["lookups"])
    return " ".join([*names, looked_up])


def _found(lookup: Json) -> str:
    items = f" (in {lookup['items']} items)" if "items" in lookup else ""
    return f"= {_text(lookup['value'])}{items}" if lookup["found"] else f"is not there{items}"


def _user_data_row(row: Json) -> Iterator[str]:
    yield row["key"]
    yield row.get("from", "") if row.get("given") is None else _text(row["given"])
    yield "already hashed" if row.get("already_hashed") else _text(row.get("normalised", ""))
    yield f"dropped: {row['dropped']}" if "dropped" in row else _text(row.get("sent", ""))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cell(text: str) -> Text:
    return Text(printable(text))


def _text(value: Any) -> str:
    """A value in a line of its own: a text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 300  # characters


def printable(text: str) -> str:
    """A text without characters that control a terminal or turn its direction.

    >>> printable("\\x1b[2J")
    '\\\\x1b[2J'
    """
    return "".join(
        character if character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"
        else ascii(character)[1:-1]
        for character in text
    )  # fmt: skip
