"""The methods of a group for its replication to another storage system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cinderlib import value_checks
from cinderlib.drivers.port_replication import DEFAULT
from cinderlib.records import GroupRecord

if TYPE_CHECKING:
    from cinderlib.objects.controller_base import ControllerBase


class ReplicatedGroup:
    """The part of :class:`cinderlib.Group` for replication."""

    changed: bool | None
    if TYPE_CHECKING:
        _controller: ControllerBase
        _record: GroupRecord

        @property
        def id(self) -> str: ...

    @property
    def group_specs(self) -> dict[str, str]:
        """The specs that drivers see, as in Cinder's group types. Without any, the group requires
        consistent snapshots."""
        return dict(self._record.group_specs)

    @property
    def replication_status(self) -> str:
        """``'disabled'``, ``'enabling'``, ``'enabled'``, ``'disabling'``, ``'failing-over'``,
        ``'failed-over'`` or ``'error'``."""
        return self._record.replication_status

    @property
    def active_backend_id(self) -> str | None:
        """The ``backend_id`` of the replication device that the group has failed over to; ``None``
        for the backend's own storage."""
        return self._record.active_backend_id

    def enable_replication(self) -> None:
        """Replicate all its volumes together, so that the replicas are of the same moment.

        The group specs and the extra specs of the volumes must require replication. An interrupted
        call is repeated by the next call, or by ``recover()``. If the group is replicated already,
        nothing changes.

        :raises Unsupported: the backend cannot replicate groups. Nothing changed.
        :raises InvalidGroup, InvalidVolume: the group or a volume cannot be replicated. Nothing
            changed.
        :raises InvalidState: the backend has failed over, or is frozen. Nothing changed.
        :raises DriverError: the storage failed. The replication status is ``'error'``: repeat the
            call.
        """
        self._replicated(self._controller._enable_group_replication(self.id))

    def disable_replication(self) -> None:
        """Stop the replication of the volumes. They keep their data. The errors are those of
        :meth:`enable_replication`."""
        self._replicated(self._controller._disable_group_replication(self.id))

    def failover(self, to: str | None = None, *, allow_attached: bool = False) -> None:
        """Use the replicas of the volumes on another storage system. The rest of the backend does
        not change.

        Hosts do not follow: detach and attach connected volumes again. The group can be changed or
        deleted after a :meth:`failback`.

        :param to: the ``backend_id`` of a ``replication_device``, as ``Backend.replication`` lists
            them. By default the only one; if the group has failed over, nothing changes.
        :param allow_attached: also if volumes are attached.
        :raises InvalidInput: no ``replication_device`` has this ID. Nothing changed.
        :raises InvalidVolume: a volume is attached. Nothing changed.
        :raises InvalidGroup: its replication is disabled. Nothing changed.
        :raises InvalidState: the driver refuses this target now, or the backend has failed over.
            Nothing changed.
        :raises DriverError: the storage failed. The replication status is ``'error'``: repeat the
            call.
        """
        wanted = None if to is None else value_checks.check_text(to, "to")
        self._fail_over(wanted, allow_attached=allow_attached)

    def failback(self, *, allow_attached: bool = False) -> None:
        """Use the backend's own storage again, after a :meth:`failover`. The arguments and errors
        are those of :meth:`failover`."""
        self._fail_over(DEFAULT, allow_attached=allow_attached)

    def _fail_over(self, to: str | None, *, allow_attached: bool) -> None:
        flag = value_checks.check_flag(allow_attached, "allow_attached")
        self._replicated(self._controller._fail_over_group(self.id, to, allow_attached=flag))

    def _replicated(self, answer: tuple[GroupRecord, bool]) -> None:
        self._record, self.changed = answer
