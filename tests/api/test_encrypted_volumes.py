"""Volumes that hosts encrypt: their keys, in copies, streams, migrations and dumps."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import luks_host
import pytest
from api.conftest import LoadBackend, connector

import cinderlib as cl
from cinderlib import errors
from cinderlib.persistence import generate_key
from cinderlib.records import VolumeRecord

LUKS = {"provider": "luks2"}
WHOLE = {"provider": "luks2", "control_location": "front-end"}

Verbs = Callable[[], list[str]]
needs_luks = pytest.mark.skipif(bool(luks_host.missing()), reason=luks_host.missing())


@pytest.fixture
def library(through: str, tmp_path: Path) -> Iterator[cl.Controller]:
    config: dict[str, Any] = {"storage": "memory", "encryption_keys": generate_key()}
    if through != "memory":
        config |= {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        yield controller


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often this host has formatted a device."""
    folder = tmp_path / "luks"
    monkeypatch.setenv("PATH", luks_host.install(folder, monkeypatch.setattr))
    return lambda: luks_host.verbs(folder).count("--batch-mode")


def key(library: cl.Controller, volume: cl.Volume) -> str:
    record = library.store.get(VolumeRecord, volume.id)
    assert record is not None
    assert record.encryption_key is not None
    found: str = record.encryption_key.reveal()
    return found


def test_a_volume_has_a_key_that_is_shown_nowhere(
    backend: cl.Backend, library: cl.Controller, tmp_path: Path
) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    assert volume.encryption == WHOLE
    secret = key(library, volume)
    assert len(secret) == 64
    for text in (repr(volume), json.dumps(volume.to_dict()), str(list(library.history()))):
        assert secret not in text
    for file in tmp_path.rglob("*.sqlite*"):
        assert secret.encode() not in file.read_bytes()
    assert key(library, backend.create_volume(1, encryption=LUKS)) != secret


@pytest.mark.parametrize(
    ("encryption", "message"),
    [
        ({"provider": "plain"}, "provider"),
        ({"control_location": "back-end"}, "control_location"),
        ({"cipher": "aes; rm"}, "cipher"),
        ({"key_size": "7"}, "key_size"),
        ({"keysize": "256"}, "keysize"),
    ],
)
def test_an_encryption_that_is_not_valid_creates_nothing(
    backend: cl.Backend, encryption: dict[str, str], message: str
) -> None:
    with pytest.raises(errors.InvalidInput, match=message):
        backend.create_volume(1, encryption=encryption)
    assert backend.volumes == []


def test_a_store_that_keeps_keys_in_clear_is_refused(tmp_path: Path) -> None:
    with cl.Controller({"storage": "memory"}, state_path=tmp_path / "state") as controller:
        backend = controller.backend("clear", volume_driver="file", file_root=str(tmp_path / "v"))
        with pytest.raises(errors.InvalidPersistence, match="generate-key"):
            backend.create_volume(1, encryption=LUKS)
        assert backend.volumes == []


def test_copies_have_the_key_of_their_source(backend: cl.Backend, library: cl.Controller) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    snapshot = volume.create_snapshot()
    copies = [volume.clone(), snapshot.create_volume(), volume.clone(encryption=LUKS)]
    assert {key(library, each) for each in copies} == {key(library, volume)}
    assert all(each.encryption == WHOLE for each in copies)
    with pytest.raises(errors.InvalidInput, match="must have the same encryption as the source"):
        volume.clone(encryption={})
    plain = backend.create_volume(1)
    with pytest.raises(errors.InvalidInput, match="must have the same encryption as the source"):
        plain.clone(encryption=LUKS)
    assert len(backend.volumes) == 5


def test_a_type_encrypts_its_volumes(
    backend: cl.Backend, controller: cl.Controller, library: cl.Controller
) -> None:
    made = controller.create_type("secret", encryption={"provider": "luks", "key_size": "512"})
    assert made.encryption == {**WHOLE, "provider": "luks", "key_size": "512"}
    assert controller.create_type("secret", encryption=made.encryption) == made
    with pytest.raises(errors.AlreadyExists, match="encryption"):
        controller.create_type("secret", encryption=LUKS)
    volume = backend.create_volume(1, type="secret")
    assert volume.encryption == made.encryption
    with pytest.raises(errors.InvalidInput, match="Specify either a type or"):
        backend.create_volume(1, type="secret", encryption=LUKS)
    before = key(library, volume)
    with pytest.raises(errors.Unsupported, match="is not encrypted again"):
        volume.retype(controller.create_type("other", encryption=LUKS))
    volume.retype(extra_specs={"provisioning:type": "thick"})
    assert (volume.encryption, key(library, volume)) == (made.encryption, before)
    with pytest.raises(errors.Unsupported, match="is not encrypted again"):
        backend.create_volume(1).retype("secret")


def test_only_the_host_gets_the_key(array: cl.Backend, library: cl.Controller) -> None:
    volume = array.create_volume(1, encryption=LUKS)
    connection = volume.connect(connector("first"))
    part = connection.connection_info["conn"]["encryption"]
    assert part == {"provider": "luks2", "key": key(library, volume), "format": True}
    assert part["key"] not in json.dumps(connection.to_dict()) + repr(connection)
    with pytest.raises(errors.AlreadyExists, match="disconnect it first"):
        volume.connect(connector("first"), decrypt=False)
    connection.disconnect()
    raw = volume.connect(connector("first"), decrypt=False)
    assert "encryption" not in raw.connection_info["conn"]
    raw.disconnect()


def test_restored_exports_keep_the_key_for_the_host(array: cl.Backend) -> None:
    volume = array.create_volume(1, multiattach=True, encryption=LUKS)
    found = [
        volume.connect(connector(host), attached_host=host, decrypt=host == "a") for host in "ab"
    ]
    before = {each.id: each.connection_info["conn"] for each in found}
    assert ["encryption" in before[each.id] for each in found] == [True, False]
    assert array.restore_exports() == [volume]
    assert {each.id: each.connection_info["conn"] for each in volume.connections} == before


def test_only_the_first_host_may_format(array: cl.Backend) -> None:
    volume = array.create_volume(1, encryption=LUKS, multiattach=True)
    first, second = (volume.connect(connector(name), attached_host=name) for name in ("a", "b"))

    def formats(connection: cl.Connection) -> bool:
        allowed: bool = connection.connection_info["conn"]["encryption"]["format"]
        return allowed

    assert (formats(first), formats(second)) == (True, False)
    first.device_attached({"path": "/dev/mapper/crypt"})
    first.refresh()
    assert not formats(first)
    second.disconnect()
    first.disconnect()
    assert not formats(volume.connect(connector("c")))


@needs_luks
def test_the_device_is_formatted_once(
    backend: cl.Backend, library: cl.Controller, formats: Callable[[], int], root: Path
) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    with volume.attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
        assert volume.attach().path == connection.path
        snapshot = volume.create_snapshot()
        copy = volume.clone()
    assert formats() == 1
    for each in (volume, copy, snapshot.create_volume()):
        with each.attached() as connection:
            assert connection.path.startswith("/dev/mapper/crypt-")
    assert snapshot.attach().path.startswith("/dev/mapper/crypt-")
    snapshot.detach()
    assert formats() == 1
    (file,) = root.glob(f"*{volume.id}")
    with file.open("r+b") as device:
        device.write(bytes(16 << 20))
    with pytest.raises(errors.NodeError, match="its LUKS header is missing"):
        volume.attach()
    assert (formats(), volume.connections) == (1, [])
    volume.wipe()
    with volume.attached():
        assert formats() == 2


@needs_luks
def test_a_stream_has_the_encrypted_data(backend: cl.Backend, formats: Callable[[], int]) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    with volume.attached():
        pass
    stream = io.BytesIO()
    volume.export_stream(stream)
    copy = volume.clone()
    copy.wipe()
    stream.seek(0)
    copy.apply_stream(stream)
    with copy.attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
    assert formats() == 1
    other = backend.create_volume(1, encryption=LUKS)
    stream.seek(0)
    other.apply_stream(stream)
    with pytest.raises(errors.NodeError, match="The key does not open encrypted volume"):
        other.attach()
    assert other.connections == []


@needs_luks
def test_a_migration_keeps_the_key(
    backend: cl.Backend,
    library: cl.Controller,
    load_backend: LoadBackend,
    tmp_path: Path,
    formats: Callable[[], int],
) -> None:
    there = load_backend("there", volume_driver="file", file_root=str(tmp_path / "there"))
    volume = backend.create_volume(1, encryption=LUKS)
    with volume.attached():
        pass
    before = key(library, volume)
    with pytest.raises(errors.Unsupported, match="copies its decrypted data"):
        volume.start_migration(there)
    volume.migrate(there, by_copy=True)
    assert (volume.backend.id, key(library, volume)) == ("there", before)
    with volume.attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
    assert formats() == 1


def test_existing_volumes_are_neither_managed_nor_released(backend: cl.Backend) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    with pytest.raises(errors.InvalidVolume, match="its key would be lost"):
        volume.unmanage()
    plain = backend.create_volume(1)
    name = plain.name_in_storage
    plain.unmanage()
    with pytest.raises(errors.InvalidInput, match="its key is not known"):
        backend.manage_volume({"source-name": name}, encryption=LUKS)
    assert backend.manage_volume({"source-name": name}).encryption == {}


@pytest.mark.library(reason="the service gives no keys")
def test_a_dump_has_the_key(backend: cl.Backend, library: cl.Controller, tmp_path: Path) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    text = volume.dumps
    config = {"storage": "memory", "encryption_keys": generate_key()}
    with cl.Controller(config, state_path=tmp_path / "other state") as other:
        other.load(text, save=True)
        assert key(other, other.volume(volume.id)) == key(library, volume)
