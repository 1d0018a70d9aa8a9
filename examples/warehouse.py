"""``make warehouse``: orders that are kept in a warehouse, delivered from there.

An emulator of BigQuery, `capybeam run` and the sandbox, all on this machine. Seeded orders are put into a table as
Segment's warehouse connector does, a column for each value; one in a hundred lacks its currency, and one is too old.
The sandbox has to receive exactly what ``capybeam map`` says of the orders as they were sent, and the books to say the
same. Exit code 0 when they do.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import orjson

from capybeam.pipeline.cli import main as capybeam
from capybeam.pipeline.job.loader import load_job
from capybeam.pipeline.preview import preview
from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.warehouse_rows import snake_case
from tests.servers.bigquery import PROJECT, bigquery_server, clients_of
from tests.servers.pubsub import NoServer

EXAMPLES = Path(__file__).parent
COUNT: Final = 1_000
TABLE: Final = "order_completed"
TOKEN: Final = "demo-token"
JOB: Final = """\
destinations:
  - name: web
    type: facebook_conversions_api
    dataset_id: "123321"
    access_token: env:META_ACCESS_TOKEN
    endpoint: {endpoint}
    subscriptions: [{{action: purchase}}]
"""


def main(out: Path = EXAMPLES.parent / "out" / "warehouse", count: int = COUNT) -> int:
    """Runs the example and returns its exit code."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    orders = list(_orders(count, datetime.now(timezone.utc)))
    try:
        with (
            bigquery_server() as server,
            clients_of(server) as client,
            SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox,
        ):
            config = out / "conversions.yaml"
            config.write_text(JOB.format(endpoint=sandbox.url), encoding="utf-8")
            table = f"{PROJECT}.{client.default_dataset}.{TABLE}"
            _store(client, table, orders)
            print(f"{len(orders):,} orders are in {table}, of {len(_columns(orders[0]))} columns.", flush=True)
            os.environ["META_ACCESS_TOKEN"] = TOKEN
            code = _run(
                *("--config", str(config), "--input", f"bigquery:{table}", "--books", str(out / "books.json")),
                *("--dead-letters", str(out / "dead-letters.jsonl"), "--receipts", str(out / "receipts.jsonl")),
            )
            problems = _compared(config, orders, code, out, sandbox)
    except NoServer as reason:
        print(reason)
        return 1
    for problem in problems:
        print(f"WRONG: {problem}")
    if not problems:
        print("\nThe sandbox holds exactly what `capybeam map` says of the orders as they were sent.")
    return 1 if problems else 0


def _run(*options: str) -> Any:
    """`capybeam run` within this process, whose clients go to the emulator; its exit code."""
    try:
        return capybeam(["run", *options], standalone_mode=False)
    except SystemExit as ended:
        return ended.code


def _orders(count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Orders as a shop sends them."""
    for number in range(count):
        at = now - (timedelta(days=9) if number == count // 2 else timedelta(minutes=number))
        yield {
            "type": "track",
            "event": "Order Completed",
            "messageId": f"order-{number}",
            "userId": f"user-{number}",
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "context": {
                "ip": "192.0.2.7",
                "userAgent": "Mozilla/5.0",
                "page": {"url": "https://shop.example.com/thanks"},
                "traits": {"email": f"Customer.{number}@example.com", "address": {"city": "Kraków"}},
            },
            "properties": {
                "revenue": number + 0.5,
                **({} if number % 100 == 99 else {"currency": "EUR"}),
                "products": [{"product_id": "mug", "quantity": number % 3 + 1, "price": 9.5}],
            },
        }


def _columns(event: dict[str, Any]) -> dict[str, Any]:
    """An order as a row of Segment's warehouse: flat, names in snake case, arrays as JSON text."""
    row = {"id": event["messageId"], "user_id": event["userId"], "timestamp": event["timestamp"]}
    row |= {"event": snake_case(event["event"]), "event_text": event["event"]}

    def flatten(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            name = prefix + snake_case(key)
            if isinstance(value, dict):
                flatten(value, f"{name}_")
            else:
                row[name] = json.dumps(value) if isinstance(value, list) else value

    flatten(event["context"], "context_")
    flatten(event["properties"], "")
    return row


def _store(client: Any, table: str, orders: list[dict[str, Any]]) -> None:
    from google.cloud.bigquery import SchemaField, Table

    types = {str: "STRING", float: "FLOAT", int: "INTEGER"}
    columns = {name: types[type(value)] for name, value in _columns(orders[0]).items()} | {"timestamp": "TIMESTAMP"}
    made = client.create_table(Table(table, schema=[SchemaField(*column) for column in columns.items()]))
    for start in range(0, len(orders), 500):
        assert client.insert_rows_json(made, [_columns(order) for order in orders[start : start + 500]]) == []


def _compared(config: Path, orders: list[dict[str, Any]], code: int, out: Path, sandbox: SandboxServer) -> list[str]:
    """What does not agree between the orders, the books and the sandbox."""
    outcomes = list(preview(load_job(config), [orjson.dumps(order) for order in orders], datetime.now().timestamp()))
    ready = [orjson.loads(orjson.dumps(outcome["payload"])) for outcome in outcomes if outcome["status"] == "ready"]
    books = json.loads((out / "books.json").read_text())
    stats = sandbox.stats()
    expected = {
        "the exit code": (1, code),
        "rows read": (len(orders), books["read"]),
        "the books' own balance": (True, books["balanced"]),
        "orders delivered": (len(ready), books["delivered"]),
        "dead letters": (len(orders) - len(ready), len((out / "dead-letters.jsonl").read_bytes().splitlines())),
        "orders that the sandbox holds": (
            sorted((payload["event_name"], payload["event_id"]) for payload in ready),
            sorted(sandbox.event_ids("123321")),
        ),
        "what they are worth": (
            round(sum(payload["custom_data"]["value"] for payload in ready), 2),
            stats["purchase_value"]["123321"]["EUR"],
        ),
        "raw personal data on the wire": (0, stats["raw_pii"]),
    }
    return [f"{name}: {right} expected, {got} found" for name, (right, got) in expected.items() if right != got]


if __name__ == "__main__":
    sys.exit(main())
