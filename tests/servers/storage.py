"""Cloud Storage in memory, as much of its JSON API as Beam's file system uses, on a port of the loopback interface.

Google's client finds it by STORAGE_EMULATOR_HOST, and needs no credentials then. As of Cloud Storage, an object is
there whole or not at all, and is listed as soon as it is written.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email
import email.message
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import pytest


@dataclasses.dataclass
class StorageServer:
    """Attributes:
    url: for STORAGE_EMULATOR_HOST.
    objects: by ``bucket/name``: content, and when it was written, in Unix seconds.
    failing: whether each request is refused, as without permission.
    """

    url: str = ""
    objects: dict[str, tuple[bytes, float]] = dataclasses.field(default_factory=dict)
    failing: bool = False
    uploads: dict[str, tuple[str, bytearray]] = dataclasses.field(default_factory=dict)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def names(self, bucket: str) -> list[str]:
        with self.lock:
            return sorted(key.partition("/")[2] for key in self.objects if key.startswith(f"{bucket}/"))

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        with self.lock:
            self.objects[key] = content, time.time()
        return self.metadata(key)

    def metadata(self, key: str) -> dict[str, Any]:
        content, at = self.objects[key]
        bucket, _, name = key.partition("/")
        moment = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(content)),
            "updated": moment,
            "timeCreated": moment,
            "generation": str(int(at * 1_000_000)),
            "metageneration": "1",
            "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "crc32c": base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode(),
            "contentType": "application/octet-stream",
        }


class _Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})


def _document(status: int, document: Mapping[str, Any]) -> _Reply:
    return _Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


@dataclasses.dataclass(frozen=True)
class _Request:
    """A request with its URL taken apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: email.message.Message
    body: bytes

    @property
    def key(self) -> str:
        """``bucket/name``, or ``bucket/``."""
        found = re.fullmatch(r"(?:/(?:resumable/)?(?:upload|download))?/storage/v1/b/([^/]+)/o(?:/(.+))?", self.path)
        assert found is not None, self.path
        return f"{found[1]}/{unquote(found[2] or '')}"


def _answer(storage: StorageServer, request: _Request) -> _Reply:
    if storage.failing:
        return _document(403, {"error": {"code": 403, "message": "no permission"}})
    if request.path.startswith("/batch/"):
        return _batch(storage, request)
    if request.method == "PUT":
        return _continue_upload(storage, request)
    if request.method == "POST":
        return _upload(storage, request)
    if request.method == "DELETE":
        return _Reply(_delete(storage, request.key))
    if request.key.endswith("/"):
        prefix = request.key + request.query.get("prefix", "")
        with storage.lock:
            keys = sorted(key for key in storage.objects if key.startswith(prefix))
        return _document(200, {"kind": "storage#objects", "items": [storage.metadata(key) for key in keys]})
    if request.key not in storage.objects:
        return _document(404, {"error": {"code": 404, "message": "Not Found"}})
    if request.query.get("alt") != "media":
        return _document(200, storage.metadata(request.key))
    return _content(storage.objects[request.key][0], request.headers.get("Range", ""))


def _content(content: bytes, wanted: str) -> _Reply:
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    if span is None:
        return _Reply(200, content)
    start, end = int(span[1]), int(span[2] or len(content) - 1)
    if start >= len(content):
        return _Reply(416)
    part = content[start : end + 1]
    return _Reply(206, part, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"})


def _upload(storage: StorageServer, request: _Request) -> _Reply:
    if request.query["uploadType"] == "resumable":
        name = request.query.get("name") or json.loads(request.body)["name"]
        with storage.lock:
            upload = str(len(storage.uploads))
            storage.uploads[upload] = request.key + name, bytearray()
        return _Reply(200, headers={"Location": f"{storage.url}{request.path}?upload_id={upload}"})
    header = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    parts: Any = email.message_from_bytes(header + request.body).get_payload()
    name = json.loads(parts[0].get_payload())["name"]
    return _document(200, storage.put(request.key + name, parts[1].get_payload(decode=True)))


def _continue_upload(storage: StorageServer, request: _Request) -> _Reply:
    key, content = storage.uploads[request.query["upload_id"]]
    content += request.body
    total = request.headers.get("Content-Range", "bytes */*").rpartition("/")[2]
    if total == "*" or int(total) > len(content):
        return _Reply(308, headers={"Range": f"bytes=0-{len(content) - 1}"} if content else {})
    return _document(200, storage.put(key, bytes(content)))


def _delete(storage: StorageServer, key: str) -> int:
    with storage.lock:
        return 204 if storage.objects.pop(key, None) else 404


def _batch(storage: StorageServer, request: _Request) -> _Reply:
    """Deletions, several in one request."""
    answers = b""
    paths = re.findall(r"DELETE (?:https?://[^/]+)?(/storage/v1/\S+?)(?:\?\S*)? HTTP", request.body.decode())
    for number, path in enumerate(paths):
        status = _delete(storage, dataclasses.replace(request, path=path).key)
        answers += (
            b"--batch\r\nContent-Type: application/http\r\nContent-ID: <response-%d>\r\n\r\n"
            b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n\r\n" % (number, status)
        )
    return _Reply(200, answers + b"--batch--", {"Content-Type": "multipart/mixed; boundary=batch"})


def without_credentials(patch: pytest.MonkeyPatch) -> None:
    """Keeps Beam from looking for credentials in this process, which takes it half a minute."""
    from apache_beam.internal.gcp import auth

    patch.setattr(auth._Credentials, "_credentials_init", True)


@contextlib.contextmanager
def storage_server() -> Iterator[StorageServer]:
    storage = StorageServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = _answer(storage, _Request(self.command, parts.path, query, self.headers, body))
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that are killed
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    storage.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
