"""Local attach on LVM and LIO: controller and node are one process, beside the array."""

from __future__ import annotations

import pathlib
import re

import pytest

from lab.machine import Machine, Session

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def test_the_program_of_the_readme(controller: Machine, control: Session) -> None:
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (program,) = [p for p in programs if "LVMVolumeDriver" in p]
    controller.run(
        f"mkdir -p readme && cd readme && cat >program.py <<'PROGRAM'\n{program}PROGRAM\n"
        "PYTHONPATH=/opt/project/python:/opt/env PATH=/opt/env/bin:$PATH python3 program.py"
    )
    # What it wrote is on the logical volume, and a later process finds the volume in the store.
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


@pytest.mark.parametrize("backend", ["lvm", "thick"])
def test_life_of_a_volume(controller: Machine, control: Session, backend: str) -> None:
    written = control(
        """
        vol = {'lvm': lvm, 'thick': thick}[backend].create_volume(size=1)
        attach = vol.attach()
        data = os.urandom(4 << 20)
        with open(attach.path, 'r+b') as f:
            f.write(data)
            os.fsync(f)
        hashlib.sha256(data).hexdigest()
        """,
        backend=backend,
    )
    group = {"lvm": "cinder-volumes", "thick": "thick"}[backend]
    name = control("vol.name_in_storage")
    assert _sha256(controller, f"/dev/{group}/{name}") == written
    control(
        """
        snap = vol.create_snapshot()
        vol.extend(2)
        size = os.open(attach.path, os.O_RDONLY)
        assert os.lseek(size, 0, os.SEEK_END) == 2 << 30
        os.close(size)
        vol.detach()
        copy = snap.create_volume()
        with copy.attached() as attach, open(attach.path, 'rb') as f:
            assert hashlib.sha256(f.read(4 << 20)).hexdigest() == written
        """,
        written=written,
    )
    control("copy.delete(); snap.delete(); vol.delete()")


def _sha256(machine: Machine, device: str) -> str:
    return machine.run(f"head -c 4M {device} | sha256sum").split()[0]
