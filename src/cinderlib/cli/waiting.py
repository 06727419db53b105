"""What a person sees on the terminal while something takes long."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinderlib.cli.bar import Bar
    from cinderlib.progress import Progress

#: Seconds after which something is shown; what is faster needs nothing.
PATIENCE = 1.0


class Waiting:
    """While it is entered: after a second a bar with rate and time left, or the time that has
    passed where it is not known how far it is. Nothing of it stays on the screen.

    :param what: what is done, as ``'Cloning data'``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._latest: Progress | None = None
        self._bar: Bar | None = None
        self._over = False
        self._timer = threading.Timer(PATIENCE, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Waiting:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def tell(self, progress: Progress) -> None:
        """Show how far it is."""
        with self._lock:
            self._latest = progress
            if self._bar is not None:
                self._bar.update(progress)

    def _show(self) -> None:
        # Only now: who waits for less should not wait for rich.
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
