"""HTTP/1.1 messages on a stream, as far as a proxy must understand them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

CHUNK = 1 << 18
BODILESS = (204, 304)


@dataclass
class Head:
    """The head of a request or an answer.

    Attributes:
        first: Its first line.
        headers: Names in small letters with their values, in order.
    """

    first: str
    headers: list[tuple[str, str]]

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        """Of a request: path and query, as they are on the wire."""
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ")[1])

    def get(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key == name), None)

    def drop(self, name: str) -> None:
        """Remove the headers of this name."""
        self.headers = [pair for pair in self.headers if pair[0] != name]

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks of unknown number."""
        return "chunked" in (self.get("transfer-encoding") or "").lower()

    @property
    def closes(self) -> bool:
        """Whether the connection ends after this message."""
        asked = (self.get("connection") or "").lower()
        old = "HTTP/1.0" in self.first and asked != "keep-alive"
        return asked == "close" or old

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head; None if the other side has closed the connection between two messages."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return Head(first, [(name.strip().lower(), value.strip()) for name, value in pairs])


async def read_body(
    reader: asyncio.StreamReader, head: Head, *, until_end: bool
) -> AsyncIterator[tuple[bytes, int]]:
    """A body piece by piece, as it is on the wire, with the number of its own bytes in each.

    Args:
        reader: Where the head came from.
        head: Its head.
        until_end: Without a length, the body is whatever comes until the connection ends.
    """
    length = head.get("content-length")
    if head.is_chunked:
        async for piece in _chunks(reader):
            yield piece
    elif length is not None:
        left = int(length)
        while left:
            data = await reader.read(min(CHUNK, left))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield data, len(data)
    elif until_end:
        while data := await reader.read(CHUNK):
            yield data, len(data)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, int]]:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            trailer = await reader.readuntil(b"\r\n")
            while trailer != b"\r\n":
                line += trailer
                trailer = await reader.readuntil(b"\r\n")
            yield line + b"\r\n", 0
            return
        yield line + await reader.readexactly(size + 2), size
