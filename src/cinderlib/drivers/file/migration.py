"""Moves volumes to another folder of this host, and names the copies of migrated volumes."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from cinder import exception
from oslo_config import cfg

from cinderlib.drivers.file import loop, sparse
from cinderlib.drivers.file.folder import Folder, explained


class Migration:
    """The methods of the driver for migrations.

    The backends of one host recognize each other by ``location_info`` in their capabilities.
    """

    _folder: Folder
    on_progress: sparse.Progress

    def _location(self) -> str:
        return f"{_here()}{self._folder.root}"

    def migrate_volume(
        self, context: Any, volume: Any, host: dict[str, Any]
    ) -> tuple[bool, dict[str, Any] | None]:
        """Move the file to the folder of another backend of this host. A file is complete in one of
        the folders at any time."""
        location = host["capabilities"].get("location_info") or ""
        root = Path(location.removeprefix(_here()))
        if not location.startswith(_here()) or not root.is_dir():
            return False, None
        source = self._folder.free_path(volume.name, "moved")
        target = Folder(root).path(volume.name)
        with explained(f"move {source} to {root}"):
            if not root.samefile(self._folder.root):
                sparse.move(
                    source,
                    target,
                    flush=lambda: loop.flush(source),
                    progress=lambda done, total: self.on_progress(done, total),
                )
        return True, None

    def update_migrated_volume(
        self, context: Any, volume: Any, new_volume: Any, original_volume_status: str
    ) -> dict[str, Any]:
        """Rename the file of the copy to the name of the volume, unless it is in use or the folder
        has a file with that name."""
        kept = {"_name_id": new_volume.name_id}
        if original_volume_status != "available":
            return kept
        source = self._folder.free_path(new_volume.name, "renamed")
        target = self._folder.path(cfg.CONF.volume_name_template % volume.id)
        with explained(f"rename {source} to {target.name}"):
            if source == target:
                return {"_name_id": None}
            with contextlib.suppress(FileExistsError):
                sparse.rename(source, target)
            if target.exists() and source.exists() and target.samefile(source):
                sparse.remove(source)  # an earlier call was interrupted before it did so
            if source.exists():
                return kept
        if not target.exists():
            raise exception.VolumeNotFound(volume_id=new_volume.id)
        return {"_name_id": None}


def _here() -> str:
    return f"FileDriver:{socket.gethostname()}:"
