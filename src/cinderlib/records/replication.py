"""The record of a backend's replication. A store keeps it as a key-value; see
:mod:`cinderlib.persistence.in_key_values`."""

from __future__ import annotations

from typing import ClassVar

from cinderlib.records.base import Record


class ReplicationRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """Which storage a backend uses. Its ID is the name of the backend.

    :ivar status: ``'enabled'``, ``'failing-over'``, ``'failed-over'`` or ``'failover-error'``.
    :ivar active_backend_id: the ``backend_id`` of the replication device that the backend has
        failed over to; ``None`` for its own storage.
    :ivar frozen: whether operations that create, change or delete resources are refused.
    """

    kind: ClassVar[str] = "replication"

    backend: str
    status: str = "enabled"
    active_backend_id: str | None = None
    frozen: bool = False
