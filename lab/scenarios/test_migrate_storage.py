"""A volume moves from one storage to another: the controller attaches both and copies the data."""

from __future__ import annotations

import pytest
from steps import shows, until

from lab.machine import Machine
from lab.session import Session

#: Starts the migration in a thread: it can take longer than one call of a session may.
_MIGRATE = """
    import threading
    failed = []
    def migrate():
        try:
            vol.migrate(destination)
        except Exception as exc:
            failed.append(repr(exc))
    worker = threading.Thread(target=migrate)
    worker.start()
"""
#: Data at the beginning, in the middle and at the end of 1 GiB.
_WRITE = """
    places = (0, 511, 1020)
    with vol.attached() as attachment:
        written = [data.write(attachment.path, 4, place) for place in places]
    identity = vol.id, vol.name, vol.size
"""
_READ = """
    with vol.attached() as attachment:
        path = attachment.path
        found = [data.read(path, 4, place) for place in places]
    assert (vol.id, vol.name, vol.size) == identity
    path, found == written
"""


@shows("A volume moves: file to LVM, to another LVM group, to Ceph", "iSCSI", "RBD")
@pytest.mark.full
def test_to_rbd(rbd: None, controller: Machine, ceph: Machine, control: Session) -> None:
    before = controller.inventory(), ceph.inventory()
    control("file = cl.Backend('file', volume_driver='file', file_root='/root/volumes')")
    control("vol = file.create_volume(size=1, name='customers')")
    control(_WRITE)
    (volume,) = controller.run("find /root/volumes -type f -size +900M").split()
    whole = controller.run(f"sha256sum {volume}").split()[0]
    for destination, device in (("lvm", "/dev/sd"), ("thick", "/dev/sd"), ("ceph", "/dev/rbd")):
        control(f"destination = {destination}")
        control(_MIGRATE)
        until(lambda: not control("worker.is_alive()"), "the data is copied", 1400)
        assert control("failed") == []
        path, is_same = control(_READ)
        assert path.startswith(device)
        assert is_same
    image = control("vol.name_in_storage")
    assert ceph.run(f"rbd export --no-progress volumes/{image} - | sha256sum").split()[0] == whole
    assert not controller.run("find /root/volumes -type f -size +900M")
    control("vol.delete()")
    assert (controller.inventory(), ceph.inventory()) == before
