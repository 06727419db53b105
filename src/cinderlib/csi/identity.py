"""The service Identity: name, version, capabilities, readiness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cinderlib
from cinderlib.csi.settings import Settings
from cinderlib.csi.wire import messages as m


class IdentityService:
    """Answers the service Identity.

    :param ready: returns whether the plug-in is ready, or raises the error with the reason.
    """

    def __init__(self, settings: Settings, ready: Callable[[], bool]) -> None:
        self._settings = settings
        self._ready = ready

    def get_plugin_info(self, request: Any) -> Any:
        """Name and version."""
        return m.GetPluginInfoResponse(
            name=self._settings.name,
            vendor_version=cinderlib.__version__,
            manifest={"mode": self._settings.mode},
        )

    def get_plugin_capabilities(self, request: Any) -> Any:
        """What the plug-in does as a whole."""
        service, expansion = m.PluginCapability.Service, m.PluginCapability.VolumeExpansion
        services = []
        if self._settings.mode != "node":
            services += [service.CONTROLLER_SERVICE, service.GROUP_CONTROLLER_SERVICE]
        if self._settings.has_topology:
            services.append(service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        capabilities = [m.PluginCapability(service=service(type=each)) for each in services]
        online = expansion(type=expansion.ONLINE)
        capabilities.append(m.PluginCapability(volume_expansion=online))
        return m.GetPluginCapabilitiesResponse(capabilities=capabilities)

    def probe(self, request: Any) -> Any:
        """Whether it can work now; the error has the reason."""
        response = m.ProbeResponse()
        response.ready.value = self._ready()
        return response
