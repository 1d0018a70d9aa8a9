"""The sandbox behind aiohttp: its routes, and the faults that show in an answer. Nothing is logged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from importlib import resources
from typing import Final

import orjson
from aiohttp import StreamReader, web

from capybeam.pipeline.sandbox import wire
from capybeam.pipeline.sandbox.faults import POISON_ANSWERS, Poisoned
from capybeam.pipeline.sandbox.guard import HEADERS, guard
from capybeam.pipeline.sandbox.overview import overview
from capybeam.pipeline.sandbox.reading import (
    SERVER_ERROR,
    UNKNOWN_PATH,
    dataset_node,
    debug_token,
    quality,
    reading,
)
from capybeam.pipeline.sandbox.refusals import Refusal
from capybeam.pipeline.sandbox.store import Sandbox, SandboxSettings
from capybeam.pipeline.sandbox.timeline import AnswerKind

MAX_BODY_BYTES: Final = 64 * 2**20
HTML_ERROR: Final = (
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>"
)
PAGE_FILES: Final = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
READ: Final = {
    "/{version}/dataset_quality": quality,
    "/{version}/debug_token": debug_token,
    "/{version}/{dataset:[0-9]+}": dataset_node,
}
SANDBOX: Final = web.AppKey("sandbox", Sandbox)


def create_app(settings: SandboxSettings | None = None) -> web.Application:
    """The sandbox as an aiohttp application; its `Sandbox` is at ``app[SANDBOX]``."""
    settings = settings or SandboxSettings()
    hosts = frozenset(host.lower() for host in settings.hosts)
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[guard(hosts)])
    app[SANDBOX] = Sandbox(settings)
    app.add_routes(
        [
            web.get("/", _page),
            web.get("/sandbox/{name:page\\.(?:css|js)}", _page),
            web.get("/sandbox/overview", _overview),
            web.get("/sandbox/healthz", _healthz),
            web.get("/sandbox/stats", _stats),
            web.get("/sandbox/event_ids", _event_ids),
            web.get("/sandbox/faults", _get_faults),
            web.post("/sandbox/faults", _set_faults),
            web.post("/sandbox/reset", _reset),
            web.post("/{version}/{dataset}/events", _events),
        ]
    )
    for path, answer in READ.items():
        handler = reading(_sandbox, answer)
        app.add_routes([web.get(path, handler), web.post(path, handler)])
    app.add_routes([web.route("*", "/{anything:.*}", _unknown_path)])
    return app


def _sandbox(request: web.Request) -> Sandbox:
    return request.app[SANDBOX]


async def _events(request: web.Request) -> web.StreamResponse:
    sandbox, started = request.app[SANDBOX], time.perf_counter()
    before = sandbox.counts["events_received"]
    kind, response = await _answer(request, sandbox)
    received = sandbox.counts["events_received"] - before if kind == "accepted" else 0
    sandbox.timeline.note(sandbox.settings.clock(), kind, time.perf_counter() - started, received)
    return response


async def _answer(request: web.Request, sandbox: Sandbox) -> tuple[AnswerKind, web.StreamResponse]:
    sandbox.counts["requests"] += 1
    if "access_token" in request.query:
        sandbox.counts["tokens_in_url"] += 1
    fault, delay = sandbox.draw()
    if fault is not None:
        sandbox.injected[fault] += 1
    if delay > sandbox.faults.latency:
        sandbox.injected["slow"] += 1
    if fault == "drop_before":
        await asyncio.sleep(delay)
        return "failed", wire.abort(request)

    dataset, is_unread = request.match_info["dataset"], sandbox.settings.null
    body, unread = b"", 0
    try:
        if is_unread:
            unread = await _events_in(request.content)
        elif request.content_type == "application/json":
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return "refused", wire.refuse(sandbox, Refusal("the request body is too large", None, status=413), dataset)
    except ConnectionResetError:  # the sender is gone, in the middle of its request
        return "failed", wire.abort(request)
    if delay:
        await asyncio.sleep(delay)
    headers = wire.usage(dataset, sandbox.faults.usage_percent)
    if fault == "html":
        return "failed", web.Response(status=502, text=HTML_ERROR, content_type="text/html")
    if fault == "error":
        return "failed", wire.json_response(SERVER_ERROR.body(wire.trace_id()), SERVER_ERROR.status, headers)
    if fault == "throttle":
        throttled = Refusal("There have been too many calls to this account.", 2446079, code=80004)
        headers = wire.usage(dataset, 100, sandbox.faults.retry_minutes)
        if sandbox.faults.retry_after:
            headers["Retry-After"] = sandbox.faults.retry_after
        return "throttled", wire.json_response(throttled.body(wire.trace_id()), sandbox.faults.throttle_status, headers)
    kind: AnswerKind = "accepted"
    try:
        if is_unread:
            received = sandbox.receive_unread(unread, short=fault == "short")
        else:
            version = request.match_info["version"]
            received = sandbox.receive(version, dataset, wire.token(request), body, short=fault == "short")
    except Poisoned:
        sandbox.injected["poisoned"] += 1
        status, text = POISON_ANSWERS[sandbox.faults.poison_answer]
        while sandbox.faults.poison_answer == "hang" and request.transport is not None:  # until the sender is gone
            await asyncio.sleep(0.02)
        return "failed", web.Response(status=status, text=text) if status else wire.abort(request)
    except Refusal as refusal:
        kind, response = "refused", wire.refuse(sandbox, refusal, dataset, headers)
    else:
        said = received + (fault == "excess")
        response = wire.json_response(
            {"events_received": said, "messages": [], "fbtrace_id": wire.trace_id()}, 200, headers
        )
    if fault == "double":
        await _send_once_more(request, response)
    return ("failed", wire.abort(request)) if fault == "drop_after" else (kind, response)


async def _events_in(content: StreamReader) -> int:
    """How many events a body has, of which only a part is in memory at a time.

    Each has exactly one of two keys, the same in all of a request; inside a string a closing quote would be escaped.
    """
    keys = (b'"user_data"', b'match_keys"')  # of the same length
    server_events = offline_events = 0
    end = b""  # of the part before: as much of it as may begin a key
    async for part in content.iter_any():
        part = end + part
        server_events += part.count(keys[0])
        if not server_events:
            offline_events += part.count(keys[1])
        end = part[1 - len(keys[0]) :]
    return server_events or offline_events


async def _send_once_more(request: web.Request, response: web.Response) -> None:
    """Sends an answer and keeps the connection, on which the same answer will be sent again."""
    if request.transport is None:
        return
    lines = [f"HTTP/1.1 {response.status} OK", *(f"{name}: {value}" for name, value in response.headers.items())]
    body = response.body if isinstance(response.body, bytes) else b""
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    request.transport.write(head.encode() + body)
    await asyncio.sleep(0.001)


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    return wire.json_response(UNKNOWN_PATH.body(wire.trace_id()), 400)


async def _page(request: web.Request) -> web.StreamResponse:
    name = request.match_info.get("name", "page.html")
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=PAGE_FILES[name], headers=HEADERS)


async def _overview(request: web.Request) -> web.StreamResponse:
    return wire.json_response(overview(request.app[SANDBOX]), headers=HEADERS)


async def _healthz(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


async def _stats(request: web.Request) -> web.StreamResponse:
    return wire.json_response(request.app[SANDBOX].stats())


async def _event_ids(request: web.Request) -> web.StreamResponse:
    ids = request.app[SANDBOX].window.ids(request.query.get("dataset", ""))
    return web.Response(text="".join(f"{name}\t{event_id}\n" for name, event_id in ids))


async def _get_faults(request: web.Request) -> web.StreamResponse:
    return wire.json_response(asdict(request.app[SANDBOX].faults))


async def _set_faults(request: web.Request) -> web.StreamResponse:
    sandbox = request.app[SANDBOX]
    try:
        changes = orjson.loads(await request.read())
        if type(changes) is not dict:
            raise ValueError("the body must be a JSON object")
        sandbox.set_faults(changes)
    except ValueError as error:
        return wire.json_response({"error": str(error)}, 400)
    return wire.json_response(asdict(sandbox.faults))


async def _reset(request: web.Request) -> web.StreamResponse:
    request.app[SANDBOX].reset()
    return wire.json_response(request.app[SANDBOX].stats())
