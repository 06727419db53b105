"""All public functions, classes and methods that take arguments, found by introspection, and a
correct example of each argument."""

from __future__ import annotations

import dataclasses
import inspect
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import cinderlib as cl
from cinderlib import serialization
from cinderlib.objects import new_connection, new_volume, snapshot
from cinderlib.objects.fields import EditableField
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

CONNECTOR = {"host": "node1", "ip": "192.0.2.1", "initiator": "iqn.2026-11.org.example:node1"}
CONN = {"driver_volume_type": "local", "data": {"device_path": "/nowhere/volume"}}
INFO = {"conn": CONN, "connector": CONNECTOR}

#: Keywords of the callables that have ``**fields``.
KEYWORDS = {
    "Controller.backend": ("volume_driver", "file_root", "reserved_percentage", "backend_host"),
    "Controller.check_backend": ("volume_driver", "file_root", "reserved_percentage"),
    "Controller.failover": ("volume_driver", "file_root", "reserved_percentage"),
    "Controller.reload_backend": ("volume_driver", "file_root", "reserved_percentage"),
    "Controller.create_volume": ("id", *sorted(new_volume._GIVEN.keys() - {"size"})),
    "Backend.create_volume": ("id", "pool_name", *new_volume._GIVEN),
    "Backend.manage_volume": ("id", "pool_name", *sorted(new_volume._GIVEN.keys() - {"size"})),
    "Volume": ("id", *new_volume._GIVEN),
    "Volume.clone": ("id", *new_volume._GIVEN),
    "Volume.create_snapshot": ("id", *snapshot._GIVEN),
    "Volume.manage_snapshot": ("id", *snapshot._GIVEN),
    "Volume.connect": ("id", *new_connection._GIVEN),
    "Snapshot.connect": ("id", *sorted(new_connection._GIVEN.keys() - {"attach_mode"})),
    "Snapshot": ("id", *snapshot._GIVEN),
    "Snapshot.create_volume": ("id", *new_volume._GIVEN),
    "Connection.connect": tuple(new_connection._GIVEN),
    "Connection": ("id", "volume_id", "status", *new_connection._GIVEN),
}
#: Callables that are not called here, and why.
LEFT_OUT = {
    "Controller.close": "takes nothing",
    "Controller.wrap": "takes what the store gives",
    "Controller.set_persistence": "replaces the store of the world; open_store takes the same",
    "Backend.list_supported_drivers": "has a test of its own: it imports all drivers",
    "Backend.global_setup": "is setup",
    "Backend.set_persistence": "works on the default controller",
    "Backend.load_backend": "works on the default controller",
    "Backend.load": "works on the default controller",
    "Volume.load": "is Controller.load",
    "Snapshot.load": "is Controller.load",
    "Connection.load": "is Controller.load",
}


class World:
    """A controller with a volume, a snapshot and a connection, and a node.

    :param folder: an empty one.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.root = folder / "volumes"
        self.controller = cl.Controller("memory", state_path=folder / "state")
        self.backend = self.controller.backend(
            "array", volume_driver="file", file_root=str(self.root)
        )
        self.node = cl.Node(state_path=folder / "node")

    def fill(self) -> None:
        self.volume = self.backend.create_volume(1, name="data")
        (self.root / "existing").write_bytes(b"data")
        self.snapshot = self.volume.create_snapshot("monday")
        self.connection = self.volume.connect(self.node.connector_properties("local"))

    def state(self) -> Any:
        """Everything that a call can change: records, files on the storage, attachments."""
        iterate = self.controller.store.iterate
        records = [list(iterate(kind)) for kind in (VolumeRecord, SnapshotRecord, ConnectionRecord)]
        return (
            records,
            [(each.key, each.value) for each in self.controller.key_values()],
            sorted(path.name for path in self.root.iterdir() if path.name[0] != "."),
            [each.device for each in self.node.attachments()],
            list(self.controller.backends),
        )

    def left(self) -> list[str]:
        """Inconsistencies between the store and the storage, and records that cannot be read."""
        found = [repr(each) for each in self.backend.reconcile()]
        found += [str(intent) for intent in self.controller.recover()]
        for line in map(
            serialization.to_line, self.controller.documents(self.controller.volumes())
        ):
            self.controller.load(line)
        return found

    def clear(self) -> None:
        """Delete everything in the ways that users have."""
        for each in list(self.controller.volumes()):
            each.cleanup()
        for each in list(self.controller.connections()):
            each.disconnect(force=True)
        for group_snapshot in list(self.controller.group_snapshots()):
            group_snapshot.delete()
        for group in list(self.controller.groups()):
            group.delete()
        for each in list(self.controller.snapshots()):
            each.delete()
        for each in list(self.controller.volumes()):
            each.delete()
        (self.root / "existing").unlink(missing_ok=True)

    def examples(self) -> dict[str, Any]:
        """A correct value for each argument, by its name."""
        return {
            "after": None, "attach_mode": "rw", "attached_host": None, "backend": self.backend,
            "backend_data": {}, "backend_or_vol": self.backend, "backends": None,
            "bootable": False, "connection": self.connection, "connection_id": self.connection.id,
            "connection_info": INFO, "connector": CONNECTOR, "connector_dict": CONNECTOR,
            "controller": self.controller, "description": "", "device": {"path": "/dev/null"},
            "disable_logs": True, "enforce_multipath": False, "execute": None,
            "fail_on_missing_backend": True, "file_locks_path": str(self.root.parent / "locks"),
            "force": True, "host": None, "ignore_errors": True, "json_src": self.volume.json,
            "key": "key", "leftovers": [], "limit": None, "lock_timeout": 5.0, "lock_url": None,
            "max_bytes": 10**6, "multipath": False, "my_ip": None, "name": "name",
            "needed": {}, "node_id": "node", "non_uuid_ids": False,
            "output_all_backend_info": False, "output_version": 1, "persistence_config": "memory",
            "pool_name": None, "progress": None, "project_id": None, "protocol": "local",
            "protocols": ["local"], "record": None, "recover": True, "refresh": False,
            "remove": [], "repair": False, "root_helper": "sudo", "save": False,
            "simplified": True, "size": 2, "snapshot": self.snapshot,
            "group_id": "none", "group_snapshot_id": "none",
            "snapshot_id": self.snapshot.id, "snapshot_name": "monday",
            "state_path": str(self.root.parent / "other"), "strict_options": True,
            "suppress_requests_ssl_warnings": True, "trusted": False, "user_id": None,
            "value": "value", "volume": self.volume, "volume_backend_name": "array",
            "volume_driver": "file", "file_root": str(self.root), "volume_id": self.volume.id,
            "volume_name": "data", "volumes": [self.volume], "resource": None, "ref": "/nowhere",
            "reference": {"source-name": "existing"}, "marker": None, "offset": 0,
            "sort_keys": ["size"], "sort_dirs": ["asc"], "done": 1, "total": 2,
            "unit": "bytes", "to": None, "instance_uuid": None, "target": io.BytesIO(),
            "source": io.BytesIO(), "point": "point", "since": None, "written": True,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Target:
    """
    :ivar name: as a user writes it.
    :ivar bound: the callable in a world.
    :ivar parameters: names of the arguments.
    :ivar required: names of the arguments without a default.
    """

    name: str
    bound: Callable[[World], Callable[..., Any]]
    parameters: tuple[str, ...]
    required: tuple[str, ...]


def everything() -> dict[str, Target]:
    """All public functions, classes and methods that take arguments; attributes that can be set
    as functions of their value."""
    found = [
        *_function("Controller", cl.Controller),
        *_function("Node", cl.Node),
        *_function("Volume", cl.Volume),
        *_function("Snapshot", cl.Snapshot),
        *_function("Connection", cl.Connection),
        *_function("get_connector_properties", cl.get_connector_properties),
        *_function("KeyValue", cl.KeyValue),
        *_methods(cl.Controller, "controller"),
        *_methods(cl.Backend, "backend"),
        *_methods(cl.Volume, "volume"),
        *_methods(cl.Snapshot, "snapshot"),
        *_methods(cl.Connection, "connection"),
        *_methods(cl.Node, "node"),
    ]
    return {each.name: each for each in found}


def _function(name: str, called: Callable[..., Any]) -> Iterator[Target]:
    signature = inspect.signature(called)
    yield _callable(name, lambda world: called, signature)


def _methods(owner: type, attribute: str) -> Iterator[Target]:
    for name in sorted(dir(owner)):
        if name.startswith("_") or f"{owner.__name__}.{name}" in LEFT_OUT:
            continue
        found = inspect.getattr_static(owner, name)
        field = isinstance(found, EditableField)
        if field or (isinstance(found, property) and found.fset is not None):
            yield _setter(owner, attribute, name)
        elif isinstance(found, classmethod | staticmethod) or inspect.isfunction(found):
            plain = found.__func__ if isinstance(found, classmethod | staticmethod) else found
            signature = inspect.signature(plain)
            parameters = list(signature.parameters.values())
            if not isinstance(found, staticmethod):
                parameters = parameters[1:]
            if parameters:
                yield _callable(
                    f"{owner.__name__}.{name}",
                    lambda world, name=name: getattr(getattr(world, attribute), name),
                    signature.replace(parameters=parameters),
                )


def _setter(owner: type, attribute: str, name: str) -> Target:
    def bound(world: World) -> Callable[..., Any]:
        def set_and_save(value: Any) -> None:
            resource = getattr(world, attribute)
            setattr(resource, name, value)
            resource.save()

        return set_and_save

    return Target(f"{owner.__name__}.{name} =", bound, ("value",), ())


def _callable(
    name: str, bound: Callable[[World], Callable[..., Any]], signature: inspect.Signature
) -> Target:
    parameters = list(signature.parameters.values())
    named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    required = [p.name for p in parameters if p.name in named and p.default is p.empty]
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        named += [each for each in KEYWORDS[name] if each not in named]
    return Target(name, bound, tuple(named), tuple(required))


def call(each: Target, world: World, parameter: str, value: Any) -> Any:
    """Call it with one wrong argument, and with correct values for the arguments that it requires.
    The result is used, as a program would.

    :raises CinderlibError: as it should.
    """
    examples = world.examples()
    # Some optional arguments are necessary too.
    always = (
        {"volume_driver", "file_root"} if "backend" in each.name.rpartition(".")[2] else {"size"}
    )
    given = {
        name: examples[name]
        for name in each.parameters
        if name in each.required or (name in always and not each.name.endswith("="))
    }
    if each.name == "Connection":
        given |= {"connector": CONNECTOR, "volume_id": world.volume.id}
    result = each.bound(world)(**(given | {parameter: value}))
    if inspect.isgenerator(result) or isinstance(result, map):
        return list(result)
    if isinstance(result, cl.Controller):
        with result:
            backend = result.backend(
                "other", volume_driver="file", file_root=str(world.folder / "other")
            )
            backend.create_volume(1, id=world.volume.id).delete()
    if each.name == "Controller.reload_backend":
        result()  # closes the driver before
    if isinstance(result, cl.Node):
        result.connector_properties("local")
        result.attachments()
    if isinstance(result, cl.Volume | cl.Snapshot) and result.is_new:
        result.create()
    if isinstance(result, cl.Connection) and result.is_new:
        result.to_jsons()
    return result
