"""How many messages of a subscription are not acknowledged, as Cloud Monitoring has it. Pub/Sub itself does not say."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from capybeam.transforms.core.backlog import Counted

_EVERY: Final = 60.0  # seconds, in which Pub/Sub counts once
_RECENT: Final = 600.0  # seconds; an older count says nothing
_CALL_TIMEOUT: Final = 10.0
_SUBSCRIPTION: Final = "pubsub.googleapis.com/subscription"


def watch(path: str, report: Callable[[Counted], object], done: threading.Event) -> None:
    """Reports counts of a subscription until `done`, where this machine may ask; in a thread of its own.

    Nothing is said where it may not: the run goes on without.
    """
    if not os.environ.get("PUBSUB_EMULATOR_HOST"):
        threading.Thread(target=_watch, args=(path, report, done), daemon=True, name="backlog").start()


def _watch(path: str, report: Callable[[Counted], object], done: threading.Event) -> None:
    try:
        client = new_client()
    except Exception:  # no library, no credentials
        return
    from google.api_core import exceptions

    while True:
        try:
            counted = count(client, path)
        except (exceptions.Forbidden, exceptions.Unauthorized):
            return
        except Exception:  # what it is may pass
            counted = None
        if counted is not None:
            report(counted)
        if done.wait(_EVERY):
            return


def new_client() -> Any:
    """Google's client. Raises ImportError and DefaultCredentialsError."""
    from google.cloud.monitoring_v3 import MetricServiceClient

    return MetricServiceClient()


def count(client: Any, path: str) -> Counted | None:
    """The latest count of a subscription; None where there is no recent one. Raises GoogleAPIError."""
    now = time.time()
    messages = _latest(client, path, "num_undelivered_messages", now)
    if messages is None:
        return None
    age = _latest(client, path, "oldest_unacked_message_age", now)
    oldest_at = None if age is None or not messages[0] else age[1] - age[0]
    return Counted(int(messages[0]), messages[1], oldest_at)


def _latest(client: Any, path: str, metric: str, now: float) -> tuple[float, float] | None:
    """The latest value of a metric, and its time in Unix seconds."""
    found = re.fullmatch(r"projects/([^/]+)/subscriptions/([^/]+)", path)
    assert found is not None
    request = {
        "name": f"projects/{found[1]}",
        "filter": f'metric.type = "{_SUBSCRIPTION}/{metric}" AND resource.labels.subscription_id = "{found[2]}"',
        "interval": {"start_time": {"seconds": int(now - _RECENT)}, "end_time": {"seconds": int(now) + 1}},
        "view": "FULL",
    }
    points = [
        (float(point.value.int64_value or point.value.double_value), point.interval.end_time.timestamp())
        for series in client.list_time_series(request=request, timeout=_CALL_TIMEOUT, retry=None)
        for point in series.points
    ]
    return max(points, key=lambda point: point[1], default=None)
