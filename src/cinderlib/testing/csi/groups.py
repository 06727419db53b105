"""Tests of snapshots of several volumes."""

from __future__ import annotations

import pytest

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import CODE, Plugin
from cinderlib.testing.csi.volumes import UNKNOWN


class GroupSnapshotTests:
    """CreateVolumeGroupSnapshot, DeleteVolumeGroupSnapshot, GetVolumeGroupSnapshot."""

    needs = ("GROUP_CONTROLLER_SERVICE",)

    def _volumes(self, csi: Plugin) -> list[str]:
        return [csi.volume().volume_id for _ in range(2)]

    def test_create_is_idempotent_by_name(self, csi: Plugin) -> None:
        volumes = self._volumes(csi)
        fields = {"name": csi.name(), "source_volume_ids": volumes}
        taken = csi.repeat("CreateVolumeGroupSnapshot", **fields).group_snapshot
        id = taken.group_snapshot_id
        csi.undo("DeleteVolumeGroupSnapshot", id, group_snapshot_id=id)
        assert sorted(each.source_volume_id for each in taken.snapshots) == sorted(volumes)
        assert {each.group_snapshot_id for each in taken.snapshots} == {id}
        assert taken.creation_time.seconds > 0

    def test_volumes_can_be_in_several_group_snapshots(self, csi: Plugin) -> None:
        volumes = self._volumes(csi)
        first, second = (csi.group_snapshot(volumes).group_snapshot_id for _ in range(2))
        assert first != second

    def test_create_with_other_volumes(self, csi: Plugin) -> None:
        volumes, name = self._volumes(csi), csi.name()
        csi.group_snapshot(volumes, name)
        fields = {"name": name, "source_volume_ids": volumes[:1]}
        csi.refused(CODE.ALREADY_EXISTS, "CreateVolumeGroupSnapshot", **fields)

    @pytest.mark.parametrize("missing", ["name", "source_volume_ids"])
    def test_create_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = {"name": csi.name(), "source_volume_ids": self._volumes(csi)}
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolumeGroupSnapshot", **fields)

    def test_create_of_an_unknown_volume(self, csi: Plugin) -> None:
        volumes = [*self._volumes(csi), UNKNOWN]
        fields = {"name": csi.name(), "source_volume_ids": volumes}
        csi.refused(CODE.NOT_FOUND, "CreateVolumeGroupSnapshot", **fields)

    def test_a_snapshot_is_not_deleted_alone(self, csi: Plugin) -> None:
        taken = csi.group_snapshot(self._volumes(csi))
        id = taken.snapshots[0].snapshot_id
        csi.refused(CODE.INVALID_ARGUMENT, "DeleteSnapshot", snapshot_id=id)

    def test_a_volume_from_a_snapshot(self, csi: Plugin) -> None:
        source = m.VolumeContentSource()
        taken = csi.group_snapshot(self._volumes(csi))
        source.snapshot.snapshot_id = taken.snapshots[1].snapshot_id
        assert csi.volume(volume_content_source=source).content_source == source

    def test_the_snapshots_are_listed(self, csi: Plugin) -> None:
        taken = csi.group_snapshot(self._volumes(csi))
        listed = [each.snapshot for each in csi.call("ListSnapshots").entries]
        assert all(each in listed for each in taken.snapshots)

    def test_delete_is_idempotent(self, csi: Plugin) -> None:
        taken = csi.group_snapshot(self._volumes(csi))
        fields = {
            "group_snapshot_id": taken.group_snapshot_id,
            "snapshot_ids": [each.snapshot_id for each in taken.snapshots],
        }
        csi.repeat("DeleteVolumeGroupSnapshot", **fields)
        csi.call("DeleteVolumeGroupSnapshot", group_snapshot_id=UNKNOWN)
        csi.refused(CODE.INVALID_ARGUMENT, "DeleteVolumeGroupSnapshot")

    @pytest.mark.parametrize("method", ["DeleteVolumeGroupSnapshot", "GetVolumeGroupSnapshot"])
    def test_other_snapshots(self, csi: Plugin, method: str) -> None:
        taken = csi.group_snapshot(self._volumes(csi))
        fields = {"group_snapshot_id": taken.group_snapshot_id, "snapshot_ids": [UNKNOWN]}
        csi.refused(CODE.INVALID_ARGUMENT, method, **fields)

    def test_get(self, csi: Plugin) -> None:
        taken = csi.group_snapshot(self._volumes(csi))
        fields = {"group_snapshot_id": taken.group_snapshot_id}
        assert csi.repeat("GetVolumeGroupSnapshot", **fields).group_snapshot == taken
        csi.refused(CODE.NOT_FOUND, "GetVolumeGroupSnapshot", group_snapshot_id=UNKNOWN)
        csi.refused(CODE.INVALID_ARGUMENT, "GetVolumeGroupSnapshot")
