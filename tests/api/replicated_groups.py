"""An array that replicates groups, for tests of their replication."""

from __future__ import annotations

from typing import Any

from api.replicated_array import ReplicatedArray
from cinder import exception
from cinder.volume import volume_utils


class ReplicatedGroups(ReplicatedArray):
    """Replicates groups that have the spec for it.

    If the folder has a file ``.reports``, a call for the replication of a group reports an error;
    if it has a file ``.at-once``, a new group is replicated at once.
    """

    def create_group(self, context: Any, group: Any) -> Any:
        found = super().create_group(context, group)
        if (self._root / ".at-once").exists():
            return {"status": "available", "replication_status": "enabled"}
        return found

    def _replicate(self, verb: str, group: Any, volumes: Any, status: str, *words: Any) -> Any:
        assert volume_utils.is_group_a_type(group, "consistent_group_replication_enabled")
        assert {each.id for each in group.volumes} == {each.id for each in volumes}
        self._note(verb, group.replication_status, len(volumes), *words)
        updates = [
            {"id": each.id, "replication_status": status, "replication_driver_data": verb}
            for each in volumes
        ]
        if (self._root / ".reports").exists():
            updates[0]["replication_status"] = "error"
        return {"replication_status": status}, updates

    def enable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        return self._replicate("enable", group, volumes, "enabled")

    def disable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        return self._replicate("disable", group, volumes, "disabled")

    def failover_replication(
        self, context: Any, group: Any, volumes: Any, secondary_backend_id: str | None = None
    ) -> Any:
        if secondary_backend_id == "third":
            raise exception.InvalidReplicationTarget(reason="third has no license")
        status = "enabled" if secondary_backend_id == "default" else "failed-over"
        return self._replicate("failover-group", group, volumes, status, secondary_backend_id)

    def failover_host(
        self, context: Any, volumes: Any, secondary_id: str | None = None, groups: Any = None
    ) -> Any:
        active, found, _ = super().failover_host(context, volumes, secondary_id, groups)
        status = "enabled" if secondary_id == "default" else "failed-over"
        updates = [
            {"group_id": each.id, "updates": {"replication_status": status}} for each in groups
        ]
        for each in groups:
            self._note("group", each.replication_status, len(each.volumes))
        return active, found, updates
