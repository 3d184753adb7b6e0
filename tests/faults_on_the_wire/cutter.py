"""A proxy before PostgreSQL that cuts the connection at a COMMIT."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

from tests.harness.tcp import LIMIT, TcpProxy, reset

When = Literal["before", "after"]


class CommitCutter(TcpProxy):
    """Cuts the connection before the server sees a COMMIT, or after it has obeyed one.

    Attributes:
        cuts: What to do at the next COMMITs, in order.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.cuts: list[When] = []

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._server, limit=LIMIT)
        answers = asyncio.create_task(_pour(there, writer))
        try:
            while data := await reader.read(LIMIT):
                cut = self.cuts.pop(0) if self.cuts and b"COMMIT" in data else None
                if cut is not None:
                    answers.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await answers
                if cut != "before":
                    to_there.write(data)
                    await to_there.drain()
                if cut is not None:
                    if cut == "after":
                        await there.read(LIMIT)  # the server has answered: it is done
                    reset(writer)
                    return
        finally:
            answers.cancel()
            to_there.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LIMIT):
        writer.write(data)
        await writer.drain()
    writer.close()
