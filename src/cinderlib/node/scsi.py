"""The common part of iSCSI and Fibre Channel: SCSI disks, and checks that they are the volume's."""

from __future__ import annotations

import abc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cinderlib.errors import DeviceUnavailable, InvalidDocument
from cinderlib.node import block
from cinderlib.node.brick import BrickConnector
from cinderlib.node.state import Entry
from cinderlib.value_checks import shown

#: How long multipathd may take to add the other paths to a new map, in seconds.
_PATHS_TIMEOUT = 10.0
#: How long multipathd may take to create the map of a volume whose paths are connected, in seconds.
#: multipathd asks udev three times, every 10 seconds, about a disk that udev has not described yet.
_MAP_TIMEOUT = 30.0
#: The kernel shows larger logical unit numbers in one of several encodings.
_MAX_PLAIN_LUN = 255

LOG = logging.getLogger(__name__)


class ScsiConnector(BrickConnector):
    """A volume that appears as SCSI disks, one for each path."""

    #: The targets of the connection, each with the volume's logical unit number there.
    units: frozenset[tuple[str, int]]

    @property
    def names_all_targets(self) -> bool:
        """Whether all paths of the volume come from the targets in the connection data."""
        return True

    @abc.abstractmethod
    def target_of(self, disk: Path) -> str | None:
        """The target of a disk, ``None`` if the disk uses another transport.

        :param disk: the sysfs folder of the disk's SCSI device.
        """

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        device = super().attach(before)
        if _is_path(device):
            if self.document.multipath:
                device = self._wait_for_map(device, before)
            elif self.uses_multipath:
                # Only the map can be mounted, because it holds the disk that os-brick returned.
                device = super().attach(before)
        # os-brick reads the name from links that udev may be creating, and may return another name
        # of the disk. The map itself has the right name.
        if block.is_block(device["path"]):
            folder = block.sysfs(device["path"])
            if name := _map_of(folder):
                device["multipath_id"] = name
                # os-brick returns once the map has one path. If that path failed before multipathd
                # added the others, multipathd would not recover by itself.
                block.wait(lambda: not _missing_paths(folder), timeout=_PATHS_TIMEOUT)
        return device

    def _wait_for_map(self, path: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        """Get the multipath map of a path that os-brick returned instead of the map.

        os-brick does that if multipathd created no map within 10 seconds. A program that uses a
        path gets errors when this path fails, so it is not the device that was requested.

        :returns: the map, or the path if the map is missing and multipath is not enforced.
        :raises DeviceUnavailable: the map is missing, and the connection enforces multipath.
        """
        name, reason = path["path"], "multipathd is not running"
        if self.connector().supports_multipath():
            reason = f"multipathd created no map for it within {_MAP_TIMEOUT:g} seconds"
            holders = block.sysfs(name) / "holders"
            block.wait(lambda: bool(_maps_in(holders)), timeout=_MAP_TIMEOUT)
            # os-brick returns the map if there is one, and otherwise reports the paths to
            # multipathd again. The first time it can report the volume under another name,
            # if udev is not ready; multipathd with `find_multipaths strict` then creates no map.
            device = super().attach(before)
            if not _is_path(device):
                return device
        problem = f"{name} is a single path of the volume: {reason}."
        cure = "Check the host with `cinderlib doctor --protocol multipath`."
        if self.document.data.get("enforce_multipath"):
            raise DeviceUnavailable(f"{problem} {cure}", resource=self.document.id)
        LOG.warning("%s The volume is attached without multipath. %s", problem, cure)
        return path

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        if entry.device:
            return entry.device
        for folder in self._disks():
            names = _maps_in(folder / "holders") or [folder.name]
            return {"type": "block", "path": f"/dev/{names[0]}"}
        return None

    def has_map(self) -> bool:
        """Whether the host has a multipath map for the volume."""
        return any(_maps_in(folder / "holders") for folder in self._disks())

    def _disks(self) -> Iterator[Path]:
        """The volume's disks on this host: their folders in sysfs."""
        for folder in sorted((block.SYS / "block").glob("sd*")):
            disk = (folder / "device").resolve()
            if (self.target_of(disk), _lun(disk)) in self.units:
                yield folder

    def identify(self, device: dict[str, Any]) -> None:
        super().identify(device)
        path: str = device["path"]
        seen = block.traces(path)
        folders = [block.SYS / "block" / trace.name / "device" for trace in seen]
        disks = [folder.resolve() for folder in folders if (folder / "scsi_device").exists()]
        wwids = {wwid for disk in disks if (wwid := block.read(disk / "wwid"))}
        if len(wwids) > 1:
            raise self._wrong(path, f"leads to different volumes: {', '.join(sorted(wwids))}")
        name = _map_of(block.SYS / "block" / seen[0].name)
        expected = device.get("multipath_id")
        if expected and name and name != expected:
            raise self._wrong(path, f"is the map of {name}, not of {expected}")
        for disk in disks:
            self._identify_disk(path, disk)

    def _identify_disk(self, path: str, disk: Path) -> None:
        lun, target = _lun(disk), self.target_of(disk)
        if target and self.names_all_targets:
            if target not in {name for name, _ in self.units}:
                raise self._wrong(path, f"comes from {target}, which is not in the connection data")
            wanted = {unit for name, unit in self.units if name == target}
        else:
            wanted = {unit for _, unit in self.units}
        if lun not in wanted and max(lun, *wanted) <= _MAX_PLAIN_LUN:
            raise self._wrong(path, f"has the logical unit number {lun}, expected {sorted(wanted)}")

    def _wrong(self, path: str, reason: str) -> DeviceUnavailable:
        return DeviceUnavailable(f"{path} {reason}.", resource=self.document.id)


def check_lun(value: int | str) -> int:
    """Convert a logical unit number of the connection data to a number.

    :raises InvalidDocument: it is not a number.
    """
    try:
        return int(value)
    except ValueError:
        raise InvalidDocument(
            f"The connection document is not valid: {shown(value)} is not a logical unit number."
        ) from None


def _lun(disk: Path) -> int:
    return int(disk.name.rpartition(":")[2])


def _missing_paths(folder: Path) -> set[str]:
    """Working disks of a multipath map's volume that are not in the map yet."""
    disks = block.SYS / "block"
    used = {slave.name for slave in (folder / "slaves").iterdir()}
    volume = {block.read(disks / name / "device/wwid") for name in used} - {None}
    return {
        disk.name
        for disk in disks.glob("sd*")
        if disk.name not in used
        and block.read(disk / "device/wwid") in volume
        and block.read(disk / "device/state") == "running"
    }


def _is_path(device: dict[str, Any]) -> bool:
    """Whether a device is a disk, and not a multipath map."""
    path: str = device["path"]
    return block.is_block(path) and _map_of(block.sysfs(path)) is None


def _maps_in(holders: Path) -> list[str]:
    """Names of the multipath maps that a disk is in, from its folder ``holders`` in sysfs."""
    folders = sorted(holders.iterdir()) if holders.is_dir() else []
    return [folder.name for folder in folders if _map_of(folder)]


def _map_of(folder: Path) -> str | None:
    """The name of a multipath map, ``None`` if the device is not one."""
    prefix, _, name = (block.read(folder / "dm" / "uuid") or "").partition("-")
    return name if prefix == "mpath" else None
