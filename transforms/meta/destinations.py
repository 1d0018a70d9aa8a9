"""Meta's Graph API as a destination: one request a batch."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from capybeam.transforms.core.envelope import Address
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.answers import Answer, Trouble
from capybeam.transforms.delivery.destination import Destination, Reading, Request
from capybeam.transforms.meta import answers, rules

GRAPH_API: Final = "https://graph.facebook.com"


@dataclasses.dataclass(frozen=True)
class MetaDestination(Destination):
    """Where conversions are sent.

    The token travels in a header, an appsecret_proof in the body: neither is ever part of a URL or of an error's text.

    Attributes:
        app_secret: of the app that the token belongs to, where Meta asks for an appsecret_proof.
        parameters: what each request says of itself beside its events, such as partner_agent.
    """

    token: TokenReference
    api_version: str = "v25.0"
    endpoint: str = dataclasses.field(default=GRAPH_API, kw_only=True)
    app_secret: TokenReference | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def secrets(self) -> Mapping[str, TokenReference]:
        token = {"access_token": self.token}
        return token if self.app_secret is None else {**token, "app_secret": self.app_secret}

    def join(self, bodies: Sequence[bytes], address: Address) -> bytes:
        return request_body(bodies, address.test_event_code, address.upload_tag)

    def request(self, dataset_id: str, body: bytes, secrets: Mapping[str, str]) -> Request:
        token, parameters = secrets["access_token"], (*self.parameters, *_proof(secrets))
        url = f"{self.endpoint}/{self.api_version}/{dataset_id}/events"
        return Request(url, with_parameters(body, parameters), {"Authorization": f"Bearer {token}"})

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, sent: int) -> Answer:
        return answers.classify(status, headers, body, sent)

    def reading(self, path: str, parameters: Mapping[str, str], secrets: Mapping[str, str]) -> Request:
        """A request for what is at a path, without sending events.

        A GET; but where something secret is among the parameters, a POST of a form with ``method=get``, as Meta's
        JavaScript SDK sends long ones: so it stays out of the URL. The parameter ``input_token`` is the token itself.
        """
        url, headers = (
            f"{self.endpoint}/{self.api_version}/{path}",
            {"Authorization": f"Bearer {secrets['access_token']}"},
        )
        hidden = dict(_proof(secrets))
        if "input_token" in parameters:
            hidden["input_token"] = secrets["access_token"]
        if not hidden:
            return Request(f"{url}?{urlencode(parameters)}", b"", headers, "GET")
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request(url, urlencode({"method": "get", **parameters, **hidden}).encode(), headers)

    def understand(self, status: int, headers: Mapping[str, str], body: bytes) -> Reading:
        return answers.understand(status, headers, body)

    def failed(self, trouble: Trouble, message: str) -> Answer:
        return answers.failed(trouble, message)

    def check_age(self, event_time: int, age_limit: int, now: float) -> None:
        rules.check_age(event_time, age_limit, now)

    def describe(self, address: Address) -> Mapping[str, Any]:
        optional = {"test_event_code": address.test_event_code, "upload_tag": address.upload_tag}
        return {**{name: value for name, value in optional.items() if value}, **dict(self.parameters)}


def _proof(secrets: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """With an app's secret, the proof of holding it (Meta, "Securing Graph API Requests")."""
    if "app_secret" not in secrets:
        return ()
    token, app_secret = secrets["access_token"].encode(), secrets["app_secret"].encode()
    return (("appsecret_proof", hmac.new(app_secret, token, hashlib.sha256).hexdigest()),)


def request_body(bodies: Sequence[bytes], test_event_code: str = "", upload_tag: str = "") -> bytes:
    """The body of a request: the events joined as they are: never encoded again, and copied once."""
    code = b',"test_event_code":' + orjson.dumps(test_event_code) if test_event_code else b""
    tag = b',"upload_tag":' + orjson.dumps(upload_tag) if upload_tag else b""
    parts = [*bodies] or [b""]
    parts[0] = b'{"data":[' + parts[0]
    parts[-1] += b"]" + code + tag + b"}"
    return b",".join(parts)


def with_parameters(body: bytes, parameters: Sequence[tuple[str, str]]) -> bytes:
    """A request's body with its destination's parameters.

    >>> with_parameters(b'{"data":[]}', (("partner_agent", "acme"),))
    b'{"data":[],"partner_agent":"acme"}'
    """
    return body[:-1] + b"," + orjson.dumps(dict(parameters))[1:] if parameters else body
