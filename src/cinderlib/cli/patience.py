"""Waiting for resources that others use: ``--wait``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cinderlib.errors import InvalidState

T = TypeVar("T")

#: Seconds before the first repetition, and at most.
_FIRST, _LONGEST = 0.1, 2.0
#: Seconds for which one attempt waits for a lock.
LOCK_TIMEOUT = 2.0


class Patience:
    """Repeats a step while the resource is in use, until a time limit.

    :param seconds: the limit for all steps together.
    :param say: receives the reason for waiting, once.
    :param is_used: whether others work with the resource of a refusal, so that the refusal
        can end. A wait for any other refusal is useless.
    """

    def __init__(
        self,
        seconds: float,
        say: Callable[[str], None],
        is_used: Callable[[InvalidState], bool],
    ) -> None:
        self._until = time.monotonic() + seconds
        self._is_used = is_used
        self._say: Callable[[str], None] | None = say

    def __call__(self, step: Callable[[], T]) -> T:
        """Execute a step that changes nothing if the resource is in use.

        :returns: the result of the step.
        :raises CinderlibError: it failed for another reason, or the resource is still in use at the
            end of the time limit.
        """
        from cinderlib import errors

        pause = _FIRST
        unused = False
        while True:
            try:
                return step()
            except (errors.Busy, errors.DeviceInUse, errors.InvalidState) as error:
                left = self._until - time.monotonic()
                if left <= 0:
                    raise
                if isinstance(error, errors.InvalidState) and not self._is_used(error):
                    if unused:
                        raise
                    unused = True  # It may have become free since the refusal.
                    continue
                unused = False
                self._report(str(error), left)
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST)

    def _report(self, reason: str, left: float) -> None:
        from cinderlib.cli import sizes

        if self._say is not None:
            self._say(f"{reason}. Trying again for {sizes.of_seconds(round(left))}.")
            self._say = None
