"""A progress bar on standard error, drawn by rich."""

from __future__ import annotations

import datetime
import sys

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Display
from rich.table import Column
from rich.text import Text

from cinderlib.cli import sizes
from cinderlib.progress import Progress


class Bar:
    """A progress bar that is shown until :meth:`stop`.

    :param what: name of the operation.
    """

    def __init__(self, what: str) -> None:
        self._display = Display(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, max_width=30, overflow="ellipsis"),
            ),
            BarColumn(bar_width=None),
            _Figures(Column(no_wrap=True)),
            console=Console(file=sys.stderr),
            # Scripts read standard output.
            redirect_stdout=False,
            transient=True,
            expand=True,
        )
        self._task = self._display.add_task(what, total=None, unit="")
        self._unit = ""
        self._display.start()

    def update(self, progress: Progress) -> None:
        """Show new progress."""
        if progress.unit != self._unit:
            # The rate in another unit is not comparable.
            self._unit = progress.unit
            self._display.reset(self._task, total=progress.total, unit=progress.unit)
        self._display.update(self._task, completed=progress.done, total=progress.total)

    def stop(self) -> None:
        """Remove the bar from the screen."""
        self._display.stop()


class _Figures(ProgressColumn):
    """Amount, total, rate and remaining time; or the elapsed time if the total is unknown."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(_time(task.elapsed))
        amount = sizes.of_bytes if task.fields["unit"] == "bytes" else _number
        parts = [f"{task.percentage:.0f} %", f"{amount(task.completed)} of {amount(task.total)}"]
        if task.speed:
            parts.append(f"{amount(task.speed)}/s")
        if task.time_remaining is not None:
            parts.append(f"{_time(task.time_remaining)} left")
        return Text(", ".join(parts), no_wrap=True)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _time(seconds: float | None) -> str:
    return str(datetime.timedelta(seconds=int(seconds or 0)))
