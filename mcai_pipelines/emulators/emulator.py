"""What an emulator is: processes on free loopback ports that speak one cloud's protocol."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mcai_pipelines.emulators.process import Program

HOST = "127.0.0.1"
_REQUEST_SECONDS = 10


@dataclass(frozen=True)
class Place:
    """Where one emulator works.

    Attributes:
        folder: Its data and logs.
        cache: What is installed once for every emulator of this user.
        ports: One for each of its processes.
    """

    folder: Path
    cache: Path
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        """The port that clients use."""
        return self.ports[0]

    @property
    def origin(self) -> str:
        """The URL of that port, without a path."""
        return f"http://{HOST}:{self.port}"


class Emulator(ABC):
    """One cloud's protocol on this machine.

    Attributes:
        name: What users call it: ``aws``, ``private``, ``azure``, ``gcp`` or ``postgres``.
        what: The program, for people.
        port_count: How many ports it needs.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    port_count: ClassVar[int] = 1

    def to_install(self, cache: Path) -> str | None:
        """What `install` has to install first; None if it is there, or nothing is needed."""
        return None

    def install(self, cache: Path) -> None:  # noqa: B027 - most have nothing to install
        """Install what a Python package cannot bring; quick when it is there.

        Raises:
            McaiError: If it cannot be installed; the message says what to do.
        """

    @abstractmethod
    def programs(self, place: Place) -> list[Program]:
        """The processes to start, data folders made first where they need one.

        Raises:
            McaiError: If a package is missing; the message names it.
        """

    @abstractmethod
    def is_ready(self, place: Place) -> bool:
        """Whether it answers a request of its own protocol."""

    @abstractmethod
    def create(self, place: Place) -> None:
        """Make buckets, containers or databases; those that exist are left alone."""

    @abstractmethod
    def url(self, place: Place) -> str:
        """What its clients are told."""

    @abstractmethod
    def env(self, place: Place) -> Mapping[str, str]:
        """The variables that ``platforms/emulated.yaml`` reads."""

    def discard(self, place: Place) -> None:  # noqa: B027 - most keep everything in their folder
        """Remove what it keeps outside its folder."""


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback address that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return tuple(each.getsockname()[1] for each in sockets)


def answers(url: str) -> bool:
    """Whether an HTTP server answers, be it with an error of its own protocol."""
    return status_of("GET", url) is not None


def status_of(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> int | None:
    """The status of a request to an emulator; None if nobody answers."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_REQUEST_SECONDS) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
    return status
