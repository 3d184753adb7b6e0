"""A proxy that knows connections only, for any protocol on TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
LIMIT = 1 << 20
"""Of a message's head, and of what is read at once."""


class TcpProxy:
    """A proxy that knows connections only: refuse them, cut them, or let them pass.

    Args:
        host: The server's.
        port: The server's.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listener: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def accept(self) -> None:
        """Listen again, at the same port."""
        self._run(self._listen())

    def refuse(self) -> None:
        """Refuse new connections and reset those that are open, as a server that went down."""
        self._run(self._close())

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse connections for as long as a block takes."""
        self.refuse()
        try:
            yield
        finally:
            self.accept()

    def cut(self) -> None:
        """Reset the connections that are open."""
        self._run(self._cut())

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port, limit=LIMIT)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            for each in listener.sockets:
                self._loop.remove_reader(each.fileno())
            await asyncio.sleep(0.01)  # asyncio forgets those whom it has just let in otherwise
            listener.close()
        await self._cut()

    async def _end(self) -> None:
        await self._close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in [*self._clients]:
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            reset(writer)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._server, limit=LIMIT)
        try:
            await asyncio.gather(_pour(reader, to_there), _pour(there, writer))
        finally:
            to_there.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a TCP reset rather than in order."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):  # it is closed already
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LIMIT):
        writer.write(data)
        await writer.drain()
    writer.close()
