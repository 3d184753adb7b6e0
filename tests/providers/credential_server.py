"""The endpoint that hands a container short-lived AWS credentials.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class CredentialServer:
    """A server for as long as the ``with`` block runs.

    Args:
        life: Seconds that its credentials say they are good for.

    Attributes:
        granted: Ids of the keys that were handed out, oldest first.
    """

    life: float
    granted: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"credentials": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def grant(self) -> dict[str, str]:
        """Fresh credentials."""
        key = f"ASIAFRESHKEY{len(self.granted):08}"
        self.granted.append(key)
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.life)
        return {
            "AccessKeyId": key,
            "SecretAccessKey": f"secret-of-{key}",
            "Token": f"token-of-{key}",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class _Handler(BaseHTTPRequestHandler):
    credentials: CredentialServer

    def do_GET(self) -> None:
        text = json.dumps({"Code": "Success", **self.credentials.grant()})
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
