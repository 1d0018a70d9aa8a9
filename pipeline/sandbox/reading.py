"""What can be read of the Graph API here: a dataset, the quality of its events, and what a token may do.

``GET``, or ``POST`` with ``method=get`` among the parameters of a form, as Meta's JavaScript SDK sends long ones: what
is secret stays out of the URL. The faults that concern every request hold here, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web

from capybeam.pipeline.sandbox import wire
from capybeam.pipeline.sandbox.dataset_quality import DATASET_QUALITY, DEFAULT_FIELDS, NOTE, dataset_quality
from capybeam.pipeline.sandbox.graph_fields import Schema, check_fields, parse_fields, project
from capybeam.pipeline.sandbox.refusals import Json, Refusal
from capybeam.pipeline.sandbox.store import Sandbox

APP_ID: Final = "1234567890"
USER_ID: Final = "9876543210"
UNKNOWN_PATH: Final = Refusal("Unknown path components", None, code=2500)
SERVER_ERROR: Final = Refusal(
    "An unexpected error has occurred. Please retry your request later.", None, code=2, status=500, transient=True
)
DATASET: Final[Schema] = dict.fromkeys(("id", "name", "last_fired_time", "is_unavailable", "owner_business"))
QUALITY_SCOPES: Final = (("ads_read",), ("ads_management", "business_management"))  # one of each

Parameters = Mapping[str, str]
Answer = Callable[[web.Request, Sandbox, Parameters], Json]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reading(sandbox_of: Callable[[web.Request], Sandbox], answer: Answer) -> Handler:
    """A handler that checks what all requests have in common, and leaves the rest to `answer`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        sandbox, parameters = sandbox_of(request), dict(request.query)
        if request.method == "POST":
            parameters |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
            if parameters.get("method", "").lower() != "get":
                return wire.json_response(UNKNOWN_PATH.body(wire.trace_id()), 400)
        if "access_token" in request.query or "input_token" in request.query:
            sandbox.counts["tokens_in_url"] += 1
        fault, delay = sandbox.draw()
        await asyncio.sleep(delay)
        dataset = parameters.get("dataset_id", request.match_info.get("dataset", ""))
        headers = wire.usage(dataset, sandbox.faults.usage_percent)
        headers["Date"] = formatdate(sandbox.settings.clock(), usegmt=True)
        if fault in ("drop_before", "drop_after"):
            return wire.abort(request)
        if fault == "html":
            return web.Response(status=502, text="<!DOCTYPE html><title>Error</title>", content_type="text/html")
        try:
            if fault == "error":
                raise SERVER_ERROR
            if fault == "throttle":
                text = "There have been too many calls to this account."
                raise Refusal(text, 2446079, code=80004, status=sandbox.faults.throttle_status)
            token = wire.token(request) or parameters.get("access_token")
            sandbox.check_reading(request.match_info["version"], token, parameters.get("appsecret_proof"))
            found = answer(request, sandbox, parameters)
        except Refusal as refusal:
            return wire.refuse(sandbox, refusal, dataset, headers)
        return wire.json_response(found, headers=headers)

    return handle


def quality(request: web.Request, sandbox: Sandbox, parameters: Parameters) -> Json:
    """``GET /dataset_quality``."""
    for scopes in QUALITY_SCOPES:
        if not set(scopes) & set(sandbox.settings.scopes):
            raise Refusal(f"(#200) Requires {' or '.join(scopes)} permission", None, code=200)
    dataset = parameters.get("dataset_id", "")
    if not dataset:
        raise Refusal("(#100) The parameter dataset_id is required", None, verbatim=True)
    _check_dataset(sandbox, dataset)
    wanted = parse_fields(parameters.get("fields") or DEFAULT_FIELDS)
    check_fields(wanted, DATASET_QUALITY, "DatasetQuality")
    agent = parameters.get("agent_name")
    web_events = sandbox.totals.of_source(dataset, "website", agent.lower() if agent else None)
    return {**project(dataset_quality(web_events), wanted, DATASET_QUALITY, "DatasetQuality"), "sandbox": NOTE}


def dataset_node(request: web.Request, sandbox: Sandbox, parameters: Parameters) -> Json:
    """``GET /{dataset}``."""
    dataset = request.match_info["dataset"]
    _check_dataset(sandbox, dataset)
    wanted = parse_fields(parameters.get("fields") or "id,name")
    check_fields(wanted, DATASET, "AdsPixel")
    node: Json = {"id": dataset, "name": f"Dataset {dataset} of the sandbox", "is_unavailable": False}
    arrivals = [sums.last for sums in sandbox.totals.by_event().get(dataset, {}).values()]
    if arrivals:
        node["last_fired_time"] = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(max(arrivals)))
    return {**project(node, wanted, DATASET, "AdsPixel"), "id": dataset}


def debug_token(request: web.Request, sandbox: Sandbox, parameters: Parameters) -> Json:
    """``GET /debug_token``: what ``input_token`` is and may do."""
    token = parameters.get("input_token", "")
    if not token:
        raise Refusal("(#100) The parameter input_token is required", None, verbatim=True)
    try:
        sandbox.check_token(token)
    except Refusal as refusal:
        error: dict[str, Any] = {"code": refusal.code, "message": refusal.reason}
        if refusal.subcode:
            error["subcode"] = refusal.subcode
        return {"data": {"error": error, "is_valid": False, "scopes": []}}
    data = {
        "app_id": APP_ID,
        "type": "SYSTEM_USER",
        "application": "capybeam sandbox",
        "data_access_expires_at": 0,
        "expires_at": 0,
        "is_valid": True,
        "issued_at": 0,
        "scopes": list(sandbox.settings.scopes),
        "user_id": USER_ID,
    }
    return {"data": data}


def _check_dataset(sandbox: Sandbox, dataset: str) -> None:
    if not sandbox.has_dataset(dataset):
        text = "Unsupported get request. The object does not exist, or cannot be loaded due to missing permissions"
        raise Refusal(text, 33, kind="GraphMethodException")
