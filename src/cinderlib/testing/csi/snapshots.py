"""Tests of snapshots on the controller."""

from __future__ import annotations

import grpc
import pytest

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import CODE, Plugin
from cinderlib.testing.csi.volumes import UNKNOWN, csi_needs


class SnapshotTests:
    """CreateSnapshot, DeleteSnapshot, ListSnapshots, GetSnapshot."""

    needs = ("CREATE_DELETE_SNAPSHOT",)

    def test_create_is_idempotent_by_name(self, csi: Plugin) -> None:
        volume = csi.volume()
        fields = {"name": csi.name(), "source_volume_id": volume.volume_id}
        snapshot = csi.repeat("CreateSnapshot", **fields).snapshot
        csi.undo("DeleteSnapshot", snapshot.snapshot_id, snapshot_id=snapshot.snapshot_id)
        assert snapshot.source_volume_id == volume.volume_id
        assert snapshot.creation_time.seconds > 0

    def test_create_with_another_source(self, csi: Plugin) -> None:
        name = csi.name()
        csi.snapshot(csi.volume().volume_id, name)
        fields = {"name": name, "source_volume_id": csi.volume().volume_id}
        csi.refused(CODE.ALREADY_EXISTS, "CreateSnapshot", **fields)

    @pytest.mark.parametrize("missing", ["name", "source_volume_id"])
    def test_create_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = {"name": csi.name(), "source_volume_id": csi.volume().volume_id}
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "CreateSnapshot", **fields)

    def test_create_of_an_unknown_volume(self, csi: Plugin) -> None:
        fields = {"name": csi.name(), "source_volume_id": UNKNOWN}
        csi.refused(CODE.NOT_FOUND, "CreateSnapshot", **fields)

    def test_create_with_the_longest_name(self, csi: Plugin) -> None:
        assert csi.snapshot(csi.volume().volume_id, csi.name(128)).snapshot_id

    def test_delete_is_idempotent(self, csi: Plugin) -> None:
        snapshot = csi.snapshot(csi.volume().volume_id)
        csi.repeat("DeleteSnapshot", snapshot_id=snapshot.snapshot_id)

    def test_delete_of_an_unknown_snapshot(self, csi: Plugin) -> None:
        csi.call("DeleteSnapshot", snapshot_id=UNKNOWN)
        csi.refused(CODE.INVALID_ARGUMENT, "DeleteSnapshot")

    def test_a_volume_with_snapshots_stays_whole(self, csi: Plugin) -> None:
        """It is either refused, or the snapshot is independent of it."""
        volume = csi.volume()
        snapshot = csi.snapshot(volume.volume_id)
        try:
            csi.call("DeleteVolume", volume_id=volume.volume_id)
        except grpc.RpcError as error:
            assert error.code() == CODE.FAILED_PRECONDITION
        source = m.VolumeContentSource()
        source.snapshot.snapshot_id = snapshot.snapshot_id
        assert csi.volume(volume_content_source=source).volume_id

    def test_a_volume_from_a_snapshot_is_idempotent(self, csi: Plugin) -> None:
        source = m.VolumeContentSource()
        source.snapshot.snapshot_id = csi.snapshot(csi.volume().volume_id).snapshot_id
        name = csi.name()
        first = csi.volume(name, volume_content_source=source)
        for _ in range(9):
            assert csi.volume(name, volume_content_source=source) == first
        assert first.content_source == source

    def test_list_one(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_SNAPSHOTS")
        snapshot = csi.snapshot(csi.volume().volume_id)
        (entry,) = csi.repeat("ListSnapshots", snapshot_id=snapshot.snapshot_id).entries
        assert entry.snapshot == snapshot
        assert not csi.call("ListSnapshots", snapshot_id=UNKNOWN).entries

    def test_list_of_a_volume(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_SNAPSHOTS")
        volume = csi.volume()
        csi.snapshot(csi.volume().volume_id)
        own = [csi.snapshot(volume.volume_id).snapshot_id for _ in range(2)]
        found = csi.call("ListSnapshots", source_volume_id=volume.volume_id)
        assert [each.snapshot.snapshot_id for each in found.entries] == own
        assert not csi.call("ListSnapshots", source_volume_id=UNKNOWN).entries

    @pytest.mark.parametrize("of_volume", [False, True])
    def test_list_by_pages(self, csi: Plugin, of_volume: bool) -> None:
        csi_needs(csi, "LIST_SNAPSHOTS")
        volume = csi.volume().volume_id
        created = [csi.snapshot(volume).snapshot_id for _ in range(3)]
        where = {"source_volume_id": volume} if of_volume else {}
        found: list[str] = []
        token = ""
        while True:
            answer = csi.call("ListSnapshots", max_entries=1, starting_token=token, **where)
            found += [each.snapshot.snapshot_id for each in answer.entries]
            token = answer.next_token
            if not token:
                break
        assert [each for each in found if each in created] == created
        assert len(found) == len(set(found))

    def test_an_invalid_token(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_SNAPSHOTS")
        csi.refused(CODE.ABORTED, "ListSnapshots", starting_token="no token")

    def test_get(self, csi: Plugin) -> None:
        csi_needs(csi, "GET_SNAPSHOT")
        snapshot = csi.snapshot(csi.volume().volume_id)
        answer = csi.repeat("GetSnapshot", snapshot_id=snapshot.snapshot_id)
        assert answer.snapshot == snapshot
        csi.refused(CODE.NOT_FOUND, "GetSnapshot", snapshot_id=UNKNOWN)
        csi.refused(CODE.INVALID_ARGUMENT, "GetSnapshot")
