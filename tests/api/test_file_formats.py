"""A volume that is a qcow2 file is not read or written as raw data."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api import file_backends

import cinderlib as cl
from cinderlib import errors

pytestmark = pytest.mark.library(reason="the verbs of a service call these")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[cl.Volume]:
    with file_backends.controller(tmp_path, "files") as controller:
        backend = controller.backend(
            "share", volume_driver="api.qcow2_driver.Qcow2Driver", file_root=str(tmp_path / "share")
        )
        made = backend.create_volume(1, name="data")
        file_backends.write(made, b"content", 0)
        made.create_snapshot("monday")
        yield made


VERBS: dict[str, Callable[[cl.Volume], object]] = {
    "wipe": lambda volume: volume.wipe(),
    "export_stream": lambda volume: volume.export_stream(io.BytesIO()),
    "attach with a link": lambda volume: volume.attach(link="/run/cinderlib-link"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_refuse_it(volume: cl.Volume, verb: str) -> None:
    with pytest.raises(errors.InvalidVolume, match="has it in a qcow2 file"):
        VERBS[verb](volume)
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])


def test_an_attachment_names_its_format(volume: cl.Volume) -> None:
    with volume.attached() as connection:
        assert connection.file_format == "qcow2"
    for snapshot in volume.snapshots:
        snapshot.delete()
    with volume.attached() as connection, open(connection.path, "rb") as device:
        assert connection.file_format == "raw"
        assert device.read(7) == b"content"


def test_encrypted_volumes_are_refused(volume: cl.Volume) -> None:
    backends = volume.backend.controller.backends
    assert backends["files"].capabilities()["volume.encrypt"].way == "generic"
    share = backends["share"]
    assert "over NFS" in share.capabilities()["volume.encrypt"].reason
    with pytest.raises(errors.Unsupported, match="cannot create encrypted volumes: over NFS"):
        share.create_volume(1, name="secret", encryption={"provider": "luks2"})
    assert [each.name for each in share.volumes] == ["data"]
