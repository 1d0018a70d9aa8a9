"""Who may call: nobody's web page but the sandbox's own.

The server listens on the loopback only, but a browser on this machine may be led there by any web page. Two ways are
closed, and senders notice nothing of it:

- DNS rebinding: a name of the page's own that has become an address of this machine. Only names and addresses of the
  loopback, and those in `SandboxSettings.hosts`, are accepted in the Host header.
- Forged requests: anything but GET and HEAD that a browser says to come from elsewhere, by Origin or Sec-Fetch-Site.
  Browsers send Origin with every such request; programs that are not browsers send neither.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def guard(hosts: frozenset[str]) -> Middleware:
    """A middleware that refuses foreign requests with 403 before they are read; `hosts` are in lower case."""

    @web.middleware
    async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
        # request.host falls back to this machine's own name where the header is missing, as in HTTP/1.0.
        host = request.headers.get("Host", "")
        if not is_known_host(host, hosts):
            return _refused(
                "The Host header does not name this machine's loopback."
                " Start the sandbox with --allow-host NAME to be called by another name."
            )
        if request.method not in SAFE_METHODS and not is_own_origin(
            request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"), host
        ):
            return _refused("The request comes from another origin than the sandbox's own page.")
        return await handler(request)

    return refuse_foreign


def is_known_host(host: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header names the loopback, or one of `hosts`; at any port.

    >>> [is_known_host(host, frozenset({"sandbox.test"})) for host in ("[::1]:80", "Sandbox.test:1", "evil.example")]
    [True, True, False]
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "@" in host or "/" in host:
        return False
    if name in hosts or name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_own_origin(origin: str | None, site: str | None, host: str) -> bool:
    """Whether a request is from the page at `host`, or from a program that is not a browser."""
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _refused(reason: str) -> web.Response:
    body = orjson.dumps({"error": {"message": reason}})
    return web.Response(status=403, body=body, content_type="application/json", headers=HEADERS)
