"""One request: what goes out with it, where it goes, and what of it is never repeated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.store import SandboxSettings
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.delivery.destination import Delivery, Reading
from capybeam.transforms.delivery.transport import TOKEN_PAUSE, Transport, _Access
from capybeam.transforms.meta.destinations import MetaDestination
from tests.transforms.graph_server import Reply, graph_server, taken

TOKEN, SECRET = "EAAB-the-token", "the-app-secret"
BODY = b'{"data":[{"event_id":"e1"}]}'


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("SECRET", SECRET)


def destination(endpoint: str, app_secret: str | None = None, token: str = "env:TOKEN") -> MetaDestination:
    secret = None if app_secret is None else TokenReference(app_secret)
    return MetaDestination("web", TokenReference(token), endpoint=endpoint, app_secret=secret)


def transport(endpoint: str, app_secret: str | None = None) -> Transport:
    return Transport((destination(endpoint, app_secret),), Delivery(timeout=2.0))


# --- appsecret_proof ------------------------------------------------------------------------------------------------


def test_an_app_secret_makes_a_proof_in_the_body_and_nowhere_else() -> None:
    with graph_server(taken) as graph:
        assert transport(graph.url, "env:SECRET").post("web", "123", BODY, 1).kind == "delivered"
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert graph.bodies == [{"data": [{"event_id": "e1"}], "appsecret_proof": proof}]
    assert graph.paths == ["/v25.0/123/events"]


def test_without_one_the_body_goes_out_as_it_is() -> None:
    with graph_server(taken) as graph:
        transport(graph.url).post("web", "123", BODY, 1)
    assert graph.bodies == [{"data": [{"event_id": "e1"}]}]


@pytest.mark.parametrize(
    ("app_secret", "kind", "message"),
    [
        (None, "destination", "Meta, code 100: API calls from the server require an appsecret_proof argument"),
        ("env:TOKEN", "destination", "Meta, code 100: Invalid appsecret_proof provided in the API argument"),
        ("env:SECRET", "event", "Meta, code 100, subcode 2804019: user_data is required, an object"),
    ],
)
def test_the_sandbox_requires_it_as_meta_does(app_secret: str | None, kind: str, message: str) -> None:
    with SandboxServer(SandboxSettings(app_secret=SECRET)) as sandbox:
        answer = transport(sandbox.url, app_secret).post("web", "123", BODY, 1)
    assert (answer.kind, answer.message) == (kind, message)


# --- new tokens -----------------------------------------------------------------------------------------------------


def test_a_token_is_read_again_once_in_a_while_however_many_ask(tmp_path: Path) -> None:
    now = [1000.0]
    (tmp_path / "token").write_text("first")
    sender = Transport((destination("http://127.0.0.1:9", token=f"file:{tmp_path}/token"),), Delivery(), lambda: now[0])
    (tmp_path / "token").write_text("second")
    threads = [threading.Thread(target=sender.look_for_new_token, args=("web",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.access_number("web") == 1
    (tmp_path / "token").write_text("third")
    now[0] += TOKEN_PAUSE - 1
    sender.look_for_new_token("web")
    assert sender.access_number("web") == 1
    now[0] += 1
    sender.look_for_new_token("web")
    assert sender.access_number("web") == 2


def test_a_token_that_cannot_be_read_any_more_leaves_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    sender = Transport((destination("http://127.0.0.1:9", token=f"file:{tmp_path}/token"),), Delivery())
    (tmp_path / "token").unlink()
    sender.look_for_new_token("web")
    assert sender.access_number("web") == 0


# --- proxies --------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy in the environment; yields the heads of the requests that it was sent."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(f"{self.requestline}\n{self.headers}")
            self.send_response(502)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield seen
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_of_the_environment_is_not_sent_the_token_of_an_endpoint_on_this_machine(
    proxy: list[str], host: str
) -> None:
    with graph_server(taken) as graph:
        answer = transport(graph.url.replace("127.0.0.1", host)).post("web", "123", BODY, 1)
    assert (answer.kind, proxy) == ("delivered", [])


def test_a_proxy_of_the_environment_is_used_for_other_endpoints(proxy: list[str]) -> None:
    answer = transport("http://graph.example").post("web", "123", BODY, 1)
    assert (answer.kind, len(proxy)) == ("transient", 1)


def test_a_proxy_is_told_the_whole_url_its_password_and_what_the_request_is(
    proxy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", os.environ["http_proxy"].replace("http://", "http://me:secret@"))
    transport("http://graph.example").post("web", "123", BODY, 1)
    (head,) = proxy
    line, *headers = head.strip().split("\n")
    assert line == "POST http://graph.example/v25.0/123/events HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        f"Authorization: Bearer {TOKEN}",
        f"Content-Length: {len(BODY)}",
        "Content-Type: application/json",
        "Host: graph.example",
        f"Proxy-Authorization: Basic {base64.b64encode(b'me:secret').decode()}",
        "User-Agent: capybeam",
    ]


@pytest.mark.parametrize("url", ["http://us:p#w@proxy:1", "http://proxy:99999", "http://[::1", "ftp://proxy"])
def test_a_proxy_that_is_none_is_why_an_endpoint_cannot_be_reached(
    proxy: list[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("https_proxy", url)
    answer = transport("https://graph.example").post("web", "123", BODY, 1)
    assert (answer.kind, answer.message[: answer.message.index(" (")]) == (
        "transient",
        "https://graph.example cannot be reached",
    )
    assert url not in answer.message


# --- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        ("http://{}", "/v25.0/123/events"),
        ("HTTP://{}", "/v25.0/123/events"),
        (" http://{}", "/v25.0/123/events"),
        ("http://{}/prefix", "/prefix/v25.0/123/events"),
    ],
)
def test_a_server_is_told_the_path_of_a_request_however_its_endpoint_is_spelled(spelling: str, path: str) -> None:
    with graph_server(taken) as graph:
        answer = transport(spelling.format(graph.url.removeprefix("http://"))).post("web", "123", BODY, 1)
    assert (answer.kind, graph.paths) == ("delivered", [path])


# --- connections ----------------------------------------------------------------------------------------------------


def test_a_connection_that_answers_for_more_events_than_were_sent_is_not_used_again() -> None:
    with graph_server(lambda _: Reply(200, b'{"events_received": 7}')) as graph:
        sender = transport(graph.url)
        answers = [sender.post("web", "123", BODY, 1) for _ in range(3)]
    assert [answer.received for answer in answers] == ["more"] * 3
    assert graph.connections == 3


def test_an_answer_amid_a_long_body_belongs_to_an_earlier_request() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        requests = 0

        def do_POST(self) -> None:
            Handler.requests += 1
            length = int(self.headers["Content-Length"])
            if Handler.requests == 2:
                length -= len(self.rfile.read(1000))
                self.answer()
                time.sleep(0.2)  # the body is longer than what fits between the two
            while part := self.rfile.read(min(length, 1 << 16)):
                length -= len(part)
            self.answer()

        def answer(self) -> None:
            body = b'{"events_received":1,"fbtrace_id":"trace-%d"}' % time.monotonic_ns()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # the client has gone

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    sender = transport(f"http://127.0.0.1:{server.server_port}")
    kinds = [sender.post("web", "123", body, 1).kind for body in (BODY, BODY + b" " * 32 * 1024 * 1024, BODY)]
    server.shutdown()
    server.server_close()
    assert kinds == ["delivered", "transient", "delivered"]


def test_answers_in_order_share_a_connection() -> None:
    with graph_server(taken) as graph:
        sender = transport(graph.url)
        answers = [sender.post("web", "123", BODY, 1) for _ in range(3)]
    assert [answer.kind for answer in answers] == ["delivered"] * 3
    assert graph.connections == 1


# --- reading ----------------------------------------------------------------------------------------------------------


def test_what_is_read_is_a_get_with_the_token_in_a_header() -> None:
    request = destination("https://graph.example").reading("123", {"fields": "id,name"}, {"access_token": TOKEN})
    assert request == (
        "https://graph.example/v25.0/123?fields=id%2Cname",
        b"",
        {"Authorization": f"Bearer {TOKEN}"},
        "GET",
    )


def test_what_is_secret_is_in_the_form_of_a_post() -> None:
    secrets = {"access_token": TOKEN, "app_secret": SECRET}
    request = destination("https://graph.example").reading("debug_token", {"input_token": ""}, secrets)
    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert request.url == "https://graph.example/v25.0/debug_token"
    assert request.body == f"method=get&input_token={TOKEN}&appsecret_proof={proof}".encode()
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_reading_has_the_document_or_why_there_is_none() -> None:
    with SandboxServer(SandboxSettings(tokens=frozenset({TOKEN}))) as sandbox:
        sender, web = transport(sandbox.url), destination(sandbox.url)

        def read() -> Reading:
            return sender.read("web", lambda secrets: web.reading("5", {"fields": "id"}, secrets))

        found = read()
        assert (found.answer.kind, found.document) == ("delivered", {"id": "5"})
        assert "Date" in found.headers
        sandbox.set_faults(dead_token=True)
        found = read()
        assert (found.answer.kind, found.answer.meta_code, found.document) == ("destination", "190/463", None)
    found = read()
    assert (found.answer.kind, found.document) == ("transient", None)


def test_a_request_under_way_on_a_used_connection_is_doubted_once_traces_prove_to_be_no_help() -> None:
    """Two connections of a server with one trace for all: while one shows that, the other may read an old answer."""
    access = _Access(destination("http://127.0.0.1:9"), requests.Session())
    answers = [
        (None, "A"),  # the first answers on both connections
        (None, "A"),
        ("A", "A"),  # one has it again, is doubted, and its request is sent on a new connection …
        (None, "A"),  # … where it comes as well: it says nothing
        ("A", "A"),  # the other's second request was under way all the time
        (None, "A"),  # connections of their own
    ]
    assert [access.is_repeated(*answer) for answer in answers] == [False, False, True, False, True, False]
