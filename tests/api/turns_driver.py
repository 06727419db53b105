"""A driver that detects two processes that use it at the same time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from cinderlib.drivers.file.driver import FileDriver

#: The most seconds that a process waits for another.
PATIENCE = 120.0


class TurnsDriver(FileDriver):
    """Each process in the driver has a file in ``inside``; two at once create ``together``.

    While the file ``hold`` exists, a process that creates a volume stays in the driver. It creates
    ``held`` when it begins to wait.
    """

    SUPPORTS_ACTIVE_ACTIVE = False
    _count = 0
    _guard = threading.Lock()

    @property
    def _seen(self) -> Path:
        return Path(self.configuration.file_root).parent

    @contextlib.contextmanager
    def _inside(self) -> Any:
        kind, folder = TurnsDriver, self._seen / "inside"
        folder.mkdir(exist_ok=True)
        mine = folder / str(os.getpid())
        with kind._guard:
            kind._count += 1
            mine.touch()
        try:
            if len(os.listdir(folder)) > 1:
                (self._seen / "together").touch()
            time.sleep(0.002)  # the work
            yield
        finally:
            with kind._guard:
                kind._count -= 1
                if not kind._count:
                    mine.unlink()

    def do_setup(self, context: Any) -> None:
        with self._inside():
            super().do_setup(context)

    def create_volume(self, volume: Any) -> None:
        with self._inside():
            deadline = time.monotonic() + PATIENCE
            while (self._seen / "hold").exists() and time.monotonic() < deadline:
                (self._seen / "held").touch()
                time.sleep(0.01)
            super().create_volume(volume)

    def delete_volume(self, volume: Any) -> None:
        with self._inside():
            super().delete_volume(volume)

    def get_volume_stats(self, refresh: bool = False) -> Any:
        with self._inside():
            return super().get_volume_stats(refresh)


class TogetherDriver(TurnsDriver):
    """The same, with support for active-active."""

    SUPPORTS_ACTIVE_ACTIVE = True


class ForkingDriver(FileDriver):
    """Forks to run a program that is not installed, like Infortrend's driver with Java."""

    def create_volume(self, volume: Any) -> None:
        pid = os.fork()
        if not pid:
            os.execv("/nonexistent/java", ["java"])
        self.ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        super().create_volume(volume)
