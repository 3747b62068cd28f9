"""How far a long command has come: bars on a terminal, plain lines elsewhere. On stderr."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Bars:
    """One bar a step. `progress` and `report` may be called from any thread."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def progress(self, step: str, done: int, total: int) -> None:
        """Show that `done` of `total` things of a step are done; total 0 is not known yet."""
        if step not in self._steps:
            self._steps[step] = self._bars.add_task(escape(step), total=None)
        self._bars.update(self._steps[step], completed=done, total=total or None)

    def report(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(escape(line), soft_wrap=True)
