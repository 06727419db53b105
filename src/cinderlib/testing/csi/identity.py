"""Tests of the service Identity."""

from __future__ import annotations

import re

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import Plugin, is_ready


class IdentityTests:
    """The service Identity."""

    def test_the_name_is_valid(self, csi: Plugin) -> None:
        info = csi.repeat("GetPluginInfo")
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", info.name)
        assert info.vendor_version

    def test_the_plugin_has_a_controller(self, csi: Plugin) -> None:
        answer = csi.repeat("GetPluginCapabilities")
        services = {each.service.type for each in answer.capabilities if each.HasField("service")}
        assert m.PluginCapability.Service.CONTROLLER_SERVICE in services

    def test_the_plugin_is_ready(self, csi: Plugin) -> None:
        assert is_ready(csi.repeat("Probe"))

    def test_capabilities_are_known_and_unique(self, csi: Plugin) -> None:
        for method in ("ControllerGetCapabilities", "NodeGetCapabilities"):
            found = [each.rpc.type for each in csi.repeat(method).capabilities]
            assert len(found) == len(set(found))
            assert 0 not in found

    def test_the_node_has_an_id(self, csi: Plugin) -> None:
        answer = csi.repeat("NodeGetInfo")
        assert 0 < len(answer.node_id.encode()) <= 256
        assert answer.max_volumes_per_node >= 0
