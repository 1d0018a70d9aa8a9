"""Answers as the Graph API gives them, and what a request says of itself."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from capybeam.pipeline.sandbox.refusals import Refusal
from capybeam.pipeline.sandbox.store import Sandbox


def token(request: web.Request) -> str | None:
    """The access token in the header, else in the URL."""
    scheme, _, found = request.headers.get("Authorization", "").partition(" ")
    return found.strip() if scheme.lower() == "bearer" else request.query.get("access_token")


def usage(dataset: str, percent: int, minutes: float = 0.0) -> dict[str, str]:
    """The headers that say how much of the rate limit is used up."""
    used = {"call_count": percent, "total_cputime": percent, "total_time": percent}
    wait = int(minutes) if minutes == int(minutes) else minutes
    business = {dataset: [{"type": "ads_management", **used, "estimated_time_to_regain_access": wait}]}
    return {
        "X-App-Usage": orjson.dumps(used).decode(),
        "X-Business-Use-Case-Usage": orjson.dumps(business).decode(),
    }


def refuse(sandbox: Sandbox, refusal: Refusal, dataset: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer of a refusal, which is counted."""
    fbtrace_id = trace_id()
    sandbox.note_refusal(refusal, dataset, fbtrace_id)
    return json_response(refusal.body(fbtrace_id), refusal.status, headers)


def abort(request: web.Request) -> web.StreamResponse:
    """Breaks the connection off, without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def trace_id() -> str:
    """A new fbtrace_id."""
    return "A" + base64.urlsafe_b64encode(secrets.token_bytes(18)).decode()[:22]
