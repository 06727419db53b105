"""The methods of a backend for replication between storage systems."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from cinderlib import operations, value_checks
from cinderlib.drivers.port_replication import DEFAULT
from cinderlib.records import ReplicationRecord

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver
    from cinderlib.objects.controller import Controller


@dataclasses.dataclass(frozen=True, slots=True)
class Replication:
    """The state of a backend's replication.

    :ivar status: ``'disabled'`` (the backend has no ``replication_device``), ``'enabled'``,
        ``'failing-over'``, ``'failed-over'`` or ``'failover-error'``.
    :ivar active_backend_id: the ``backend_id`` of the replication device that the backend uses;
        ``None`` for its own storage.
    :ivar frozen: whether operations that create, change or delete resources are refused.
    :ivar targets: the ``backend_id`` of each replication device.
    :ivar changed: whether the call that returned this changed it.
    """

    status: str
    active_backend_id: str | None
    frozen: bool
    targets: tuple[str, ...]
    changed: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether new volumes can be placed on the backend, as in Cinder's scheduler."""
        return self.status in ("disabled", "enabled") and not self.frozen

    def stats(self) -> dict[str, Any]:
        """The properties with the names that they have in stats of Cinder."""
        return {
            "replication_status": self.status,
            "active_backend_id": self.active_backend_id,
            "frozen": self.frozen,
        }


def state_of(
    record: ReplicationRecord, targets: tuple[str, ...], changed: bool = False
) -> Replication:
    """The state of a backend's replication by its record.

    :param targets: of the backend's driver.
    """
    return Replication(record.status, record.active_backend_id, record.frozen, targets, changed)


class ReplicatingBackend:
    """The methods of a backend."""

    controller: Controller
    _name: str
    _driver: Driver
    _stats: dict[str, Any] | None

    @property
    def replication(self) -> Replication:
        """The state of the replication, as the store has it now."""
        if not self._driver.info.replication_targets:
            return Replication("disabled", None, False, ())
        return self._replication(operations.replication.find(self.controller.store, self._name))

    def _active_driver(self) -> Driver:
        """The driver for the storage that the backend uses now. Another process can have failed it
        over."""
        if not self._driver.info.replication_targets:
            return self._driver
        return self.controller.journal.driver(self._name)

    def failover(self, to: str | None = None) -> Replication:
        """Use the replicas of the volumes on another storage system, for example because its own
        storage has failed.

        Volumes without a replica get the status ``'error'``, until :meth:`failback`. Hosts do not
        follow: detach and attach connected volumes again. A call that was interrupted is repeated
        by the next call, or by ``recover()``.

        :param to: the ``backend_id`` of a ``replication_device``. By default, the driver chooses
            if the backend has not failed over; if it has, nothing changes.
        :returns: the state of the replication.
        :raises Unsupported: the backend has no ``replication_device``, or its driver cannot fail
            over. Nothing changed.
        :raises InvalidInput: no ``replication_device`` has this ID. Nothing changed.
        :raises InvalidState: the driver refuses this target now. Nothing changed.
        :raises DriverError: the storage failed. The status is ``'failover-error'``: repeat the
            call. After a failback instead, volumes that the driver changed before it failed can
            remain on the other storage system.
        """
        wanted = None if to is None else value_checks.check_text(to, "to")
        return self._fail_over(wanted)

    def failback(self) -> Replication:
        """Use its own storage again, after a :meth:`failover`. Volumes that had no replica get
        their status back. The arguments and errors are those of :meth:`failover`."""
        return self._fail_over(DEFAULT)

    def _fail_over(self, to: str | None) -> Replication:
        record, changed = operations.failover.failover(self.controller.journal, self._name, to)
        self._stats = None
        return self._replication(record, changed)

    def freeze(self) -> Replication:
        """Refuse operations that create, change or delete volumes and snapshots, in all processes
        that use the store. Connections still work.

        :raises Unsupported: the backend has no ``replication_device``. Nothing changed.
        """
        return self._replication(*operations.freeze.freeze(self.controller.journal, self._name))

    def thaw(self) -> Replication:
        """Allow these operations again.

        :raises DriverError: the driver failed. The backend stays frozen.
        """
        return self._replication(*operations.freeze.thaw(self.controller.journal, self._name))

    def _replication(self, record: ReplicationRecord, changed: bool = False) -> Replication:
        return state_of(record, self._driver.info.replication_targets, changed)
