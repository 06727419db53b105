"""All loaders of external data, with examples of their input."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

import cinderlib as cl
from cinderlib import serialization
from cinderlib.cli import configuration, documents, storefile
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.node import protocols
from cinderlib.node.base import HostSettings
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.state import Entry, State
from cinderlib.ovirt import adapter
from cinderlib.persistence.base import DamagedRecord, Put
from cinderlib.persistence.sql import SQLStore
from cinderlib.persistence.sql.cinderlib5 import Cinderlib5Database
from cinderlib.records import Record
from cinderlib.validation import check_connector

CINDERLIB5 = pathlib.Path(__file__).parents[1] / "data" / "cinderlib5"

CONNECTOR = {
    "platform": "x86_64", "os_type": "linux", "host": "node1", "ip": "192.0.2.1",
    "initiator": "iqn.2026-11.org.example:node1", "nqn": "nqn.2014-08.org.example:node1",
    "multipath": True, "wwpns": ["50014380186b3f65"], "wwnns": ["50014380186b3f64"],
}  # fmt: skip
CONNECTIONS: list[tuple[str, dict[str, Any]]] = [
    ("local", {"device_path": "/var/lib/array/volume"}),
    (
        "iscsi",
        {
            "target_portal": "192.0.2.9:3260", "target_iqn": "iqn.2026-11.org.example:v",
            "target_lun": 1, "target_portals": ["192.0.2.9:3260", "192.0.2.10:3260"],
            "target_iqns": ["iqn.2026-11.org.example:v"] * 2, "target_luns": [1, 1],
            "auth_method": "CHAP", "auth_username": "user", "auth_password": "key",
        },
    ),
    ("fibre_channel", {"target_wwn": ["20210002ac00383d"], "target_lun": 1}),
    (
        "nvmeof",
        {
            "target_nqn": "nqn.2014-08.org.example:v", "vol_uuid": "1" * 32,
            "portals": [["192.0.2.9", 4420, "tcp"]],
        },
    ),
    ("rbd", {"name": "pool/image", "hosts": ["192.0.2.9"], "ports": ["6789"], "keyring": "key"}),
    ("nfs", {"export": "192.0.2.9:/share", "name": "volume-1", "options": "-o vers=4"}),
    ("storpool", {"volume": "v", "client_id": 1, "access_mode": "rw"}),
]  # fmt: skip
TOML = """
[store]
connection = "sqlite:////var/lib/cinderlib/metadata.sqlite"
[controller]
state_path = "/var/lib/cinderlib"
lock_timeout = 60.5
recover = true
[cinder]
debug = false
[node]
my_ip = "192.0.2.1"
multipath = true
[backends.lvm]
volume_driver = "lvm"
san_password = {env = "LVM_PASSWORD"}
iscsi_ip_addresses = ["192.0.2.9", "192.0.2.10"]
[backends."rbd.1"]
volume_driver = "rbd"
rbd_key = {file = "rbd.key"}
extra = \"\"\"
several
lines\"\"\"
"""


@dataclasses.dataclass(frozen=True)
class Loader:
    """
    :ivar read: the function that reads external data; it may raise only our errors.
    :ivar examples: valid texts.
    :ivar data: whether it reads the data of JSON texts instead of the texts.
    :ivar json: whether the texts are JSON, so that a value in them can be changed.
    :ivar one_in: it reads only one in this number of changed examples, for loaders that read a
        whole database each time.
    """

    name: str
    read: Callable[[Any], object]
    examples: list[bytes]
    data: bool = False
    json: bool = True
    one_in: int = 1


class Loaders:
    """All loaders.

    :param folder: an empty folder, the only one in which they may open files.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.controller = cl.Controller({"storage": "memory"}, state_path=folder / "state")
        self._backend = self.controller.backend(
            "array", volume_driver="file", file_root=str(folder / "array")
        )
        self._state = State(folder / "node")
        self._entry = Entry(key="0" * 32, document={})
        self._state.put(self._entry)
        self._settings = HostSettings(root_helper="sudo", state=self._state)
        self._url = f"sqlite:///{folder}/store.sqlite"
        self._store = SQLStore(self._url)
        self._rows = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
        shutil.copy(CINDERLIB5 / "cinderlib5.sqlite", folder / "cinderlib5.sqlite")
        self._old = sqlite3.connect(folder / "cinderlib5.sqlite", isolation_level=None)
        self._old_database = Cinderlib5Database(f"sqlite:///{folder}/cinderlib5.sqlite")
        self._records = self._example_records()
        # Tests of rows do not need synced writes.
        self._rows.execute("PRAGMA synchronous = OFF")
        self._old.execute("PRAGMA synchronous = OFF")
        self._old.execute(
            "DELETE FROM volumes WHERE id NOT IN (SELECT volume_id FROM volume_attachment LIMIT 1)"
        )
        self.all = {loader.name: loader for loader in self._made()}

    def close(self) -> None:
        self._rows.close()
        self._old.close()
        self._old_database.close()
        self._store.close()
        self.controller.close()

    def _example_records(self) -> list[Record]:
        volume = self._backend.create_volume(1, "first", metadata={"a": "1"})
        snapshot = volume.create_snapshot("kept")
        connection = volume.connect(self.controller.local_connector(self._backend))
        found = [self.controller.store.get(type(r), r.id) for r in (
            volume._record, snapshot._record, connection._record
        )]  # fmt: skip
        return [record for record in found if record is not None]

    def _made(self) -> Iterator[Loader]:
        old = [path.read_bytes() for path in sorted(CINDERLIB5.glob("*.*.json"))]
        ours = [serialization.to_text(serialization.read(text)).encode() for text in old]
        ours += [volume.dumps.encode() for volume in self.controller.volumes()]
        ours += [c.dumps.encode() for c in self.controller.connections()]
        ours += [self._backend.dumps.encode()]
        yield Loader("document", _document, ours + old)
        yield Loader("document as data", _document, ours + old, data=True)
        single = [text for text in ours if not text.startswith(b"[")]
        yield Loader("load", self._load, single[3:])
        yield Loader("lines", self._lines, [b"\n".join(single)], json=False)
        yield Loader("store load", self._store_load, [self._dump()], json=False)
        connections = [_connection(*each) for each in CONNECTIONS]
        yield Loader("connection", self._connection, connections, data=True)
        yield Loader("document from a pipe", self._pipe, connections)
        yield Loader("connector", check_connector, [_text(CONNECTOR)], data=True)
        yield Loader("configuration", self._configuration, [TOML.encode()], json=False)
        yield Loader("state of the host", self._host_state, [self._entry_text()])
        yield Loader("rows", self._row, [_text(self._stored(r)) for r in self._records])
        yield Loader("database of cinderlib 5", self._old_row, [_text(CONNECTOR)], one_in=10)
        options = {"volume_backend_name": "a", "volume_driver": "file", "adapter": "cinderlib"}
        yield Loader("options from oVirt", self._ovirt, [_text(options)])

    # --- readers ---------------------------------------------------------------------------------

    def _load(self, text: bytes) -> None:
        self.controller.load(text, save=True)

    def _lines(self, text: bytes) -> None:
        for _ in serialization.read_lines(io.BytesIO(text)):
            pass

    def _store_load(self, text: bytes) -> None:
        storefile.load(self.controller, storefile.read(io.BytesIO(text)), overwrite=True)

    def _pipe(self, text: bytes) -> None:
        documents.read(io.BytesIO(text))

    def _connection(self, document: Any) -> None:
        """The part of an attach before it changes the host."""
        checked = ConnectionDocument(document)
        connector = protocols.connector(checked, self._settings)
        entry = Entry(key=connector.key, document=checked.with_device(None))
        self._state.put(entry)
        self._state.remove(entry.key)

    def _configuration(self, text: bytes) -> None:
        path = self._folder / "cinderlib.toml"
        path.write_bytes(text)
        configuration.Configuration(TomlFile(path))

    def _host_state(self, text: bytes) -> None:
        file = next(self._state.path.glob("boot-*")) / f"{self._entry.key}.json"
        file.write_bytes(text)
        for entry in self._state.entries():
            ConnectionDocument(entry.document)

    def _row(self, text: bytes) -> None:
        for record in self._records:
            self._rows.execute(f"UPDATE cinderlib_{record.kind} SET document = ?", (text,))
            # Listings skip damaged records, and access by ID refuses them.
            assert len(list(self._store.scan(type(record)))) == 1
        damaged = None
        for record in self._records:
            try:
                self._store.get(type(record), record.id)
            except DamagedRecord as exc:
                damaged = exc
            else:
                return
        raise damaged

    def _old_row(self, text: bytes) -> None:
        self._old.execute(
            "UPDATE volume_attachment SET connector = ?, connection_info = ?",
            (text.decode("utf-8", "replace"),) * 2,
        )
        for document in self._old_database.documents():
            serialization.read(document)

    def _ovirt(self, text: bytes) -> None:
        adapter._options(text.decode("utf-8", "replace"))

    # --- examples --------------------------------------------------------------------------------

    def _dump(self) -> bytes:
        self.controller.persistence.set_key_value(cl.KeyValue("key", "value"))
        file = io.BytesIO()
        storefile.write(self.controller, self.controller.volumes(), file)
        return file.getvalue()

    def _entry_text(self) -> bytes:
        document = json.loads(_connection(*CONNECTIONS[1]))
        entry = Entry(key=self._entry.key, document=document, device={"path": "/dev/sda"})
        return msgspec.json.encode(entry)

    def _stored(self, record: Record) -> dict[str, Any]:
        self._store.apply(Put(record, check=False))
        ((text,),) = self._rows.execute(
            f"SELECT document FROM cinderlib_{record.kind} WHERE id = ?", (record.id,)
        )
        return json.loads(text)


def _document(source: Any) -> None:
    found = serialization.read(source)
    assert serialization.read(serialization.to_text(found)) == found


def _connection(protocol: str, data: dict[str, Any]) -> bytes:
    return _text(
        {
            "conn": {"driver_volume_type": protocol, "data": data},
            "connector": CONNECTOR,
            "use_multipath": True,
            "scan_attempts": 3,
            "attach_mode": "rw",
            "volume": {"id": "1", "size": 2**30},
            "id": "2",
        }
    )


def _text(data: Any) -> bytes:
    return json.dumps(data).encode()
