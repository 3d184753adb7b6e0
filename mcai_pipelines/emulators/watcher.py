"""Ends the emulators of a process that was killed: ``… .watcher FOLDER``.

It reads standard input, a pipe that nobody writes to: its end means that the process at the other
end is gone, whatever became of it. After an orderly end there is nothing left to do.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Wait for the end of standard input, then end what runs in the folder and delete its data."""
    sys.stdin.read()
    from mcai_pipelines.emulators.clouds import Clouds

    if folder.exists():
        Clouds(folder).remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
