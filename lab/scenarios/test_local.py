"""Local attach with LVM and LIO: controller and node are one process, on the array's host."""

from __future__ import annotations

import pathlib
import re

import pytest
from steps import shows

from lab.machine import ENVIRONMENT, Machine
from lab.session import Session

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


@shows("Local: the program of the README", "iSCSI")
def test_the_program_of_the_readme(controller: Machine, control: Session) -> None:
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (program,) = [p for p in programs if "LVMVolumeDriver" in p]
    controller.run(
        f"mkdir -p readme && cd readme && cat >program.py <<'PROGRAM'\n{program}PROGRAM\n"
        f"{ENVIRONMENT} python3 program.py"
    )
    # Its data is on the logical volume, and another process finds the volume in the store.
    volume = control(
        """
        other = cl.Controller({'storage': 'db', 'connection': 'sqlite:////root/readme/cl.sqlite'})
        (volume,) = other.volumes()
        other.backend('lvm_iscsi', volume_driver='lvm', volume_group='cinder-volumes',
                      target_protocol='iscsi', target_helper='lioadm')
        volume.name_in_storage
        """
    )
    device = f"/dev/cinder-volumes/{volume}"
    written = controller.run(f"lvchange -K -ay {device[5:]} && head -c 100 {device}")
    control("volume.delete(); other.close()")
    controller.run("rm -r readme")
    assert written == "*" * 100


@shows("Local: data, extend, snapshot, LVM thin and thick", "iSCSI")
@pytest.mark.parametrize(("backend", "group"), [("lvm", "cinder-volumes"), ("thick", "thick")])
def test_lifecycle_of_a_volume(
    controller: Machine, control: Session, backend: str, group: str
) -> None:
    control("vol = cl.Backend.backends[name].create_volume(size=1)", name=backend)
    name = control("vol.name_in_storage")
    assert f"{group}/{name}" in controller.inventory()["logical volumes"]
    path = control("attach = vol.attach(); attach.path")
    written = control("data.write(attach.path)")
    assert controller.digest(f"/dev/{group}/{name}") == written

    assert control("vol.extend(2)") == 2 << 30
    assert control("data.size(attach.path)") == 2 << 30
    control("snap = vol.create_snapshot()")
    control("data.write(attach.path)")
    control("vol.detach()")
    assert control("copy = snap.create_volume(); copy.size") == 2
    with_copy = "with copy.attached() as attach: found = data.read(attach.path)"
    control(with_copy)
    assert control("found") == written
    assert path.startswith("/dev/")
    control("copy.delete(); snap.delete(); vol.delete()")


@shows("Local: multipath over two portals", "iSCSI multipath")
def test_multipath_over_two_portals(controller: Machine, control: Session) -> None:
    control(
        """
        many = cl.Backend('many', volume_group='cinder-volumes', lvm_type='thin',
                          use_multipath_for_image_xfer=True, **common)
        vol = many.create_volume(size=1)
        attach = vol.attach()
        """
    )
    path = control("attach.path")
    name = control("vol.name_in_storage")
    map_name = pathlib.PurePath(controller.run(f"readlink -f {path}").strip()).name
    assert map_name.startswith("dm-")
    assert len(controller.run(f"ls /sys/block/{map_name}/slaves").split()) == 2
    written = control("data.write(attach.path)")
    assert controller.digest(f"/dev/cinder-volumes/{name}") == written
    assert control("vol.extend(2)") == 2 << 30
    assert control("data.read(attach.path)") == written

    # Detach and attach only on the host, while the volume remains connected.
    control("attach.detach()")
    assert control("attach.attached, attach.connected") == [False, True]
    control("attach.attach()")
    assert control("data.read(attach.path)") == written
    control("vol.detach(); vol.delete()")
