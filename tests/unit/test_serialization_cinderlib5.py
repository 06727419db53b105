"""JSON of cinderlib 5 is read completely; tests/data/cinderlib5 has the program that wrote it."""

import datetime
import json

import pytest
from documents import CINDERLIB5

from cinderlib import serialization as s
from cinderlib.errors import InvalidDocument
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord

MADE = datetime.datetime(2023, 6, 1, 12, 30, 45, tzinfo=datetime.UTC)


def an_id(number):
    return f"00000000-0000-4000-8000-{number:012}"


def text(name):
    return (CINDERLIB5 / f"{name}.json").read_text()


def plain(**changes):
    fields = {
        "id": an_id(1),
        "backend": "array",
        "host": "controller@array#array",
        "size": 1,
        "status": "available",
        "user_id": "user-1",
        "project_id": "project-1",
        "metadata": {"made_by": "driver"},
        "provider_id": "array-0001",
        "provider_location": f"array:/volume-{an_id(1)}",
        "provider_auth": Secret("CHAP admin adminsecret"),
        "shared_targets": True,
        "created_at": MADE,
    }
    return VolumeRecord(**(fields | changes))


SPECS = {
    "extra_specs": {"thin": "<is> True", "tier": "gold"},
    "qos_specs": {"maxIOPS": "100"},
}
RICH = plain(
    id=an_id(2),
    size=3,
    name="rich",
    description="with everything, ünicode too",
    bootable=True,
    multiattach=True,
    availability_zone="nova",
    status="in-use",
    attach_status="attached",
    metadata={"app": "db", "made_by": "driver"},
    volume_type_id=an_id(2),
    provider_id="array-0002",
    provider_location=f"array:/volume-{an_id(2)}",
    **SPECS,
)
DERIVED = {
    "size": 3,
    "volume_type_id": None,
    "metadata": {"app": "db", "made_by": "driver"},
    "provider_id": None,
    "provider_location": None,
    "provider_auth": None,
    **SPECS,
}


def snapshot(number, **changes):
    fields = {
        "id": an_id(number),
        "backend": "array",
        "volume_id": RICH.id,
        "volume_size": 3,
        "status": "available",
        "progress": "array",
        "user_id": "user-1",
        "project_id": "project-1",
        "provider_location": f"array:/snapshot-{an_id(number)}",
        "created_at": MADE,
    }
    return SnapshotRecord(**(fields | changes))


SNAPSHOTS = [
    snapshot(11, name="snap-1", description="first"),
    snapshot(12, name="snap-2", description="second", metadata={"app": "db"}),
]


def connection(number, host, **changes):
    data = {
        "access_mode": "rw",
        "auth_method": "CHAP",
        "auth_password": "chapsecret",
        "auth_username": "chapuser",
        "target_discovered": False,
        "target_iqns": [f"iqn.2010-10.org.example:volume-{RICH.id}"] * 2,
        "target_luns": [1, 1],
        "target_portals": ["192.0.2.10:3260", "192.0.2.11:3260"],
        "volume_id": RICH.id,
    }
    connector = {
        "do_local_attach": False,
        "host": host,
        "initiator": f"iqn.1994-05.com.example:{host}",
        "ip": "192.0.2.50",
        "multipath": True,
        "os_type": "linux",
        "platform": "x86_64",
        "system uuid": "5d1c9a00-0000-4000-8000-000000000001",
    }
    return ConnectionRecord(
        id=an_id(number),
        backend="array",
        volume_id=RICH.id,
        connector=connector,
        conn_info=Secret({"driver_volume_type": "iscsi", "data": data}),
        status="attached",
        use_multipath=True,
        created_at=MADE,
        **changes,
    )


WWN = "360014050000000000000000000000001"
USED = connection(
    21,
    "compute-1",
    attached_host="compute-1",
    mountpoint="/dev/vdb",
    instance_uuid="5d1c9a00-0000-4000-8000-0000000000aa",
    device=Secret({"type": "block", "path": "/dev/dm-3", "scsi_wwn": WWN, "multipath_id": WWN}),
)
UNUSED = connection(22, "compute-2")


def test_a_plain_volume():
    expected = s.volume_document(plain(), snapshots=[], connections=[])
    assert s.read(text("volume-plain.dumps")) == expected


def test_a_volume_with_snapshots_connections_and_specs():
    expected = s.volume_document(RICH, snapshots=SNAPSHOTS, connections=[USED, UNUSED])
    assert s.read(text("volume-rich.dumps")) == expected


def test_the_connection_information_of_cinderlib_5():
    data = json.loads(text("connection-used.dumps"))["ovo"]["versioned_object.data"]
    wire = s.wire(s.read(text("connection-used.dumps")).connection)
    assert {name: wire[name] for name in data["connection_info"]} == data["connection_info"]


def test_volumes_from_other_volumes():
    clone = s.read(text("volume-clone.dumps")).volume
    restored = s.read(text("volume-restored.dumps")).volume
    assert (clone.name, clone.source_volid, clone.snapshot_id) == ("a clone", RICH.id, None)
    assert (restored.name, restored.source_volid, restored.snapshot_id) == (
        "restored",
        None,
        an_id(11),
    )
    for volume in (clone, restored):
        assert (volume.size, volume.extra_specs) == (3, RICH.extra_specs)
        assert volume.qos_specs == RICH.qos_specs


def test_a_snapshot_has_its_volume():
    document = s.read(text("snapshot.dumps"))
    assert document == s.snapshot_document(SNAPSHOTS[0], volume=RICH)


def test_a_snapshot_whose_volume_was_not_loaded():
    document = s.read(changed("snapshot.dumps", volume=None))
    assert document == s.snapshot_document(SNAPSHOTS[0])


@pytest.mark.parametrize(("name", "record"), [("used", USED), ("unused", UNUSED)])
def test_a_connection_has_its_volume(name, record):
    document = s.read(text(f"connection-{name}.dumps"))
    assert document == s.connection_document(record, volume=RICH)


def test_a_backend_has_its_volumes():
    document = s.read(text("backend.dumps"))
    assert [v.volume.id for v in document.volumes] == [an_id(n) for n in (1, 2, 3, 4)]
    assert document.volumes[1] == s.read(text("volume-rich.dumps"))
    assert document.backend_options is None


def test_the_module_has_its_backends():
    documents = s.read(text("module.dumps"))
    assert [d.backend_name for d in documents] == ["array", "other"]
    assert documents[0] == s.read(text("backend.dumps"))
    assert [(v.volume.id, v.volume.name) for v in documents[1].volumes] == [(an_id(5), "foreign")]


@pytest.mark.parametrize("name", ["options-volume.dumps", "options-backend.dumps"])
def test_the_options_of_the_backend_are_data(name):
    document = s.read(text(name))
    assert document.backend_options == {
        "volume_driver": "make.FixtureDriver",
        "san_ip": "192.0.2.1",
        "san_password": "arraysecret",
    }
    assert "arraysecret" not in repr(document)


def test_fields_that_were_not_loaded_are_unknown():
    document = s.read(text("database-volume.jsons"))
    assert document.snapshots is None
    assert [c.id for c in document.connections] == [USED.id, UNUSED.id]
    assert document.volume.name == "rich"
    full = s.read(text("database-volume.dumps"))
    assert {x.id for x in full.snapshots} == {x.id for x in SNAPSHOTS}


def test_the_default_type_of_the_database_is_none():
    volume = s.read(text("database-volume.jsons")).volume
    assert (volume.volume_type_id, volume.extra_specs, volume.qos_specs) == (None, {}, {})


@pytest.mark.parametrize("path", sorted(CINDERLIB5.glob("*.*.json")), ids=lambda path: path.stem)
def test_documents_are_written_in_the_current_format(path):
    document = s.read(path.read_bytes())
    assert s.read(s.to_text(document)) == document
    assert s.read(json.loads(path.read_text())) == document
    assert "versioned_object" not in s.to_text(document)


def changed(name, **changes):
    document = json.loads(text(name))
    document["ovo"]["versioned_object.data"].update(changes)
    return document


def test_values_of_old_programs_are_converted():
    volume = s.read(changed("volume-plain.dumps", size=1.5, display_name=None)).volume
    assert (volume.size, volume.name) == (2, "")
    volume = s.read(changed("volume-plain.dumps", metadata={"count": 5}, volume_type=None)).volume
    assert volume.metadata == {"count": "5"}
    device = {"conn": {}, "device": {"path": "/dev/sdb"}}
    local = s.read(
        changed("connection-unused.dumps", connection_info=device, attach_time="2023-06-01")
    ).connection
    assert local.attached_host == "compute-2", "the device is on the host of the connector"
    assert local.attached_at == datetime.datetime(2023, 6, 1, tzinfo=datetime.UTC)


def test_a_renamed_volume_keeps_its_name_on_the_array():
    assert s.read(changed("volume-plain.dumps", _name_id=an_id(9))).volume.name_id == an_id(9)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../../victim"},
        {"size": -1},
        {"size": 10**30},
        {"size": None},
        {"status": "nonsense"},
        {"status": None, "host": None},
        {"host": 5},
        {"bootable": "yes"},
        {"metadata": []},
        {"created_at": "yesterday"},
        {"created_at": 5},
        {"snapshots": {"versioned_object.name": "os.system", "versioned_object.data": {}}},
        {"snapshots": {"versioned_object.name": "SnapshotList", "versioned_object.data": {}}},
        {"volume_attachment": []},
        {"volume_type": "gold"},
        {"_name_id": "../x"},
    ],
    ids=str,
)
def test_invalid_volumes_are_refused(changes):
    with pytest.raises(InvalidDocument):
        s.read(changed("volume-plain.dumps", **changes))


@pytest.mark.parametrize("kind", ["Group", "cinder.volume.driver.VolumeDriver", None, 5, {}])
def test_a_document_of_another_kind_is_refused(kind):
    document = json.loads(text("volume-plain.dumps")) | {"class": kind}
    with pytest.raises(InvalidDocument, match="'class' must be Backend, Volume, Snapshot or"):
        s.read(document)


def test_a_backend_with_objects_other_than_volumes_is_refused():
    backend = json.loads(text("backend.dumps"))
    for item in (json.loads(text("snapshot.dumps")), backend, 5):
        with pytest.raises(InvalidDocument):
            s.read(backend | {"volumes": [item]})
    backend["volumes"][0]["backend"] = {"volume_backend_name": "other"}
    with pytest.raises(InvalidDocument, match="belongs to another backend"):
        s.read(backend)
