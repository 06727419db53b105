"""Manages files that other programs created in the folder as volumes and snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cinder import exception
from cinder.volume import volume_utils

from cinderlib.drivers.file import loop, sparse
from cinderlib.drivers.file.folder import GIB, Folder, explained


class Adoption:
    """The manage and unmanage methods of the driver.

    A reference is ``{'source-name': <file>}``, a raw disk image directly in the folder. Manage
    renames it to the name of the volume. After unmanage, it keeps that name and can be managed
    again.
    """

    _folder: Folder

    def manage_existing(self, volume: Any, existing_ref: dict[str, Any]) -> None:
        """Rename a file to the name of a volume, and extend it to a whole number of GiB."""
        self._adopt(volume.name, existing_ref)
        path = self._folder.path(volume.name)
        with explained(f"extend {path}"):
            sparse.extend(path, volume.size * GIB)

    def manage_existing_get_size(self, volume: Any, existing_ref: dict[str, Any]) -> int:
        return self._size_of(existing_ref)

    def unmanage(self, volume: Any) -> None:
        """The file does not change."""

    def manage_existing_snapshot(self, snapshot: Any, existing_ref: dict[str, Any]) -> None:
        """Rename a file to the name of a snapshot, and make it read-only."""
        self._adopt(snapshot.name, existing_ref, mode=0o400)

    def manage_existing_snapshot_get_size(self, snapshot: Any, existing_ref: dict[str, Any]) -> int:
        return self._size_of(existing_ref)

    def unmanage_snapshot(self, snapshot: Any) -> None:
        """The file does not change."""

    def get_manageable_volumes(
        self,
        cinder_volumes: Iterable[Any],
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: list[str],
        sort_dirs: list[str],
    ) -> list[dict[str, Any]]:
        """All files except snapshots; files in use are not safe to manage."""
        files = self._folder.volumes()
        return self._manageable(cinder_volumes, files, marker, limit, offset, sort_keys, sort_dirs)

    def get_manageable_snapshots(
        self,
        cinder_snapshots: Iterable[Any],
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: list[str],
        sort_dirs: list[str],
    ) -> list[dict[str, Any]]:
        """All files with the name of a snapshot. Their volumes are not known."""
        files = self._folder.snapshots()
        return self._manageable(
            cinder_snapshots, files, marker, limit, offset, sort_keys, sort_dirs
        )

    def _manageable(
        self, known: Iterable[Any], files: Iterable[tuple[str, int]], *paging: Any
    ) -> list[dict[str, Any]]:
        managed = {obj.name: obj.id for obj in known}
        entries = []
        for name, size in files:
            reason = None
            if name in managed:
                reason = "already managed"
            elif loop.devices_on(self._folder.path(name)):
                reason = "in use by a loop device"
            entries.append(
                {
                    "reference": {"source-name": name},
                    "size": -(-size // GIB),
                    "cinder_id": managed.get(name),
                    "extra_info": None,
                    "safe_to_manage": reason is None,
                    "reason_not_safe": reason,
                }
            )
        page: list[dict[str, Any]] = volume_utils.paginate_entries_list(entries, *paging)
        return page

    def _size_of(self, reference: dict[str, Any]) -> int:
        return -(-self._folder.path(self._existing(reference)).stat().st_size // GIB)

    def _existing(self, reference: dict[str, Any]) -> str:
        name = reference.get("source-name")
        if not isinstance(name, str):
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason="'source-name' must be the name of a file"
            )
        path = self._folder.path(name)
        if path.is_symlink() or not path.is_file():
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason=f"{path} is not a file"
            )
        return name

    def _adopt(self, name: str, reference: dict[str, Any], mode: int = 0o600) -> None:
        target = self._folder.path(name)
        if target.is_file():
            self._finish_rename(reference, target)
            return
        source = self._folder.free_path(self._existing(reference), "managed")
        with explained(f"rename {source} to {name}"):
            source.chmod(mode)
            sparse.rename(source, target)

    def _finish_rename(self, reference: dict[str, Any], target: Path) -> None:
        """Remove the old name of a file if an earlier call was interrupted before it did so."""
        source = self._folder.path(str(reference.get("source-name")))
        with explained(f"rename {source} to {target.name}"), contextlib.suppress(FileNotFoundError):
            if source != target and source.samefile(target):
                sparse.remove(source)
