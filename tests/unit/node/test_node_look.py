"""The volume of a device, according to a simulated sysfs.

Only the loop devices are real, as block devices with known numbers. They are never opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.node import block, protocols, scsi
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.brick import BrickConnector
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.state import Entry, State

DEVICE = "/dev/loop0"
#: Another block device, for a path of :data:`DEVICE`.
PATH = "/dev/loop1"
SIZE = 1 << 30
pytestmark = pytest.mark.skipif(
    not block.is_block(DEVICE), reason=f"needs a device node {DEVICE} (`modprobe loop`)"
)


class Sysfs:
    """A folder like sysfs that describes :data:`DEVICE`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "block").mkdir(parents=True)

    def write(self, folder: str, **attributes: Any) -> Path:
        path = self.root / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, value in attributes.items():
            (path / name).write_text(f"{value}\n")
        return path

    def link(self, name: str, target: Path) -> None:
        link = self.root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def disk(self, name: str, folder: str, *, size: int = SIZE, ro: int = 0) -> Path:
        path = self.write(folder, size=size // 512, ro=ro, diskseq=7)
        self.link(f"block/{name}", path)
        return path

    def behind_device(self, path: Path, device: str = DEVICE) -> None:
        number = os.stat(device).st_rdev
        self.link(f"dev/block/{os.major(number)}:{os.minor(number)}", path)

    def scsi(self, name: str, parent: str, address: str, wwid: str) -> Path:
        folder = self.write(f"{parent}/{address}", wwid=wwid)
        (folder / "scsi_device").mkdir()
        disk = self.disk(name, f"{parent}/{address}/block/{name}")
        (disk / "device").symlink_to(folder)
        return disk


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sysfs:
    tree = Sysfs(tmp_path / "sys")
    monkeypatch.setattr(block, "SYS", tree.root)
    return tree


def _connector(tmp_path: Path, protocol: str, data: dict[str, Any], **fields: Any) -> Connector:
    conn = {"driver_volume_type": protocol, "data": data}
    settings = HostSettings(root_helper="sudo", state=State(tmp_path / "state"))
    return protocols.connector(ConnectionDocument({"conn": conn, **fields}), settings)


@contextlib.contextmanager
def _attaching(connector: Connector) -> Iterator[None]:
    """Another process of this host is attaching this connection."""
    state = connector.settings.state
    state.put(Entry(key=connector.key, document=connector.document.with_device(None)))
    yield
    state.remove(connector.key)


IQN = "iqn.2010-10.org.openstack:volume-1"
ISCSI = {"target_portal": "192.0.2.1:3260", "target_iqn": IQN, "target_lun": 1}
NAA = "naa.60014051111111111111111111111111"
SESSION = "devices/platform/host2/session3"


class TestIscsi:
    @pytest.fixture
    def disk(self, sysfs: Sysfs) -> Path:
        disk = sysfs.scsi("sda", f"{SESSION}/target2:0:0", "2:0:0:1", NAA)
        sysfs.write("class/iscsi_session/session3", targetname=IQN)
        sysfs.link("class/iscsi_session/session3/device", sysfs.root / SESSION)
        sysfs.behind_device(disk)
        return disk

    def test_the_volume_is_recognized(self, disk: Path, tmp_path: Path) -> None:
        connector = _connector(tmp_path, "iscsi", ISCSI, volume={"size": SIZE})
        connector.verify({"path": DEVICE})

    @pytest.mark.parametrize(
        ("data", "fields", "message"),
        [
            ({**ISCSI, "target_lun": 2}, {}, "has the logical unit number 1"),
            ({**ISCSI, "target_iqn": f"{IQN}-other"}, {}, f"comes from {IQN}"),
            (
                {
                    "target_portals": ["192.0.2.1:3260", "192.0.2.2:3260"],
                    "target_iqns": [IQN, f"{IQN}-other"],
                    "target_luns": [2, 1],
                },
                {},
                "has the logical unit number 1",
            ),
            (ISCSI, {"volume": {"size": SIZE + 512}}, "bytes"),
            (ISCSI, {"attach_mode": "ro"}, "is writable"),
        ],
    )
    def test_another_volume_is_not_recognized(
        self,
        disk: Path,
        tmp_path: Path,
        data: dict[str, Any],
        fields: dict[str, Any],
        message: str,
    ) -> None:
        connector = _connector(tmp_path, "iscsi", data, **fields)
        with pytest.raises(errors.DeviceUnavailable, match=message):
            connector.verify({"path": DEVICE})

    def test_users_of_a_device_count_only_while_it_is_the_volumes(
        self, sysfs: Sysfs, disk: Path, tmp_path: Path
    ) -> None:
        (disk / "holders").mkdir()
        (disk / "holders" / "dm-5").mkdir()
        device = {"path": DEVICE}
        assert _connector(tmp_path, "iscsi", ISCSI).users(device) == ["/dev/dm-5"]
        other = _connector(tmp_path, "iscsi", {**ISCSI, "target_iqn": f"{IQN}-other"})
        assert other.users(device) == []

    def test_the_disk_of_an_interrupted_attach_is_found(
        self, sysfs: Sysfs, disk: Path, tmp_path: Path
    ) -> None:
        sysfs.scsi("sdb", "devices/pci0/ata1/host0/target0:0:0", "0:0:0:1", "naa.5")
        entry = Entry(key="key", document={})
        connector = _connector(tmp_path, "iscsi", ISCSI)
        assert connector.find_interrupted(entry) == {"type": "block", "path": "/dev/sda"}
        other = _connector(tmp_path, "iscsi", {**ISCSI, "target_lun": 2})
        assert other.find_interrupted(entry) is None
        dm = sysfs.disk("dm-0", "devices/virtual/block/dm-0")
        sysfs.write("devices/virtual/block/dm-0/dm", uuid="mpath-3600")
        (disk / "holders").mkdir()
        (disk / "holders" / "dm-0").symlink_to(dm)
        assert connector.find_interrupted(entry) == {"type": "block", "path": "/dev/dm-0"}

    def test_a_session_without_a_disk_is_a_leftover_unless_it_existed_before(
        self, sysfs: Sysfs, tmp_path: Path
    ) -> None:
        connector = _connector(tmp_path, "iscsi", ISCSI)
        before = connector.survey()
        sysfs.write(SESSION)
        sysfs.write("class/iscsi_session/session3", targetname=IQN)
        sysfs.link("class/iscsi_session/session3/device", sysfs.root / SESSION)
        entry = Entry(key="key", document={}, before=before)
        assert connector.remains(entry) == [f"the iSCSI session to {IQN}"]
        assert connector.remains(Entry(key="key", document={}, before=connector.survey())) == []
        sysfs.scsi("sdb", f"{SESSION}/target2:0:0", "2:0:0:9", NAA)
        assert connector.remains(entry) == [], "another volume uses the session"

    def test_a_session_of_an_attach_in_progress_is_not_a_leftover(
        self, sysfs: Sysfs, tmp_path: Path
    ) -> None:
        """Arrays with one target for all volumes: the session of another volume has no disk yet."""
        connector = _connector(tmp_path, "iscsi", ISCSI)
        entry = Entry(key=connector.key, document={}, before=connector.survey())
        sysfs.write(SESSION)
        sysfs.write("class/iscsi_session/session3", targetname=IQN)
        sysfs.link("class/iscsi_session/session3/device", sysfs.root / SESSION)
        with _attaching(_connector(tmp_path, "iscsi", {**ISCSI, "target_lun": 2})):
            assert connector.remains(entry) == []
        with _attaching(_connector(tmp_path, "iscsi", {**ISCSI, "target_iqn": f"{IQN}-other"})):
            assert connector.remains(entry) == [f"the iSCSI session to {IQN}"]


@dataclasses.dataclass
class LateMap:
    """A multipath map that does not exist when os-brick first returns a device.

    :ivar map: the map in sysfs.
    :ivar holder: where the first path shows its map.
    :ivar programs: the folder of multipathd.
    :ivar created_by_attach: which call of os-brick makes multipathd create the map.
    """

    map: Path
    holder: Path
    programs: Path
    created_by_attach: int | None = None
    attaches: int = 0

    def multipathd_runs(self) -> None:
        (self.programs / "multipathd").write_text("#!/bin/sh\n")
        (self.programs / "multipathd").chmod(0o755)

    def sleep(self, seconds: float) -> None:
        if seconds:  # os-brick's threads give way to others with 0.
            self.create()

    def create(self) -> None:
        self.holder.symlink_to(self.map.resolve())

    def attach(self, wwn: str) -> dict[str, Any]:
        self.attaches += 1
        if self.attaches == self.created_by_attach:
            self.create()
        if self.holder.exists():
            return {"path": DEVICE, "multipath_id": wwn, "scsi_wwn": wwn}
        return {"path": PATH}


class TestMultipath:
    SEVERAL = {
        "target_portals": ["192.0.2.1:3260", "192.0.2.2:3260"],
        "target_iqns": [IQN, IQN],
        "target_luns": [1, 1],
    }
    WWN = "360014051111111111111111111111111"

    @pytest.fixture
    def paths(self, sysfs: Sysfs) -> list[Path]:
        top = sysfs.disk("dm-0", "devices/virtual/block/dm-0")
        sysfs.write("devices/virtual/block/dm-0/dm", uuid=f"mpath-{self.WWN}")
        sysfs.behind_device(top)
        (top / "slaves").mkdir()
        paths = []
        for number, name in enumerate(("sda", "sdb")):
            session = f"devices/platform/host{number}/session{number}"
            disk = sysfs.scsi(name, f"{session}/target{number}:0:0", f"{number}:0:0:1", NAA)
            sysfs.write(f"class/iscsi_session/session{number}", targetname=IQN)
            (top / "slaves" / name).symlink_to(disk)
            paths.append(disk)
        return paths

    def test_all_paths_lead_to_the_volume(self, paths: list[Path], tmp_path: Path) -> None:
        connector = _connector(tmp_path, "iscsi", self.SEVERAL)
        device = {"path": DEVICE, "multipath_id": self.WWN}
        connector.verify(device)
        assert [t.name for t in connector.traces(device)] == ["dm-0", "sda", "sdb"]

    def test_the_name_of_the_map_overrides_os_bricks(
        self, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {"path": DEVICE, "multipath_id": "1LIO-ORG_IBLOCK:11111111"}
        monkeypatch.setattr(BrickConnector, "attach", lambda self, before: dict(given))
        device = _connector(tmp_path, "iscsi", self.SEVERAL).attach({})
        assert device["multipath_id"] == self.WWN

    @pytest.mark.parametrize(("state", "waits"), [("running", True), ("offline", False)])
    def test_an_attach_waits_for_all_working_paths_in_the_map(
        self,
        sysfs: Sysfs,
        paths: list[Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        state: str,
        waits: bool,
    ) -> None:
        other = sysfs.scsi("sdc", "devices/platform/host9/session9/target9:0:0", "9:0:0:1", "naa.5")
        for disk in (*paths, other):
            (disk / "device" / "state").write_text(state)
        link = sysfs.root / "block" / "dm-0" / "slaves" / "sdb"
        link.unlink()
        given = {"path": DEVICE, "multipath_id": self.WWN}
        monkeypatch.setattr(BrickConnector, "attach", lambda self, before: dict(given))
        # multipathd adds the path later
        monkeypatch.setattr(time, "sleep", lambda seconds: link.symlink_to(paths[1]))
        assert _connector(tmp_path, "iscsi", self.SEVERAL).attach({}) == given
        assert link.exists() is waits

    @pytest.fixture
    def late_map(
        self, sysfs: Sysfs, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> LateMap:
        """os-brick returns the first path while multipathd has created no map."""
        if os.geteuid() != 0:
            pytest.skip("os-brick runs multipathd as root (run as root)")
        sysfs.behind_device(paths[0], PATH)
        (paths[0] / "holders").mkdir()
        programs = tmp_path / "programs"
        programs.mkdir()
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        late = LateMap(sysfs.root / "block" / "dm-0", paths[0] / "holders" / "dm-0", programs)
        monkeypatch.setattr(
            BrickConnector, "attach", lambda connector, before: late.attach(self.WWN)
        )
        return late

    @pytest.mark.parametrize("again", [False, True])
    def test_an_attach_waits_for_the_map(
        self, late_map: LateMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
    ) -> None:
        """multipathd creates it late, or only when os-brick reports the paths again."""
        late_map.multipathd_runs()
        monkeypatch.setattr(scsi, "_MAP_TIMEOUT", 0.01 if again else 60.0)
        monkeypatch.setattr(time, "sleep", lambda seconds: again or late_map.sleep(seconds))
        late_map.created_by_attach = 2 if again else None
        device = _connector(tmp_path, "iscsi", self.SEVERAL).attach({})
        assert device == {"path": DEVICE, "multipath_id": self.WWN, "scsi_wwn": self.WWN}

    def test_without_a_map_the_device_is_a_path_and_the_log_says_so(
        self,
        late_map: LateMap,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        late_map.multipathd_runs()
        monkeypatch.setattr(scsi, "_MAP_TIMEOUT", 0.01)
        device = _connector(tmp_path, "iscsi", self.SEVERAL).attach({})
        assert device == {"path": PATH}
        assert f"{PATH} is a single path" in caplog.text

    def test_without_a_map_an_enforced_multipath_fails(
        self, late_map: LateMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late_map.multipathd_runs()
        monkeypatch.setattr(scsi, "_MAP_TIMEOUT", 0.01)
        enforced = {**self.SEVERAL, "enforce_multipath": True}
        with pytest.raises(errors.DeviceUnavailable, match="multipathd created no map"):
            _connector(tmp_path, "iscsi", enforced).attach({})

    @pytest.mark.parametrize(("multipath", "multipathd"), [(True, False), (False, True)])
    def test_an_attach_does_not_wait_for_a_map_that_cannot_come(
        self,
        late_map: LateMap,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        multipath: bool,
        multipathd: bool,
    ) -> None:
        if multipathd:
            late_map.multipathd_runs()
        monkeypatch.setattr(time, "sleep", lambda seconds: seconds and pytest.fail("it waited"))
        connector = _connector(tmp_path, "iscsi", self.SEVERAL, use_multipath=multipath)
        assert connector.attach({}) == {"path": PATH}

    def test_a_path_to_another_volume_is_found(self, paths: list[Path], tmp_path: Path) -> None:
        (paths[1] / "device" / "wwid").write_text(NAA.replace("1", "2"))
        with pytest.raises(errors.DeviceUnavailable, match="different volumes"):
            _connector(tmp_path, "iscsi", self.SEVERAL).verify({"path": DEVICE})

    def test_the_map_of_another_volume_is_found(self, paths: list[Path], tmp_path: Path) -> None:
        with pytest.raises(errors.DeviceUnavailable, match="is the map of"):
            _connector(tmp_path, "iscsi", self.SEVERAL).verify(
                {"path": DEVICE, "multipath_id": self.WWN.replace("1", "2")}
            )

    def test_partitions_do_not_use_a_map_but_other_devices_do(
        self, sysfs: Sysfs, paths: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)  # only root queries devices directly
        top = (sysfs.root / "block" / "dm-0").resolve()
        (top / "holders").mkdir()
        partition = sysfs.disk("loop1", "devices/virtual/block/loop1")
        sysfs.write("devices/virtual/block/loop1/dm", uuid=f"part1-mpath-{self.WWN}")
        (top / "holders" / "loop1").symlink_to(partition)
        second = os.stat("/dev/loop1").st_rdev
        sysfs.link(f"dev/block/{os.major(second)}:{os.minor(second)}", partition)
        assert block.users(DEVICE) == []
        lv = sysfs.disk("dm-1", "devices/virtual/block/dm-1")
        sysfs.write("devices/virtual/block/dm-1/dm", uuid="LVM-x")
        (top / "holders" / "dm-1").symlink_to(lv)
        assert block.users(DEVICE) == ["/dev/dm-1"]

    def test_a_multipath_map_does_not_use_its_path(
        self, sysfs: Sysfs, paths: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)  # only root queries devices directly
        disk = sysfs.disk("loop1", "devices/virtual/block/loop1")
        number = os.stat("/dev/loop1").st_rdev
        sysfs.link(f"dev/block/{os.major(number)}:{os.minor(number)}", disk)
        (disk / "holders").mkdir()
        (disk / "holders" / "dm-0").symlink_to((sysfs.root / "block" / "dm-0").resolve())
        monkeypatch.setattr(block, "sysfs", lambda path: _folder(sysfs, path))
        assert block.users("/dev/loop1") == []
        assert [trace.name for trace in block.traces("/dev/loop1")][:2] == ["loop1", "dm-0"]


def _folder(sysfs: Sysfs, path: str) -> Path:
    return (sysfs.root / "block" / os.path.basename(path)).resolve()


NQN = "nqn.2024-01.org.example:volume-1"
NVME = {"nqn": NQN, "target_portal": "192.0.2.1", "target_port": 4420, "transport_type": "tcp"}
UUID = "0d1b7a52-6f3e-4b57-9a0b-0f9d3b6a7c11"


class TestNvme:
    @pytest.fixture
    def disk(self, sysfs: Sysfs) -> Path:
        subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0"
        folder = sysfs.write(subsystem, subsysnqn=NQN)
        disk = sysfs.disk("nvme0n1", f"{subsystem}/nvme0n1")
        sysfs.write(f"{subsystem}/nvme0n1", nsid=3, uuid=UUID, nguid=UUID)
        (disk / "device").symlink_to(folder)
        sysfs.behind_device(disk)
        return disk

    @pytest.mark.parametrize(
        "data",
        [
            NVME,
            {**NVME, "volume_nguid": UUID.replace("-", "").upper(), "ns_id": 3},
            {"target_nqn": NQN, "portals": [["192.0.2.1", 4420, "tcp"]], "vol_uuid": UUID},
        ],
    )
    def test_the_volume_is_recognized(
        self, disk: Path, tmp_path: Path, data: dict[str, Any]
    ) -> None:
        _connector(tmp_path, "nvmeof", data, volume={"size": SIZE}).verify({"path": DEVICE})

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({**NVME, "nqn": f"{NQN}-other"}, "subsystem"),
            ({**NVME, "volume_nguid": UUID.replace("0", "f")}, "NGUID"),
            ({**NVME, "ns_id": 4}, "namespace 3"),
            (
                {
                    "target_nqn": NQN,
                    "portals": [["192.0.2.1", 4420, "tcp"]],
                    "vol_uuid": UUID.replace("0", "f"),
                },
                "UUID",
            ),
        ],
    )
    def test_another_volume_is_not_recognized(
        self, disk: Path, tmp_path: Path, data: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(errors.DeviceUnavailable, match=message):
            _connector(tmp_path, "nvmeof", data).verify({"path": DEVICE})

    def test_a_namespace_is_a_leftover_unless_its_subsystem_has_others(
        self, sysfs: Sysfs, disk: Path, tmp_path: Path
    ) -> None:
        """The array removes a namespace of a subsystem that other volumes need."""
        connector = _connector(tmp_path, "nvmeof", NVME)
        traces = connector.traces({"path": DEVICE})
        entry = Entry(key="key", document={}, traces=traces)
        assert connector.remains(entry) == ["/dev/nvme0n1"]
        sysfs.disk("nvme0n2", f"{disk.parent.relative_to(sysfs.root)}/nvme0n2")
        assert connector.remains(entry) == []

    def test_a_controller_without_a_namespace_is_a_leftover(
        self, sysfs: Sysfs, tmp_path: Path
    ) -> None:
        connector = _connector(tmp_path, "nvmeof", NVME)
        sysfs.write("class/nvme/nvme0", subsysnqn=NQN, transport="tcp")
        sysfs.write("class/nvme/nvme1", subsysnqn="nqn.other", transport="tcp")
        entry = Entry(key="key", document={}, before={})
        assert connector.remains(entry) == [f"the NVMe controller nvme0 of {NQN}"]
        other = _connector(tmp_path, "nvmeof", {**NVME, "ns_id": 9})
        with _attaching(other):
            assert connector.remains(entry) == [], "the namespace of another volume comes"
        sysfs.write("class/nvme/nvme0/nvme0c0n1")
        assert connector.remains(entry) == []


def test_a_fibre_channel_port_outside_the_connection_is_detected(
    sysfs: Sysfs, tmp_path: Path
) -> None:
    port = "devices/pci0000:00/host5/rport-5:0-2"
    disk = sysfs.scsi("sdc", f"{port}/target5:0:0", "5:0:0:1", NAA)
    sysfs.write("class/fc_remote_ports/rport-5:0-2", port_name="0x20210002ac00383d")
    sysfs.behind_device(disk)
    data = {"target_wwn": ["20210002AC00383D"], "target_lun": 1}
    _connector(tmp_path, "fibre_channel", data).verify({"path": DEVICE})
    other = _connector(tmp_path, "fibre_channel", {**data, "target_wwn": ["20220002AC00383D"]})
    with pytest.raises(errors.DeviceUnavailable, match="comes from 20210002ac00383d"):
        other.verify({"path": DEVICE})


def test_a_map_over_fibre_channel_is_used_and_removed_without_a_request_for_multipath(
    sysfs: Sysfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """os-brick scans all adapters, so multipathd finds all paths of the volume."""
    port = "devices/pci0000:00/host5/rport-5:0-2"
    disk = sysfs.scsi("sdc", f"{port}/target5:0:0", "5:0:0:1", NAA)
    sysfs.write("class/fc_remote_ports/rport-5:0-2", port_name="0x20210002ac00383d")
    sysfs.behind_device(disk, PATH)
    top = sysfs.disk("dm-0", "devices/virtual/block/dm-0")
    sysfs.write("devices/virtual/block/dm-0/dm", uuid="mpath-3600")
    sysfs.behind_device(top)
    (top / "slaves").mkdir()
    (top / "slaves" / "sdc").symlink_to(disk)
    (disk / "holders").mkdir()
    data = {"target_wwn": ["20210002AC00383D"], "target_lun": 1}
    connector = _connector(tmp_path, "fibre_channel", data, use_multipath=False)
    assert not connector.connector().use_multipath

    def attach(self: BrickConnector, before: dict[str, Any]) -> dict[str, Any]:
        if self.connector().use_multipath:
            return {"path": DEVICE, "multipath_id": "3600"}
        (disk / "holders" / "dm-0").symlink_to(top)
        return {"path": PATH}

    monkeypatch.setattr(BrickConnector, "attach", attach)
    assert connector.attach({}) == {"path": DEVICE, "multipath_id": "3600"}
    # os-brick removes the map when it detaches the volume, and resizes it.
    assert connector.connector().use_multipath


class TestMappedRbd:
    DATA = {
        "name": "pool/image",
        "hosts": ["192.0.2.1"],
        "ports": ["6789"],
        "do_local_attach": True,
    }

    def test_images_mapped_by_others_are_not_used(self, sysfs: Sysfs, tmp_path: Path) -> None:
        sysfs.write("bus/rbd/devices/0", pool="pool", name="image", current_snap="-")
        connector = _connector(tmp_path, "rbd", self.DATA)
        before = connector.survey()
        with pytest.raises(errors.DeviceInUse, match=r"mapped .* as /dev/rbd0"):
            connector.attach(before)

    def test_images_mapped_by_an_interrupted_attach_are_taken_over(
        self, sysfs: Sysfs, tmp_path: Path
    ) -> None:
        sysfs.write("bus/rbd/devices/0", pool="pool", name="image", current_snap="a-snapshot")
        sysfs.write("bus/rbd/devices/1", pool="other", name="image", current_snap="-")
        connector = _connector(tmp_path, "rbd", self.DATA)
        before = connector.survey()
        sysfs.write("bus/rbd/devices/2", pool="pool", name="image", current_snap="-")
        assert connector.attach(before)["path"] == "/dev/rbd2"
        with pytest.raises(errors.DeviceUnavailable, match="is not pool/image"):
            connector.verify({"path": "/dev/rbd1"})
