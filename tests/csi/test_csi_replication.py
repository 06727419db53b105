"""A backend that has failed over, or is frozen, as the orchestrator sees it."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from in_process import Calls

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import node_identity
from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import mount

REPLICATED = {"spec.replication_enabled": "<is> True"}


def test_a_backend_that_has_failed_over(tmp_path: pathlib.Path) -> None:
    calls = _calls(tmp_path)
    kept, lost = calls.create("kept", REPLICATED), calls.create("lost")
    assert _free(calls) > 0
    calls.backend.failover("second")
    assert _free(calls) == 0
    refused = "replication is 'failed-over', on 'second'.*backend failback files"
    for source in ("", kept.id):
        with pytest.raises(errors.InvalidState, match=refused) as caught:
            calls.create("new", source=source)
        assert caught.value.code == "FAILED_PRECONDITION"
    assert {each.id for each in calls.controller.volumes()} == {kept.id, lost.id}
    # A repeated call for a volume that exists succeeds.
    assert calls.create("kept", REPLICATED).id == kept.id
    assert not _condition(calls, kept).abnormal
    condition = _condition(calls, lost)
    assert condition.abnormal
    assert condition.message == (
        "The volume is 'error'. Backend 'files' has failed over, and the volume has no replica."
    )
    node_id = node_identity.encode({"host": "node", "initiator": "iqn.1993-08.org.debian:01:a"})
    request = m.ControllerPublishVolumeRequest(node_id=node_id, volume_capability=mount())
    request.volume_id = lost.id
    with pytest.raises(errors.InvalidState):
        calls.service.controller_publish_volume(request)
    request.volume_id = kept.id
    calls.service.controller_publish_volume(request)
    calls.backend.failback()
    assert _free(calls) > 0
    assert not _condition(calls, lost).abnormal
    calls.create("new")
    calls.controller.close()


def test_a_node_does_not_get_the_storage_before_a_failover_again(tmp_path: pathlib.Path) -> None:
    calls = _calls(tmp_path)
    volume = calls.create("kept", REPLICATED)
    node_id = node_identity.encode({"host": "node", "initiator": "iqn.1993-08.org.debian:01:a"})
    ids = {"volume_id": volume.id, "node_id": node_id}
    publish = m.ControllerPublishVolumeRequest(**ids, volume_capability=mount())
    calls.service.controller_publish_volume(publish)
    assert not _condition(calls, volume).abnormal
    calls.backend.failover("second")
    with pytest.raises(errors.InvalidVolume, match="before a failover") as caught:
        calls.service.controller_publish_volume(publish)
    assert caught.value.code == "FAILED_PRECONDITION"
    condition = _condition(calls, volume)
    assert condition.abnormal
    assert "node uses the storage that the volume had before a failover" in condition.message
    (entry,) = calls.service.list_volumes(m.ListVolumesRequest()).entries
    assert entry.status.volume_condition == condition
    calls.service.controller_unpublish_volume(m.ControllerUnpublishVolumeRequest(**ids))
    calls.service.controller_publish_volume(publish)
    assert not _condition(calls, volume).abnormal
    calls.controller.close()


def test_a_frozen_backend(tmp_path: pathlib.Path) -> None:
    calls = _calls(tmp_path)
    calls.backend.freeze()
    assert _free(calls) == 0
    with pytest.raises(errors.InvalidState, match=r"it is frozen.*backend thaw files"):
        calls.create("new")
    calls.backend.thaw()
    calls.create("new")
    calls.controller.close()


def _calls(folder: pathlib.Path) -> Calls:
    options = {
        "volume_driver": "api.replicated_array.ReplicatedArray",
        "replication_device": "backend_id:second",
    }
    return Calls(folder, options=options)


def _free(calls: Calls) -> int:
    free: int = calls.service.get_capacity(m.GetCapacityRequest()).available_capacity
    return free


def _condition(calls: Calls, volume: cl.Volume) -> Any:
    request = m.ControllerGetVolumeRequest(volume_id=volume.id)
    return calls.service.controller_get_volume(request).status.volume_condition
