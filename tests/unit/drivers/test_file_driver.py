"""The embedded driver in particular; tests/contract has the tests for all drivers."""

import os
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import cinderlib
from cinderlib import errors
from cinderlib.drivers.file import sparse

GIB = 1 << 30
needs_loop = pytest.mark.skipif(os.geteuid() != 0, reason="making loop devices needs root")


@pytest.fixture
def controller():
    with cinderlib.Controller(persistence_config={"storage": "memory"}) as controller:
        yield controller


@pytest.fixture
def root(tmp_path):
    return tmp_path / "volumes"


@pytest.fixture
def backend(controller, root):
    return controller.backend("file", volume_driver="file", file_root=str(root))


def a_volume(id, name, size):
    """A volume without a type, as the driver sees it."""
    return SimpleNamespace(id=id, name=name, size=size, volume_type_id=None)


@pytest.fixture
def loop(request):
    """Creates loop devices like other programs on this host."""

    def make(path):
        done = subprocess.run(
            ["losetup", "--find", "--show", path], capture_output=True, text=True, check=True
        )
        device = done.stdout.strip()
        request.addfinalizer(lambda: subprocess.run(["losetup", "-d", device], check=False))
        return device

    return make


def test_files_are_private_and_named_by_id(backend, root):
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    assert root.stat().st_mode & 0o777 == 0o700
    modes = {p.name: p.stat().st_mode & 0o777 for p in root.iterdir()}
    assert modes == {f"volume-{volume.id}": 0o600, f"snapshot-{snapshot.id}": 0o400}


@pytest.mark.parametrize("options", [{}, {"file_root": "volumes"}, {"file_root": ""}])
def test_folder_must_be_an_absolute_path(controller, options):
    with pytest.raises(errors.CinderlibError, match="file_root"):
        controller.backend("file", volume_driver="file", **options)


def test_folder_that_cannot_be_created_is_reported_with_the_reason(controller, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.CinderlibError, match="file_root: Not a directory"):
        controller.backend("file", volume_driver="file", file_root=str(tmp_path / "file/volumes"))


def test_other_hosts_are_refused_with_the_reason(backend):
    backend.validate_connector({"host": socket.gethostname()})
    with pytest.raises(errors.InvalidConnector, match="host elsewhere cannot reach them"):
        backend.validate_connector({"host": "elsewhere"})
    volume = backend.create_volume(1)
    with pytest.raises(errors.InvalidConnector, match="attach on that host"):
        volume.connect({"host": "elsewhere"})
    assert volume.connections == []


def test_temporary_files_of_dead_writers_are_removed_at_set_up(controller, root):
    root.mkdir()
    (root / ".volume-1.0123456789abcdef.part").touch()
    (root / "volume-2").touch()
    controller.backend("file", volume_driver="file", file_root=str(root))
    assert os.listdir(root) == ["volume-2"]


@pytest.mark.parametrize("name", ["../volume-1", "/etc/volume-1", ".volume", "", "a\0b", ".."])
def test_files_outside_the_folder_are_not_touched(backend, root, name):
    outside = root.parent / "volume-1"
    outside.write_bytes(b"not ours")
    volume = a_volume("1", name, 1)
    snapshot = SimpleNamespace(id="2", name="snapshot-2", volume_name=name)
    for call in (
        lambda: backend.driver.create_volume(volume),
        lambda: backend.driver.delete_volume(volume),
        lambda: backend.driver.extend_volume(volume, 2),
        lambda: backend.driver.create_snapshot(snapshot),
        lambda: backend.driver.initialize_connection(volume, {"host": socket.gethostname()}),
        lambda: backend.driver.manage_existing(volume, {"source-name": "volume-1"}),
        lambda: backend.driver.manage_existing_get_size(volume, {"source-name": name}),
        lambda: backend.driver.exists_in_storage(name),
    ):
        with pytest.raises(errors.DriverError, match="cannot be the name of a file"):
            call()
    assert outside.read_bytes() == b"not ours"
    assert os.listdir(root) == []


def test_volumes_are_found_on_the_storage_by_name(backend):
    volume = backend.create_volume(1)
    assert backend.driver.exists_in_storage(volume.name_in_storage)
    volume.delete()
    assert not backend.driver.exists_in_storage(volume.name_in_storage)


@pytest.mark.slow
def test_repeated_create_accepts_an_existing_file_only_if_it_matches(backend, root):
    volume = a_volume("1", "volume-1", 1)
    backend.driver.create_volume(volume)
    (root / "volume-1").write_bytes(b"data")
    os.truncate(root / "volume-1", GIB)
    backend.driver.create_volume(volume)
    assert (root / "volume-1").read_bytes()[:4] == b"data"
    with pytest.raises(errors.DriverError, match=f"it already exists with {GIB}"):
        backend.driver.create_volume(a_volume("1", "volume-1", 2))
    with pytest.raises(errors.DriverError, match="more than 0 GiB"):
        backend.driver.extend_volume(volume, 0)
    assert (root / "volume-1").stat().st_size == GIB


def test_clone_of_a_missing_file_leaves_no_file(backend, root):
    volume = backend.create_volume(1)
    (root / volume.name_in_storage).unlink()
    with pytest.raises(errors.DriverError, match="No such file or directory"):
        volume.clone()
    assert os.listdir(root) == []


@pytest.mark.parametrize("fails", [False, True])
def test_progress_of_a_copy(root, monkeypatch, caplog, fails):
    """An error of the listener does not affect the copy."""
    reports = []

    def listen(progress):
        reports.append(progress)
        if fails:
            raise RuntimeError("the screen is gone")

    monkeypatch.setattr(sparse, "_reflink", lambda source, target: False)
    monkeypatch.setattr(sparse, "_CHUNK", 4096)
    with cinderlib.Controller(progress=listen) as controller:
        backend = controller.backend("files", volume_driver="file", file_root=str(root))
        volume = backend.create_volume(1)
        with open(root / volume.name_in_storage, "r+b") as file:
            file.write(bytes([1]) * 8192)
        copy = volume.clone()
        copied = [cinderlib.Progress(n, 8192, "bytes", copy.id) for n in (0, 4096, 8192)]
        assert reports == copied
        snapshot = volume.create_snapshot()
        volume.revert_to_snapshot(snapshot)
    assert [p.resource_id for p in reports[3:]] == [snapshot.id] * 3 + [volume.id] * 3
    assert ("reports progress failed" in caplog.text) == fails


@needs_loop
def test_file_in_use_by_a_loop_device_is_not_deleted(backend, root, loop):
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    device = loop(root / volume.name_in_storage)
    with pytest.raises(errors.InvalidVolume, match=f"while it is attached to {device}"):
        volume.revert_to_snapshot(snapshot)
    snapshot.delete()
    with pytest.raises(errors.InvalidVolume, match=f"while it is attached to {device}"):
        volume.delete()
    assert (root / volume.name_in_storage).exists()
    subprocess.run(["losetup", "-d", device], check=True)
    volume.delete()
    assert os.listdir(root) == []


@needs_loop
def test_clone_has_unsynced_writes_of_the_device(backend, root, loop):
    volume = backend.create_volume(1)
    device = loop(root / volume.name_in_storage)
    with open(device, "r+b") as writer:
        writer.write(b"only in the cache of the device")
        writer.flush()
        clone = volume.clone()
        assert (root / clone.name_in_storage).read_bytes()[
            :31
        ] == b"only in the cache of the device"


def test_specs_and_metadata_reach_the_driver(controller, root):
    backend = controller.backend(
        "recording", volume_driver="recording_driver.RecordingDriver", file_root=str(root)
    )
    backend.create_volume(
        1, extra_specs={"tier": "gold"}, qos_specs={"maxIOPS": "100"}, metadata={"owner": "me"}
    )
    (recorded,) = backend.recorded
    assert recorded["extra_specs"] == recorded["specs_by_type_id"] == {"tier": "gold"}
    assert recorded["qos_specs"]["qos_specs"]["specs"] == {"maxIOPS": "100"}
    assert recorded["metadata"] == {"owner": "me"}


def test_stats_have_the_capacity_of_the_filesystem_and_the_provisioned_size(backend, root):
    volume = backend.create_volume(3)
    volume.create_snapshot()
    (pool,) = backend.stats(refresh=True)["pools"]
    found = os.statvfs(root)
    assert pool["total_capacity_gb"] == found.f_blocks * found.f_frsize / GIB
    assert 0 < pool["free_capacity_gb"] < pool["total_capacity_gb"]
    assert (pool["allocated_capacity_gb"], pool["provisioned_capacity_gb"]) == (3, 6)
    assert pool["multiattach"] is False


class TestAdoption:
    """Disk images that were put into the folder by hand."""

    volume = a_volume("1", "volume-1", 2)

    @pytest.fixture
    def image(self, backend, root):
        path = root / "disk.img"
        path.write_bytes(b"data")
        os.truncate(path, GIB + GIB // 2)
        return path

    def test_image_becomes_a_volume_of_whole_gibibytes(self, backend, root, image):
        reference = {"source-name": "disk.img"}
        assert backend.driver.manage_existing_get_size(self.volume, reference) == 2
        backend.driver.manage_existing(self.volume, reference)
        backend.driver.manage_existing(self.volume, reference)  # repeated as after a crash
        assert os.listdir(root) == ["volume-1"]
        adopted = Path(root / "volume-1")
        assert adopted.stat().st_size == 2 * GIB
        assert adopted.stat().st_mode & 0o777 == 0o600
        with adopted.open("rb") as file:
            assert file.read(4) == b"data"

    def test_image_becomes_a_snapshot(self, backend, root, image):
        reference = {"source-name": "disk.img"}
        snapshot = SimpleNamespace(id="2", name="snapshot-2")
        assert backend.driver.manage_existing_snapshot_get_size(snapshot, reference) == 2
        backend.driver.manage_existing_snapshot(snapshot, reference)
        assert os.listdir(root) == ["snapshot-2"]
        assert (root / "snapshot-2").stat().st_mode & 0o777 == 0o400

    def test_interrupted_rename_is_finished(self, backend, root, image):
        os.link(image, root / "volume-1")
        backend.driver.manage_existing(self.volume, {"source-name": "disk.img"})
        assert os.listdir(root) == ["volume-1"]

    @pytest.mark.parametrize("reference", [{}, {"source-name": None}, {"source-name": "missing"}])
    def test_reference_to_no_file_is_refused(self, backend, root, image, reference):
        with pytest.raises(errors.InvalidInput, match=r"source-name|is not a file"):
            backend.driver.manage_existing(self.volume, reference)
        assert os.listdir(root) == ["disk.img"]

    def test_image_that_is_a_link_is_refused(self, backend, root):
        (root.parent / "secret").write_bytes(b"secret")
        (root / "disk.img").symlink_to(root.parent / "secret")
        with pytest.raises(errors.InvalidInput, match="is not a file"):
            backend.driver.manage_existing(self.volume, {"source-name": "disk.img"})

    def test_manageable_images_are_listed(self, backend, root, image):
        backend.driver.create_volume(a_volume("9", "volume-9", 4))
        (root / "snapshot-3").touch()
        known = [SimpleNamespace(id="9", name="volume-9")]
        listed = backend.driver.get_manageable_volumes(known, None, 10, 0, ["size"], ["asc"])
        assert [
            (e["reference"]["source-name"], e["size"], e["cinder_id"], e["safe_to_manage"])
            for e in listed
        ] == [("disk.img", 2, None, True), ("volume-9", 4, "9", False)]

    @needs_loop
    def test_image_in_use_is_not_safe_to_manage(self, backend, root, image, loop):
        device = loop(image)
        (entry,) = backend.driver.get_manageable_volumes([], None, 10, 0, ["size"], ["asc"])
        assert entry["reason_not_safe"] == "in use by a loop device"
        with pytest.raises(errors.InvalidVolume, match=device):
            backend.driver.manage_existing(self.volume, {"source-name": "disk.img"})
        assert image.exists()
