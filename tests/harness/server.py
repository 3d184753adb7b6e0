"""A small HTTP server that keeps what is put into it: what the proxy's own tests talk to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shelf(ThreadingHTTPServer):
    """Objects by path.

    Attributes:
        objects: What was put, by path.
        requests: Method and path of each request that came whole.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Shelf

    def do_PUT(self) -> None:
        body = self._body()
        if body is None:
            return
        self.server.objects[self.path] = body
        self._answer(201, b"")

    def do_GET(self) -> None:
        found = self.server.objects.get(self.path)
        if self.path.endswith("?chunked") and found is None:
            self._chunked(self.server.objects[self.path.removesuffix("?chunked")])
        else:
            self._answer(404 if found is None else 200, found or b"")

    def do_HEAD(self) -> None:
        self.server.requests.append(("HEAD", self.path))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.objects[self.path])))
        self.end_headers()

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _answer(self, status: int, body: bytes) -> None:
        self.server.requests.append((self.command, self.path))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def shelf() -> Iterator[Shelf]:
    """Run one for as long as a block takes."""
    with Shelf() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
