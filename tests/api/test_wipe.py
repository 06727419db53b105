"""Wiped volumes: what remains when a step fails, and who is refused meanwhile."""

from __future__ import annotations

import pytest
from api import file_backends

from cinderlib import errors

PLACES = (0, 700 << 20, (1 << 30) - 6)

pytestmark = pytest.mark.library(reason="steps of this process fail")


@pytest.fixture
def volume(tmp_path):
    with file_backends.controller(tmp_path, "files") as controller:
        made = controller.backends["files"].create_volume(1, name="data")
        file_backends.write(made, b"secret", *PLACES)
        yield made


def has_secret(volume):
    with volume.attached() as connection, open(connection.path, "rb") as device:
        found = []
        for place in PLACES:
            device.seek(place)
            found.append(device.read(6))
    assert found in ([b"secret"] * 3, [bytes(6)] * 3)
    return found[0] == b"secret"


def last(volume):
    operations = list(volume._controller.history(volume.id))
    return next((o.operation, o.outcome) for o in operations if o.operation == "volume.wipe")


def test_a_wiped_volume_has_only_zeros(volume):
    volume.wipe()
    assert (volume.status, volume.changed, volume.connections) == ("available", True, [])
    assert not has_secret(volume)
    assert last(volume) == ("volume.wipe", "done")
    volume.wipe()


def test_the_data_of_snapshots_stays(volume):
    snapshot = volume.create_snapshot("monday")
    volume.wipe()
    assert not has_secret(volume)
    assert has_secret(snapshot.create_volume())


def test_a_wipe_that_fails_can_be_repeated(volume, monkeypatch):
    host = volume._controller.local_host

    def fail(target, report):
        report(0, 1 << 30)
        raise errors.NodeError("the device failed")

    monkeypatch.setattr(host, "wipe", fail)
    with pytest.raises(errors.NodeError, match="the device failed"):
        volume.wipe()
    monkeypatch.undo()
    volume.refresh()
    assert (volume.status, volume.connections) == ("error", [])
    assert last(volume) == ("volume.wipe", "failed")
    volume.wipe()
    assert volume.status == "available"
    assert not has_secret(volume)


def test_a_volume_that_cannot_be_attached_keeps_its_data(volume, monkeypatch):
    def fail(connection, volume, options):
        raise errors.NodeError("no device")

    monkeypatch.setattr(volume._controller.local_host, "attach", fail)
    with pytest.raises(errors.NodeError, match="no device"):
        volume.wipe()
    monkeypatch.undo()
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])
    assert has_secret(volume)


def test_others_are_refused_while_it_is_wiped(volume, monkeypatch):
    host, wipe = volume._controller.local_host, volume._controller.local_host.wipe
    refused = []

    def meanwhile(target, report):
        for call in (volume.delete, lambda: volume.connect({"host": "other"}), volume.wipe):
            with pytest.raises(errors.CinderlibError):
                call()
            refused.append(call)
        assert [each.outcome for each in volume._controller.recover()] == ["skipped"]
        wipe(target, report)

    monkeypatch.setattr(host, "wipe", meanwhile)
    volume.wipe()
    assert len(refused) == 3
    assert not has_secret(volume)


@pytest.mark.parametrize("then", ["wipe", "recover", "delete"])
def test_an_interrupted_wipe_is_finished(volume, monkeypatch, then):
    def interrupt(target, report):
        raise KeyboardInterrupt

    controller = volume._controller
    monkeypatch.setattr(controller.local_host, "wipe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        volume.wipe()
    monkeypatch.undo()
    with pytest.raises(errors.Busy, match="recover"):
        volume.attach()
    if then == "recover":
        assert [each.outcome for each in controller.recover()] == ["finished"]
    elif then == "wipe":
        volume.wipe()
    else:
        volume.cleanup()
        volume.delete()
        return
    volume.refresh()
    assert (volume.status, has_secret(volume)) == ("available", False)


def test_a_connected_volume_is_refused(volume):
    volume.attach()
    with pytest.raises(errors.InvalidVolume, match="disconnect it first"):
        volume.wipe()
    volume.detach()
    connection = volume.connect(volume._controller.local_connector(volume.backend))
    with pytest.raises(errors.InvalidVolume, match="disconnect it first"):
        volume.wipe()
    volume.disconnect(connection)
    assert has_secret(volume)
