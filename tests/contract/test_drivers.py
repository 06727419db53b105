"""Runs the conformance suite with the drivers that work on the machine of the tests."""

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import servers.ceph

import cinderlib
from cinderlib.testing import DriverConformance
from cinderlib.testing.device import MIB, Device

ROOT = os.geteuid() == 0
GIB = 1 << 30
PACKAGES = [str(Path(package.__file__).parents[1]) for package in (cinderlib, pytest)]
NOBODY = {
    "user": "nobody",
    "group": "nogroup",
    "extra_groups": [],
    "cwd": "/",
    "env": {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(PACKAGES)},
}
EVERYTHING = frozenset(
    {
        *("attach", "snapshot_attached", "independent_copies", "thin", "list", "name_id"),
    }
)


class TestFile(DriverConformance):
    """The embedded driver: loop devices for root, plain files for others."""

    supports = EVERYTHING | ({"block_device", "read_only"} if ROOT else set())
    retype_specs = {"provisioning:type": "thick"}

    def backend_options(self, tmp_path):
        return {"volume_driver": "file", "file_root": str(tmp_path / "volumes")}

    def leftovers(self, tmp_path):
        folder = tmp_path / "volumes"
        if not folder.exists():
            return []
        loops = [
            device.parts[3]
            for device in Path("/sys/block").glob("loop*/loop/backing_file")
            if device.read_text().startswith(str(folder))
        ]
        return [*loops, *os.listdir(folder)]


@pytest.mark.slow
class TestIsolatedFile(TestFile):
    """The same driver in a separate process."""

    @pytest.fixture(autouse=True, scope="class")
    def _warm(self, tmp_path_factory):
        """A backend that stays loaded, so that Cinder is imported once for all tests."""
        folder = tmp_path_factory.mktemp("warm")
        with cinderlib.Controller(state_path=folder / "state") as controller:
            controller.backend("warm", **self.backend_options(folder))
            yield

    def backend_options(self, tmp_path):
        return super().backend_options(tmp_path) | {"isolation": "process"}


@pytest.mark.slow
class TestFileThroughService(TestFile):
    """The same driver in a service; the suite uses a client of it."""

    # tests/api/test_reconcile.py prepares these in the store of a service.

    @pytest.mark.skip(reason="a client does not write records")
    def test_reconcile_finds_orphans(self): ...

    @pytest.mark.skip(reason="a client does not load documents")
    def test_reconcile_finds_missing_volumes(self): ...

    @pytest.fixture
    def controller(self, tmp_path, _capable):
        from api import in_service

        store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with (
            cinderlib.Controller(store) as library,
            in_service.run(library, tmp_path) as service,
        ):
            service.client.backend = service.load
            yield service.client


def runs_as_nobody(python):
    with contextlib.suppress(PermissionError):
        return not subprocess.run(
            [python, "-c", "import cinderlib.records, pytest"], **NOBODY
        ).returncode
    return False


@pytest.mark.slow
@pytest.mark.skipif(not ROOT, reason="TestFile ran without root already")
def test_file_driver_without_root():
    """The whole suite again, as a user without privileges."""
    # The environment's Python may be in root's home, unlike the distribution's.
    candidates = [sys.executable, "/usr/bin/python{}.{}".format(*sys.version_info)]
    python = next(filter(runs_as_nobody, filter(os.path.exists, candidates)), None)
    if python is None:
        pytest.skip(f"other users may not run {sys.executable}: make the environment elsewhere")
    with servers.folder("nobody") as home:
        done = subprocess.run(
            [
                *(python, "-B", "-m", "pytest", "-q", f"{__file__}::TestFile"),
                *("-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={home}/tests"),
            ],
            capture_output=True,
            text=True,
            **NOBODY | {"env": NOBODY["env"] | {"HOME": str(home), "TMPDIR": str(home)}},
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def _sha256(device):
    digest = hashlib.sha256()
    for offset in range(0, device.size, 16 * MIB):
        digest.update(device.read(offset, 16 * MIB))
    return digest.hexdigest()


NO_CEPH = servers.ceph.missing()


class TestRBD(DriverConformance):
    """Ceph through librbd, which needs no kernel module and provides no block device."""

    __test__ = not NO_CEPH
    supports = EVERYTHING | {"live_migration", "read_only"}
    fast = {
        *(
            "test_life_cycle",
            "test_data_survives_detach_and_attach",
            "test_snapshot_keeps_its_data",
        ),
        *("test_extend_keeps_the_data", "test_repeated_create_and_delete_have_no_effect"),
        *(
            "test_stats_have_pools_with_capacity",
            "test_image_that_another_client_uses_is_not_deleted",
        ),
    }

    @pytest.fixture(autouse=True)
    def _cluster(self, ceph, _capable):
        type(self).cluster = ceph

    def backend_options(self, tmp_path):
        return {
            "volume_driver": "rbd",
            "rbd_pool": "volumes",
            "rbd_user": "cinder",
            "rbd_ceph_conf": str(self.cluster.configuration),
            "rbd_keyring_conf": str(self.cluster.keyring),
            "rbd_store_chunk_size": 32,  # in MiB; copies are faster with few objects
        }

    def leftovers(self, tmp_path):
        return self.cluster.images()

    @pytest.mark.parametrize("direction", ["to RBD", "from RBD"])
    def test_streams_between_rbd_and_files_keep_the_data(self, backend, tmp_path, direction):
        """The whole content and three changes."""
        files = backend.controller.backend(
            "files", volume_driver="file", file_root=str(tmp_path / "files")
        )
        source, target = (files, backend) if direction == "to RBD" else (backend, files)
        volume, copy = source.create_volume(1), target.create_volume(1)
        changes = [
            {0: b"a" * 3 * MIB, 700 * MIB: b"b" * MIB},
            {MIB: b"c" * 100_000, 700 * MIB: bytes(MIB)},
            {GIB - MIB: b"d" * MIB},
            {0: bytes(2 * MIB), 300 * MIB: b"e" * 4096},
        ]
        base = None
        for number, change in enumerate(changes):
            with volume.attached() as connection:
                device = Device(connection.path)
                for offset, data in change.items():
                    device.write(offset, data)
            snapshot = volume.create_snapshot()
            stream = io.BytesIO()
            exported = snapshot.export_stream(stream, since=base)
            assert exported.data_bytes <= (5 if not number else 3) * MIB
            stream.seek(0)
            copy.apply_stream(stream)
            # The copy is compared without an attachment, which could write to it.
            with copy.create_snapshot().create_volume().attached() as one:
                found = _sha256(Device(one.path))
            with snapshot.create_volume().attached() as other:
                assert found == _sha256(Device(other.path))
            base = snapshot

    def test_deleted_clones_and_sources_leave_no_images(self, backend, tmp_path):
        source = backend.create_volume(1)
        clone = source.clone()
        grandchild = clone.clone()
        sibling = source.clone()
        for volume in (clone, source, grandchild, sibling):
            volume.delete()
        assert self.leftovers(tmp_path) == []

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param("", id="open", marks=pytest.mark.slow),
            pytest.param('image.write(b"data", 0)', id="locked"),
        ],
    )
    def test_image_that_another_client_uses_is_not_deleted(self, backend, use):
        volume = backend.create_volume(1)
        code = f"""
import rados, rbd
cluster = rados.Rados(conffile="{self.cluster.configuration}", name="client.admin")
cluster.connect()
image = rbd.Image(cluster.open_ioctx("volumes"), "{volume.name_in_storage}")
{use}
print(cluster.get_instance_id(), flush=True)
input()
image.close()
"""
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            name = f"client.{client.stdout.readline().strip()}"
            with pytest.raises(cinderlib.errors.InvalidVolume, match="has it open") as caught:
                volume.delete()
            assert name in str(caught.value)
            assert caught.value.retryable
            volume.refresh()
            assert volume.status == "available"
            volume.create_snapshot().delete()
            client.communicate("\n")
        volume.delete()

    def test_image_that_the_listing_omits_is_not_missing(self, backend, monkeypatch):
        """Cinder's driver does not list images that it temporarily cannot open."""
        from cinder.volume.drivers import rbd

        backend.create_volume(1)
        monkeypatch.setattr(rbd.RBDDriver, "get_manageable_volumes", lambda *_, **__: [])
        assert backend.reconcile() == []

    def test_revert_keeps_newer_snapshots(self, backend):
        volume = backend.create_volume(1)
        first, second = volume.create_snapshot(), volume.create_snapshot()
        volume.revert_to_snapshot(first)
        assert backend.reconcile() == []
        volume.revert_to_snapshot(second)


if NO_CEPH:

    @pytest.mark.skip(reason=f"RBD: {NO_CEPH}")
    def test_rbd():
        """Reports the skip of the whole class above."""


def lvm_missing():
    """Return the requirements for LVM with a local target and initiator that this machine lacks."""
    if not ROOT:
        return "it needs root"
    if not Path("/sys/class/misc/device-mapper").exists():
        return "no device-mapper in this kernel: modprobe dm_mod dm_thin_pool"
    if not Path("/sys/kernel/config/target").exists():
        return "no LIO in this kernel: modprobe target_core_mod iscsi_target_mod"
    for program, package in (("vgcreate", "lvm2"), ("iscsiadm", "open-iscsi")):
        if not shutil.which(program):
            return f"no {program} here: apt-get install {package}"
    return None


NO_LVM = lvm_missing()


class TestLVM(DriverConformance):
    """Thin LVM on a loop device, attached through iSCSI from this host to itself."""

    __test__ = not NO_LVM
    supports = EVERYTHING | {"block_device", "live_migration", "read_only"}
    lacks = {"extend_attached": "a target of LIO keeps the size that it had when it was exported"}
    group = f"cinderlib-test-{os.getpid()}"

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _group(tmp_path_factory):
        image = tmp_path_factory.mktemp("lvm") / "image"
        image.touch()
        os.truncate(image, 20 << 30)
        device = command("losetup", "--find", "--show", image)
        try:
            command("vgcreate", TestLVM.group, device)
            yield
            command("vgremove", "--force", TestLVM.group)
        finally:
            command("losetup", "--detach", device)

    def backend_options(self, tmp_path):
        return {
            "volume_driver": "lvm",
            "volume_group": self.group,
            "lvm_type": "thin",
            "target_helper": "lioadm",
            "target_protocol": "iscsi",
        }

    def leftovers(self, tmp_path):
        pool = f"{self.group}-pool"
        volumes = command("lvs", "--noheadings", "-o", "lv_name", self.group).split()
        sessions = subprocess.run(
            ["iscsiadm", "-m", "session"], capture_output=True, text=True, check=False
        )
        return [name for name in volumes if name != pool] + sessions.stdout.splitlines()


def command(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


if NO_LVM:

    @pytest.mark.skip(reason=f"LVM: {NO_LVM}")
    def test_lvm():
        """Reports the skip of the whole class above."""
