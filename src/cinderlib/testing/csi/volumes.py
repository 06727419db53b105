"""Tests of volumes on the controller: the error tables and the rules for repeated calls."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import CODE, GIB, MODE, Plugin, block, mount

UNKNOWN = "c0ffee00-0000-4000-8000-000000000000"


def _new(csi: Plugin, **fields: Any) -> dict[str, Any]:
    return {
        "name": csi.name(),
        "capacity_range": m.CapacityRange(required_bytes=csi.size),
        "volume_capabilities": [mount()],
        "parameters": csi.parameters,
        **fields,
    }


class VolumeTests:
    """CreateVolume, DeleteVolume, ControllerExpandVolume, ListVolumes, ..."""

    # --- CreateVolume ---------------------------------------------------------------------------

    def test_create_is_idempotent_by_name(self, csi: Plugin) -> None:
        fields = _new(csi)
        volume = csi.repeat("CreateVolume", **fields).volume
        csi.undo("DeleteVolume", volume.volume_id, volume_id=volume.volume_id)
        assert volume.volume_id
        assert volume.capacity_bytes >= csi.size

    def test_create_without_a_size(self, csi: Plugin) -> None:
        assert csi.volume(capacity_range=None).capacity_bytes > 0

    @pytest.mark.parametrize("length", [1, 128])
    def test_names_of_any_length(self, csi: Plugin, length: int) -> None:
        assert csi.volume(name=csi.name(length)).volume_id

    @pytest.mark.parametrize("missing", ["name", "volume_capabilities"])
    def test_create_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = _new(csi)
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)

    @pytest.mark.parametrize(
        "capability",
        [
            m.VolumeCapability(),
            m.VolumeCapability(block=m.VolumeCapability.BlockVolume()),
            m.VolumeCapability(access_mode=MODE(mode=MODE.SINGLE_NODE_WRITER)),
            mount(filesystem="no-such-filesystem"),
        ],
        ids=["empty", "without a mode", "without a type", "unknown filesystem"],
    )
    def test_create_with_an_invalid_capability(self, csi: Plugin, capability: Any) -> None:
        fields = _new(csi, volume_capabilities=[capability])
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)

    def test_create_with_an_unknown_parameter(self, csi: Plugin) -> None:
        fields = _new(csi, parameters={**csi.parameters, "no-such-parameter": "x"})
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)

    def test_create_with_another_size(self, csi: Plugin) -> None:
        name = csi.name()
        csi.volume(name=name)
        larger = m.CapacityRange(required_bytes=2 * csi.size)
        fields = _new(csi, name=name, capacity_range=larger)
        csi.refused(CODE.ALREADY_EXISTS, "CreateVolume", **fields)

    def test_create_within_the_limit(self, csi: Plugin) -> None:
        range = m.CapacityRange(required_bytes=csi.size, limit_bytes=2 * csi.size)
        volume = csi.volume(capacity_range=range)
        assert csi.size <= volume.capacity_bytes <= 2 * csi.size

    @pytest.mark.parametrize(
        ("needed", "limit", "code"),
        [
            (2 * GIB, GIB, CODE.INVALID_ARGUMENT),
            (-1, 0, CODE.INVALID_ARGUMENT),
            (0, -1, CODE.INVALID_ARGUMENT),
            (2**62, 0, CODE.OUT_OF_RANGE),
            (1, 1, CODE.OUT_OF_RANGE),
        ],
    )
    def test_create_with_an_impossible_size(
        self, csi: Plugin, needed: int, limit: int, code: Any
    ) -> None:
        range = m.CapacityRange(required_bytes=needed, limit_bytes=limit)
        csi.refused(code, "CreateVolume", **_new(csi, capacity_range=range))

    @pytest.mark.parametrize("kind", ["snapshot", "volume"])
    def test_create_from_an_unknown_source(self, csi: Plugin, kind: str) -> None:
        source = m.VolumeContentSource()
        if kind == "snapshot":
            csi_needs(csi, "CREATE_DELETE_SNAPSHOT")
            source.snapshot.snapshot_id = UNKNOWN
        else:
            csi_needs(csi, "CLONE_VOLUME")
            source.volume.volume_id = UNKNOWN
        fields = _new(csi, volume_content_source=source)
        csi.refused(CODE.NOT_FOUND, "CreateVolume", **fields)

    def test_create_from_an_empty_source(self, csi: Plugin) -> None:
        fields = _new(csi, volume_content_source=m.VolumeContentSource())
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)

    def test_a_clone_is_idempotent(self, csi: Plugin) -> None:
        csi_needs(csi, "CLONE_VOLUME")
        source = m.VolumeContentSource()
        source.volume.volume_id = csi.volume().volume_id
        fields = _new(csi, volume_content_source=source)
        clone = csi.repeat("CreateVolume", **fields).volume
        csi.undo("DeleteVolume", clone.volume_id, volume_id=clone.volume_id)
        assert clone.content_source == source
        fields["volume_content_source"] = None
        csi.refused(CODE.ALREADY_EXISTS, "CreateVolume", **fields)

    def test_a_clone_is_not_smaller_than_its_source(self, csi: Plugin) -> None:
        csi_needs(csi, "CLONE_VOLUME")
        source = m.VolumeContentSource()
        larger = m.CapacityRange(required_bytes=2 * csi.size)
        source.volume.volume_id = csi.volume(capacity_range=larger).volume_id
        fields = _new(csi, volume_content_source=source)
        csi.refused(CODE.OUT_OF_RANGE, "CreateVolume", **fields)

    # --- DeleteVolume ---------------------------------------------------------------------------

    def test_delete_is_idempotent(self, csi: Plugin) -> None:
        volume = csi.volume()
        csi.repeat("DeleteVolume", volume_id=volume.volume_id)

    @pytest.mark.parametrize("id", [UNKNOWN, "not an ID", "../../etc/passwd"])
    def test_delete_of_an_unknown_volume(self, csi: Plugin, id: str) -> None:
        csi.call("DeleteVolume", volume_id=id)

    def test_delete_without_an_id(self, csi: Plugin) -> None:
        csi.refused(CODE.INVALID_ARGUMENT, "DeleteVolume")

    def test_a_published_volume_is_not_deleted(self, csi: Plugin) -> None:
        csi_needs(csi, "PUBLISH_UNPUBLISH_VOLUME")
        volume = csi.volume()
        csi.publish(volume, mount())
        csi.refused(CODE.FAILED_PRECONDITION, "DeleteVolume", volume_id=volume.volume_id)
        csi.call(
            "ValidateVolumeCapabilities", volume_id=volume.volume_id, volume_capabilities=[mount()]
        )

    # --- ValidateVolumeCapabilities -------------------------------------------------------------

    @pytest.mark.parametrize("missing", ["volume_id", "volume_capabilities"])
    def test_validate_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        volume = csi.volume()
        fields = {"volume_id": volume.volume_id, "volume_capabilities": [mount()]}
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "ValidateVolumeCapabilities", **fields)

    def test_validate_of_an_unknown_volume(self, csi: Plugin) -> None:
        fields = {"volume_id": UNKNOWN, "volume_capabilities": [mount()]}
        csi.refused(CODE.NOT_FOUND, "ValidateVolumeCapabilities", **fields)

    def test_validate_confirms_what_is_possible(self, csi: Plugin) -> None:
        volume = csi.volume()
        answer = csi.repeat(
            "ValidateVolumeCapabilities",
            volume_id=volume.volume_id,
            volume_capabilities=[mount()],
            volume_context=volume.volume_context,
        )
        assert list(answer.confirmed.volume_capabilities) == [mount()]
        refused = csi.call(
            "ValidateVolumeCapabilities",
            volume_id=volume.volume_id,
            volume_capabilities=[mount(MODE.MULTI_NODE_MULTI_WRITER)],
        )
        assert not refused.HasField("confirmed")
        assert refused.message

    # --- ListVolumes, ControllerGetVolume -------------------------------------------------------

    def test_list_by_pages(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_VOLUMES")
        created = {csi.volume().volume_id for _ in range(3)}
        found: list[str] = []
        token = ""
        while True:
            answer = csi.call("ListVolumes", max_entries=1, starting_token=token)
            assert len(answer.entries) <= 1
            found += [each.volume.volume_id for each in answer.entries]
            token = answer.next_token
            if not token:
                break
        assert created <= set(found)
        assert len(found) == len(set(found))
        every = [each.volume.volume_id for each in csi.call("ListVolumes").entries]
        # Others can create and delete volumes meanwhile.
        assert [each for each in found if each in created] == [
            each for each in every if each in created
        ]

    def test_a_page_after_a_deleted_volume(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_VOLUMES")
        volumes = [csi.volume().volume_id for _ in range(3)]
        whole = [each.volume.volume_id for each in csi.call("ListVolumes").entries]
        first = whole.index(volumes[0])
        token = csi.call("ListVolumes", max_entries=first + 1).next_token
        csi.call("DeleteVolume", volume_id=volumes[0])
        rest = [
            each.volume.volume_id for each in csi.call("ListVolumes", starting_token=token).entries
        ]
        assert volumes[0] not in rest
        # Others can create and delete volumes meanwhile.
        later = whole[first + 1 :]
        assert [each for each in rest if each in volumes] == [
            each for each in later if each in volumes
        ]

    def test_an_invalid_token(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_VOLUMES")
        csi.refused(CODE.ABORTED, "ListVolumes", starting_token="no token")
        csi.refused(CODE.INVALID_ARGUMENT, "ListVolumes", max_entries=-1)

    def test_the_list_names_the_node(self, csi: Plugin) -> None:
        csi_needs(csi, "LIST_VOLUMES_PUBLISHED_NODES")
        volume = csi.volume()
        csi.publish(volume, mount())
        (entry,) = [
            each
            for each in csi.call("ListVolumes").entries
            if each.volume.volume_id == volume.volume_id
        ]
        assert list(entry.status.published_node_ids) == [csi.node_id]

    def test_get_a_volume(self, csi: Plugin) -> None:
        csi_needs(csi, "GET_VOLUME")
        volume = csi.volume()
        answer = csi.repeat("ControllerGetVolume", volume_id=volume.volume_id)
        assert answer.volume == volume
        assert not answer.status.volume_condition.abnormal
        csi.refused(CODE.NOT_FOUND, "ControllerGetVolume", volume_id=UNKNOWN)
        csi.refused(CODE.INVALID_ARGUMENT, "ControllerGetVolume")

    # --- GetCapacity ----------------------------------------------------------------------------

    def test_capacity(self, csi: Plugin) -> None:
        csi_needs(csi, "GET_CAPACITY")
        assert csi.call("GetCapacity").available_capacity > 0
        answer = csi.call("GetCapacity", parameters=csi.parameters, volume_capabilities=[block()])
        assert answer.available_capacity > 0

    # --- ControllerExpandVolume -----------------------------------------------------------------

    def test_expand_is_idempotent(self, csi: Plugin) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        volume = csi.volume()
        range = m.CapacityRange(required_bytes=2 * csi.size)
        answer = csi.repeat(
            "ControllerExpandVolume", volume_id=volume.volume_id, capacity_range=range
        )
        assert answer.capacity_bytes >= 2 * csi.size

    def test_expand_to_a_smaller_size_changes_nothing(self, csi: Plugin) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        volume = csi.volume(capacity_range=m.CapacityRange(required_bytes=2 * csi.size))
        range = m.CapacityRange(required_bytes=csi.size)
        answer = csi.call(
            "ControllerExpandVolume", volume_id=volume.volume_id, capacity_range=range
        )
        assert answer.capacity_bytes == volume.capacity_bytes

    def test_expand_with_invalid_arguments(self, csi: Plugin) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        volume = csi.volume()
        range = m.CapacityRange(required_bytes=2 * csi.size)
        csi.refused(CODE.INVALID_ARGUMENT, "ControllerExpandVolume", capacity_range=range)
        csi.refused(CODE.INVALID_ARGUMENT, "ControllerExpandVolume", volume_id=volume.volume_id)
        csi.refused(
            CODE.NOT_FOUND, "ControllerExpandVolume", volume_id=UNKNOWN, capacity_range=range
        )
        csi.refused(
            CODE.INVALID_ARGUMENT,
            "ControllerExpandVolume",
            volume_id=volume.volume_id,
            capacity_range=range,
            volume_capability=mount(filesystem="no-such-filesystem"),
        )
        csi.refused(
            CODE.OUT_OF_RANGE,
            "ControllerExpandVolume",
            volume_id=volume.volume_id,
            capacity_range=m.CapacityRange(required_bytes=2**62),
        )

    # --- ControllerModifyVolume -----------------------------------------------------------------

    def test_modify_is_idempotent(self, csi: Plugin) -> None:
        csi_needs(csi, "MODIFY_VOLUME")
        if not csi.mutable_parameters:
            pytest.skip("the suite has no mutable_parameters")
        fields = {
            "volume_id": csi.volume().volume_id,
            "mutable_parameters": csi.mutable_parameters,
        }
        csi.repeat("ControllerModifyVolume", **fields)

    def test_create_with_mutable_parameters(self, csi: Plugin) -> None:
        csi_needs(csi, "MODIFY_VOLUME")
        fields = _new(csi, mutable_parameters=csi.mutable_parameters)
        volume = csi.repeat("CreateVolume", **fields).volume
        csi.undo("DeleteVolume", volume.volume_id, volume_id=volume.volume_id)
        if csi.mutable_parameters:
            fields["mutable_parameters"] = {}
            csi.refused(CODE.ALREADY_EXISTS, "CreateVolume", **fields)

    def test_modify_with_invalid_arguments(self, csi: Plugin) -> None:
        csi_needs(csi, "MODIFY_VOLUME")
        id = csi.volume().volume_id
        unknown = {"no-such-parameter": "x"}
        method = "ControllerModifyVolume"
        csi.refused(CODE.INVALID_ARGUMENT, method, mutable_parameters=csi.mutable_parameters)
        csi.refused(CODE.INVALID_ARGUMENT, method, volume_id=id)
        csi.refused(CODE.INVALID_ARGUMENT, method, volume_id=id, mutable_parameters=unknown)
        known = csi.mutable_parameters
        if known:
            csi.refused(CODE.NOT_FOUND, method, volume_id=UNKNOWN, mutable_parameters=known)
        fields = _new(csi, mutable_parameters=unknown)
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)


def csi_needs(csi: Plugin, *capabilities: str) -> None:
    """Skip a test if the plug-in does not have a capability."""
    for each in capabilities:
        if each not in csi.can | csi.node_can | csi.services:
            pytest.skip(f"the plug-in does not have {each}")
