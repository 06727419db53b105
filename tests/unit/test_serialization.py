"""Documents in the current format: written documents can be read, and invalid ones are refused."""

import datetime
import io
import json
import pathlib
import re
import subprocess
import sys

import documents as make
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinderlib import serialization as s
from cinderlib.errors import InvalidDocument
from cinderlib.node.document import ConnectionDocument
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord, replace

VOLUME = VolumeRecord(
    id="6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c",
    backend="array",
    size=2,
    host="h@array#pool",
    status="in-use",
    metadata={"a": "b"},
    provider_auth=Secret("CHAP user chapsecret"),
    created_at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC),
)
SNAPSHOT = SnapshotRecord(id="snap-1", backend="array", volume_id=VOLUME.id, volume_size=2)
CONNECTION = ConnectionRecord(
    id="conn-1",
    backend="array",
    volume_id=VOLUME.id,
    connector={"host": "node", "initiator": "iqn.x", "multipath": True},
    conn_info=Secret({"driver_volume_type": "iscsi", "data": {"auth_password": "chapsecret"}}),
    device=Secret({"path": "/dev/sdx"}),
    use_multipath=True,
    scan_attempts=5,
)
OPTIONS = {"san_ip": "192.0.2.1", "san_password": "arraysecret", "san_port": 22, "thin": True}


def every_document():
    volume = s.volume_document(
        VOLUME, snapshots=[SNAPSHOT], connections=[CONNECTION], options=OPTIONS
    )
    return [
        volume,
        s.volume_document(VOLUME),
        s.snapshot_document(SNAPSHOT),
        s.snapshot_document(SNAPSHOT, volume=VOLUME),
        s.connection_document(CONNECTION),
        s.connection_document(CONNECTION, volume=VOLUME),
        s.backend_document("array"),
        s.backend_document("array", volumes=[volume, s.volume_document(VOLUME)], options=OPTIONS),
    ]


def changed(path, value):
    """The document of a volume with all fields, after replacing one value."""
    document = s.to_builtins(every_document()[0])
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize("document", every_document())
def test_written_documents_can_be_read(document):
    text = s.to_text(document)
    assert s.read(text) == s.read(text.encode()) == s.read(s.to_builtins(document)) == document
    assert json.loads(text) == s.to_builtins(document)


def test_a_list_is_read_as_a_list():
    documents = every_document()
    assert s.read(s.to_text(documents)) == documents
    assert s.read(" \n" + s.to_text(documents)) == documents
    assert s.read(s.to_builtins(documents)) == documents
    assert s.read("[]") == []


@given(st.data())
def test_every_record_survives(data):
    volume = data.draw(make.volumes())
    document = s.volume_document(
        volume,
        snapshots=data.draw(st.lists(make.snapshots(volume_id=volume.id), max_size=2)),
        connections=data.draw(st.lists(make.connections(volume_id=volume.id), max_size=2)),
    )
    assert s.read(s.to_text(document)) == document
    assert s.read(s.to_builtins(document)) == document
    assert list(s.read_lines(io.BytesIO(s.to_line(document)))) == [document]


def test_omitted_snapshots_differ_from_no_snapshots():
    assert s.read(s.to_text(s.volume_document(VOLUME))).snapshots is None
    assert s.read(s.to_text(s.volume_document(VOLUME, snapshots=[]))).snapshots == []


def test_the_structure_of_a_document():
    document = s.to_builtins(s.volume_document(VOLUME, options={"san_ip": "192.0.2.1"}))
    assert list(document) == ["class", "format", "backend", "volume"]
    assert document["class"] == "Volume"
    assert document["format"] == s.FORMAT
    assert document["backend"] == {"volume_backend_name": "array", "san_ip": "192.0.2.1"}
    assert document["volume"]["provider_auth"] == "CHAP user chapsecret"
    assert document["volume"]["created_at"] == "2026-01-02T03:04:05.000678Z"


def test_the_records_of_a_document_in_order():
    documents = every_document()
    volume = [VOLUME, SNAPSHOT, CONNECTION]
    assert s.records_of(documents[0]) == volume
    assert s.records_of(documents[2]) == [SNAPSHOT]
    assert s.records_of(documents[3]) == [SNAPSHOT, VOLUME]
    assert s.records_of(documents[5]) == [CONNECTION, VOLUME]
    assert s.records_of(documents[6]) == []
    assert s.records_of(documents[7]) == [*volume, VOLUME]


def test_the_documented_examples():
    page = pathlib.Path(__file__).parents[2] / "docs" / "documents.md"
    example, wire = re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    document = s.read(example)
    assert json.loads(s.to_text(document)) == json.loads(example)
    assert set(json.loads(wire)) == set(s.wire(CONNECTION, VOLUME))


def test_backend_options_in_a_document():
    document = s.read(s.to_text(s.backend_document("array", options=OPTIONS)))
    assert (document.backend_name, document.backend_options) == ("array", OPTIONS)
    assert s.read(s.to_text(s.backend_document("array"))).backend_options is None


def test_lines_are_read_one_at_a_time():
    documents = every_document()
    file = io.BytesIO(b"\n".join(s.to_line(d) for d in documents))
    lines = s.read_lines(file)
    assert next(lines) == documents[0]
    assert file.tell() < len(file.getvalue())
    assert list(lines) == documents[1:]
    text = file.getvalue().decode()
    assert list(s.read_lines(io.StringIO(text))) == documents


def test_the_error_for_an_invalid_line():
    line = s.to_line(every_document()[0])
    with pytest.raises(InvalidDocument, match=r"^Line 3: "):
        list(s.read_lines([line, b"\n", b'{"class": 1}\n']))
    with pytest.raises(InvalidDocument, match=r"^Line 1: .*longer than 100 bytes"):
        list(s.read_lines(io.BytesIO(line), max_bytes=100))
    with pytest.raises(InvalidDocument, match=r"^Line 1: .*not a list"):
        list(s.read_lines([b"[]"]))


# --- secrets ---------------------------------------------------------------------------------


def test_listings_and_reprs_contain_no_secrets():
    shown = [s.to_dict(r) for r in (VOLUME, SNAPSHOT, CONNECTION)]
    shown += [repr(d) for d in every_document()]
    assert "secret" not in str(shown)
    assert shown[0]["provider_auth"] == "***"
    assert shown[1]["provider_auth"] is None


def test_a_dict_for_showing_has_every_field_and_is_json():
    shown = s.to_dict(SNAPSHOT)
    assert set(shown) == set(SnapshotRecord.__struct_fields__)
    assert shown["description"] == ""
    assert json.loads(json.dumps(s.to_dict(VOLUME)))["size"] == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["volume", "provider_auth"], {"k": "topsecret"}),
        (["volume", "provider_auth"], "topsecret" + "x" * 70_000),
        (["connections", 0, "conn_info"], "topsecret"),
        (["connections", 0, "conn_info"], {"driver_volume_type": "topsecret"}),
        (["connections", 0, "conn_info", "data", "auth_password"], "topsecret\0"),
        (["connections", 0, "device"], ["topsecret"]),
        (["backend", "san_password"], "topsecret\0"),
        (["volume", "metadata"], "topsecret"),
    ],
)
def test_messages_do_not_show_secrets(path, value):
    with pytest.raises(InvalidDocument) as error:
        s.read(changed(path, value))
    assert "topsecret" not in f"{error.value!r} {error.value.__cause__!r}"


# --- documents for nodes ---------------------------------------------------------------------


def test_the_wire_document():
    assert s.wire(CONNECTION, VOLUME) == {
        "conn": {"driver_volume_type": "iscsi", "data": {"auth_password": "chapsecret"}},
        "connector": {"host": "node", "initiator": "iqn.x", "multipath": True},
        "device": {"path": "/dev/sdx"},
        "id": "conn-1",
        "use_multipath": True,
        "scan_attempts": 5,
        "attach_mode": "rw",
        "volume": {"id": VOLUME.id, "size": 2 * 2**30},
    }


def test_the_wire_document_before_the_attach_has_no_device():
    assert "device" not in s.wire(replace(CONNECTION, device=None))
    assert s.wire(CONNECTION)["volume"] == {"id": VOLUME.id}


def test_the_node_can_read_the_controllers_document():
    received = json.loads(json.dumps(s.wire(CONNECTION, VOLUME)))
    document = ConnectionDocument(received)
    assert (document.id, document.protocol, document.volume_id) == ("conn-1", "iscsi", VOLUME.id)
    assert (document.multipath, document.scan_attempts, document.mode) == (True, 5, "rw")
    assert (document.size, document.device) == (2 * 2**30, {"path": "/dev/sdx"})


def test_changing_the_wire_document_does_not_change_the_record():
    s.wire(CONNECTION)["conn"]["data"].clear()
    s.wire(CONNECTION)["connector"].clear()
    assert CONNECTION.conn_info.reveal()["data"] == {"auth_password": "chapsecret"}
    assert CONNECTION.connector["host"] == "node"


# --- invalid documents -----------------------------------------------------------------------


def test_a_newer_format_is_refused_with_advice():
    with pytest.raises(InvalidDocument, match=r"has format 2.*reads formats up to 1.*newer"):
        s.read(changed(["format"], 2))


def test_fields_of_newer_versions_are_ignored():
    assert s.read(changed(["volume", "colour"], "blue")) == every_document()[0]


REFUSED = [
    (["format"], 0),
    (["format"], True),
    (["format"], "1"),
    (["class"], "Group"),
    (["class"], None),
    (["backend"], {}),
    (["backend"], "array"),
    (["backend", "volume_backend_name"], "other"),
    (["backend", "volume_backend_name"], "DEFAULT"),
    (["volume"], None),
    (["volume", "id"], "../../victim"),
    (["volume", "id"], ""),
    (["volume", "id"], "a" * 256),
    (["volume", "size"], -1),
    (["volume", "size"], 0),
    (["volume", "size"], True),
    (["volume", "size"], 1.5),
    (["volume", "size"], 10**30),
    (["volume", "status"], "nonsense"),
    (["volume", "status"], None),
    (["volume", "host"], None),
    (["volume", "host"], "nowhere"),
    (["volume", "previous_status"], "nonsense"),
    (["volume", "attach_status"], "nonsense"),
    (["volume", "name"], "x" * 256),
    (["volume", "name"], 5),
    (["volume", "name_id"], "../x"),
    (["volume", "metadata"], {"a": 1}),
    (["volume", "extra_specs"], [["a", "b"]]),
    (["volume", "bootable"], "yes"),
    (["volume", "created_at"], "yesterday"),
    (["volume", "created_at"], "2026-01-02T03:04:05"),
    (["volume", "version"], -1),
    (["volume", "source_volid"], ""),
    (["snapshots", 0, "volume_id"], "another"),
    (["snapshots", 0, "backend"], "other"),
    (["snapshots", 0, "volume_size"], 0),
    (["connections"], {}),
    (["connections", 0, "connector"], {}),
    (["connections", 0, "volume_id"], "another"),
    (["connections", 0, "scan_attempts"], 0),
    (["connections", 0, "attach_mode"], "x"),
]


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=str)
def test_invalid_values_are_refused(path, value):
    document = changed(path, value)
    with pytest.raises(InvalidDocument):
        s.read(document)
    with pytest.raises(InvalidDocument):
        s.read(json.dumps(document))


# fmt: off
NO_DOCUMENTS = [
    "", " ", "{", "nonsense", "null", "5", '"text"', "[5]", "{}", '{"class": "Volume"}', "\ud800",
    b"\xff\xfe", b'{"class": "\xff"}', '{"class": "\\ud800"}', '{"a": NaN}', "[" * 10, None, 5,
    object(), {1, 2}, {"a": object()}, {("a",): 1}, [object()], [[]],
]
# fmt: on


@pytest.mark.parametrize("source", NO_DOCUMENTS, ids=lambda source: type(source).__name__)
def test_invalid_documents(source):
    with pytest.raises(InvalidDocument):
        s.read(source)


def test_a_document_that_is_too_long_is_refused_with_advice():
    text = s.to_text(every_document()[0])
    with pytest.raises(InvalidDocument, match=r"longer than 100 bytes.*line by line"):
        s.read(text, max_bytes=100)
    with pytest.raises(InvalidDocument):
        s.read("ä" * 60, max_bytes=100)
    assert s.read(text, max_bytes=len(text.encode()))


DEEP = [
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"class": "Volume", "format": 1, "x": ' + "[" * 100_000,
    '{"class": "Volume", "backend": {"volume_backend_name": "a"}, "ovo": ' + '{"a":' * 100_000,
]


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_a_deeply_nested_document_is_refused(text):
    with pytest.raises(InvalidDocument):
        s.read(text)


def test_a_program_with_a_higher_recursion_limit_does_not_crash():
    program = (
        "import sys, cinderlib.serialization as s\n"
        "sys.setrecursionlimit(10**7)\n"
        "for text in ('[' * 500_000 + ']' * 500_000, '{\"a\":[\"]\",' * 500_000):\n"
        "    try: s.read(text)\n"
        "    except s.reader.InvalidDocument as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["The document is nested too deeply."] * 2, done.stderr


def test_data_that_contains_itself_is_refused():
    document = s.to_builtins(every_document()[0])
    document["connections"][0]["connector"]["self"] = document
    with pytest.raises(InvalidDocument):
        s.read(document)


@pytest.mark.parametrize("name", ["connector", "conn_info", "device"])
def test_data_for_drivers_and_nodes_is_bounded_in_depth(name):
    deep = {"data": {}, "driver_volume_type": "x"}
    place = deep["data"]
    for _ in range(100):
        place["a"] = place = {}
    with pytest.raises(InvalidDocument, match="levels deep"):
        s.read(changed(["connections", 0, name], deep))
