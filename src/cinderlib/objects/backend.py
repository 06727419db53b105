"""The backend object: one configured driver and its volumes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from cinderlib import operations, serialization, validation, value_checks
from cinderlib.objects import documents_out, driver_attributes
from cinderlib.objects.backend_class import BackendClass
from cinderlib.objects.documented import Documented
from cinderlib.objects.driver_attributes import DriverAttributes
from cinderlib.objects.keywords import CreateVolumeKeywords
from cinderlib.objects.managing import ManagingBackend
from cinderlib.objects.replicating import ReplicatingBackend
from cinderlib.records import ConnectionRecord, SnapshotRecord

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver
    from cinderlib.drivers.port_values import DriverInfo
    from cinderlib.objects import group, volume
    from cinderlib.objects.controller import Controller
    from cinderlib.operations.capabilities import Capability
    from cinderlib.operations.discrepancies import Discrepancy

C = TypeVar("C", SnapshotRecord, ConnectionRecord)
T = TypeVar("T")


class Backend(BackendClass, ManagingBackend, ReplicatingBackend, Documented):
    """A backend of the default controller: ``Backend(volume_backend_name='x', ...)``.

    The same name with the same options returns the same object again. ``Controller.backend`` does
    the same for any controller. Other attributes are read from the driver.

    :param volume_backend_name: its name in the store and in a volume's ``host``.
    :param driver_options: ``volume_driver`` (full path, class name, or a short name such as
        ``'lvm'``, ``'rbd'``, ``'file'``) and the driver's options as in ``cinder.conf``. Texts are
        converted to the option's type; references such as ``$my_ip`` are replaced.
    :raises ConfigurationError: an option is unknown or has an invalid value, or the name is loaded
        with other options.
    :raises DriverError: the driver could not reach its storage.
    """

    _name: str
    controller: Controller
    _driver: Driver
    _given: dict[str, Any]
    _stats: dict[str, Any] | None
    _stats_at: float

    def __new__(cls, volume_backend_name: str, **driver_options: object) -> Backend:
        from cinderlib.objects import default_controller

        return default_controller.controller().backend(volume_backend_name, **driver_options)

    @classmethod
    def _make(
        cls, controller: Controller, name: str, given: dict[str, Any], driver: Driver
    ) -> Backend:
        self = object.__new__(cls)
        self.controller = controller
        self._name = name
        self._driver = driver
        self._given = given
        self._stats = None
        self._stats_at = 0.0
        return self

    # --- properties ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its ``volume_backend_name``."""
        return self._name

    @property
    def config(self) -> dict[str, Any]:
        """Its options, converted to their types. Secret options are included only if the controller
        has ``output_all_backend_info``."""
        info = self._driver.info
        secret = info.secrets if self.controller.output_all_backend_info else {}
        return {"volume_backend_name": self._name, **info.options, **secret}

    @property
    def pool_names(self) -> tuple[str, ...]:
        """The names of the backend's pools."""
        return tuple(pool["pool_name"] for pool in self.driver_stats()["pools"])

    @property
    def scan_attempts(self) -> int:
        """How many times a host checks for a device of this backend to appear."""
        return self._driver.info.scan_attempts

    @property
    def driver_info(self) -> DriverInfo:
        """Information about its driver: class, version, options."""
        return self._driver.info

    @property
    def live_migration(self) -> bool:
        """Its option ``live_migration``: programs can connect a volume without multiattach to a
        second host without ``migrating``."""
        return self._driver.info.live_migration

    @property
    def driver(self) -> DriverAttributes:
        """The driver's own attributes and methods; the type has the name of the driver's class."""
        return driver_attributes.of(self._driver)

    # Type checkers must find misspelt names; ``driver`` has the driver's attributes.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or "_driver" not in self.__dict__:
                raise AttributeError(name)
            return self._driver.attribute(name)

    def __repr__(self) -> str:
        return f"<cinderlib.Backend id={self._name!r} driver={self._driver.info.driver!r}>"

    def stats(self, refresh: bool = False) -> dict[str, Any]:
        """Capabilities and capacity, with a list ``pools``. Sizes are in GiB, or ``'unknown'`` or
        ``'infinite'`` if the driver reports that. With a ``replication_device``, they also have the
        ``replication_status``, the ``active_backend_id``, and whether the backend is ``frozen``.

        :param refresh: query the storage; otherwise the last result is returned.
        """
        reported = self.driver_stats(refresh=refresh)
        if "allocated_capacity_gb" not in reported:
            operations.capacity.add_allocated(self.controller.store, self._name, reported)
        if self._driver.info.replication_targets:
            reported.update(self.replication.stats())
        return reported

    def driver_stats(self, *, refresh: bool = False) -> dict[str, Any]:
        """The stats without figures that need all volumes of the store."""
        # oVirt's client for cinderlib 5 passes its argument as text.
        requested: object = refresh
        text = isinstance(requested, str)
        refresh = bool(requested) if text else value_checks.check_flag(requested, "refresh")
        if refresh or self._stats is None:
            self._stats = self._active_driver().stats(refresh=refresh)
            self._stats_at = time.monotonic()
        return self._stats

    @property
    def stats_age(self) -> float | None:
        """Seconds since the driver reported the stats; ``None`` if it has not reported them yet."""
        return None if self._stats is None else time.monotonic() - self._stats_at

    def capabilities(self) -> dict[str, Capability]:
        """What the backend can do, by the driver or by a generic way, and why it cannot do the
        rest. An operation that it cannot do is refused before any change.

        :returns: operation (``'volume.revert'``, ...) -> its capability. A capability that pools
            report is that of the last :meth:`stats`.
        """
        return operations.capabilities.of(self._driver.info, self.driver_stats())

    def validate_connector(self, connector_dict: Mapping[str, Any]) -> None:
        """Check that a host's connector has the properties that the driver needs.

        :raises InvalidConnector: a property is missing.
        """
        self._driver.validate_connector(validation.check_connector(connector_dict))

    # --- volumes -------------------------------------------------------------------------------

    @property
    def volumes(self) -> list[volume.Volume]:
        """Its volumes, as the store has them now. ``controller.volumes(backend=...)`` streams."""
        return list(self.controller.volumes(backend=self._name))

    def volumes_filtered(
        self, volume_id: str | None = None, volume_name: str | None = None
    ) -> list[volume.Volume]:
        """Its volumes with this ID and this name, if specified."""
        if volume_id is None:
            return list(self.controller.volumes(backend=self._name, name=volume_name))
        where = {
            "backend": self._name,
            "name": value_checks.check_optional_text(volume_name, "name"),
        }
        record = self.controller.peek_volume(volume_id)
        if record is None or any(
            value is not None and getattr(record, field) != value for field, value in where.items()
        ):
            return []
        return [self.controller.wrap(record)]

    def create_volume(
        self,
        size: float,
        name: str = "",
        description: str = "",
        bootable: bool = False,
        **fields: Unpack[CreateVolumeKeywords],
    ) -> volume.Volume:
        """Create a volume.

        :param size: in GiB, whole or fractional (rounded up).
        :param fields: ``id``, ``pool_name``, ``extra_specs``, ``qos_specs``, ``metadata``,
            ``availability_zone``, ``multiattach``, ``host``, ... as for ``Volume``.
        :returns: the volume, or the existing volume with this ``id`` and the same properties.
        """
        named = {
            "name": validation.check_name(name),
            "description": validation.check_description(description),
            "bootable": value_checks.check_flag(bootable, "bootable"),
        }
        given: dict[str, Any] = {field: value for field, value in named.items() if value}
        new = self.controller.Volume(self, size=size, **fields, **given)
        new.create()
        return new

    def create_group(
        self,
        name: str,
        volumes: Iterable[volume.Volume] = (),
        description: str = "",
        *,
        id: str | None = None,
        group_specs: Mapping[str, str] | None = None,
    ) -> group.Group:
        """Create a group: volumes of which snapshots can be taken at the same moment.

        :param volumes: volumes of this backend, attached or not. Their data does not change.
        :param id: by default a new one. If a group with the same properties has it, nothing
            changes.
        :param group_specs: the specs that the driver sees, as in Cinder's group types. Without any,
            the group requires consistent snapshots. A group that is replicated needs the spec
            ``consistent_group_replication_enabled`` with the value ``'<is> True'``.
        :raises Unsupported: the group specs require replication, and the backend cannot replicate
            groups. Nothing changed.
        :raises InvalidVolume: a volume is on another backend, in another group, or in a state that
            does not allow it. Nothing changed.
        :raises AlreadyExists: another group has the ID.
        """
        from cinderlib.objects import groups

        return groups.create(self, name, volumes, description, id, group_specs)

    def refresh(self) -> None:
        """Query the storage for its stats. Volumes are always read from the store."""
        self.stats(refresh=True)

    def restore_exports(self) -> list[volume.Volume]:
        """Export and map its connected volumes again after a restart of the storage, or of the host
        that exports them, lost the exports.

        Attached hosts find their volumes again by themselves; connections do not change. Existing
        exports are not touched, so it is safe at any time.

        :returns: the connected volumes.
        :raises DriverError: the storage failed; call it again to continue.
        """
        return [
            found
            for found in self.controller.volumes(backend=self._name)
            if found.attach_status == "attached"
            and operations.exports.restore(self.controller.journal, found.id)
        ]

    def reconcile(self, *, repair: bool = False, remove: Iterable[str] = ()) -> list[Discrepancy]:
        """Compare the store with the storage, and repair differences.

        Without arguments nothing changes. Others can work at the same time.

        :param repair: repair differences that are safe to repair: interrupted operations, mappings
            that a forced disconnect left, failed connections, a status that contradicts the
            connections, incomplete files of killed processes. It never removes a volume or a
            snapshot, nor its record.
        :param remove: the IDs of discrepancies to remove: an orphan is deleted from the storage
            **with its data**, a missing, dangling or damaged record is removed from the store, and
            an interrupted delete is completed. Each is checked again under its lock.
        :returns: the discrepancies, with the result for each.
        :raises InvalidInput: an ID in ``remove`` does not belong to such a discrepancy. Nothing
            changed.
        :raises DriverError: the storage does not answer.
        """
        return operations.reconciliation.reconcile(
            self.controller.journal,
            self._name,
            repair=value_checks.check_flag(repair, "repair"),
            remove=value_checks.check_texts(remove, "remove"),
        )

    # --- documents -----------------------------------------------------------------------------

    def _document(self, *, related: bool) -> serialization.Document:
        options = self.controller.document_options(self._name)
        return serialization.backend_document(
            self._name,
            volumes=documents_out.of_backend(self.controller.store, self._name, options)
            if related
            else None,
            options=options,
        )
