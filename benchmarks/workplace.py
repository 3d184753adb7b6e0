"""Where the benchmarks keep what they make, and the environments of the baselines.

Everything is below ``.bench/`` in the project's root and may be deleted at any time.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCH = ROOT / ".bench"
BASELINES = Path(__file__).parent / "baselines"


def python_of(environment: str | None) -> Path:
    """The interpreter of an environment, made with uv where it is missing or out of date.

    Args:
        environment: ``dagster-deltalake`` for ``baselines/requirements-dagster-deltalake.txt``;
            None for the environment that this process runs in.

    Raises:
        SystemExit: uv is not installed, or could not make the environment.
    """
    if environment is None:
        return Path(sys.executable)
    requirements = BASELINES / f"requirements-{environment}.txt"
    folder = BENCH / f"env-{environment}"
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        _make(folder, requirements)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def _make(folder: Path, requirements: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit(f"{requirements.name}: uv, which makes this environment, is not on PATH")
    print(f"making {folder.relative_to(ROOT)} from {requirements.name}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "--requirements"]
    for command in (
        [uv, "venv", "--quiet", "--python", version, str(folder)],
        [*install, str(requirements), "--python", str(folder / "bin" / "python")],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"{requirements.name}: `{' '.join(command)}` failed")
