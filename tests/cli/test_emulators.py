"""``mcai emulators``: up, status, env and down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mcai_pipelines.emulators import Clouds
from tests.cli.conftest import Done, Mcai, run_process


@pytest.fixture(scope="module")
def upped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Done]]:
    """A home after ``mcai emulators up gcp postgres``, in a process of its own."""
    home = tmp_path_factory.mktemp("emulators") / "home"
    yield home, run_process("emulators", "up", "gcp", "postgres", MCAI_HOME=str(home))
    Clouds(home / "emulators").remove()


@pytest.fixture
def up(upped: tuple[Path, Done], monkeypatch: pytest.MonkeyPatch) -> Done:
    """What that printed; this test works in its home."""
    monkeypatch.setenv("MCAI_HOME", str(upped[0]))
    return upped[1]


@pytest.fixture
def clouds_up(upped: tuple[Path, Done]) -> Clouds:
    """The emulators of that home."""
    return Clouds(upped[0] / "emulators")


def test_up_leaves_them_running_and_says_where(up: Done, mcai: Mcai) -> None:
    assert up.code == 0
    assert "fake-gcs-server" in up.out
    assert "2/2" in up.err
    assert "mcai emulators env" in up.err
    found = {row["name"]: row for row in mcai("emulators", "status", "--json").json["emulators"]}
    assert set(found) == {"gcp", "postgres"}
    assert all(row["up"] for row in found.values())
    assert httpx.get(f"{found['gcp']['url']}/storage/v1/b/lake-gcp").status_code == 200


def test_the_password_is_shown_by_env_alone(up: Done, clouds_up: Clouds, mcai: Mcai) -> None:
    password = (clouds_up.folder / "postgres" / "password").read_text()
    for done in (up, mcai("emulators", "status"), mcai("emulators", "status", "--json")):
        assert password not in done.out + done.err
    assert password in mcai("emulators", "env").out


def test_a_shell_can_read_what_env_prints(up: Done, clouds_up: Clouds, mcai: Mcai) -> None:
    script = mcai("emulators", "env").out + 'printf %s "$MCAI_EMULATED_POSTGRES_URL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == clouds_up.env["MCAI_EMULATED_POSTGRES_URL"]


def test_a_command_on_the_platform_emulated_finds_them(
    up: Done, clouds_up: Clouds, mcai: Mcai, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    mine = "postgresql://mine@db.example.com"
    os.environ |= {"MCAI_PLATFORM": "emulated", "MCAI_EMULATED_POSTGRES_URL": mine}
    done = mcai("ui", "--help")  # any command
    assert "MCAI_EMULATED_POSTGRES_URL: not of the emulators that run here" in done.err
    assert mine not in done.err
    assert os.environ["MCAI_EMULATED_GCP_URL"] == clouds_up["gcp"].url
    assert os.environ["MCAI_EMULATED_POSTGRES_URL"] == mine


def test_up_twice_then_one_goes_down_then_all(home: Path, mcai: Mcai) -> None:
    first = mcai("emulators", "up", "gcp", "--json").json
    assert mcai("emulators", "up", "gcp", "--json").json == first  # nothing was started anew

    Clouds(home / "emulators").stop(["gcp"])
    (_, row) = mcai("emulators", "status").out.splitlines()
    assert "down" in row.split()

    (again,) = mcai("emulators", "up", "gcp", "--json").json["emulators"]
    assert (again["url"], again["up"]) == (first["emulators"][0]["url"], True)

    assert mcai("emulators", "down", "--json").json == {"stopped": ["gcp"]}
    with pytest.raises(httpx.ConnectError):
        httpx.get(again["url"])
    assert mcai("emulators", "down").err == "No emulators run.\n"


def test_without_any_there_is_advice(
    home: Path, mcai: Mcai, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mcai emulators up" in mcai("emulators", "status").err
    env = mcai("emulators", "env")
    assert (env.code, env.out) == (1, "")
    assert "mcai emulators up" in env.err
    monkeypatch.setenv("MCAI_PLATFORM", "emulated")
    assert "mcai emulators up" in mcai("ui", "--help").err


def test_a_name_that_is_none(home: Path, mcai: Mcai) -> None:
    done = mcai("emulators", "up", "postgre")
    assert done.code == 2
    assert "did you mean" in done.err.lower()
    assert not (home / "emulators" / "postgres").exists()
