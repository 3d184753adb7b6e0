"""Progress on standard error: spinners on a terminal, a line per finished item elsewhere."""

import os
import sys
from types import TracebackType
from typing import Any, Self

import typer


class Progress:
    """Items that start and finish, some perhaps at once.

    It writes to a standard error of its own: during a step, Dagster sends the process's one to
    the run's compute log.

    Args:
        total: How many items there are.
        items: What they are, in the plural.
    """

    def __init__(self, total: int, items: str = "tables") -> None:
        self._total = total
        self._items = items
        self._done = 0
        self._stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
        self._bars: Any = None
        self._overall: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._stream.isatty():
            from rich import progress as rich
            from rich.console import Console

            self._bars = rich.Progress(
                rich.SpinnerColumn(finished_text="[green]✓"),
                rich.TextColumn("{task.description}"),
                rich.TimeElapsedColumn(),
                console=Console(file=self._stream, highlight=False),
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._overall = self._bars.add_task("", total=self._total)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._stream.close()

    def say(self, what: str) -> None:
        """What goes on beside the items."""
        if self._bars is not None:
            text = f"{self._done} of {self._total} {self._items}; {what}"
            self._bars.update(self._overall, description=text)
        else:
            typer.echo(what, file=self._stream)

    def start(self, item: str) -> None:
        """An item has started."""
        if self._bars is not None:
            self._tasks[item] = self._bars.add_task(item, total=1)
            self.say(f"computing {item}")

    def finish(self, item: str, seconds: float) -> None:
        """An item is done."""
        self._done += 1
        if self._bars is not None:
            self._bars.update(self._tasks[item], completed=1)
            self._bars.update(self._overall, completed=self._done)
            self.say("…" if self._done < self._total else "done")
        else:
            self.say(f"{self._done}/{self._total}  {item}  {seconds:.1f} s")
