"""An array with replicas on two others, for tests of replication."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from api.shared_array import SharedArray
from cinder import exception


class ReplicatedArray(SharedArray):
    """Appends its calls for replication to the file ``.replication`` in its folder.

    If the folder has a file ``.fails``, failover and thaw fail. If it has a file ``.lost``, the
    storage of the backend cannot be reached, and its replicas can.
    """

    #: What each driver object was loaded for, in their order.
    loaded_for: ClassVar[list[str | None]] = []

    def __init__(self, *args: Any, active_backend_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._active = active_backend_id
        self.loaded_for.append(active_backend_id)

    def do_setup(self, context: Any) -> None:
        if self._active is None and (self._root / ".lost").exists():
            raise exception.VolumeBackendAPIException(data="the array does not answer")
        super().do_setup(context)

    @property
    def _root(self) -> Path:
        return Path(self.configuration.safe_get("file_root"))

    def _note(self, *words: Any) -> None:
        with (self._root / ".replication").open("a") as file:
            print(os.getpid(), *words, file=file)
        if (self._root / ".fails").exists():
            raise exception.UnableToFailOver(reason="the link is down")

    def failover_host(
        self, context: Any, volumes: Any, secondary_id: str | None = None, groups: Any = None
    ) -> Any:
        self._note("failover", secondary_id, len(volumes))
        if secondary_id == "third":
            raise exception.InvalidReplicationTarget(reason="third has no license")
        self._active = None if secondary_id == "default" else secondary_id or "second"
        changes = {"provider_location": self._active, "replication_driver_data": "data"}
        found = [{"volume_id": each.id, "updates": dict(changes)} for each in volumes]
        for each in found:
            if (self._root / f".broken-{each['volume_id']}").exists():
                each["updates"] = {"status": "error", "replication_status": "failover-error"}
        return self._active or "default", found, []

    def freeze_backend(self, context: Any) -> None:
        self._note("freeze")

    def thaw_backend(self, context: Any) -> None:
        self._note("thaw")


class Unable(SharedArray):
    """Has replication devices in its configuration, and no method for failover."""
