"""Tests of the connection between volumes and nodes, on the controller."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib.testing.csi.plugin import CODE, Plugin, mount
from cinderlib.testing.csi.volumes import UNKNOWN, csi_needs


class PublishTests:
    """ControllerPublishVolume and ControllerUnpublishVolume."""

    needs = ("PUBLISH_UNPUBLISH_VOLUME",)

    def _fields(self, csi: Plugin, **fields: Any) -> dict[str, Any]:
        return {"node_id": csi.node_id, "volume_capability": mount(), **fields}

    @pytest.mark.parametrize("missing", ["volume_id", "node_id", "volume_capability"])
    def test_publish_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = self._fields(csi, volume_id=csi.volume().volume_id)
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "ControllerPublishVolume", **fields)

    def test_publish_of_an_unknown_volume(self, csi: Plugin) -> None:
        fields = self._fields(csi, volume_id=UNKNOWN)
        csi.refused(CODE.NOT_FOUND, "ControllerPublishVolume", **fields)

    def test_publish_to_an_unknown_node(self, csi: Plugin) -> None:
        fields = self._fields(csi, volume_id=csi.volume().volume_id, node_id="no-such-node")
        csi.refused(CODE.NOT_FOUND, "ControllerPublishVolume", **fields)

    def test_publish_can_be_repeated(self, csi: Plugin) -> None:
        volume = csi.volume()
        for _ in range(10):
            csi.publish(volume, mount())

    def test_publish_in_another_way(self, csi: Plugin) -> None:
        csi_needs(csi, "PUBLISH_READONLY")
        volume = csi.volume()
        csi.publish(volume, mount())
        fields = self._fields(csi, volume_id=volume.volume_id, readonly=True)
        csi.refused(CODE.ALREADY_EXISTS, "ControllerPublishVolume", **fields)

    def test_unpublish_is_idempotent(self, csi: Plugin) -> None:
        volume = csi.volume()
        csi.publish(volume, mount())
        fields = {"volume_id": volume.volume_id, "node_id": csi.node_id}
        csi.repeat("ControllerUnpublishVolume", **fields)
        csi.call("DeleteVolume", volume_id=volume.volume_id)
        csi.repeat("ControllerUnpublishVolume", **fields)

    def test_unpublish_from_all_nodes(self, csi: Plugin) -> None:
        volume = csi.volume()
        csi.publish(volume, mount())
        csi.repeat("ControllerUnpublishVolume", volume_id=volume.volume_id)
        csi.call("DeleteVolume", volume_id=volume.volume_id)

    def test_unpublish_from_a_node_that_does_not_have_it(self, csi: Plugin) -> None:
        volume = csi.volume()
        csi.repeat("ControllerUnpublishVolume", volume_id=volume.volume_id, node_id=csi.node_id)

    def test_unpublish_without_an_id(self, csi: Plugin) -> None:
        csi.refused(CODE.INVALID_ARGUMENT, "ControllerUnpublishVolume", node_id=csi.node_id)
