"""The methods of the objects that migrate volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cinderlib import errors, operations, value_checks
from cinderlib.objects import new_volume
from cinderlib.objects.resource import Resource
from cinderlib.records import VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.volume import Volume
    from cinderlib.operations.migrate import Destination


class MigratedVolume(Resource):
    """The methods of a volume."""

    _record: VolumeRecord

    def migrate(
        self, backend: Backend | str, pool: str | None = None, *, by_copy: bool = False
    ) -> None:
        """Move it to another pool or backend. It keeps its ID, its name and its metadata.

        The driver moves the data if it can. Otherwise, the driver of the destination creates
        another volume, both are attached to this host, and the data is copied. The old data is
        deleted at the end. A migration that is interrupted before all data is copied is undone;
        after that, it is finished. A volume that has this place already does not
        change.

        :param backend: the loaded backend, or its name.
        :param pool: by default the first pool of another backend, or any pool of the same one.
        :param by_copy: copy the data even if the driver can move it.
        :raises InvalidVolume: it is connected, or has snapshots. Nothing changed.
        :raises InvalidInput: the backend has no such pool. Nothing changed.
        :raises OutOfRange: the pool is too small. Nothing changed.
        :raises NodeError: this host cannot attach both, or the copy failed. The volume stays where
            it was.
        """
        destination = self._destination(backend, pool)
        copied = value_checks.check_flag(by_copy, "by_copy")
        with self._named():
            self._migrate(destination, pool, copied)

    def start_migration(self, backend: Backend | str, pool: str | None = None) -> Volume:
        """Create the copy of a volume that a hypervisor mirrors while it uses the volume.

        Connect the copy, mirror the data, use the copy instead, disconnect this volume, and call
        :meth:`finish_migration`; or disconnect the copy and call :meth:`cancel_migration`. A
        repeated call returns the same copy.

        :param backend: the loaded backend, or its name.
        :param pool: by default the first pool of another backend.
        :returns: the copy: an empty volume of the same size.
        :raises InvalidVolume: the volume has this place already, or has snapshots. Nothing changed.
        :raises AlreadyExists: its migration to another place has been started. Nothing changed.
        """
        destination = self._destination(backend, pool)
        with self._named():
            return self._start_migration(destination, pool)

    @property
    def migration_copy(self) -> Volume | None:
        """The copy of a started migration, otherwise ``None``."""
        if self._record.migration_status != "migrating":
            return None
        id = operations.migrate_in_use.copy_id(self._record)
        found = self._controller.store.get(VolumeRecord, id)
        wrapped: Volume | None = None if found is None else self._controller.wrap(found)
        return wrapped

    def finish_migration(self) -> None:
        """Let the copy become this volume, with the connections of the copy, and delete the old
        data. Without a started migration, nothing changes.

        :raises InvalidVolume: this volume is still connected. Nothing changed.
        """
        journal = self._controller.journal
        with self._named(), journal.whole_call():
            record, self.changed = operations.migrate_in_use.finish(journal, self.id)
        self._adopt(record)

    def cancel_migration(self) -> None:
        """Delete the copy; this volume stays where it is. Without a started migration, nothing
        changes.

        :raises InvalidVolume: the copy is connected. Nothing changed.
        """
        with self._named():
            record, self.changed = operations.migrate_in_use.cancel(
                self._controller.journal, self.id
            )
        self._adopt(record)

    def _start_migration(self, to: Destination, pool: str | None) -> Volume:
        journal = self._controller.journal
        with journal.whole_call():
            copy, self.changed = operations.migrate_in_use.start(journal, self.id, to)
        self.refresh()
        wrapped: Volume = self._controller.wrap(copy)
        return wrapped

    def _migrate(self, to: Destination, pool: str | None, by_copy: bool) -> None:
        journal = self._controller.journal
        with journal.whole_call():
            record, self.changed = operations.migrate.migrate(journal, self.id, to, by_copy=by_copy)
        self._adopt(record)

    def _destination(self, backend: Backend | str, pool: str | None) -> Destination:
        """The checked arguments of a migration."""
        loaded = self._loaded_backend(backend)
        if pool is not None:
            value_checks.check_text(pool, "pool")
        host = new_volume.place(loaded, pool)
        if self._record.multiattach:
            new_volume.refuse_without_multiattach(loaded, host.partition("#")[2])
        return operations.migrate.Destination(loaded.id, host, any_pool=pool is None)

    def _loaded_backend(self, backend: Backend | str) -> Backend:
        name = value_checks.check_text(getattr(backend, "id", backend), "backend")
        found = self._controller.backends.get(name)
        if found is None:
            raise errors.BackendNotFound(
                f"Backend {name!r} is not loaded in this controller", resource=name
            )
        return found
