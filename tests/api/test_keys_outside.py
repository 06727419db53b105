"""Encrypted volumes whose keys are outside the store, in files or in a key manager."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import key_managers
import luks_host
import msgspec
import pytest
from api.conftest import LoadBackend, connector
from key_managers import KeyManagerServer

import cinderlib as cl
from cinderlib import errors
from cinderlib.operations import create_volume
from cinderlib.records import ConnectionRecord, VolumeRecord

LUKS = {"provider": "luks2"}
needs_luks = pytest.mark.skipif(bool(luks_host.missing()), reason=luks_host.missing())


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[KeyManagerServer]:
    with key_managers.vault(tmp_path) as server:
        yield server


@pytest.fixture(params=["file", "castellan"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "file":
        return {"manager": "file", "folder": str(tmp_path / "keys")}
    server = request.getfixturevalue("vault")
    return {"manager": "castellan", "castellan_config": server.config}


@pytest.fixture
def library(through: str, settings: dict[str, str], tmp_path: Path) -> Iterator[cl.Controller]:
    """A controller whose store encrypts nothing."""
    config: dict[str, Any] = {"storage": "memory"}
    if through != "memory":
        config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state", volume_keys=settings) as controller:
        yield controller


@pytest.fixture
def kept(
    settings: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], list[str]]:
    """Returns the keys outside the store."""
    if settings["manager"] == "castellan":
        return request.getfixturevalue("vault").keys  # type: ignore[no-any-return]
    return lambda: [path.read_text() for path in (tmp_path / "keys").glob("*")]


@pytest.fixture
def formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often this host has formatted a device."""
    folder = tmp_path / "luks"
    monkeypatch.setenv("PATH", luks_host.install(folder, monkeypatch.setattr))
    return lambda: luks_host.verbs(folder).count("--batch-mode")


def part(connection: cl.Connection) -> dict[str, Any]:
    """What the host gets to open the volume."""
    found: dict[str, Any] = connection.connection_info["conn"]["encryption"]
    return found


def test_each_volume_has_its_own_key(
    array: cl.Backend,
    library: cl.Controller,
    kept: Callable[[], list[str]],
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    volume = array.create_volume(1, encryption=LUKS)
    (key,) = kept()
    assert len(key) == 64
    snapshot = volume.create_snapshot()
    copies = [volume.clone(), snapshot.create_volume()]
    assert kept() == [key] * 3
    references = {each.encryption_key_ref for each in (volume, *copies)}
    assert len(references) == 3
    assert all(str(each).startswith(f"{settings['manager']}:") for each in references)
    connection = volume.connect(connector("first"))
    assert part(connection) == {"provider": "luks2", "key": key, "format": True}
    assert connection.conn_info["encryption"]["key"] == key
    for record in (*library.store.find(VolumeRecord), *library.store.find(ConnectionRecord)):
        assert key not in str(msgspec.json.encode(record, enc_hook=lambda s: s.known()))
    shown = [repr(volume), json.dumps(volume.to_dict()), repr(connection)]
    shown += [json.dumps(connection.to_dict()), str(list(library.history()))]
    assert not any(key in text for text in shown)
    for file in tmp_path.rglob("*.sqlite*"):
        assert key.encode() not in file.read_bytes()
    connection.disconnect()
    copies[1].delete()
    snapshot.delete()
    assert kept() == [key] * 2
    volume.delete()
    copies[0].delete()
    assert kept() == []


@needs_luks
def test_hosts_open_the_volumes_and_their_copies(
    backend: cl.Backend,
    load_backend: LoadBackend,
    kept: Callable[[], list[str]],
    formats: Callable[[], int],
    tmp_path: Path,
) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    with volume.attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
        snapshot = volume.create_snapshot()
    assert snapshot.attach().path.startswith("/dev/mapper/crypt-")
    assert len(kept()) == 2
    snapshot.detach()
    snapshot.delete()
    there = load_backend("there", volume_driver="file", file_root=str(tmp_path / "there"))
    reference = volume.encryption_key_ref
    volume.migrate(there, by_copy=True)
    assert (volume.backend.id, volume.encryption_key_ref) == ("there", reference)
    assert len(kept()) == 1
    with volume.clone().attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
    assert formats() == 1


@needs_luks
def test_an_attached_volume_is_extended(
    backend: cl.Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "luks"
    monkeypatch.setenv("PATH", luks_host.install(folder, monkeypatch.setattr, devices=True))
    volume = backend.create_volume(1, encryption=LUKS)
    try:
        with volume.attached():
            volume.extend(2)
            assert (folder / "resized").exists()  # without the key
    finally:
        luks_host.remove_devices(folder)


def test_groups_keep_and_delete_the_keys_of_their_volumes(
    array: cl.Backend, kept: Callable[[], list[str]]
) -> None:
    volumes = [array.create_volume(1, encryption=LUKS) for _ in range(2)]
    group = array.create_group("pair", volumes)
    copy = group.clone("copy", one_after_another=True)
    assert sorted(kept()) == sorted([*set(kept())] * 2)
    copy.delete(volumes=True)
    assert len(kept()) == 2
    group.delete(volumes=True)
    assert kept() == []


def test_a_failed_create_leaves_no_key(
    backend: cl.Backend,
    kept: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any) -> Any:
        raise errors.DriverError("Full", retryable=retryable)

    for retryable in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(create_volume, "create_on_storage", fail)
            with pytest.raises(errors.DriverError, match="Full"):
                backend.create_volume(1, encryption=LUKS)
        assert len(kept()) == len(backend.volumes) == retryable
    backend.volumes[0].delete()
    assert kept() == []


@pytest.mark.parametrize("settings", ["castellan"], indirect=True)
def test_a_sealed_vault_refuses_and_nothing_changes(
    array: cl.Backend, vault: KeyManagerServer
) -> None:
    volume = array.create_volume(1, encryption=LUKS)
    connected = array.create_volume(1, encryption=LUKS)
    connection = connected.connect(connector("first"))
    vault.sealed = True
    sealed = r"key of encrypted volume .*sealed, or in standby\?"
    with pytest.raises(errors.KeyManagerError, match=f"{sealed} Nothing changed"):
        array.create_volume(1, encryption=LUKS)
    with pytest.raises(errors.KeyManagerError, match=f"{sealed} Nothing changed"):
        volume.clone()
    with pytest.raises(errors.KeyManagerError, match=f"{sealed} Nothing changed"):
        volume.connect(connector("first"))
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])
    connection.disconnect()  # needs no key
    with pytest.raises(errors.KeyManagerError, match="cannot be deleted") as caught:
        volume.delete()
    assert "repeat the call" in " ".join(caught.value.__notes__)
    vault.sealed = False
    assert {each.id for each in array.volumes} == {volume.id, connected.id}
    volume.delete()
    connected.delete()
    assert vault.keys() == []
    assert array.volumes == []


@pytest.mark.parametrize("settings", ["file"], indirect=True)
@pytest.mark.library(reason="the service gives no keys")
def test_a_dump_has_the_reference(
    backend: cl.Backend, kept: Callable[[], list[str]], settings: dict[str, str], tmp_path: Path
) -> None:
    volume = backend.create_volume(1, encryption=LUKS)
    text = volume.dumps
    (key,) = kept()
    assert key not in text
    state = tmp_path / "other state"
    with cl.Controller(state_path=state, fail_on_missing_backend=False) as other:
        other.load(text, save=True)
        assert other.volume(volume.id).encryption_key_ref == volume.encryption_key_ref
        with pytest.raises(errors.KeyManagerError, match=r"Set folder in \[volume_keys\]"):
            other.journal.keys.get(str(volume.encryption_key_ref), volume.id)


def test_existing_keys_stay_where_they_are(tmp_path: Path) -> None:
    from cinderlib.persistence import generate_key

    keys = {"encryption_keys": generate_key(), "storage": "db"}
    config = {**keys, "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    options = {"volume_driver": "file", "file_root": str(tmp_path / "volumes")}
    folder = {"folder": str(tmp_path / "keys")}
    ways: list[Any] = [None, {"manager": "file", **folder}, {"manager": "store", **folder}]
    volumes = []
    for way in ways:
        with cl.Controller(config, state_path=tmp_path / "state", volume_keys=way) as controller:
            backend = controller.backend("files", **options)
            source = controller.volume(volumes[-1]) if volumes else None
            new = backend.create_volume(1, encryption=LUKS) if source is None else source.clone()
            volumes.append(new.id)
            stored = [controller.store.get(VolumeRecord, id) for id in volumes]
            places = [each is not None and each.encryption_key is not None for each in stored]
    assert places == [True, False, True]
    with cl.Controller(config, state_path=tmp_path / "state", volume_keys=ways[2]) as controller:
        controller.backend("files", **options)
        for id in volumes:
            controller.volume(id).delete()
    assert list((tmp_path / "keys").iterdir()) == []
