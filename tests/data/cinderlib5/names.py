"""Prints, as JSON, the public names of cinderlib 5.2.0 and what they have; run with it installed.

    python names.py >names.json

Functions are listed with their parameters, and fields with their values on a new volume, on a
snapshot of it and on a connection of it. What cinderlib 5's objects pass on from Cinder's versioned
object is listed apart, under ``versioned``.
"""

import contextlib
import datetime
import inspect
import json
import sys
import tempfile

# cinderlib first: it replaces modules at import and must see none of Cinder's loaded.
# isort: off
with contextlib.redirect_stderr(None):
    import cinderlib as cl

from cinder.volume import driver
from cinderlib import exception, objects


class Driver(driver.VolumeDriver):
    """Keeps nothing, and reports nothing back."""

    def do_setup(self, context):
        pass

    check_for_setup_error = create_volume = delete_volume = lambda self, *args: None
    create_snapshot = create_export = ensure_export = remove_export = delete_volume

    def get_volume_stats(self, refresh=False):
        return {"storage_protocol": "iSCSI", "total_capacity_gb": 1, "free_capacity_gb": 1}

    def initialize_connection(self, volume, connector):
        return {"driver_volume_type": "iscsi", "data": {"target_lun": 1}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass


def public(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


def parameters(function):
    """Name, kind, and whether there is a default, of each; none where it has no signature."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name, p.default is not p.empty] for p in found]


def surface(thing):
    functions, others = {}, []
    for name in public(thing):
        value = getattr(thing, name)
        if inspect.isroutine(value):
            functions[name] = parameters(value)
        else:
            others.append(name)
    if isinstance(thing, type):
        functions["__init__"] = parameters(thing.__init__)
    return {"functions": functions, "attributes": others}


def value(resource, name):
    try:
        found = getattr(resource, name)
    except Exception as exc:
        return {"raises": type(exc).__name__}
    if isinstance(found, datetime.datetime):
        return {"a": "datetime"}
    if found is None or isinstance(found, bool | int | str):
        return found
    if isinstance(found, dict):
        return dict(found)
    return {"a": type(found).__name__}


def versioned(resource):
    kind = resource.OVO_CLASS
    fields = sorted({*kind.fields, *getattr(kind, "obj_extra_fields", ())} - {"_name_id"})
    return {
        "fields": {name: value(resource, name) for name in fields},
        "others": sorted({*public(kind)} - {*fields} - {*public(type(resource))}),
    }


def listed(version):
    """What is said of a driver and of its options, and the texts that stand for their types."""
    driver = cl.list_supported_drivers(version)["RBDDriver"]
    options = {option["name"]: option for option in driver["driver_options"]}
    return {
        "driver": sorted(driver),
        "option": sorted(options["rbd_pool"]),
        "type": str(options["rbd_pool"]["type"]),
        "default": options["rbd_pool"]["default"],
        "required": options["rbd_pool"]["required"],
        "options": sorted(options),
    }


def main():
    cl.setup(file_locks_path=tempfile.mkdtemp(), host="controller")
    sys.modules["names"] = sys.modules["__main__"]
    backend = cl.Backend(volume_backend_name="array", volume_driver="names.Driver")
    volume = backend.create_volume(
        2, "data", "of the test", id="00000000-0000-4000-8000-000000000001", extra_specs={"a": "b"}
    )
    snapshot = volume.create_snapshot("kept", id="00000000-0000-4000-8000-000000000002")
    volume.connect(
        {"host": "one", "multipath": True},
        id="00000000-0000-4000-8000-000000000003",
        attached_host="one",
        mountpoint="/dev/vdb",
    )
    (connection,) = volume.connections
    type_fields = objects.cinder_objs.VolumeType.fields
    names = {
        "module": surface(cl),
        "exception": public(exception),
        "PersistenceDriverBase": surface(cl.persistence.base.PersistenceDriverBase),
        "KeyValue": surface(cl.KeyValue),
        "key_value": sorted(vars(cl.KeyValue("key", "value"))),
        "Backend": surface(cl.Backend),
        "backend": sorted(name for name in vars(backend) if not name.startswith("_")),
        "type of the driver": type(backend.driver).__name__,
        "VolumeType": {name: value(volume.volume_type, name) for name in type_fields},
        "list_supported_drivers": {version: listed(version) for version in (1, 2)},
    }
    for resource in (volume, snapshot, connection):
        kind = type(resource)
        names[kind.__name__] = surface(kind) | {
            "instance": sorted(name for name in vars(resource) if not name.startswith("_")),
            "versioned": versioned(resource),
        }
    json.dump(names, sys.stdout, indent=1, sort_keys=True)
    print()


main()
