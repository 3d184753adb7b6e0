"""Runs one case script in this process and prints what it took, as one JSON line.

Standard library only, so that it runs in any environment, also by hand::

    python benchmarks/child.py benchmarks/baselines/raw_delta.py --source FILE --target FOLDER

A case script is a module with ``run(source, target)`` and, when something has to exist before
any run (a catalog's database, a Dagster instance), ``prepare(target)``. A table to work on is made
by ``build(source, target)``, in a process of its own. Importing the module, preparing and building
are not measured; ``run`` is. It returns ``{"answer": …, "table": …}``: the rows that
``query.sql`` gave, and the folder whose bytes count as the table. A module with ``verify(target)``
is asked afterwards, unmeasured, for the same answer read in other ways, by name.

With ``--first FILE`` (a small one) the case runs on that first, into a folder of its own: what
libraries import on first use then counts as an import for every side. What the first run took is
reported beside.
"""

import argparse
import contextlib
import gc
import importlib.util
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

PROC = Path("/proc/self")


def load(script: Path) -> ModuleType:
    """Imports a case script by path, with everything it imports."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{script}: not a Python script")
    sys.path.insert(0, str(script.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    return module


def cpu_seconds() -> float:
    """User and system seconds of this process, its threads and the children it waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def status_mb(field: str) -> float:
    """One of the memory fields of ``/proc/self/status``, in MB (10^6 bytes)."""
    for line in (PROC / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise SystemExit(f"/proc/self/status has no {field}: the benchmarks need Linux")


def reset_peak() -> None:
    """Sets the high-water mark of resident memory (VmHWM) back to what is resident now."""
    # Not permitted in some containers: the peak is then that of the process's whole life.
    with contextlib.suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def size(table: Path) -> dict[str, int]:
    """Bytes of all files and number of Parquet files below a folder."""
    files = [path for path in table.rglob("*") if path.is_file()]
    return {
        "bytes": sum(path.stat().st_size for path in files),
        "files": sum(path.suffix == ".parquet" for path in files),
    }


def build_apart(source: Path, target: Path, options: dict[str, str]) -> None:
    """Has the module's ``build`` called in another process, whose memory is not counted."""
    script = sys.argv[1]
    command = [sys.executable, __file__, script, "--build"]
    command += ["--source", str(source), "--target", str(target)]
    for name, value in options.items():
        command += ["--option", f"{name}={value}"]
    subprocess.run(command, check=True)


def measure(
    module: ModuleType, source: Path, target: Path, options: dict[str, str]
) -> dict[str, Any]:
    """Prepares, runs and describes one case: times in seconds, memory in MB."""
    target.mkdir(parents=True)
    if hasattr(module, "prepare"):
        module.prepare(str(target))
    if hasattr(module, "build"):
        build_apart(source, target, options)
    gc.collect()
    reset_peak()
    rss, cpu, wall = status_mb("VmRSS"), cpu_seconds(), time.perf_counter()
    result = module.run(str(source), str(target), **options)
    times = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    memory = {"rss_before": rss, "rss_peak": status_mb("VmHWM")}
    answers = {"run": result["answer"]}
    if hasattr(module, "verify"):
        answers |= module.verify(str(target))
    return {**times, **memory, **size(Path(result["table"])), "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one case script and print what it took.")
    parser.add_argument("script", type=Path)
    parser.add_argument("--source", required=True, type=Path, help="the Parquet file to read")
    parser.add_argument("--target", required=True, type=Path, help="a folder that does not exist")
    parser.add_argument("--first", type=Path, help="a small Parquet file to run on before")
    parser.add_argument("--build", action="store_true", help="make what it works on, and no more")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    target = arguments.target.absolute()
    # Absolute before the case is imported: it may change the working directory.
    source, first = arguments.source.absolute(), arguments.first and arguments.first.absolute()
    options = dict(option.split("=", 1) for option in arguments.option)
    module = load(arguments.script.resolve())
    if arguments.build:
        module.build(str(source), str(target), **options)
        return
    first_cpu = 0.0
    if first:
        first_cpu = measure(module, first, target / "first", options)["cpu"]
    measured = measure(module, source, target / "measured", options)
    print(json.dumps(measured | {"first_cpu": first_cpu}))


if __name__ == "__main__":
    main()
