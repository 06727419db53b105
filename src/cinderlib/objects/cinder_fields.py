"""Attributes of Cinder's objects that cinderlib 5's objects had.

Programs for cinderlib 5 read them. Records do not have them under these names. Attributes that only
Cinder sets have their default value.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from cinderlib.records import Secret

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.volume import Volume

T = TypeVar("T")


class _Other(Generic[T]):
    """Another name of an attribute, for reading and setting."""

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> Self | T:
        return self if instance is None else cast(T, getattr(instance, self._name))

    def __set__(self, instance: object, value: T) -> None:
        setattr(instance, self._name, value)


class AttachmentList(list["Connection"]):
    """Connections, as Cinder lists them."""

    @property
    def objects(self) -> AttachmentList:
        """The connections themselves."""
        return self


def _pairs(metadata: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in metadata.items()]


def _revealed(secret: Secret | None) -> str | None:
    return cast(str, secret.reveal()) if secret is not None else None


class VolumeFields:
    """Cinder's names on a volume."""

    _record: Any

    if TYPE_CHECKING:

        def _pending(self) -> Any: ...

        @property
        def connections(self) -> list[Connection]: ...

    #: The same as ``name``.
    display_name = _Other[str]("name")
    #: The same as ``description``.
    display_description = _Other[str]("description")
    #: Always ``None``.
    cluster: None = None
    #: Always ``None``.
    consistencygroup: None = None
    #: Always ``None``.
    consistencygroup_id: None = None
    #: Always ``None``.
    ec2_id: None = None
    #: Always ``None``.
    group: None = None
    #: Always ``None``.
    scheduled_at: None = None
    #: Always ``None``.
    service_uuid: None = None
    #: Always ``None``.
    terminated_at: None = None
    #: Always true.
    use_quota: bool = True

    @property
    def name_id(self) -> str:
        """The ID from which the driver derives its name on the array."""
        return str(self._record.name_id or self._record.id)

    @property
    def provider_auth(self) -> str | None:
        """The driver's data to authenticate hosts, **in clear**."""
        return _revealed(self._record.provider_auth)

    @property
    def volume_attachment(self) -> AttachmentList:
        """Its connections, in a new list."""
        return AttachmentList(self.connections)

    @property
    def volume_metadata(self) -> list[dict[str, str]]:
        """Its metadata as pairs of ``key`` and ``value``."""
        return _pairs(self._pending().metadata)

    @property
    def volume_admin_metadata(self) -> list[dict[str, str]]:
        """Its admin metadata as pairs of ``key`` and ``value``."""
        return _pairs(self._pending().admin_metadata)

    @property
    def volume_glance_metadata(self) -> list[dict[str, str]]:
        """Its image metadata as pairs of ``key`` and ``value``."""
        return _pairs(self._pending().glance_metadata)


class SnapshotFields:
    """Cinder's names on a snapshot."""

    _record: Any

    if TYPE_CHECKING:

        @property
        def volume(self) -> Volume: ...

    #: The same as ``name``.
    display_name = _Other[str]("name")
    #: The same as ``description``.
    display_description = _Other[str]("description")
    #: Always ``None``.
    cgsnapshot: None = None
    #: Always ``None``.
    cgsnapshot_id: None = None
    #: Always ``None``.
    group_snapshot: None = None
    #: Always true.
    use_quota: bool = True

    @property
    def provider_auth(self) -> str | None:
        """The driver's data to authenticate hosts, **in clear**."""
        return _revealed(self._record.provider_auth)

    @property
    def volume_name(self) -> str:
        """The volume's name on the array."""
        return self.volume.name_in_storage

    @property
    def volume_type_id(self) -> str | None:
        """The volume's ``volume_type_id``."""
        return self.volume.volume_type_id


class ConnectionFields:
    """Cinder's names on a connection."""

    _record: Any

    if TYPE_CHECKING:

        @property
        def volume(self) -> Volume: ...

    #: The same as ``status``.
    attach_status = _Other[str]("status")
    #: Always ``None``: the record is removed when the connection is disconnected.
    detach_time: None = None

    @property
    def attach_time(self) -> datetime.datetime | None:
        """The same as ``attached_at``."""
        found: datetime.datetime | None = self._record.attached_at
        return found

    @property
    def project_id(self) -> str | None:
        """The volume's ``project_id``."""
        return self.volume.project_id

    @property
    def volume_host(self) -> str:
        """The volume's ``host``."""
        return self.volume.host
