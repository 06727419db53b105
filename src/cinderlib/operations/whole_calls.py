"""Compound operations: calls that hold different locks for their steps."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from cinderlib.locking import process_identity
from cinderlib.locking.locks import Locks
from cinderlib.operations.host import Host
from cinderlib.records import IntentRecord


class WholeCalls:
    """The part of a :class:`cinderlib.operations.journal.Journal` for compound operations."""

    locks: Locks
    host: Host
    _mine: threading.local

    @contextlib.contextmanager
    def whole_call(self) -> Iterator[None]:
        """Contains both steps of a compound operation. Its intent is in the store, and between the
        steps only the call's own lock is held. A compound operation can contain another one.

        :raises NodeError: this host's state folder cannot be used.
        :raises StoreError: the service that keeps the locks cannot be reached.
        """
        if getattr(self._mine, "call", None) is not None:
            yield
            return
        on_host = self.on_this_host()
        with self.locks.call() as number:
            self._mine.call = {"call": number, **on_host}
            try:
                yield
            finally:
                del self._mine.call

    def this_call(self) -> dict[str, Any]:
        """The data of the intent of the compound operation that this thread executes."""
        return dict(self._mine.call)

    def is_this_call(self, intent: IntentRecord) -> bool:
        """Whether an intent belongs to the compound operation that this thread executes."""
        mine: dict[str, Any] | None = getattr(self._mine, "call", None)
        return mine is not None and intent.data.get("call") == mine["call"]

    def whole_call_is_running(self, intent: IntentRecord) -> bool:
        """Whether the compound operation of an intent is still running."""
        number = intent.data.get("call")
        if not self.locks.reach(intent.owner):
            return True
        return isinstance(number, int) and self.locks.is_running(number)

    def on_this_host(self) -> dict[str, str]:
        """The data of an intent that identifies the node with the device.

        :raises NodeError: this host's state folder cannot be used.
        """
        return {"node": self.host.identity()}

    def is_on_this_host(self, intent: IntentRecord) -> bool:
        """Whether an operation was started by this node. The kernel identifies the host, because
        names differ between containers and can change."""
        owner = intent.owner
        if owner.boot_id == process_identity.boot_id():
            return intent.data.get("node") in (None, self.host.identity())
        return owner.host == process_identity.this_host()
