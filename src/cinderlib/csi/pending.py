"""The calls that work now, by the volume or snapshot they change."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from cinderlib.csi.failures import Pending


class PendingCalls:
    """Refuses a call while another one works on the same resource; nobody waits.

    Calls in other processes are excluded by the locks of the library.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._keys: set[str] = set()

    @contextlib.contextmanager
    def claim(self, *keys: str) -> Iterator[None]:
        """Work on these resources: ``with pending.claim(volume_id):``.

        :raises Pending: another call works on one of them.
        """
        with self._guard:
            for key in keys:
                if key in self._keys:
                    raise Pending(
                        f"Another call works on {key}. Call again later.",
                        resource=key,
                    )
            self._keys.update(keys)
        try:
            yield
        finally:
            with self._guard:
                self._keys.difference_update(keys)
