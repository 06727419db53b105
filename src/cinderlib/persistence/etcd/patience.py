"""Waiting for another process."""

from __future__ import annotations

import time

#: Seconds before a lock is checked again, at first and at most.
PAUSES = 0.002, 0.05


class Patience:
    """Waits between checks, each time a little longer.

    :param deadline: monotonic time at which the wait ends.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._pause = PAUSES[0]

    def wait(self) -> bool:
        """Whether there is time for another check."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, self._pause))
        self._pause = min(self._pause * 1.5, PAUSES[1])
        return True
