"""More of the API that programs for cinderlib 5 use: a CSI plug-in with its own persistence and
nodes without a backend, and public replacements for private names."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from api.conftest import SHARED, connector
from document_store import DocumentStore

import cinderlib as cl
from cinderlib import exception, objects
from cinderlib.records import KeyValueRecord, replace


@pytest.fixture
def volume(array: cl.Backend) -> cl.Volume:
    return array.create_volume(
        size=1.5,
        name="data",
        qos_specs={"maxIOPS": "100"},
        extra_specs={"tier": "gold"},
        metadata={"app": "db"},
        multiattach=True,
    )


@pytest.mark.library(reason="about attributes of the driver")
def test_attributes_of_the_driver_are_available_on_the_backend(array: cl.Backend) -> None:
    array.driver.check_for_setup_error()
    assert isinstance(array.get_version(), str)
    assert array.supported is True
    assert array.stats(refresh=True)["pools"][0]["free_capacity_gb"] > 0
    assert array.pool_names == ("fast", "slow")


def test_a_volume_has_a_type_with_its_specs(volume: cl.Volume) -> None:
    assert volume.size == 2
    assert volume.volume_type is not None
    assert volume.volume_type.extra_specs == {"tier": "gold"}
    assert volume.volume_type_id == volume.id


def test_metadata_has_a_public_setter(volume: cl.Volume, controller: cl.Controller) -> None:
    volume.admin_metadata["deleted"] = "soon"
    volume.metadata = {"app": "web"}
    volume.save()
    found = controller.volume(volume.id)
    assert (found.admin_metadata, found.metadata) == ({"deleted": "soon"}, {"app": "web"})


@pytest.mark.library(reason="writes a record")
def test_connection_records_are_added_and_removed_with_public_methods(
    volume: cl.Volume, controller: cl.Controller
) -> None:
    """For example when a host publishes a volume in several places."""
    first = volume.connect(connector("node-1"), attached_host="node-1")
    row = controller.Connection(
        volume.backend,
        volume=volume,
        connector=first.connector_info,
        connection_info=first.connection_info,
        status="attached",
        attach_mode="rw",
        attached_host="node-1",
        instance_uuid="pod-2",
        mountpoint="/published",
    )
    assert row.is_new
    row.save()
    assert not row.is_new
    assert {c.instance_uuid: c.mountpoint for c in volume.connections} == {
        None: None,
        "pod-2": "/published",
    }
    row.mountpoint, row.instance_uuid = "/elsewhere", "pod-3"
    row.save()
    assert controller.connection(row.id).mountpoint == "/elsewhere"
    controller.persistence.delete_connection(row)
    assert volume.connections == [first]
    with pytest.raises(exception.NotFound):
        controller.connection(row.id)


def test_extra_attributes_of_a_program_stay_with_the_object(volume: cl.Volume) -> None:
    """For example the version of a record in the program's own store."""
    volume.resource_version = "42"  # type: ignore[attr-defined]
    volume.refresh()
    assert volume.resource_version == "42"  # type: ignore[attr-defined]


@pytest.mark.library(reason="about documents")
def test_a_node_without_the_backend_uses_the_stored_connection(
    volume: cl.Volume, tmp_path: Path
) -> None:
    connection = volume.connect(connector("node-1"), attached_host="node-1", mountpoint="/data")
    text = connection.to_jsons(simplified=False)
    with cl.Controller(
        fail_on_missing_backend=False, state_path=tmp_path / "node", project_id="p", user_id="u"
    ) as node:
        loaded = node.load(json.loads(text), save=True)
        assert isinstance(loaded, objects.Connection)
        assert loaded.backend == "array"
        assert loaded.connection_info == connection.connection_info
        assert loaded.connector_info["host"] == "node-1"
        assert (loaded.attached_host, loaded.mountpoint) == ("node-1", "/data")
        assert node.volume(volume.id).connections == [loaded]


@pytest.mark.library(reason="about key-values")
def test_key_values_of_a_program(controller: cl.Controller, array: cl.Backend) -> None:
    persistence = array.controller.persistence
    persistence.set_key_value(objects.KeyValue("probe", "1"))
    assert list(persistence.get_key_values("probe")) == [cl.KeyValue("probe", "1")]
    persistence.delete_key_value("probe")
    assert list(persistence.get_key_values("probe")) == []


@pytest.mark.library(reason="about options of backends")
def test_options_can_be_strings(controller: cl.Controller, root: Path) -> None:
    """For example from a file without types."""
    options = {"reserved_percentage": "10", "use_multipath_for_image_xfer": "true"}
    backend = controller.backend("text", volume_driver=SHARED, file_root=str(root), **options)
    assert backend.config["reserved_percentage"] == 10
    assert backend.config["use_multipath_for_image_xfer"] is True


@pytest.mark.library(reason="about documents")
def test_a_loaded_object_is_changed_and_saved(volume: cl.Volume, controller: cl.Controller) -> None:
    loaded = controller.load(volume.json)
    volume.metadata["app"] = "web"
    volume.save()
    loaded.name = "other"
    loaded.save()
    found = controller.volume(volume.id)
    assert (found.name, found.metadata, loaded.is_new) == ("other", {"app": "web"}, False)

    snapshot = controller.load(volume.create_snapshot("kept").json)
    snapshot.description = "of monday"
    snapshot.save()
    assert volume.snapshots[0].description == "of monday"

    connection = controller.load(volume.connect(connector("node-1")).json)
    connection.mountpoint = "/data"
    connection.save()
    assert volume.connections[0].mountpoint == "/data"


@pytest.mark.library(reason="writes a record")
def test_a_new_object_does_not_overwrite_another(volume: cl.Volume, array: cl.Backend) -> None:
    new = cl.Volume(array, size=1, id=volume.id, name="new")
    with pytest.raises(cl.errors.StaleRecord):
        new.save()
    volume.refresh()
    assert volume.name == "data"


def test_a_store_whose_key_values_require_a_key(root: Path, tmp_path: Path) -> None:
    """For example a plug-in that implements exactly the interface of cinderlib 5."""
    persistence = DocumentStore(tmp_path / "documents")
    options = {"volume_driver": SHARED, "file_root": str(root)}
    with cl.Controller(persistence, state_path=tmp_path / "state") as controller:
        persistence.load = controller.load
        backend = controller.backend("array", **options)
        volume = backend.create_volume(1, name="data")
        connection = volume.connect(connector("node-1"))
        # Its objects, which come from documents, can be changed and saved.
        (loaded,) = persistence.get_volumes(volume_id=volume.id)
        loaded.name = "other"
        assert "id" not in persistence.get_changed_fields(loaded)
        loaded.save()
        assert controller.volume(volume.id).name == "other"
        assert [v.name for v in backend.volumes_filtered(volume_name="other")] == ["other"]
        assert backend.reconcile() == []
        persistence.set_key_value(cl.KeyValue("probe", "1"))
        assert controller.store.get(KeyValueRecord, "probe") is not None
        with pytest.raises(cl.errors.Unsupported, match="requires a key"):
            controller.store.find(KeyValueRecord)
        # A process died during a disconnect.
        stored = controller.connection(connection.id)
        lock = f"volume:{volume.id}"
        controller.journal.begin(
            "connection.disconnect", lock, replace(stored._record, status="detaching"), data={}
        )
        assert [done.operation for done in controller.recover()] == ["connection.disconnect"]
        assert controller.volume(volume.id).connections == []


@pytest.fixture
def levels() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("cinder", "os_brick", "cinderlib", "amqp")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("levels")
def test_log_options_set_levels_and_warn_about_options_without_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handlers = list(logging.root.handlers)
    options: dict[str, object] = {
        "debug": "true",
        "default_log_levels": ["os_brick=INFO", "amqp=WARN"],
    }
    options["log_file"] = "x.log"
    with cl.Controller(disable_logs=False, cinder_options=options):
        pass
    assert [logging.getLogger(n).level for n in ("cinder", "os_brick", "amqp")] == [10, 20, 30]
    assert logging.root.handlers == handlers
    assert "log_file" in caplog.text
    with pytest.raises(cl.errors.ConfigurationError, match="LOGGER=LEVEL"):
        cl.Controller(disable_logs=False, cinder_options={"default_log_levels": "cinder=LOUD"})


def test_setup_imports_modules_that_programs_use_without_importing() -> None:
    program = "import logging, cinderlib as cl; cl.setup; logging.config.dictConfig"
    subprocess.run([sys.executable, "-c", program], check=True)
