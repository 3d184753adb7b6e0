"""moto's server for one host and port: ``python -m mcai_pipelines.emulators.moto HOST PORT``.

It differs from ``moto_server`` in two points. S3 promises that of two conditional writes of one
key (``If-None-Match: *`` or ``If-Match``) at most one succeeds. moto looks at the condition and
stores the object in two steps without a lock, in one thread per request, so that both may succeed
and a commit be lost. Here a request that changes something waits for the one before it. And S3
refuses an upload whose connection breaks before all of its ``Content-Length`` has come; moto would
store the part.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

_READS = ("GET", "HEAD")
_INCOMPLETE = b"<Error><Code>IncompleteBody</Code><Message>It ended early</Message></Error>"


def serialize_writes(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The same WSGI application, with one changing request at a time."""
    lock = threading.Lock()

    def serialized(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READS:
            return app(environ, start_response)
        body = _read(environ)  # a slow client must not make the others wait
        if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
            start_response("400 Bad Request", [("Content-Type", "application/xml")])
            return [_INCOMPLETE]
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        with lock:
            return app(environ, start_response)

    return serialized


def _read(environ: dict[str, Any]) -> bytes:
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    if length:
        body: bytes = stream.read(int(length))
        return body
    return stream.read() if environ.get("wsgi.input_terminated") else b""


def main(host: str, port: int) -> None:
    """Serve until the process is ended."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # in order: what wants to be last, runs
    app = serialize_writes(DomainDispatcherApplication(create_backend_app))
    run_simple(host, port, app, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
