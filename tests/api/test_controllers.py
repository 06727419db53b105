"""Set-up: the default controller, additional controllers, and options of backends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from api.conftest import SHARED, files

import cinderlib as cl


def run(code: str, cwd: Path) -> str:
    """Run a program in a new process, because the default controller is global. Returns its
    output."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_for_cinderlib_5_runs_unchanged(tmp_path: Path) -> None:
    """The calls of existing programs, in their order."""
    out = run(
        f"""
import json
import cinderlib as cl
from cinderlib import exception, objects
from cinderlib.persistence import base

cl.setup(file_locks_path={str(tmp_path)!r}, disable_logs=False, state_path={str(tmp_path)!r},
         persistence_config={{'storage': 'db', 'connection': 'sqlite:///cl.sqlite'}},
         ssh_hosts_key_file='known_hosts', debug=False, default_log_levels=[], project_id='p',
         user_id='u', root_helper='sudo', fail_on_missing_backend=False)
driver = json.loads('''{{"volume_driver": "file", "volume_backend_name": "lvm",
                        "file_root": {str(tmp_path / "array")!r},
                        "reserved_percentage": "5"}}'''.replace("'", '"'))
backend = cl.Backend(**driver)
assert cl.Backend(**driver) is backend
assert cl.Backend.backends['lvm'] is backend
assert backend.pool_names == ('lvm',)
assert backend.stats(refresh=True)['pools'][0]['free_capacity_gb'] > 0
vol = backend.create_volume(int('1'), id='aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee')
found, = backend.volumes_filtered(volume_id=vol.id)
assert isinstance(found, cl.Volume) and found.project_id == 'p'
connector = cl.get_connector_properties('sudo', '192.0.2.1', True, False)
conn = found.connect(connector)
assert [c.conn_info for c in found.connections if c.connector_info['host'] == connector['host']]
vol.connections[0].device_attached({{'path': '/dev/loop77', 'type': 'local'}})
assert vol.connections[0].connection_info['device']['path'] == '/dev/loop77'
for c in vol.connections:
    c.disconnect()
assert vol.extend(int('2')) == 2 * 1024**3
clone = vol.clone(id='aaaaaaaa-bbbb-4ccc-8ddd-ffffffffffff')
snap = vol.create_snapshot()
assert snap.status == 'available'
new = snap.create_volume()
kv = cl.KeyValue('node-1', json.dumps(connector))
cl.Backend.persistence.set_key_value(kv)
assert cl.Backend.persistence.get_key_values('node-1') == [kv]
assert objects.KeyValue(kv.key, kv.value) == kv
cl.Backend.persistence.delete_key_value(kv)
loaded = cl.load(vol.jsons)
assert loaded.id == vol.id and cl.load(json.loads(vol.dumps), save=True).id == vol.id
for s in vol.snapshots:
    s.delete()
for v in backend.volumes:
    v.delete()
try:
    cl.Volume.get_by_id(vol.id)
except exception.NotFound as exc:
    print('gone', exception.VolumeNotFound is type(exc))
assert issubclass(base.PersistenceDriverBase, object)
assert cl.Backend.list_supported_drivers  # runs in its own test
print(sorted(cl.Backend.persistence.get_volumes()))
""",
        tmp_path,
    )
    assert out == "gone True\n[]\n"


@pytest.mark.slow
def test_setting_up_twice(tmp_path: Path) -> None:
    out = run(
        f"""
import cinderlib as cl
cl.setup(state_path={str(tmp_path)!r})
cl.setup(state_path={str(tmp_path)!r}, host='again')
cl.Backend('one', volume_driver='file', file_root={str(tmp_path / "array")!r})
try:
    cl.setup()
except cl.errors.ConfigurationError as exc:
    print(exc)
print(cl.Backend('one', volume_driver='file', file_root={str(tmp_path / "array")!r}))
print(cl.Backend.backends['one'].create_volume(1).host)
""",
        tmp_path,
    )
    assert "loaded backends: one" in out
    assert "again@one#one" in out


@pytest.mark.slow
def test_no_file_is_created_in_the_working_directory(tmp_path: Path) -> None:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    run(
        f"""
import cinderlib as cl
cl.setup(state_path={str(tmp_path / "state")!r})
cl.Backend('one', volume_driver='file', file_root={str(tmp_path / "array")!r}).create_volume(1)
""",
        cwd,
    )
    assert list(cwd.iterdir()) == []


@pytest.mark.library(reason="about options of backends")
def test_different_options_for_a_loaded_backend_are_listed(
    controller: cl.Controller, root: Path
) -> None:
    options = {"volume_driver": SHARED, "file_root": str(root)}
    backend = controller.backend("array", **options, array_password="secret-1")
    assert controller.backend("array", **options, array_password="secret-1") is backend
    with pytest.raises(ValueError, match="array_password") as caught:
        controller.backend("array", **options, array_password="secret-2")
    assert "secret-" not in str(caught.value)
    assert "secret-" not in repr(backend.config)
    assert backend.config["file_root"] == str(root)


def test_secret_options_are_shown_only_on_request(tmp_path: Path) -> None:
    with cl.Controller(state_path=tmp_path / "state", output_all_backend_info=True) as controller:
        backend = controller.backend(
            "array", volume_driver=SHARED, file_root=str(tmp_path / "a"), array_password="secret-1"
        )
        assert backend.config["array_password"] == "secret-1"
        assert backend.create_volume(1).json["backend"]["array_password"] == "secret-1"


def test_a_misspelt_option_is_an_error_that_suggests_the_right_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with cl.Controller(state_path=tmp_path / "state") as controller:
        with pytest.raises(cl.errors.ConfigurationError, match="file_root"):
            controller.backend("b", volume_driver="file", file_rot=str(tmp_path / "array"))
        assert controller.backends == {}
    lenient = cl.Controller(state_path=tmp_path / "state", strict_options=False)
    with lenient as controller, caplog.at_level(logging.WARNING):
        options = {"volume_driver": "file", "file_root": str(tmp_path / "array")}
        controller.backend("b", **options, fil_root="x")
    assert "fil_root" in caplog.text


@pytest.mark.library(reason="about options of backends")
@pytest.mark.parametrize("name", ["", "a@b", "a#b", "a/b", "DEFAULT", "x" * 300, None])
def test_invalid_backend_names_are_refused(controller: cl.Controller, name: str) -> None:
    with pytest.raises(cl.errors.ConfigurationError):
        controller.backend(name, volume_driver="file", file_root="/nowhere")


@pytest.mark.library(reason="about attributes of the driver")
def test_unknown_attributes_come_from_the_driver(backend: cl.Backend) -> None:
    assert backend.get_version() == backend.driver.get_version()
    assert backend.supported is True
    with pytest.raises(AttributeError):
        _ = backend.no_such_thing


def test_concurrent_controllers_do_not_mix(tmp_path: Path) -> None:
    """Two stores, three backends, eight threads. Each backend's file_root shows its volumes."""
    stores = [
        {"storage": "memory"},
        {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"},
    ]
    state = tmp_path / "state"
    controllers = [
        cl.Controller(config, state_path=state, host=f"h{i}") for i, config in enumerate(stores)
    ]
    places = [(controllers[0], "one"), (controllers[1], "two"), (controllers[1], "three")]
    barrier = threading.Barrier(8)

    def work(number: int) -> tuple[str, str, str]:
        controller, name = places[number % 3]
        barrier.wait()
        backend = controller.backend(
            name, volume_driver=SHARED, file_root=str(tmp_path / name), array_pools=name
        )
        volume = backend.create_volume(1, name=name)
        copy = volume.create_snapshot("s").create_volume(name=name, metadata={"by": number})
        connection = copy.connect({"host": f"n{number}", "initiator": f"iqn.{number}"})
        assert connection.volume.metadata == {"by": str(number)}
        return name, volume.id, copy.id

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(work, range(8)))
    for controller, name in places:
        mine = {id for n, *ids in made if n == name for id in ids}
        backend = controller.backends[name]
        assert {volume.id for volume in backend.volumes} == mine
        assert backend.pool_names == (name,)
        assert {v.host for v in backend.volumes} == {f"{controller.host}@{name}#{name}"}
        stored = {f for f in files(tmp_path / name) if f.startswith("volume-")}
        assert stored == {f"volume-{id}" for id in mine}
    for controller in controllers:
        controller.close()


@pytest.mark.library(reason="about documents")
def test_moving_to_another_store(
    controller: cl.Controller, backend: cl.Backend, tmp_path: Path
) -> None:
    volume = backend.create_volume(1, name="moved")
    snapshot = volume.create_snapshot("s")
    dumped = backend.dumps
    controller.set_persistence(
        {"storage": "db", "connection": f"sqlite:///{tmp_path}/other.sqlite"}
    )
    assert backend.volumes == []
    controller.load(dumped, save=True)
    assert [v.name for v in backend.volumes] == ["moved"]
    assert [(each.operation, each.name) for each in controller.history()] == [
        ("volume.load", "moved")
    ]
    moved = backend.volumes[0]
    assert moved.snapshots == [snapshot]
    moved.snapshots[0].delete()
    moved.delete()
    assert files(tmp_path / "array") == []


def test_documents_run_no_code_unless_trusted(tmp_path: Path) -> None:
    document = {
        "class": "Backend",
        "format": 1,
        "backend": {
            "volume_backend_name": "evil",
            "volume_driver": "file",
            "file_root": str(tmp_path / "array"),
        },
    }
    with cl.Controller(state_path=tmp_path / "state") as controller:
        with pytest.raises(cl.errors.BackendNotFound):
            controller.load(document)
        assert not (tmp_path / "array").exists()
        assert controller.load(document, trusted=True).id == "evil"


@pytest.mark.library(reason="about documents")
def test_a_document_of_a_snapshot_does_not_bring_back_an_old_volume(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    old = volume.create_snapshot("s").dumps
    volume.extend(2)
    backend.controller.load(old, save=True)
    assert backend.Volume.get_by_id(volume.id).size == 2


@pytest.mark.library(reason="about documents")
def test_the_content_of_a_document_is_usable_without_saving_it(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot("s")
    dumped = volume.dumps
    snapshot.delete()
    volume.delete()
    loaded = backend.controller.load(dumped)
    assert loaded.is_new
    assert [s.name for s in loaded.snapshots] == ["s"]
    assert backend.volumes == []
