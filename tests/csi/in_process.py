"""The service Controller without gRPC."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import cinderlib as cl
from cinderlib.csi import settings
from cinderlib.csi.controller.context import Context
from cinderlib.csi.controller.groups import GroupControllerService
from cinderlib.csi.controller.service import ControllerService
from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import GIB, mount


class Calls:
    """The service Controller with the embedded driver.

    :param backend: the name of the backend.
    :param store: options of the store.
    :param options: of the backend, in addition to its folder.
    :param table: ``[csi]`` of the configuration.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        backend: str = "files",
        store: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **table: Any,
    ) -> None:
        chosen = settings.read({"keys": "A" * 43 + "=", "name": "test", **table}, "controller")
        (folder / "volumes").mkdir()
        self.settings = chosen
        self.controller = cl.Controller(
            {"storage": "memory", **(store or {})}, state_path=folder / "state"
        )
        common = {"volume_driver": "file", "file_root": str(folder / "volumes")}
        self.backend = self.controller.backend(backend, **common | dict(options or {}))
        context = Context(chosen, self.controller, (backend,), lambda name: self.backend)
        self.service = ControllerService(context)
        self.groups = GroupControllerService(context)

    def create(
        self,
        name: str,
        parameters: Mapping[str, str] | None = None,
        mutable: Mapping[str, str] | None = None,
        source: str = "",
    ) -> cl.Volume:
        request = m.CreateVolumeRequest(
            name=name,
            capacity_range=m.CapacityRange(required_bytes=GIB),
            volume_capabilities=[mount()],
            parameters=parameters,
            mutable_parameters=mutable,
        )
        if source:
            request.volume_content_source.volume.volume_id = source
        return self.controller.volume(self.service.create_volume(request).volume.volume_id)

    def modify(self, volume: cl.Volume, mutable: Mapping[str, str]) -> cl.Volume:
        request = m.ControllerModifyVolumeRequest(volume_id=volume.id, mutable_parameters=mutable)
        self.service.controller_modify_volume(request)
        return self.controller.volume(volume.id)
