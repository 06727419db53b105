"""Which request is answered by which verb, and which role it needs."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any

from cinderlib.operations.history_query import Operation
from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
)
from cinderlib.service import (
    connection_verbs,
    group_verbs,
    history_verbs,
    manage_verbs,
    migrate_verbs,
    replication_verbs,
    requests,
    snapshot_verbs,
    stream_verbs,
    type_verbs,
    verbs,
)
from cinderlib.service.roles import Role
from cinderlib.service.verb_request import Request


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """One kind of request.

    :ivar path: with ``{id}`` in the place of an ID or a name.
    :ivar name: the operation in metrics and logs: ``'volume.create'``.
    :ivar verb: does it.
    :ivar answer: the type of the answer, for the OpenAPI document.
    :ivar query: the parameters of the query, with their descriptions.
    :ivar changes: whether it changes something; it then continues when the client disconnects.
    """

    method: str
    path: str
    name: str
    role: Role
    verb: Callable[[Request[Any]], Any]
    body: type[requests.Body] = requests.Nothing
    answer: Any = dict[str, Any]
    query: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def changes(self) -> bool:
        return self.method != "GET"

    @property
    def is_list(self) -> bool:
        """Whether the answer is sent piece by piece."""
        return not self.changes and typing.get_origin(self.answer) is list


_PAGE = {
    "limit": "at most so many",
    "after": "only those after the record with this ID",
    "backend": "only those on this backend",
}
_NAME = {"name": "only those with exactly this name"}
_GROUPS = {"backend": "only those on this backend", **_NAME}
_KEYS = {"keys": "'true' for the keys that the host needs, if the client may connect that host"}
_MANAGEABLE = {
    "limit": "at most so many",
    "marker": "only those after this reference, a JSON object",
    "offset": "skip so many",
    "sort_keys": "'reference' and 'size', separated by commas",
    "sort_dirs": "'asc' or 'desc' for each of sort_keys",
}
_HISTORY = {
    "resource": "only those of the volume, snapshot or connection with this ID or name",
    "backend": "only those on this backend",
    "since": "only those that ended after this time (RFC 3339)",
    "after": "only those that ended after the operation with this ID",
    "limit": "at most so many: the newest",
    "running": "'false' to omit those that have not ended",
}
_OF = {"volume_id": "only those of this volume"}
_PREFIX = {"name_prefix": "only those whose name begins with this"}
_SINCE = {
    "since": "only the changes since this snapshot; with backend: its name",
    "offset": "the first byte; the end of the previous answer",
}
#: Names instead of IDs in the path and in the body.
_BY_NAME = {"backend": "volumes are given by their name on this backend, not by ID"}
_OF_NAMED = _BY_NAME | {"volume": "with backend: the name of the volume of the snapshot"}

ROUTES = (
    Route("GET", "/v1/volumes", "volume.list", Role.READ, verbs.list_volumes,
          answer=list[VolumeRecord], query=_PAGE | _NAME | _PREFIX),
    Route("POST", "/v1/volumes", "volume.create", Role.OPERATE, verbs.create_volume,
          requests.CreateVolume, VolumeRecord, _OF_NAMED),
    Route("GET", "/v1/volumes/{id}", "volume.show", Role.READ, verbs.show_volume,
          answer=VolumeRecord, query=_BY_NAME),
    Route("PATCH", "/v1/volumes/{id}", "volume.change", Role.OPERATE, verbs.change_volume,
          requests.ChangeVolume, VolumeRecord, _BY_NAME),
    Route("DELETE", "/v1/volumes/{id}", "volume.delete", Role.OPERATE, verbs.delete_volume,
          query=_BY_NAME | {"snapshots": "'true' to delete its snapshots first"}),
    Route("POST", "/v1/volumes/{id}/extend", "volume.extend", Role.OPERATE, verbs.extend_volume,
          requests.ExtendVolume, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/retype", "volume.retype", Role.OPERATE,
          type_verbs.retype_volume, requests.RetypeVolume, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/revert", "volume.revert", Role.OPERATE, verbs.revert_volume,
          requests.RevertVolume, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/wipe", "volume.wipe", Role.OPERATE, verbs.wipe_volume,
          answer=VolumeRecord, query=_BY_NAME),
    Route("GET", "/v1/volumes/{id}/revert-blockers", "volume.revert_blockers", Role.READ,
          verbs.revert_blockers,
          query=_BY_NAME | {"snapshot_id": "the snapshot; with backend: its name"}),
    Route("POST", "/v1/volumes/{id}/migrate", "volume.migrate", Role.OPERATE,
          migrate_verbs.migrate_volume, requests.MigrateVolume, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/start-migration", "volume.start_migration", Role.OPERATE,
          migrate_verbs.start_migration, requests.StartMigration, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/finish-migration", "volume.finish_migration", Role.OPERATE,
          migrate_verbs.finish_migration, answer=VolumeRecord, query=_BY_NAME),
    Route("POST", "/v1/volumes/{id}/cancel-migration", "volume.cancel_migration", Role.OPERATE,
          migrate_verbs.cancel_migration, answer=VolumeRecord, query=_BY_NAME),
    Route("GET", "/v1/volumes/{id}/extents", "volume.extents", Role.READ,
          stream_verbs.volume_extents, query=_BY_NAME | _SINCE),
    Route("POST", "/v1/volumes/{id}/begin-apply", "volume.begin_apply", Role.OPERATE,
          stream_verbs.begin_apply, requests.BeginApply, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/finish-apply", "volume.finish_apply", Role.OPERATE,
          stream_verbs.finish_apply, requests.FinishApply, VolumeRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/connect", "volume.connect", Role.NODE,
          connection_verbs.connect_volume, requests.ConnectVolume, ConnectionRecord,
          _BY_NAME),
    Route("POST", "/v1/volumes/{id}/attach", "volume.attach", Role.OPERATE,
          connection_verbs.attach_volume, requests.AttachVolume, ConnectionRecord, _BY_NAME),
    Route("POST", "/v1/volumes/{id}/detach", "volume.detach", Role.OPERATE,
          connection_verbs.detach_volume, requests.Force, VolumeRecord, _BY_NAME),
    Route("GET", "/v1/types", "type.list", Role.READ, type_verbs.list_types,
          answer=list[TypeSpecs]),
    Route("POST", "/v1/types", "type.create", Role.ADMINISTER, type_verbs.create_type,
          requests.CreateType, TypeSpecs),
    Route("GET", "/v1/types/{id}", "type.show", Role.READ, type_verbs.show_type,
          answer=TypeSpecs),
    Route("PATCH", "/v1/types/{id}", "type.change", Role.ADMINISTER, type_verbs.change_type,
          requests.ChangeType, TypeSpecs),
    Route("DELETE", "/v1/types/{id}", "type.delete", Role.ADMINISTER, type_verbs.delete_type),
    Route("GET", "/v1/snapshots", "snapshot.list", Role.READ, verbs.list_snapshots,
          answer=list[SnapshotRecord], query=_PAGE | _NAME | _OF | _PREFIX),
    Route("POST", "/v1/snapshots", "snapshot.create", Role.OPERATE, verbs.create_snapshot,
          requests.CreateSnapshot, SnapshotRecord, _BY_NAME),
    Route("GET", "/v1/snapshots/{id}", "snapshot.show", Role.READ, verbs.show_snapshot,
          answer=SnapshotRecord, query=_OF_NAMED),
    Route("PATCH", "/v1/snapshots/{id}", "snapshot.change", Role.OPERATE, verbs.change_snapshot,
          requests.ChangeSnapshot, SnapshotRecord, _OF_NAMED),
    Route("DELETE", "/v1/snapshots/{id}", "snapshot.delete", Role.OPERATE, verbs.delete_snapshot,
          query=_OF_NAMED),
    Route("GET", "/v1/snapshots/{id}/extents", "snapshot.extents", Role.READ,
          stream_verbs.snapshot_extents, query=_OF_NAMED | _SINCE),
    Route("POST", "/v1/snapshots/{id}/connect", "snapshot.connect", Role.OPERATE,
          snapshot_verbs.connect_snapshot, requests.ConnectSnapshot, ConnectionRecord, _OF_NAMED),
    Route("POST", "/v1/snapshots/{id}/attach", "snapshot.attach", Role.OPERATE,
          snapshot_verbs.attach_snapshot, requests.AttachSnapshot, ConnectionRecord, _OF_NAMED),
    Route("POST", "/v1/snapshots/{id}/detach", "snapshot.detach", Role.OPERATE,
          snapshot_verbs.detach_snapshot, requests.Force, SnapshotRecord, _OF_NAMED),
    Route("GET", "/v1/groups", "group.list", Role.READ, group_verbs.list_groups,
          answer=list[GroupRecord], query=_GROUPS),
    Route("POST", "/v1/groups", "group.create", Role.OPERATE, group_verbs.create_group,
          requests.CreateGroup, GroupRecord),
    Route("GET", "/v1/groups/{id}", "group.show", Role.READ, group_verbs.show_group,
          answer=GroupRecord),
    Route("PATCH", "/v1/groups/{id}", "group.change", Role.OPERATE, group_verbs.change_group,
          requests.ChangeGroup, GroupRecord),
    Route("DELETE", "/v1/groups/{id}", "group.delete", Role.OPERATE, group_verbs.delete_group,
          query={"volumes": "'true' to delete its volumes with their data too"}),
    Route("POST", "/v1/groups/{id}/enable-replication", "group.enable_replication", Role.OPERATE,
          group_verbs.enable_replication, answer=GroupRecord),
    Route("POST", "/v1/groups/{id}/disable-replication", "group.disable_replication",
          Role.OPERATE, group_verbs.disable_replication, answer=GroupRecord),
    Route("POST", "/v1/groups/{id}/failover", "group.failover", Role.OPERATE,
          group_verbs.fail_over_group, requests.FailOverGroup, GroupRecord),
    Route("POST", "/v1/groups/{id}/snapshots", "group_snapshot.create", Role.OPERATE,
          group_verbs.create_group_snapshot, requests.CreateGroupSnapshot, GroupSnapshotRecord),
    Route("GET", "/v1/group-snapshots", "group_snapshot.list", Role.READ,
          group_verbs.list_group_snapshots, answer=list[GroupSnapshotRecord], query=_GROUPS),
    Route("GET", "/v1/group-snapshots/{id}", "group_snapshot.show", Role.READ,
          group_verbs.show_group_snapshot, answer=GroupSnapshotRecord),
    Route("DELETE", "/v1/group-snapshots/{id}", "group_snapshot.delete", Role.OPERATE,
          group_verbs.delete_group_snapshot),
    Route("GET", "/v1/connections", "connection.list", Role.NODE,
          connection_verbs.list_connections, answer=list[ConnectionRecord],
          query=_PAGE | _OF | _KEYS | {"attached_host": "only those of this host"}),
    Route("GET", "/v1/connections/{id}", "connection.show", Role.NODE,
          connection_verbs.show_connection, answer=ConnectionRecord, query=_KEYS),
    Route("POST", "/v1/connections/{id}/disconnect", "connection.disconnect", Role.NODE,
          connection_verbs.disconnect, requests.Force),
    Route("PUT", "/v1/connections/{id}/device", "connection.report", Role.NODE,
          connection_verbs.report_device, requests.ReportDevice, ConnectionRecord),
    Route("GET", "/v1/backends", "backend.list", Role.READ, verbs.list_backends,
          answer=list[dict[str, Any]]),
    Route("GET", "/v1/backends/{id}", "backend.show", Role.READ, verbs.show_backend),
    Route("GET", "/v1/backends/{id}/capabilities", "backend.capabilities", Role.READ,
          verbs.show_capabilities, answer=list[dict[str, Any]]),
    Route("POST", "/v1/backends/{id}/validate-connector", "backend.validate_connector",
          Role.READ, verbs.validate_connector, requests.RegisterNode),
    Route("GET", "/v1/volumes/{id}/name-in-storage", "volume.name", Role.READ,
          verbs.volume_in_storage, query=_BY_NAME),
    Route("GET", "/v1/snapshots/{id}/name-in-storage", "snapshot.name", Role.READ,
          verbs.snapshot_in_storage, query=_OF_NAMED),
    Route("GET", "/v1/backends/{id}/stats", "backend.stats", Role.READ, verbs.show_stats,
          query={"refresh": "'true' to ask the storage"}),
    Route("GET", "/v1/backends/{id}/capacity", "backend.capacity", Role.READ,
          verbs.show_capacity, query={"pool": "only that of this pool"}),
    Route("GET", "/v1/backends/{id}/manageable-volumes", "volume.list_manageable",
          Role.ADMINISTER, manage_verbs.list_manageable_volumes, answer=list[dict[str, Any]],
          query=_MANAGEABLE),
    Route("GET", "/v1/backends/{id}/manageable-snapshots", "snapshot.list_manageable",
          Role.ADMINISTER, manage_verbs.list_manageable_snapshots, answer=list[dict[str, Any]],
          query=_MANAGEABLE),
    Route("POST", "/v1/backends/{id}/manage-volume", "volume.manage", Role.ADMINISTER,
          manage_verbs.manage_volume, requests.ManageVolume, VolumeRecord),
    Route("POST", "/v1/volumes/{id}/unmanage", "volume.unmanage", Role.ADMINISTER,
          manage_verbs.unmanage_volume),
    Route("POST", "/v1/volumes/{id}/manage-snapshot", "snapshot.manage", Role.ADMINISTER,
          manage_verbs.manage_snapshot, requests.ManageSnapshot, SnapshotRecord),
    Route("POST", "/v1/snapshots/{id}/unmanage", "snapshot.unmanage", Role.ADMINISTER,
          manage_verbs.unmanage_snapshot),
    Route("POST", "/v1/backends/{id}/reconcile", "backend.reconcile", Role.ADMINISTER,
          verbs.reconcile, requests.Reconcile, list[dict[str, Any]]),
    Route("POST", "/v1/backends/{id}/restore-exports", "backend.restore_exports",
          Role.ADMINISTER, verbs.restore_exports, answer=list[str]),
    Route("GET", "/v1/backends/{id}/replication", "backend.replication", Role.READ,
          replication_verbs.show),
    Route("POST", "/v1/backends/{id}/failover", "backend.failover", Role.ADMINISTER,
          replication_verbs.fail_over, requests.FailOver),
    Route("POST", "/v1/backends/{id}/freeze", "backend.freeze", Role.ADMINISTER,
          replication_verbs.freeze),
    Route("POST", "/v1/backends/{id}/thaw", "backend.thaw", Role.ADMINISTER,
          replication_verbs.thaw),
    Route("GET", "/v1/nodes", "node.list", Role.READ, verbs.list_nodes,
          answer=list[dict[str, Any]]),
    Route("GET", "/v1/nodes/{id}", "node.show", Role.READ, verbs.show_node),
    Route("PUT", "/v1/nodes/{id}", "node.register", Role.NODE,
          connection_verbs.register_node, requests.RegisterNode),
    Route("GET", "/v1/history", "history", Role.READ, history_verbs.show_history,
          answer=list[Operation], query=_HISTORY),
    Route("POST", "/v1/recover", "recover", Role.ADMINISTER, verbs.recover,
          answer=list[dict[str, Any]]),
)  # fmt: skip
