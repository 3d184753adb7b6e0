"""S3, Glue, STS and the rest of AWS by moto, and a second one as a private cloud's S3.

moto keeps everything in memory: what was stored is gone once it stops.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from typing_extensions import override

from mcai_pipelines.emulators.emulator import HOST, Emulator, Place, answers, status_of
from mcai_pipelines.emulators.packages import require
from mcai_pipelines.emulators.process import Program
from mcai_pipelines.errors import McaiError

KEY_ID = "AKIAEMULATEDFAKE0000"
SECRET = "emulated-fake-secret-access-key-000000000"
"""Fake credentials: moto accepts any, and what they unlock is on the loopback address only."""


class Moto(Emulator):
    """A moto server with one bucket."""

    what = "moto"

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]
        self.bucket = f"lake-{name}"

    @override
    def programs(self, place: Place) -> list[Program]:
        require("moto", "moto[glue,s3,server,sts]")
        command = [sys.executable, "-m", "mcai_pipelines.emulators.moto", HOST, str(place.port)]
        return [Program("moto", command)]

    @override
    def is_ready(self, place: Place) -> bool:
        return answers(f"{place.origin}/moto-api/")

    @override
    def create(self, place: Place) -> None:
        status = status_of("PUT", f"{place.origin}/{self.bucket}")
        if status not in (200, 409):  # 409: it exists
            raise McaiError(f"{self.name}: the bucket {self.bucket} cannot be made ({status})")

    @override
    def url(self, place: Place) -> str:
        return place.origin

    @override
    def env(self, place: Place) -> Mapping[str, str]:
        return {
            f"MCAI_EMULATED_{self.name.upper()}_URL": self.url(place),
            "MCAI_EMULATED_KEY_ID": KEY_ID,
            "MCAI_EMULATED_SECRET": SECRET,
        }
