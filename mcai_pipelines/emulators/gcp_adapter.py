"""Google Cloud Storage's XML API before a server that speaks its JSON API.

The object store client of Polars and delta-rs reads and writes by the XML API (``PUT
/bucket/key`` with ``x-goog-if-generation-match``, XML multipart uploads, XML lists), of which
fake-gcs-server knows reading only. Such requests become JSON API requests here; those of the JSON
API pass through, so that one URL serves every client. Bodies are streamed.

``python -m mcai_pipelines.emulators.gcp_adapter HOST PORT SERVER FOLDER``; parts of unfinished
uploads wait in the folder. The API: https://cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4
from weakref import WeakValueDictionary

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from yarl import URL

from mcai_pipelines.emulators import gcp_xml as xml

_CHUNK = 1 << 18
_JSON_API = ("/storage/", "/upload/", "/download/", "/batch", "/_internal", "/resumable")
# Of the connection, not of the message, or set anew by whoever sends it on.
_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length")
_KEPT = ("Content-Type", "Content-Encoding", "Cache-Control", "Content-Disposition")


class Adapter:
    """The adapter before one server.

    Args:
        server: The URL of the server with the JSON API.
        folder: Where the parts of unfinished uploads wait.
        client: Used for every request to the server.
    """

    def __init__(self, server: str, folder: Path, client: ClientSession) -> None:
        self._server = server
        self._folder = folder
        self._client = client
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of either API."""
        path = request.rel_url.raw_path
        bucket, _, key = path[1:].partition("/")
        if path.startswith(_JSON_API) or not bucket:
            return await self._pass_on(request)
        bucket, key = unquote(bucket), unquote(key)
        if not key:
            listing = request.method == "GET"
            return await (self._list(request, bucket) if listing else self._pass_on(request))
        return await self._object(request, bucket, key)

    async def _object(self, request: web.Request, bucket: str, key: str) -> web.StreamResponse:
        query = request.query
        match request.method:
            case "POST" if "uploads" in query:
                return self._begin(request, bucket, key)
            case "POST" if "uploadId" in query:
                return await self._complete(request, bucket, key, query["uploadId"])
            case "PUT" if "uploadId" in query:
                return await self._part(request, query["uploadId"], query["partNumber"])
            case "DELETE" if "uploadId" in query:
                return self._abort(query["uploadId"])
            case "PUT" if "x-goog-copy-source" in request.headers:
                return await self._copy(request, bucket, key)
            case "PUT":
                body = request.content.iter_chunked(_CHUNK) if request.can_read_body else b""
                size = request.content_length
                answer = await self._upload(request, bucket, key, body, size, _kept(request))
                return answer if isinstance(answer, web.Response) else xml.created(answer)
            case "DELETE":
                return await self._delete(request, bucket, key)
        return await self._pass_on(request)

    async def _upload(
        self,
        request: web.Request,
        bucket: str,
        key: str,
        body: AsyncIterator[bytes] | bytes,
        size: int | None,
        headers: Mapping[str, str],
    ) -> Mapping[str, Any] | web.Response:
        """Store an object; what the server says of it, or an error for the client."""
        query = {"uploadType": "media", "name": key}
        url = f"{self._server}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        sent = dict(headers) if size is None else {**headers, "Content-Length": str(size)}
        sent.setdefault("Content-Type", "application/octet-stream")
        async with self._writing(request, bucket, key) as refused:
            if refused is not None:
                return refused
            async with self._client.post(url, params=query, data=body, headers=sent) as answer:
                return await answer.json() if answer.status == 200 else await xml.problem_of(answer)

    async def _copy(self, request: web.Request, bucket: str, key: str) -> web.Response:
        source, _, name = unquote(request.headers["x-goog-copy-source"]).lstrip("/").partition("/")
        url = f"{self._object_url(source, name)}/rewriteTo{self._object_path(bucket, key)}"
        async with self._writing(request, bucket, key) as refused:
            if refused is not None:
                return refused
            async with self._client.post(_encoded(url), json={}) as answer:
                if answer.status != 200:
                    return await xml.problem_of(answer)
                return xml.created((await answer.json())["resource"], "CopyObjectResult")

    async def _delete(self, request: web.Request, bucket: str, key: str) -> web.Response:
        async with self._writing(request, bucket, key) as refused:
            if refused is not None:
                return refused
            async with self._client.delete(_encoded(self._object_url(bucket, key))) as answer:
                return (
                    web.Response(status=204)
                    if answer.status < 300
                    else await xml.problem_of(answer)
                )

    @asynccontextmanager
    async def _writing(
        self, request: web.Request, bucket: str, key: str
    ) -> AsyncIterator[web.Response | None]:
        """Let one request at a time change an object; its refusal if its condition is not met."""
        lock = self._locks.setdefault((bucket, key), asyncio.Lock())
        async with lock:
            expected = request.headers.get("x-goog-if-generation-match")
            if expected is None or expected == await self._generation(bucket, key):
                yield None
            else:
                text = "At least one of the pre-conditions you specified did not hold."
                yield xml.problem(412, "PreconditionFailed", text)

    async def _generation(self, bucket: str, key: str) -> str:
        """The object's generation; 0 if there is none, as the API has it."""
        async with self._client.get(_encoded(self._object_url(bucket, key))) as answer:
            return str((await answer.json())["generation"]) if answer.status == 200 else "0"

    def _begin(self, request: web.Request, bucket: str, key: str) -> web.Response:
        upload = uuid4().hex
        (self._folder / upload).mkdir()
        values = {"Bucket": bucket, "Key": key, "UploadId": upload}
        request.app["headers"][upload] = _kept(request)
        return xml.reply("InitiateMultipartUploadResult", values)

    async def _part(self, request: web.Request, upload: str, number: str) -> web.Response:
        folder = self._folder / upload
        if not folder.is_dir() or not number.isdigit():
            return xml.problem(404, "NoSuchUpload", "The upload is not known, or has ended.")
        file, arriving = folder / f"{int(number):05d}", folder / uuid4().hex
        with arriving.open("wb") as output:
            async for chunk in request.content.iter_chunked(_CHUNK):
                output.write(chunk)
        arriving.replace(file)
        return web.Response(headers={"ETag": f'"{upload}-{number}"'})

    async def _complete(
        self, request: web.Request, bucket: str, key: str, upload: str
    ) -> web.Response:
        folder = self._folder / upload
        if not folder.is_dir():
            return xml.problem(404, "NoSuchUpload", "The upload is not known, or has ended.")
        numbers = xml.part_numbers(await request.read())
        files = [folder / f"{number:05d}" for number in numbers]
        if not all(file.exists() for file in files):
            return xml.problem(400, "InvalidPart", "A part has not been uploaded.")
        size = sum(file.stat().st_size for file in files)
        headers = request.app["headers"].get(upload, {})
        stored = await self._upload(request, bucket, key, _concatenated(files), size, headers)
        if isinstance(stored, web.Response):
            return stored
        self._abort(upload)
        request.app["headers"].pop(upload, None)
        return xml.created(stored, "CompleteMultipartUploadResult", {"Bucket": bucket, "Key": key})

    def _abort(self, upload: str) -> web.Response:
        shutil.rmtree(self._folder / upload, ignore_errors=True)
        return web.Response(status=204)

    async def _list(self, request: web.Request, bucket: str) -> web.Response:
        given = request.query
        names = {
            "prefix": "prefix",
            "delimiter": "delimiter",
            "max-keys": "maxResults",
            "continuation-token": "pageToken",
            "start-after": "startOffset",
        }
        query = {names[name]: value for name, value in given.items() if name in names and value}
        url = f"{self._server}/storage/v1/b/{quote(bucket, safe='')}/o"
        async with self._client.get(url, params=query) as answer:
            if answer.status != 200:
                return await xml.problem_of(answer)
            found = await answer.json()
        return xml.listing(given, bucket, found)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        """The server's own answer, body and all."""
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        headers["Host"] = request.app["host"]  # the server knows its objects by this name only
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        body = request.content.iter_chunked(_CHUNK) if request.can_read_body else None
        url = URL(f"{self._server}{request.raw_path}", encoded=True)
        async with self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            if "Location" in kept:  # of an upload: stay at the address that the client uses
                here = f"http://{request.app['host']}/"
                kept["Location"] = kept["Location"].replace(here, f"http://{request.host}/")
            response = web.StreamResponse(status=answer.status, headers=kept)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(_CHUNK):
                await response.write(chunk)
            await response.write_eof()
            return response

    def _object_url(self, bucket: str, key: str) -> str:
        return f"{self._server}/storage/v1{self._object_path(bucket, key)}"

    @staticmethod
    def _object_path(bucket: str, key: str) -> str:
        return f"/b/{quote(bucket, safe='')}/o/{quote(key, safe='')}"


def _encoded(url: str) -> URL:
    return URL(url, encoded=True)


def _kept(request: web.Request) -> dict[str, str]:
    """The headers of the request that the object keeps, its own metadata among them."""
    headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
    own = ((k, v) for k, v in request.headers.items() if k.lower().startswith("x-goog-meta-"))
    return headers | dict(own)


async def _concatenated(files: list[Path]) -> AsyncIterator[bytes]:
    for file in files:
        with file.open("rb") as part:
            while chunk := part.read(_CHUNK):
                yield chunk


def build(host: str, server: str, folder: Path) -> web.Application:
    """The application, before it is run; ``host`` is its own name and port."""
    app = web.Application(client_max_size=1 << 40)
    app["host"] = host
    app["headers"] = {}

    async def client(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(
            connector=TCPConnector(limit=256),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        ) as session:
            app["adapter"] = Adapter(server, folder, session)
            yield

    async def handle(request: web.Request) -> web.StreamResponse:
        adapter: Adapter = request.app["adapter"]
        return await adapter.handle(request)

    app.cleanup_ctx.append(client)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def main(host: str, port: int, server: str, folder: Path) -> None:
    """Serve until the process is ended."""
    app = build(f"{host}:{port}", server, folder)
    web.run_app(app, host=host, port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
