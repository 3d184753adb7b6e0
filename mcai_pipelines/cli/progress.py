"""Progress on standard error: spinners on a terminal, a line per finished item elsewhere."""

import sys
from types import TracebackType
from typing import Any, Self

from mcai_pipelines.cli.output import console, say


class Progress:
    """Items that start and finish, some perhaps at once.

    Args:
        total: How many items there are.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bars: Any = None
        self._overall: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich import progress as rich

            self._bars = rich.Progress(
                rich.SpinnerColumn(finished_text="[green]✓"),
                rich.TextColumn("{task.description}"),
                rich.TimeElapsedColumn(),
                console=console(stderr=True),
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

    def say(self, what: str) -> None:
        """What goes on beside the items."""
        if self._bars is not None:
            text = f"{self._done} of {self._total} tables; {what}"
            self._bars.update(self._overall, description=text)
        else:
            say(what)

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
            say(f"{self._done}/{self._total}  {item}  {seconds:.1f} s")
