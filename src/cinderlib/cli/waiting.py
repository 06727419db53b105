"""Shows the progress of a long operation on the terminal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinderlib.cli.bar import Bar
    from cinderlib.progress import Progress

#: Seconds before the progress is shown; faster operations do not need it.
DELAY = 1.0


class Waiting:
    """A context that shows a progress bar after a second, with the rate and the remaining time, or
    the elapsed time if the progress is unknown. The bar is removed at the end.

    :param what: name of the operation, for example ``'Cloning data'``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._latest: Progress | None = None
        self._bar: Bar | None = None
        self._over = False
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Waiting:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show new progress."""
        with self._lock:
            self._latest = progress
            if self._bar is not None:
                self._bar.update(progress)

    def _show(self) -> None:
        # Import rich only for operations that take long.
        try:
            from cinderlib.cli.bar import Bar
        except ModuleNotFoundError:
            return  # cinderlib-node does not need rich.

        with self._lock:
            if self._over:
                return
            self._bar = Bar(self._what)
            if self._latest is not None:
                self._bar.update(self._latest)
