"""Starting, stopping, restarting, and what becomes of emulators whose parent is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mcai_pipelines.config import project_root
from mcai_pipelines.emulators import Clouds, Entry, record, running, starting
from mcai_pipelines.emulators.emulator import answers, free_ports
from mcai_pipelines.emulators.process import Process, Program, end, start, started_at
from mcai_pipelines.errors import BadInput, McaiError


def wait_until_gone(processes: list[Process]) -> None:
    deadline = time.monotonic() + 20
    while any(process.is_alive for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(clouds: Clouds) -> list[Process]:
    return [process for entry in clouds.values() for process in entry.processes]


def test_emulators_run_as_long_as_the_block(tmp_path: Path) -> None:
    with running(tmp_path / "emulators", only=("gcp",)) as clouds:
        assert list(clouds) == ["gcp"]
        assert clouds.env == {"MCAI_EMULATED_GCP_URL": clouds["gcp"].url}
        assert httpx.get(f"{clouds['gcp'].url}/storage/v1/b/lake-gcp").status_code == 200
        processes = processes_of(clouds)
        assert len(processes) == 2
    assert not any(process.is_alive for process in processes)
    assert not (tmp_path / "emulators" / "gcp").exists()


def test_one_that_is_stopped_comes_back_at_its_address_with_its_data(tmp_path: Path) -> None:
    with running(tmp_path / "emulators", only=("gcp",)) as clouds:
        url = clouds["gcp"].url
        assert httpx.put(f"{url}/lake-gcp/key", content=b"kept").status_code == 200
        clouds.stop(["gcp"])
        assert not clouds["gcp"].is_up
        assert not answers(url)
        clouds.start(["gcp"])
        assert clouds["gcp"].url == url
        assert httpx.get(f"{url}/lake-gcp/key").content == b"kept"
        clouds.restart("gcp")
        assert httpx.get(f"{url}/lake-gcp/key").content == b"kept"


def test_starting_again_leaves_alone_what_runs_and_starts_what_died(tmp_path: Path) -> None:
    with running(tmp_path / "emulators", only=("gcp",)) as clouds:
        before = clouds["gcp"]
        started: list[str] = []
        clouds.start(["gcp"], lambda name, entry: started.append(name))
        assert (clouds["gcp"], started) == (before, [])

        os.killpg(before.processes[0].pid, signal.SIGKILL)
        wait_until_gone([before.processes[0]])
        assert not clouds["gcp"].is_up
        clouds.start(["gcp"], lambda name, entry: started.append(name))
        assert (clouds["gcp"].is_up, started) == (True, ["gcp"])
        assert clouds["gcp"].url == before.url
        assert not any(process.is_alive for process in before.processes)


def test_secrets_are_not_in_the_representation(clouds: Clouds, aws: Entry) -> None:
    assert clouds.env["MCAI_EMULATED_SECRET"] not in repr(aws) + repr(clouds)


KILLED = """
import os, signal, sys
from pathlib import Path
from mcai_pipelines.emulators import running
with running(Path(sys.argv[1]), only=("gcp",)):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_emulators_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "emulators"
    command = [sys.executable, "-c", KILLED, str(folder)]
    env = {**os.environ, "PYTHONPATH": str(project_root())}
    noticed: list[Process] = []
    child = subprocess.Popen(command, env=env)
    while child.poll() is None:
        noticed = processes_of(Clouds(folder)) or noticed
        time.sleep(0.01)
    assert child.returncode == -signal.SIGKILL
    assert noticed
    wait_until_gone(noticed)


def test_leftovers_of_an_earlier_run_are_ended(tmp_path: Path) -> None:
    folder = tmp_path / "emulators"
    earlier = Clouds(folder)
    earlier.start(["gcp"])
    left = processes_of(earlier)
    with running(folder, only=()) as clouds:
        assert not any(process.is_alive for process in left)
        assert list(clouds) == []


def test_a_process_id_that_was_given_to_another_process_is_not_signaled(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        end([Process(other.pid, "at another time")])
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert started_at(other.pid) is None


def test_a_process_that_does_not_listen_to_reason_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while true; do sleep 0.05; done"
    log = tmp_path / "log"
    process = start(Program("stubborn", ["sh", "-c", script]), folder=tmp_path, log=log)
    while "ready" not in log.read_text():
        time.sleep(0.01)
    end([process], grace=0.2)
    assert not process.is_alive


def test_an_emulator_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no emulator 'azur'.*azure"):
        Clouds(tmp_path).start(["azur"])


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20


def test_a_start_that_fails_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clouds = Clouds(tmp_path / "emulators")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("mcai_pipelines.emulators.azure.find_package", lambda module: None)
    with pytest.raises(McaiError, match=r"Node\.js 22 or newer"):
        clouds.start(["gcp", "azure"])
    assert record.read(clouds.folder) == {}


def test_a_program_that_is_not_there_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "emulators"
    monkeypatch.setattr("mcai_pipelines.emulators.gcp.sys.executable", "/nowhere/python")
    with pytest.raises(McaiError, match=r"gcp: fake-gcs-server cannot be started: .*/nowhere"):
        Clouds(folder).start(["gcp"])
    assert not (folder / "gcp").exists()
    assert record.read(folder) == {}


def test_a_program_that_ends_at_once_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcai_pipelines.emulators.s3.HOST", "192.0.2.1")  # nobody's address
    monkeypatch.setattr(starting, "_ATTEMPTS", 1)
    with pytest.raises(McaiError, match=r"aws: moto ended: .*see the logs in"):
        Clouds(tmp_path / "emulators").start(["aws"])


def test_what_is_written_down_is_for_this_user_only(tmp_path: Path) -> None:
    with record.locked(tmp_path):
        record.write(tmp_path, {})
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0
