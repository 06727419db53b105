"""Encrypted volumes: LUKS on the node, over iSCSI with two paths."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
from steps import GIB, carry, connect, shows, until

from lab.machine import Machine
from lab.networks import address
from lab.session import RemoteError, Session

#: The size of a LUKS2 header, in bytes.
HEADER = 16 << 20
_KEYS = base64.urlsafe_b64encode(os.urandom(32)).decode()

#: Activates a thin logical volume.
_ACTIVE = "lvchange -K -ay"

#: Stops the process in an attach when it runs a program of cryptsetup: before it, or after it.
_STOP = """
    import threading
    from cinderlib.node import command
    run, reached = command.run, threading.Event()
    def stopping(argv, **options):
        if verb in argv and moment == 'before':
            reached.set()
            threading.Event().wait()
        done = run(argv, **options)
        if verb in argv:
            reached.set()
            threading.Event().wait()
        return done
    command.run = stopping
    threading.Thread(target=node.attach, args=[info], daemon=True).start()
    reached.wait(300)
"""


@pytest.fixture
def encrypting(controller: Machine) -> Iterator[Session]:
    """A process on the controller with a store that encrypts keys."""
    with controller.python() as python:
        python(
            """
            import cinderlib as cl
            import data
            cl.setup(persistence_config={'storage': 'db', 'connection': url,
                                         'encryption_keys': keys}, disable_logs=False)
            lvm = cl.Backend('lvm', volume_driver='lvm', volume_group='cinder-volumes',
                             lvm_type='thin', target_protocol='iscsi', target_helper='lioadm',
                             target_ip_address=portals[0],
                             target_secondary_ip_addresses=portals[1:])
            """,
            portals=[address("controller", 1), address("controller", 2)],
            url="sqlite:////root/encrypted.sqlite",
            keys=_KEYS,
        )
        yield python


def _backing(control: Session, name: str = "vol") -> str:
    return f"/dev/cinder-volumes/{control(f'{name}.name_in_storage')}"


def _attach(control: Session, node: Session, host: str) -> None:
    connect(control, node, host, multipath=True)
    node("attachment = node.attach(info)")


def _end(control: Session, node: Session, name: str = "vol") -> None:
    node("node.detach(info)")
    control(f"{name}.disconnect({name}.connections[0]); {name}.delete()")


@shows(
    "LUKS: format, data, extend, snapshot, clone; wrong and lost keys are refused",
    "iSCSI multipath",
)
def test_luks(controller: Machine, encrypting: Session, node1: Machine, on_node1: Session) -> None:
    control, node = encrypting, on_node1
    control("vol = lvm.create_volume(size=1, encryption={'provider': 'luks2'})")
    backing = _backing(control)
    _attach(control, node, "node1")
    assert node("attachment.path").startswith("/dev/mapper/crypt-")
    assert node("bool(attachment.multipath_id)")
    assert node("data.size(attachment.path)") == GIB - HEADER
    uuid = controller.run(f"cryptsetup luksUUID {backing}")
    written = node("data.write(attachment.path)")
    assert node("data.read(attachment.path)") == written
    stored = f"dd if={backing} bs=1M skip=16 count=4 iflag=direct status=none | sha256sum"
    assert controller.run(stored).split()[0] != written
    assert node("node.attach(info).path == attachment.path")

    # The key is in no file of the node, in no log, and in clear in no file of the store.
    key = node("info['conn']['encryption']['key']")
    assert node1.run(f"grep -rl {key} /var/lib/cinderlib /run /etc || true") == ""
    assert controller.run(f"grep -l {key} /root/encrypted.sqlite* || true") == ""
    for machine in (controller, node1):
        assert key not in (machine.folder / "machine.log").read_text(errors="replace")

    # Extend.
    control("vol.extend(2)")
    assert node("node.extend(info['id'])") == 2 * GIB - HEADER
    assert node("data.size(attachment.path)") == 2 * GIB - HEADER
    assert node("data.read(attachment.path)") == written

    # A snapshot and a clone have the key of the volume.
    control("snap = vol.create_snapshot(); copy = vol.clone(); restored = snap.create_volume()")
    rewritten = node("data.write(attachment.path)")
    node("attached, kept = attachment, info")
    control("vol_, vol = vol, copy")
    for name in ("copy", "restored"):
        control(f"vol = {name}")
        _attach(control, node, "node1")
        assert node("data.read(attachment.path)") == written
        assert node("attachment.path != attached.path")
        _end(control, node)
    control("vol = vol_; snap.delete()")
    node("attachment, info = attached, kept")
    assert node("data.read(attachment.path)") == rewritten
    node("node.detach(info)")
    assert not node1.inventory()["device-mapper maps"]

    # A wrong key opens nothing and changes nothing.
    before = controller.digest(backing)
    with pytest.raises(RemoteError, match="The key does not open encrypted volume") as caught:
        node(
            """
            conn = info['conn']
            wrong = {**conn['encryption'], 'key': '00' * 32}
            node.attach({**info, 'conn': {**conn, 'encryption': wrong}})
            """
        )
    assert caught.value.kind == "NodeError"
    assert not node1.inventory()["device-mapper maps"]
    assert not node1.inventory()["iSCSI sessions"]
    assert controller.digest(backing) == before

    # A volume that lost its header is not formatted again.
    control("vol.disconnect(vol.connections[0]); vol.refresh()")
    assert control("vol.record.encryption_opened") is False  # the node has not reported its device
    controller.run(
        f"""
        {_ACTIVE} {backing}
        dd if={backing} of=/root/header bs=1M count=16 iflag=direct status=none
        dd if=/dev/zero of={backing} bs=1M count=16 oflag=direct status=none
        """
    )
    connect(control, node, "node1", multipath=True)
    control("conn.device_attached({'path': '/dev/mapper/x'})")
    info = control("conn.connection_info")
    info.pop("device")
    with pytest.raises(RemoteError, match="its LUKS header is missing"):
        node("info = info; node.attach(info)", info=carry(info))
    assert controller.run(f"cryptsetup isLuks {backing} && echo yes || echo no") == "no\n"
    controller.run(f"dd if=/root/header of={backing} bs=1M oflag=direct status=none")
    node("attachment = node.attach(info)")
    assert node("data.read(attachment.path)") == rewritten
    assert controller.run(f"cryptsetup luksUUID {backing}") == uuid
    _end(control, node)


def _retype(control: Session, type: str) -> None:
    """Retype by a copy. If it encrypts or decrypts, it writes all blocks: that takes longer than
    one call of a session may."""
    control(
        """
        import threading
        worker = threading.Thread(target=vol.retype, args=[type], kwargs={'migrate': True})
        worker.start()
        """,
        type=type,
    )
    until(lambda: not control("worker.is_alive()"), "the data is copied", 1400)


@shows("LUKS: an existing volume is encrypted by a copy, and decrypted", "iSCSI")
@pytest.mark.full
@pytest.mark.timeout(3000)
def test_retype(controller: Machine, encrypting: Session) -> None:
    control = encrypting
    control(
        """
        lvm.controller.create_type('sealed', encryption={'provider': 'luks2'})
        lvm.controller.create_type('plain')
        vol = lvm.create_volume(size=1, name='customers')
        with vol.attached() as attachment:
            written = data.write(attachment.path)
        """
    )
    _retype(control, "sealed")
    # The header takes a part of the device.
    assert control("[vol.type_name, vol.size, vol.status]") == ["sealed", 2, "available"]
    with_key = control(
        """
        with vol.attached() as attachment:
            found = [attachment.path, data.read(attachment.path) == written]
        found
        """
    )
    assert with_key[0].startswith("/dev/mapper/crypt-")
    assert with_key[1]
    backing = _backing(control)
    controller.run(f"{_ACTIVE} {backing}; cryptsetup isLuks {backing}")
    _retype(control, "plain")
    assert control(
        """
        with vol.attached() as attachment:
            same = data.read(attachment.path) == written
        same, vol.encryption
        """
    ) == [True, {}]
    control("vol.delete(); [lvm.controller.delete_type(name) for name in ('sealed', 'plain')]")
    assert not controller.inventory()["device-mapper maps"]


@shows("LUKS: the node loses its power between the steps of the first attach", "iSCSI multipath")
@pytest.mark.parametrize(
    ("verb", "moment"),
    [("luksFormat", "before"), ("luksFormat", "after"), ("luksOpen", "after")],
)
def test_power(
    controller: Machine, encrypting: Session, node2: Machine, verb: str, moment: str
) -> None:
    control = encrypting
    control("vol = lvm.create_volume(size=1, encryption={'provider': 'luks'})")
    backing = _backing(control)
    names = f"my_ip = {address('node2', 1)!r}; import cinderlib as cl, data"
    with node2.python() as node:
        node(names)
        connect(control, node, "node2", multipath=True)
        info = node("info")
        assert node(_STOP, verb=verb, moment=moment)
    formatted = controller.run(f"cryptsetup luksUUID {backing} || true")
    assert bool(formatted.strip()) is (moment == "after")

    node2.reset()
    with node2.python() as node:
        node(names)
        node(
            "node = cl.Node(my_ip=my_ip, multipath=True); attachment = node.attach(info)",
            info=carry(info),
        )
        written = node("data.write(attachment.path)")
        if formatted.strip():
            assert controller.run(f"cryptsetup luksUUID {backing}") == formatted
        node("node.detach(info); attachment = node.attach(info)")
        assert node("data.read(attachment.path)") == written
        node("node.detach(info)")
        # A header without a key, as cryptsetup leaves it if it is interrupted between its steps.
        controller.run(f"cryptsetup luksErase --batch-mode {backing}")
        node("attachment = node.attach(info); data.write(attachment.path)")
        _end(control, node)
