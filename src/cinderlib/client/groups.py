"""The groups of a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from cinderlib import errors
from cinderlib.objects.groups import GroupQueries
from cinderlib.records import GroupRecord, GroupSnapshotRecord, from_builtins

G = TypeVar("G", GroupRecord, GroupSnapshotRecord)

_PATHS: Mapping[type[GroupRecord | GroupSnapshotRecord], str] = {
    GroupRecord: "/v1/groups",
    GroupSnapshotRecord: "/v1/group-snapshots",
}


class RemoteGroups(GroupQueries):
    """The methods of a :class:`cinderlib.client.controller.RemoteController`."""

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _read(self, path: str, **query: str | None) -> Any:
        raise NotImplementedError

    def _find_group(self, kind: type[G], id: str) -> G | None:
        try:
            return from_builtins(kind, self._read(_path(kind, id)))
        except errors.NotFound:
            return None

    def _every_group(self, kind: type[G]) -> Iterator[G]:
        for each in self._read(_PATHS[kind]):
            yield from_builtins(kind, each)

    def _create_group(
        self, group: GroupRecord, asked: Mapping[str, Any]
    ) -> tuple[GroupRecord, bool]:
        body = {"id": group.id, "backend": group.backend, "name": group.name, **asked}
        return _changed(GroupRecord, self._change("POST", _PATHS[GroupRecord], body))

    def _copy_group(
        self, group: GroupRecord, asked: Mapping[str, Any], *, one_after_another: bool = False
    ) -> tuple[GroupRecord, bool]:
        body: dict[str, Any] = {"id": group.id, "name": group.name, **asked}
        if one_after_another:
            body["one_after_another"] = True
        return _changed(GroupRecord, self._change("POST", _PATHS[GroupRecord], body))

    def _change_group(
        self, group_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[GroupRecord, bool]:
        body = {"add": list(add), "remove": list(remove)}
        return _changed(GroupRecord, self._change("PATCH", _path(GroupRecord, group_id), body))

    def _delete_group(self, group_id: str, *, with_volumes: bool = False) -> bool:
        query = "?volumes=true" if with_volumes else ""
        return bool(self._change("DELETE", _path(GroupRecord, group_id) + query)["changed"])

    def _enable_group_replication(self, group_id: str) -> tuple[GroupRecord, bool]:
        return self._replicated(group_id, "enable-replication", {})

    def _disable_group_replication(self, group_id: str) -> tuple[GroupRecord, bool]:
        return self._replicated(group_id, "disable-replication", {})

    def _fail_over_group(
        self, group_id: str, to: str | None, *, allow_attached: bool = False
    ) -> tuple[GroupRecord, bool]:
        body = {"to": to, "allow_attached": allow_attached}
        return self._replicated(group_id, "failover", body)

    def _replicated(
        self, group_id: str, verb: str, body: Mapping[str, Any]
    ) -> tuple[GroupRecord, bool]:
        path = f"{_path(GroupRecord, group_id)}/{verb}"
        return _changed(GroupRecord, self._change("POST", path, body))

    def _create_group_snapshot(
        self, record: GroupSnapshotRecord, *, one_after_another: bool = False
    ) -> tuple[GroupSnapshotRecord, bool]:
        body = {
            "id": record.id,
            "name": record.name,
            "description": record.description,
            "one_after_another": one_after_another,
        }
        path = f"{_path(GroupRecord, record.group_id)}/snapshots"
        return _changed(GroupSnapshotRecord, self._change("POST", path, body))

    def _delete_group_snapshot(self, group_snapshot_id: str) -> bool:
        path = _path(GroupSnapshotRecord, group_snapshot_id)
        return bool(self._change("DELETE", path)["changed"])


def _path(kind: type[GroupRecord | GroupSnapshotRecord], id: str) -> str:
    return f"{_PATHS[kind]}/{quote(id, safe='')}"


def _changed(kind: type[G], answer: dict[str, Any]) -> tuple[G, bool]:
    changed = bool(answer.pop("changed"))
    return from_builtins(kind, answer), changed
