"""An Iceberg REST catalog over HTTP, kept in PyIceberg's SQL catalog.

It speaks the paths of the REST specification that a client needs to make, change and list
tables (https://iceberg.apache.org/rest-catalog-spec/), and the OAuth 2.0 token endpoint.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import TypeAdapter
from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest, Table

_STATUS: Mapping[type[Exception], int] = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}


@dataclass
class RestServer:
    """A server for as long as the ``with`` block runs.

    Args:
        folder: Where its SQLite database is.
        file_io: Properties of the ``FileIO`` that it writes metadata with.
        client: ``CLIENT_ID:CLIENT_SECRET`` that it gives tokens to; None: nobody need ask.
        life: Seconds that a token is good for.

    Attributes:
        granted: The tokens that were given so far.
        seen: Method, path and ``Authorization`` header of each request.
        fail_next: Statuses that the next requests to change a table are answered with, after
            the change was made.
    """

    folder: Path
    file_io: Mapping[str, str]
    client: str | None = None
    life: float = 3600
    granted: list[str] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    fail_next: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.catalog = SqlCatalog(
            "rest", uri=f"sqlite:///{self.folder}/rest.db", **dict(self.file_io)
        )
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"rest": self})


@dataclass
class _Named:
    """All that the SQL catalog wants to know of a table that it is to change."""

    identifier: tuple[str, ...]

    def name(self) -> tuple[str, ...]:
        return self.identifier


class _Handler(BaseHTTPRequestHandler):
    rest: RestServer

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = [unquote(part) for part in urlsplit(self.path).path.split("/")[2:]]
        signed = self.headers.get("Authorization")
        self.rest.seen.append((method, self.path, signed))
        if path[:1] == ["oauth"]:
            self._give_token(body)
        elif self.rest.client and signed not in {f"Bearer {t}" for t in self.rest.granted[-1:]}:
            self._answer(401, _error(401, "NotAuthorizedException", "no or an old token"))
        else:
            self._route(method, path, body)

    def _give_token(self, body: bytes) -> None:
        asked = {name: value[0] for name, value in parse_qs(body.decode()).items()}
        client = f"{asked.get('client_id')}:{asked.get('client_secret')}"
        if asked.get("grant_type") != "client_credentials" or client != self.rest.client:
            self._answer(401, {"error": "invalid_client"})
            return
        token = f"token-{len(self.rest.granted)}-of-the-rest-server"
        self.rest.granted.append(token)
        self._answer(200, {"access_token": token, "expires_in": self.rest.life})

    def _route(self, method: str, path: list[str], body: bytes) -> None:
        try:
            with self.rest.lock:
                answer = self._act(method, path, json.loads(body) if body else {})
        except Exception as error:  # told to the client, as the specification has it
            status = _STATUS.get(type(error), 500)
            self._answer(status, _error(status, type(error).__name__, str(error)))
            return
        if self.rest.fail_next and method == "POST" and "tables" in path:
            status = self.rest.fail_next.pop(0)
            self._answer(status, _error(status, "Unlucky", "made, and then something went wrong"))
            return
        self._answer(204 if answer is None else 200, answer)

    def _act(self, method: str, path: list[str], body: dict[str, Any]) -> dict[str, Any] | None:
        catalog = self.rest.catalog
        match method, path:
            case "GET", ["config"]:
                return {"defaults": {}, "overrides": {}}
            case "GET", ["namespaces"]:
                return {"namespaces": [list(name) for name in catalog.list_namespaces()]}
            case "POST", ["namespaces"]:
                catalog.create_namespace(tuple(body["namespace"]))
                return {"namespace": body["namespace"], "properties": {}}
            case (("GET" | "HEAD"), ["namespaces", name]):
                catalog.load_namespace_properties(_namespace(name))
                return {"namespace": list(_namespace(name)), "properties": {}}
            case "GET", ["namespaces", name, "tables"]:
                found = catalog.list_tables(_namespace(name))
                return {"identifiers": [{"namespace": list(i[:-1]), "name": i[-1]} for i in found]}
            case "POST", ["namespaces", name, "tables"]:
                return self._create(_namespace(name), CreateTableRequest.model_validate(body))
            case (("GET" | "HEAD"), ["namespaces", name, "tables", table]):
                return _loaded(catalog.load_table((*_namespace(name), table)))
            case "POST", ["namespaces", name, "tables", table]:
                return self._commit((*_namespace(name), table), body)
            case "DELETE", ["namespaces", name, "tables", table]:
                catalog.drop_table((*_namespace(name), table))
                return None
        raise NotImplementedError(f"{method} {path}")

    def _create(self, namespace: tuple[str, ...], asked: CreateTableRequest) -> dict[str, Any]:
        make: Any = (
            self.rest.catalog._create_staged_table
            if asked.stage_create
            else self.rest.catalog.create_table
        )
        extra = {"partition_spec": asked.partition_spec} if asked.partition_spec else {}
        return _loaded(
            make(
                (*namespace, asked.name),
                asked.table_schema,
                asked.location,
                properties=asked.properties,
                **extra,
            )
        )

    def _commit(self, identifier: tuple[str, ...], body: dict[str, Any]) -> dict[str, Any]:
        space, name = list(identifier[:-1]), identifier[-1]
        body["identifier"] = {"namespace": space, "name": name}
        request = TypeAdapter(CommitTableRequest).validate_python(body)
        named: Any = _Named(identifier)
        changed = self.rest.catalog.commit_table(named, request.requirements, request.updates)
        return {
            "metadata-location": changed.metadata_location,
            "metadata": json.loads(changed.metadata.model_dump_json(by_alias=True)),
        }

    def _answer(self, status: int, body: Mapping[str, Any] | None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _namespace(path: str) -> tuple[str, ...]:
    return tuple(path.split("\x1f"))


def _loaded(table: Table) -> dict[str, Any]:
    return {
        "metadata-location": table.metadata_location,
        "metadata": json.loads(table.metadata.model_dump_json(by_alias=True)),
        "config": {},
    }


def _error(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": status}}
