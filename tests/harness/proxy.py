"""A proxy between a client and an emulator that injects faults, and counts what passes.

    with Proxy(aws.url) as proxy:
        proxy.inject(unavailable(), method="PUT", path=r"_delta_log/.*json$")
        write(endpoint=proxy.url)
        assert proxy.bytes_fetched(r"\\.parquet$") < 10_000

It speaks plain HTTP/1.1 in both directions. `tests.harness.tcp.TcpProxy` is the same for any
other protocol: it knows connections only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.harness.faults import (
    Answer,
    Fault,
    LoseAnswer,
    Outage,
    Reset,
    ResetRequest,
    ResetResponse,
    Slow,
)
from tests.harness.http_wire import BODILESS, Head, read_body, read_head
from tests.harness.tcp import HOST, LIMIT, TcpProxy, reset


@dataclass
class Exchange:
    """A request that came to the proxy.

    Attributes:
        method: Its method.
        target: Path and query, decoded; where AWS has one address for all that a service does,
            what it is asked for follows: ``/#AWSGlue.UpdateTable``.
        sent: Bytes of its body that came from the client.
        status: The status of the server's answer, or of the injected one; None without one.
        received: Bytes of the answer's body that were sent to the client.
        fault: What was injected.
    """

    method: str
    target: str
    sent: int = 0
    status: int | None = None
    received: int = 0
    fault: Fault | None = None


@dataclass
class _Rule:
    fault: Fault
    method: str | None
    path: re.Pattern[str]
    skip: int
    times: int | None
    hits: int = 0

    def applies(self, exchange: Exchange) -> bool:
        """Whether it applies to this request, which counts if it matches."""
        if self.method not in (None, exchange.method) or not self.path.search(exchange.target):
            return False
        self.hits += 1
        return self.skip < self.hits and (self.times is None or self.hits <= self.skip + self.times)


class Proxy(TcpProxy):
    """A proxy before an HTTP server.

    Args:
        url: The server's, with any path that its clients append to.

    Attributes:
        log: Every request, in the order in which they came.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(parts.hostname or HOST, parts.port or 80)
        self._path = parts.path
        self._rules: list[_Rule] = []
        self.log: list[Exchange] = []

    @property
    def url(self) -> str:
        """What clients are told in the server's stead."""
        return f"http://{HOST}:{self.port}{self._path}"

    def inject(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        path: str = "",
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Let something go wrong.

        Args:
            fault: What.
            method: With requests of this method; any unless given.
            path: A regular expression that is found in the decoded path and query.
            skip: How many such requests pass first.
            times: How many are hit then; None for all.
        """
        self._rules.append(_Rule(fault, method, re.compile(path), skip, times))

    def clear(self) -> None:
        """Forget every fault that was planned, and the log."""
        self._rules.clear()
        self.log.clear()

    def requests(self, method: str | None = None, path: str = "") -> list[Exchange]:
        """Those of a method whose decoded path and query hold a regular expression."""
        return [
            exchange
            for exchange in self.log
            if method in (None, exchange.method) and re.search(path, exchange.target)
        ]

    def bytes_fetched(self, path: str = "") -> int:
        """Bytes of the bodies that clients got by reading."""
        return sum(exchange.received for exchange in self.requests("GET", path))

    def injected(self) -> list[Exchange]:
        """The requests that something was done to."""
        return [exchange for exchange in self.log if exchange.fault is not None]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._server)
        try:
            while (request := await read_head(reader)) is not None:
                exchange = Exchange(request.method, _target(request))
                self.log.append(exchange)
                exchange.fault = self._fault(exchange)
                if isinstance(exchange.fault, Outage):
                    await self._close()
                    return
                if not await connection.exchange(request, exchange):
                    return
        finally:
            connection.close()

    def _fault(self, exchange: Exchange) -> Fault | None:
        matching = [rule for rule in [*self._rules] if rule.applies(exchange)]
        return matching[0].fault if matching else None


class _Connection:
    """A client's connection, and ours to the server that goes with it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server: tuple[str, int],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._server = server
        self._there: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: Head, exchange: Exchange) -> bool:
        """Pass one request on and its answer back; false if the connection ends with it."""
        fault = exchange.fault
        if isinstance(fault, Reset):
            reset(self._writer)
            return False
        if request.get("expect") is not None:  # the client waits for leave to send its body
            request.drop("expect")
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if isinstance(fault, Answer):
            return await self._answer(request, exchange, fault)
        there, to_there = await self._open()
        to_there.write(request.encode())
        if not await self._send(request, exchange, to_there):
            return False
        answer = await read_head(there)
        if answer is None:
            raise ConnectionResetError("the server closed the connection")
        exchange.status = answer.status
        return await self._pass_back(request, answer, exchange, there)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._there is None or self._there[0].at_eof():
            self.close()
            self._there = await asyncio.open_connection(*self._server, limit=LIMIT)
        return self._there

    async def _send(
        self, request: Head, exchange: Exchange, to_there: asyncio.StreamWriter
    ) -> bool:
        fault = exchange.fault
        after = fault.after if isinstance(fault, ResetRequest) else None
        async for data, size in read_body(self._reader, request, until_end=False):
            if after is not None and exchange.sent + size > after:
                to_there.write(data[: after - exchange.sent])
                break
            exchange.sent += size
            to_there.write(data)
            await to_there.drain()
        await to_there.drain()
        if after is not None:
            reset(self._writer)
        return after is None

    async def _pass_back(
        self, request: Head, answer: Head, exchange: Exchange, there: asyncio.StreamReader
    ) -> bool:
        fault, bodiless = exchange.fault, request.method == "HEAD" or answer.status in BODILESS
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.delay)
        if not isinstance(fault, LoseAnswer):
            self._writer.write(answer.encode())
        async for data, size in (
            _nothing() if bodiless else read_body(there, answer, until_end=True)
        ):
            if isinstance(fault, LoseAnswer):
                continue
            if isinstance(fault, ResetResponse) and exchange.received + size > fault.after:
                self._writer.write(data[: fault.after - exchange.received])
                break
            exchange.received += size  # counted first: the client may have it before we go on
            await self._write_paced(data, fault.rate if isinstance(fault, Slow) else None)
        if isinstance(fault, LoseAnswer | ResetResponse):
            with contextlib.suppress(OSError):
                await self._writer.drain()
                await asyncio.sleep(0.01)  # what was written is on its way before the reset
            reset(self._writer)
            return False
        await self._writer.drain()
        ends = answer.closes or (
            not bodiless and answer.get("content-length") is None and not answer.is_chunked
        )
        return not (ends or request.closes)

    async def _write_paced(self, data: bytes, rate: int | None) -> None:
        step = len(data) if rate is None else max(1, rate // 20)
        for start in range(0, len(data), step or 1):
            self._writer.write(data[start : start + step])
            await self._writer.drain()
            if rate is not None:
                await asyncio.sleep(step / rate)

    async def _answer(self, request: Head, exchange: Exchange, fault: Answer) -> bool:
        async for _, size in read_body(self._reader, request, until_end=False):
            exchange.sent += size
        body = b"" if request.method == "HEAD" else fault.body.encode()
        lines = [f"HTTP/1.1 {fault.status} Injected", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in fault.headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self._writer.drain()
        exchange.status, exchange.received = fault.status, len(body)
        return not request.closes

    def close(self) -> None:
        """End our connection to the server."""
        if self._there is not None:
            self._there[1].close()


def _target(request: Head) -> str:
    asked = request.get("x-amz-target")
    return unquote(request.target) + (f"#{asked}" if asked else "")


async def _nothing() -> Any:
    return
    yield
