"""Waiting for resources that others use: ``--wait``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds before the first repetition, and at most.
_FIRST, _LONGEST = 0.1, 2.0
#: Seconds for which one attempt waits for a lock.
LOCK_TIMEOUT = 2.0


class Patience:
    """Repeats a step while the resource is in use, until a time limit.

    :param seconds: the limit for all steps together.
    :param say: receives the reason for waiting, once.
    """

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._until = time.monotonic() + seconds
        self._say: Callable[[str], None] | None = say

    def __call__(self, step: Callable[[], T]) -> T:
        """Execute a step that changes nothing if the resource is in use.

        :returns: the result of the step.
        :raises CinderlibError: it failed for another reason, or the resource is still in use at the
            end of the time limit.
        """
        from cinderlib import errors

        pause = _FIRST
        while True:
            try:
                return step()
            except (errors.Busy, errors.DeviceInUse, errors.InvalidState) as error:
                left = self._until - time.monotonic()
                if left <= 0:
                    raise
                self._report(str(error), left)
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST)

    def _report(self, reason: str, left: float) -> None:
        from cinderlib.cli import sizes

        if self._say is not None:
            self._say(f"{reason}. Trying again for {sizes.of_seconds(round(left))}.")
            self._say = None
