"""Cloud Storage in memory, as much of its JSON API as Beam's file system uses, on a port of the loopback interface.

Google's client finds it by STORAGE_EMULATOR_HOST, and needs no credentials then. As of Cloud Storage, an object is
there whole or not at all, and is listed as soon as it is written.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email
import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
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
            "crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode(),
            "contentType": "application/octet-stream",
        }


_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?")
_UPLOAD = re.compile(r"/(?:resumable/)?upload/storage/v1/b/([^/]+)/o")


def without_credentials(patch: pytest.MonkeyPatch) -> None:
    """Keeps Beam from looking for credentials in this process, which takes it half a minute."""
    from apache_beam.internal.gcp import auth

    patch.setattr(auth._Credentials, "_credentials_init", True)


@contextlib.contextmanager
def storage_server() -> Iterator[StorageServer]:
    storage = StorageServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = self._split()
            found = _OBJECT.fullmatch(path)
            if self._is_refused() or found is None:
                return
            if found[2] is None:
                prefix = f"{found[1]}/{query.get('prefix', '')}"
                with storage.lock:
                    items = [storage.metadata(key) for key in sorted(storage.objects) if key.startswith(prefix)]
                self._answer(200, {"kind": "storage#objects", "items": items})
            key = f"{found[1]}/{unquote(found[2])}"
            if key not in storage.objects:
                self._answer(404, {"error": {"code": 404, "message": "Not Found"}})
            if query.get("alt") != "media":
                self._answer(200, storage.metadata(key))
            content = storage.objects[key][0]
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted is None:
                self._send(200, content)
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            if start >= len(content):
                self._send(416, b"")
            part = content[start : end + 1]
            self._send(206, part, {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"})

        def do_POST(self) -> None:
            path, query = self._split()
            body = self._body()
            if self._is_refused():
                return
            if path.startswith("/batch/"):
                self._batch(body)
            found = _UPLOAD.fullmatch(path)
            assert found is not None, path
            if query["uploadType"] == "resumable":
                name = query.get("name") or json.loads(body)["name"]
                upload = str(len(storage.uploads))
                storage.uploads[upload] = f"{found[1]}/{name}", bytearray()
                location = f"{storage.url}{path}?uploadType=resumable&upload_id={upload}"
                self._send(200, b"", {"Location": location})
            header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts: Any = email.message_from_bytes(header + body).get_payload()
            name = json.loads(parts[0].get_payload())["name"]
            self._answer(200, storage.put(f"{found[1]}/{name}", parts[1].get_payload(decode=True)))

        def do_PUT(self) -> None:
            _, query = self._split()
            body = self._body()
            if self._is_refused():
                return
            key, content = storage.uploads[query["upload_id"]]
            content += body
            total = self.headers.get("Content-Range", "bytes */*").rpartition("/")[2]
            if total == "*" or int(total) > len(content):
                self._send(308, b"", {"Range": f"bytes=0-{len(content) - 1}"} if content else {})
            self._answer(200, storage.put(key, bytes(content)))

        def do_DELETE(self) -> None:
            path, _ = self._split()
            if not self._is_refused():
                self._send(self._delete(path), b"")

        def _delete(self, path: str) -> int:
            found = _OBJECT.fullmatch(path)
            assert found is not None
            with storage.lock:
                return 204 if storage.objects.pop(f"{found[1]}/{unquote(found[2])}", None) else 404

        def _batch(self, body: bytes) -> None:
            answers = b""
            for number, path in enumerate(
                re.findall(rb"DELETE (?:https?://[^/]+)?(/storage/v1/\S+?)(?:\?\S*)? HTTP", body)
            ):
                status = self._delete(path.decode())
                answers += (
                    b"--batch\r\nContent-Type: application/http\r\nContent-ID: <response-%d>\r\n\r\n"
                    b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n\r\n" % (number, status)
                )
            self._send(200, answers + b"--batch--", {"Content-Type": "multipart/mixed; boundary=batch"})

        def _split(self) -> tuple[str, dict[str, str]]:
            parts = urlsplit(self.path)
            return parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()}

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _is_refused(self) -> bool:
            if storage.failing:
                self._answer(403, {"error": {"code": 403, "message": "no permission"}})
            return storage.failing

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]  # of clients that are killed
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    storage.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield storage
    finally:
        server.shutdown()
        server.server_close()
