"""Volumes whose driver cannot change their specs or encryption get them by a copy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import luks_host
import pytest
from api.conftest import LoadBackend
from api.file_backends import read, write
from api.play import Played, reset

import cinderlib as cl
from cinderlib import errors
from cinderlib.persistence import generate_key
from cinderlib.persistence.base import Put
from cinderlib.records import AppliedStream, IntentRecord, VolumeRecord, replace

GOLD = {"tier": "gold"}
HEADER = 16 << 20
GIB = 1 << 30

needs_luks = pytest.mark.skipif(bool(luks_host.missing()), reason=luks_host.missing())


@pytest.fixture
def library(through: str, tmp_path: Path) -> Iterator[cl.Controller]:
    config: dict[str, Any] = {"storage": "memory", "encryption_keys": generate_key()}
    if through != "memory":
        config |= {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        controller.create_type("gold", extra_specs=GOLD)
        controller.create_type("secret", encryption={"provider": "luks2"})
        yield controller


@pytest.fixture
def unable(load_backend: LoadBackend, tmp_path: Path) -> cl.Backend:
    """A backend whose driver cannot retype."""
    driver = "crash.array_driver.UnretypingDriver"
    return load_backend("unable", volume_driver=driver, file_root=str(tmp_path / "unable"))


@pytest.fixture
def refusing(load_backend: LoadBackend, tmp_path: Path) -> cl.Backend:
    """A backend whose driver refuses each retype."""
    driver = "crash.array_driver.RefusingDriver"
    return load_backend("refusing", volume_driver=driver, file_root=str(tmp_path / "refusing"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This host attaches encrypted volumes."""
    folder = tmp_path / "luks"
    path = luks_host.install(folder, monkeypatch.setattr, devices=True)
    monkeypatch.setenv("PATH", path)
    yield
    luks_host.remove_devices(folder)


def record(library: cl.Controller, volume: cl.Volume) -> VolumeRecord:
    found = library.store.get(VolumeRecord, volume.id)
    assert found is not None
    return found


def operations(controller: cl.Controller, volume: cl.Volume) -> list[tuple[str, str]]:
    """The operations of a volume, but not the attachments of copies."""
    return [
        (each.operation, each.outcome)
        for each in controller.history()
        if each.resource_id == volume.id
    ]


def test_a_copy_with_the_type_replaces_the_volume(
    unable: cl.Backend, controller: cl.Controller, library: cl.Controller, tmp_path: Path
) -> None:
    volume = unable.create_volume(1, name="data", metadata={"a": "1"}, bootable=True)
    write(volume, b"first", 0, GIB - 4096)
    created, before = volume.created_at, volume.name_in_storage
    assert unable.capabilities()["volume.retype"].way == "generic"
    volume.retype("gold", migrate=True)
    assert volume.changed
    same = controller.volume(volume.id)
    assert (same.name, same.metadata, same.bootable) == ("data", {"a": "1"}, True)
    assert (same.type_name, same.extra_specs) == ("gold", GOLD)
    assert (same.status, same.migration_status, same.created_at) == ("available", None, created)
    assert (same.retype_target, same.size, same.backend.id) == (None, 1, "unable")
    assert (read(same), read(same, 5, GIB - 4096)) == (b"first", b"first")
    assert same.name_in_storage != before  # the old data had the name
    (file,) = os.listdir(tmp_path / "unable")
    assert file == same.name_in_storage
    assert os.stat(tmp_path / "unable" / file).st_blocks * 512 < 16 << 20
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert library.store.find(IntentRecord) == []
    volume.retype("gold", migrate=True)
    assert volume.changed is False
    volume.retype(extra_specs={"own": "1"}, migrate=True)
    assert (volume.type_name, volume.volume_type_id) == (None, volume.id)
    assert controller.delete_type("gold")
    volume.retype(migrate=True)
    assert (volume.volume_type_id, read(volume)) == (None, b"first")
    assert len(os.listdir(tmp_path / "unable")) == 1
    assert [each.problem for each in unable.reconcile()] == []


def test_the_driver_is_asked_first(
    backend: cl.Backend, controller: cl.Controller, root: Path
) -> None:
    volume = backend.create_volume(1)
    volume.retype("gold", migrate=True)
    assert (volume.type_name, volume.name_in_storage) == ("gold", f"volume-{volume.id}")
    done = operations(controller, volume)
    assert done == [("volume.create", "done"), ("volume.retype", "done")]


def test_a_refusal_of_the_driver_is_not_an_operation_of_its_own(
    refusing: cl.Backend, controller: cl.Controller
) -> None:
    volume = refusing.create_volume(1)
    write(volume, b"first")
    with pytest.raises(errors.Unsupported, match=r"`cinderlib volume retype --migrate`"):
        volume.retype("gold")
    volume.retype("gold", migrate=True)
    assert (volume.type_name, volume.status, read(volume)) == ("gold", "available", b"first")
    done = [each for each in operations(controller, volume) if each[0] != "volume.create"]
    assert done == [("volume.retype", "failed"), ("volume.migrate_by_copy", "done")]
    (copied,) = [each for each in controller.history() if "migrate" in each.operation]
    assert copied.arguments["type"] == "gold"


def test_without_a_copy_the_refusal_names_the_option(unable: cl.Backend) -> None:
    volume = unable.create_volume(1)
    for specs in ({"type": "gold"}, {"extra_specs": GOLD}):
        with pytest.raises(errors.Unsupported, match=r"migrate=True.*") as caught:
            volume.retype(**specs)
        assert "does not implement retype" in str(caught.value)
    with pytest.raises(errors.Unsupported, match=r"migrate=True"):
        volume.retype("secret")
    assert (volume.status, volume.extra_specs, volume.encryption) == ("available", {}, {})
    for wrong in ({"backend": "unable"}, {"pool": "unable"}):
        with pytest.raises(errors.InvalidInput, match="need migrate=True"):
            volume.retype("gold", **wrong)
    with pytest.raises(errors.InvalidInput):
        volume.retype("gold", migrate="yes")


def test_another_backend_is_chosen_by_the_caller(
    unable: cl.Backend, backend: cl.Backend, root: Path, tmp_path: Path
) -> None:
    volume = unable.create_volume(1)
    write(volume, b"first")
    volume.retype("gold", migrate=True, backend=backend)
    assert (volume.backend.id, volume.type_name, read(volume)) == ("here", "gold", b"first")
    assert (os.listdir(root), os.listdir(tmp_path / "unable")) == ([volume.name_in_storage], [])
    volume.retype("gold", migrate=True, backend="here", pool="here")
    assert volume.changed is False
    with pytest.raises(errors.InvalidInput, match="has no pool 'none'"):
        volume.retype(migrate=True, backend="here", pool="none")
    with pytest.raises(errors.CinderlibError):
        volume.retype(migrate=True, backend="nowhere")


def test_a_volume_in_use_or_with_snapshots_is_refused(
    unable: cl.Backend, refusing: cl.Backend
) -> None:
    for here in (unable, refusing):
        volume = here.create_volume(1)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidVolume, match="it has snapshots"):
            volume.retype("gold", migrate=True)
        volume.refresh()
        assert (volume.status, volume.type_name, volume.retype_target) == ("available", None, None)
        snapshot.delete()
        volume.attach()
        with pytest.raises(errors.InvalidVolume, match="it is connected to"):
            volume.retype("gold", migrate=True)
        volume.refresh()
        assert (volume.status, volume.type_name, volume.retype_target) == ("in-use", None, None)
        volume.detach()
        volume.retype("gold", migrate=True)
        assert volume.type_name == "gold"


@pytest.mark.library(reason="fails a step")
def test_a_failed_copy_leaves_the_volume_as_it_was(
    refusing: cl.Backend, library: cl.Controller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = refusing.create_volume(1, extra_specs={"own": "1"})
    write(volume, b"first")

    def fail(*given: Any) -> None:
        raise errors.NodeError("the device failed")

    with monkeypatch.context() as patch:
        patch.setattr(library.local_host, "copy", fail)
        with pytest.raises(errors.NodeError, match="the device failed"):
            volume.retype("gold", migrate=True)
    volume.refresh()
    assert (volume.status, volume.type_name, volume.extra_specs) == (
        *("available", None),
        {"own": "1"},
    )
    assert (volume.migration_status, volume.retype_target, read(volume)) == (None, None, b"first")
    assert os.listdir(tmp_path / "refusing") == [volume.name_in_storage]
    assert library.store.find(IntentRecord) == []


@pytest.mark.library(reason="fails a step")
def test_a_driver_that_fails_does_not_prevent_the_copy(
    refusing: cl.Backend, library: cl.Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = refusing.create_volume(1)
    write(volume, b"first")

    def fail(*given: Any) -> None:
        raise errors.DriverError("the array is on fire")

    monkeypatch.setattr(refusing._driver, "retype", fail)
    with monkeypatch.context() as patch:
        patch.setattr(library.local_host, "copy", fail)
        with pytest.raises(errors.DriverError, match="on fire"):
            volume.retype("gold", migrate=True)
    # The storage can have the new specs.
    volume.refresh()
    assert volume.status == "error_retyping"
    assert volume.retype_target is not None
    assert volume.retype_target.name == "gold"
    volume.retype("gold", migrate=True)
    assert (volume.status, volume.type_name, volume.retype_target) == ("available", "gold", None)
    assert read(volume) == b"first"


@pytest.mark.library(reason="fails a step")
def test_a_driver_that_may_still_work_prevents_the_copy(
    refusing: cl.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = refusing.create_volume(1)

    def fail(*given: Any) -> None:
        raise errors.DriverTimeout("no answer")

    monkeypatch.setattr(refusing._driver, "retype", fail)
    with pytest.raises(errors.DriverTimeout):
        volume.retype("gold", migrate=True)
    assert [each.id for each in refusing.volumes] == [volume.id]


@pytest.mark.library(reason="looks into the driver")
def test_the_driver_creates_the_copy_with_the_type(load_backend: LoadBackend) -> None:
    play: Played = reset()
    played = load_backend("played", volume_driver="api.played_drivers.TypeDriver")
    volume = played.create_volume(1)
    # The host cannot attach it, so it stays.
    with pytest.raises(errors.CinderlibError):
        volume.retype("gold", migrate=True)
    kind = played.controller.volume_type("gold")
    seen: Any = play.seen["create_volume"]
    assert (seen["id"], seen["object"], seen["extra specs"]) == (kind.id, "gold", GOLD)
    volume.refresh()
    assert (volume.status, volume.type_name, len(play.storage)) == ("available", None, 1)
    reset()


def test_a_volume_that_is_being_migrated_is_not_retyped(
    backend: cl.Backend, load_backend: LoadBackend, tmp_path: Path
) -> None:
    load_backend("there", volume_driver="file", file_root=str(tmp_path / "there"))
    volume = backend.create_volume(1)
    volume.start_migration("there")
    for migrate in (False, True):
        with pytest.raises(errors.InvalidVolume, match="while it is migrated"):
            volume.retype("gold", migrate=migrate)
    volume.cancel_migration()


@needs_luks
def test_a_copy_encrypts_and_decrypts(
    backend: cl.Backend, library: cl.Controller, host: None, root: Path
) -> None:
    volume = backend.create_volume(1)
    write(volume, b"first", 0, GIB - 4096)
    with pytest.raises(errors.Unsupported, match=r"is not encrypted again.*migrate=True"):
        volume.retype("secret")
    applied = AppliedStream(point="p", complete=True)
    library.store.apply(Put(replace(record(library, volume), applied=applied)))
    volume.retype("secret", migrate=True)
    assert volume.applied is None
    # The device behind the header is not smaller than before.
    assert (volume.size, volume.encryption["provider"]) == (2, "luks2")
    known = record(library, volume)
    assert known.encryption_key is not None
    assert known.encryption_opened
    (file,) = root.iterdir()
    with file.open("rb") as raw:
        raw.seek(HEADER)
        assert raw.read(5) == b"first"
    with volume.attached() as connection:
        assert connection.path.startswith("/dev/mapper/crypt-")
    assert (read(volume), read(volume, 5, GIB - 4096)) == (b"first", b"first")
    volume.retype("secret", migrate=True)
    assert volume.changed is False
    volume.retype("gold", migrate=True)
    assert (volume.size, volume.encryption, volume.type_name) == (2, {}, "gold")
    known = record(library, volume)
    assert (known.encryption_key, known.encryption_opened) == (None, False)
    assert (read(volume), read(volume, 5, GIB - 4096)) == (b"first", b"first")
    assert len(list(root.iterdir())) == 1


@needs_luks
def test_a_volume_that_no_host_has_opened_is_decrypted(
    backend: cl.Backend, library: cl.Controller, host: None
) -> None:
    volume = backend.create_volume(1, type="secret")
    snapshot = volume.create_snapshot()
    copy = snapshot.create_volume()
    for each in (copy, volume):
        snapshot.delete()
        each.retype("gold", migrate=True)
        assert (each.encryption, record(library, each).encryption_key) == ({}, None)
        with each.attached():
            pass


@needs_luks
def test_a_copy_with_other_specs_keeps_the_key(
    unable: cl.Backend, controller: cl.Controller, library: cl.Controller, host: None
) -> None:
    controller.create_type("both", extra_specs=GOLD, encryption={"provider": "luks2"})
    volume = unable.create_volume(1, type="secret")
    with volume.attached():
        pass
    before = record(library, volume).encryption_key
    volume.retype("both", migrate=True)
    after = record(library, volume).encryption_key
    assert before is not None
    assert after is not None
    assert (after.reveal(), volume.size, volume.type_name) == (before.reveal(), 1, "both")
    with volume.attached():
        pass
    controller.create_type("longer", encryption={"provider": "luks2", "key_size": "512"})
    volume.retype("longer", migrate=True)
    other = record(library, volume).encryption_key
    assert other is not None
    assert (other.reveal() != before.reveal(), volume.size) == (True, 1)


def test_a_store_without_keys_refuses_the_encryption(tmp_path: Path) -> None:
    with cl.Controller({"storage": "memory"}, state_path=tmp_path / "state") as controller:
        controller.create_type("secret", encryption={"provider": "luks2"})
        here = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "v"))
        volume = here.create_volume(1)
        with pytest.raises(errors.InvalidPersistence, match="generate-key"):
            volume.retype("secret", migrate=True)
        assert ([each.id for each in here.volumes], volume.status) == ([volume.id], "available")


@needs_luks
def test_keys_in_files_are_created_and_deleted(tmp_path: Path, host: None) -> None:
    keys = {"manager": "file", "folder": str(tmp_path / "keys")}
    config = {"storage": "memory"}
    state = tmp_path / "state"
    with cl.Controller(config, state_path=state, volume_keys=keys) as controller:
        controller.create_type("secret", encryption={"provider": "luks2"})
        controller.create_type("plain")
        here = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "v"))
        volume = here.create_volume(1)
        write(volume, b"first")
        volume.retype("secret", migrate=True)
        (kept,) = (tmp_path / "keys").iterdir()
        assert volume.encryption_key_ref == f"file:{kept.name.removesuffix('.key')}"
        assert read(volume) == b"first"
        volume.retype("plain", migrate=True)
        assert (volume.encryption_key_ref, list((tmp_path / "keys").iterdir())) == (None, [])
        assert read(volume) == b"first"
