"""The fields that new volumes, snapshots and connections can be created with.

Type checkers read the keyword arguments of the create functions from here. The values are checked
where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict


class CommonVolumeKeywords(TypedDict, total=False):
    """Fields of a new volume that are keywords in every function that creates one.

    ``display_name`` and ``display_description`` are the names that Cinder and cinderlib 5 use for
    ``name`` and ``description``.
    """

    id: str | None
    host: str
    availability_zone: str | None
    cluster_name: str | None
    user_id: str | None
    project_id: str | None
    multiattach: bool
    metadata: Mapping[str, str]
    admin_metadata: Mapping[str, str]
    extra_specs: Mapping[str, str]
    qos_specs: Mapping[str, str]
    encryption: Mapping[str, str]
    type: str
    display_name: str
    display_description: str
    unique_name: bool


class CreateVolumeKeywords(CommonVolumeKeywords, total=False):
    """Fields of :meth:`cinderlib.Backend.create_volume` in addition to its named arguments."""

    pool_name: str


class VolumeKeywords(CommonVolumeKeywords, total=False):
    """Fields of :class:`cinderlib.Volume`."""

    size: float
    name: str
    description: str
    bootable: bool


class CopyKeywords(VolumeKeywords, total=False):
    """Fields of a volume that is created from another volume or from a snapshot."""

    pool_name: str


class CreateSnapshotKeywords(TypedDict, total=False):
    """Fields of :meth:`cinderlib.Volume.create_snapshot` in addition to its named arguments."""

    id: str | None
    metadata: Mapping[str, str]
    unique_name: bool


class SnapshotKeywords(CreateSnapshotKeywords, total=False):
    """Fields of :class:`cinderlib.Snapshot`."""

    name: str
    description: str
    display_name: str
    display_description: str


class SnapshotConnectKeywords(TypedDict, total=False):
    """Fields of :meth:`cinderlib.Snapshot.connect`."""

    id: str | None
    attached_host: str | None
    mountpoint: str | None
    instance_uuid: str | None
    use_multipath: bool
    device_scan_attempts: int


class ConnectKeywords(SnapshotConnectKeywords, total=False):
    """Fields of :meth:`cinderlib.Volume.connect`."""

    attach_mode: Literal["rw", "ro"]


class ConnectionKeywords(ConnectKeywords, total=False):
    """Fields of :class:`cinderlib.Connection`."""

    volume_id: str
    status: str


class CinderOptions(TypedDict, total=False):
    """Options of Cinder, for the whole process, that :func:`cinderlib.setup` takes as keywords.

    Other options are possible too; type checkers know these.
    """

    my_ip: str
    debug: bool | str
    default_log_levels: list[str] | str
    max_over_subscription_ratio: float | str
    ssh_hosts_key_file: str
    strict_ssh_host_key_policy: bool
    coordination: Mapping[str, object]
    os_brick: Mapping[str, object]
