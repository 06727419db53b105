"""Volumes that get other specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cinderlib import errors, operations, validation, value_checks
from cinderlib.objects.migrating import MigratedVolume
from cinderlib.objects.volume_type import VolumeType
from cinderlib.records import TypeSpecs

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.operations.migrate import Destination


class RetypedVolume(MigratedVolume):
    """The method of a volume."""

    def retype(
        self,
        type: str | VolumeType | None = None,
        *,
        extra_specs: Mapping[str, str] | None = None,
        qos_specs: Mapping[str, str] | None = None,
        migrate: bool = False,
        backend: Backend | str | None = None,
        pool: str | None = None,
    ) -> None:
        """Give it other specs, on its storage too: those of a volume type, own ones, or none.

        The driver changes the volume if it can. With ``migrate``, its data is otherwise copied as
        by :meth:`migrate` to a new volume with the specs, which replaces it; so its encryption can
        change too. It becomes 1 GiB larger if its header does.

        If it has the specs already, nothing changes. The specs of the type can have changed since:
        a retype to the same type applies the new ones.

        :param type: the volume type.
        :param extra_specs: own extra specs, instead of a type.
        :param qos_specs: own QoS specs, instead of a type.
        :param migrate: copy its data if the driver cannot retype it.
        :param backend: with ``migrate``, the loaded backend to move it to, or its name; by default
            it stays on its backend.
        :param pool: with ``migrate``, the pool; by default the first one of another backend.
        :raises VolumeTypeNotFound: the type does not exist.
        :raises Unsupported: the driver cannot do it for this volume. Nothing changed.
        :raises InvalidVolume: its data must be copied, and it is connected or has snapshots.
            Nothing changed.
        :raises DriverError: the storage failed. The volume can be used; its status is
            ``'error_retyping'``, because the storage has its old or its new specs. Repeat the call.
        :raises NodeError: this host cannot attach both volumes, or the copy failed. The volume
            stays as it was.
        """
        if type is not None and (extra_specs is not None or qos_specs is not None):
            raise errors.InvalidInput("Specify either a type or extra_specs and qos_specs")
        to = self._copied_to(value_checks.check_flag(migrate, "migrate"), backend, pool)
        if type is None:
            target = TypeSpecs(
                id=self.id,
                extra_specs=validation.check_specs({} if extra_specs is None else extra_specs),
                qos_specs=validation.check_qos_specs({} if qos_specs is None else qos_specs),
                encryption=self._record.encryption,
            )
        else:
            target = self._controller.type_specs(type)
        with self._named():
            self._retype(target, to)

    def _copied_to(
        self, migrate: bool, backend: Backend | str | None, pool: str | None
    ) -> Destination | None:
        """The place of a copy; ``None`` if the data may not be copied."""
        if migrate and backend is None and pool is None:
            return operations.migrate.Destination(
                self._record.backend, self._record.host, any_pool=True
            )
        if migrate:
            return self._destination(self._record.backend if backend is None else backend, pool)
        if backend is not None or pool is not None:
            raise errors.InvalidInput("backend and pool need migrate=True")
        return None

    def _retype(self, target: TypeSpecs, to: Destination | None) -> None:
        journal = self._controller.journal
        if to is None:
            record, self.changed = operations.retype.retype(journal, self.id, target)
        else:
            with journal.whole_call():
                record, self.changed = operations.retype.retype(journal, self.id, target, to)
        self._adopt(record)
