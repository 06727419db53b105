"""The groups of a controller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cinderlib import errors, operations, validation, value_checks
from cinderlib.objects.group import Group, GroupSnapshot
from cinderlib.objects.new_volume import place
from cinderlib.objects.volume import Volume
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Store
from cinderlib.records import GroupRecord, GroupSnapshotRecord, new_id

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.operations.journal import Journal

G = TypeVar("G", GroupRecord, GroupSnapshotRecord)


class GroupQueries:
    """The queries of groups of a controller, and the verbs of their objects.

    :ivar store: the store; each group is a key-value.
    """

    store: Store
    if TYPE_CHECKING:
        journal: Journal
        non_uuid_ids: bool

        @property
        def backends(self) -> Mapping[str, Backend]: ...

    def group(self, group_id: str) -> Group:
        """The group with this ID.

        :raises GroupNotFound: no group has that ID.
        """
        record = self._one(GroupRecord, group_id, errors.GroupNotFound)
        return Group(self, record)  # type: ignore[arg-type]

    def group_snapshot(self, group_snapshot_id: str) -> GroupSnapshot:
        """The group snapshot with this ID.

        :raises GroupSnapshotNotFound: no group snapshot has that ID.
        """
        kind = GroupSnapshotRecord
        record = self._one(kind, group_snapshot_id, errors.GroupSnapshotNotFound)
        return GroupSnapshot(self, record)  # type: ignore[arg-type]

    def groups(self, *, backend: str | None = None, name: str | None = None) -> Iterator[Group]:
        """The groups in the order of creation.

        :param backend: only groups on this backend.
        :param name: only groups with exactly this name.
        :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list them.
        """
        for record in self._matching(GroupRecord, backend, name):
            yield Group(self, record)  # type: ignore[arg-type]

    def group_snapshots(
        self, *, backend: str | None = None, name: str | None = None
    ) -> Iterator[GroupSnapshot]:
        """The group snapshots, like :meth:`groups`."""
        for record in self._matching(GroupSnapshotRecord, backend, name):
            yield GroupSnapshot(self, record)  # type: ignore[arg-type]

    def _one(self, kind: type[G], id: Any, not_found: type[errors.NotFound]) -> G:
        record = self._find_group(kind, id) if isinstance(id, str) and id else None
        if record is None:
            what = kind.kind.capitalize().replace("_", " ")
            raise not_found(f"{what} {value_checks.shown(id)} does not exist", resource=id)
        return record

    def _matching(self, kind: type[G], backend: str | None, name: str | None) -> Iterator[G]:
        wanted = {
            "backend": value_checks.check_optional_text(backend, "backend"),
            "name": value_checks.check_optional_text(name, "name"),
        }
        for record in self._every_group(kind):
            if all(v is None or getattr(record, f) == v for f, v in wanted.items()):
                yield record

    # --- for the objects; the controller of a service has others ---------------------------------

    def _check_group_id(self, id: Any) -> str:
        """The ID of a new group or group snapshot."""
        return validation.check_id(id, "group", non_uuid_ids=self.non_uuid_ids)

    def _find_group(self, kind: type[G], id: str) -> G | None:
        """The record of a group or group snapshot, or ``None``."""
        return in_key_values.find(self.store, kind, id)

    def _every_group(self, kind: type[G]) -> Iterator[G]:
        """The records of all groups or group snapshots."""
        return in_key_values.iterate(self.store, kind)

    def _create_group(
        self, group: GroupRecord, asked: Mapping[str, Any]
    ) -> tuple[GroupRecord, bool]:
        """Create the group of a record; ``Backend.create_group`` builds it."""
        return operations.groups.create(self.journal, group, asked)

    def _copy_group(
        self, group: GroupRecord, asked: Mapping[str, Any], *, one_after_another: bool = False
    ) -> tuple[GroupRecord, bool]:
        """Create the group of a record with the data of the source; ``Group.clone`` and
        ``GroupSnapshot.create_group`` build it."""
        return operations.copy_group.create(
            self.journal, group, asked, one_after_another=one_after_another
        )

    def _change_group(
        self, group_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[GroupRecord, bool]:
        """Change the volumes of a group; see ``Group.add`` and ``Group.remove``."""
        return operations.groups.change(self.journal, group_id, add, remove)

    def _delete_group(self, group_id: str, *, with_volumes: bool = False) -> bool:
        """Delete a group; see ``Group.delete``."""
        return operations.delete_group.delete(self.journal, group_id, with_volumes=with_volumes)

    def _enable_group_replication(self, group_id: str) -> tuple[GroupRecord, bool]:
        """Replicate a group; see ``Group.enable_replication``."""
        return operations.group_replication.enable(self.journal, group_id)

    def _disable_group_replication(self, group_id: str) -> tuple[GroupRecord, bool]:
        """Stop the replication of a group; see ``Group.disable_replication``."""
        return operations.group_replication.disable(self.journal, group_id)

    def _fail_over_group(
        self, group_id: str, to: str | None, *, allow_attached: bool = False
    ) -> tuple[GroupRecord, bool]:
        """Fail over a group, or fail it back; see ``Group.failover``."""
        return operations.group_replication.failover(
            self.journal, group_id, to, allow_attached=allow_attached
        )

    def _create_group_snapshot(
        self, record: GroupSnapshotRecord, *, one_after_another: bool = False
    ) -> tuple[GroupSnapshotRecord, bool]:
        """Take the group snapshot of a record; ``Group.create_snapshot`` builds it."""
        asked = {f: v for f in ("name", "description") if (v := getattr(record, f))}
        return operations.group_snapshots.create(
            self.journal, record, asked, one_after_another=one_after_another
        )

    def _delete_group_snapshot(self, group_snapshot_id: str) -> bool:
        """Delete a group snapshot; see ``GroupSnapshot.delete``."""
        return operations.delete_group_snapshot.delete(self.journal, group_snapshot_id)


def create(
    backend: Backend,
    name: str,
    volumes: Iterable[Volume],
    description: str,
    id: str | None,
    group_specs: Mapping[str, str] | None,
) -> Group:
    """Create a group of a backend; see ``Backend.create_group``."""
    controller = backend.controller
    members = list(value_checks.check_items(volumes, Volume, "volumes"))
    ids = tuple(dict.fromkeys(each.id for each in members))
    asked: dict[str, Any] = {"volume_ids": ids} if ids else {}
    for field, value in (
        ("name", validation.check_name(name)),
        ("description", validation.check_description(description)),
        (
            "group_specs",
            validation.check_specs({} if group_specs is None else group_specs, "group_specs"),
        ),
    ):
        if value:
            asked[field] = value
    record = GroupRecord(
        id=new_id() if id is None else controller._check_group_id(id),
        backend=backend.id,
        host=members[0].host if members else place(backend, None),
        user_id=controller.user_id,
        project_id=controller.project_id,
        **asked,
    )
    stored_record, changed = controller._create_group(record, asked)
    group = Group(controller, stored_record)
    group.changed = changed
    return group
