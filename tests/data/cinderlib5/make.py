"""Makes the documents beside it by running cinderlib 5.2.0 itself; README.md says how to run it.

    python make.py FOLDER              the documents, with the memory store
    python make.py FOLDER --options    those that carry the backend's options
    python make.py FOLDER --database   cinderlib5.sqlite, the same resources in its database store,
                                       and documents of what was read from there
    python make.py FOLDER --ember      ember.json, the same as custom resources of Ember-CSI

Ids and times are fixed, so that a second run writes the same documents.
"""

import datetime
import itertools
import json
import pathlib
import sys
import tempfile
import uuid

folder = pathlib.Path(sys.argv[1]).resolve()
mode = sys.argv[2].lstrip("-") if len(sys.argv) > 2 else "memory"

# cinderlib first: it replaces modules at import and must see none of Cinder's loaded.
# isort: off
import cinderlib as cl  # noqa: E402

from cinder.volume import driver  # noqa: E402
from oslo_utils import timeutils  # noqa: E402

_numbers = itertools.count(1000)
uuid.uuid4 = lambda: uuid.UUID(int=next(_numbers), version=4)
timeutils.set_time_override(datetime.datetime(2023, 6, 1, 12, 30, 45))


class FixtureDriver(driver.VolumeDriver):
    """Keeps nothing; answers what a small iSCSI array would."""

    VERSION = "1.0"
    VENDOR = "fixture"

    def do_setup(self, context):
        pass

    def check_for_setup_error(self):
        pass

    def get_volume_stats(self, refresh=False):
        return {
            "volume_backend_name": self.configuration.safe_get("volume_backend_name"),
            "vendor_name": self.VENDOR,
            "driver_version": self.VERSION,
            "storage_protocol": "iSCSI",
            "total_capacity_gb": 100,
            "free_capacity_gb": 50,
        }

    def create_volume(self, volume):
        return {
            "provider_location": f"array:/{volume.name}",
            "provider_auth": "CHAP admin adminsecret",
            "provider_id": f"array-{volume.id[-4:]}",
            "metadata": dict(volume.metadata or {}, made_by="driver"),
        }

    create_volume_from_snapshot = create_cloned_volume = lambda self, volume, source: None

    def delete_volume(self, volume):
        pass

    def create_snapshot(self, snapshot):
        return {"provider_location": f"array:/{snapshot.name}"}

    def delete_snapshot(self, snapshot):
        pass

    def create_export(self, context, volume, connector):
        return None

    ensure_export = lambda self, context, volume: None  # noqa: E731

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        return {
            "driver_volume_type": "iscsi",
            "data": {
                "target_discovered": False,
                "target_portals": ["192.0.2.10:3260", "192.0.2.11:3260"],
                "target_iqns": [f"iqn.2010-10.org.example:{volume.name}"] * 2,
                "target_luns": [1, 1],
                "volume_id": volume.id,
                "auth_method": "CHAP",
                "auth_username": "chapuser",
                "auth_password": "chapsecret",
            },
        }

    def terminate_connection(self, volume, connector, **kwargs):
        pass


def connector(host):
    return {
        "host": host,
        "initiator": f"iqn.1994-05.com.example:{host}",
        "ip": "192.0.2.50",
        "multipath": True,
        "platform": "x86_64",
        "os_type": "linux",
        "do_local_attach": False,
        "system uuid": "5d1c9a00-0000-4000-8000-000000000001",
    }


def an_id(number):
    return f"00000000-0000-4000-8000-{number:012}"


def save(name, text):
    path = folder / f"{name}.json"
    path.write_text(json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n")


def resource(kind, name, annotations):
    """A custom resource as Ember-CSI 0.9 creates it and ``kubectl get -o json`` shows it."""
    return {
        "apiVersion": "ember-csi.io/v1",
        "kind": kind,
        "metadata": {
            "annotations": annotations,
            "name": name,
            "namespace": "default",
            "resourceVersion": "1",
        },
    }


def save_resources(store):
    """Write everything in the store as a list of custom resources."""
    found = [*store.get_volumes(), *store.get_snapshots(), *store.get_connections()]
    items = [
        resource(type(each).__name__, each.id, {"json": each.to_jsons(simplified=True)})
        for each in found
    ]
    for each in store.get_key_values("node-1"):
        items.append(resource("KeyValue", each.key, {"value": each.value}))
    save("ember", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def main():
    persistence = {"storage": "memory"}
    if mode == "database":
        (folder / "cinderlib5.sqlite").unlink(missing_ok=True)
        persistence = {"storage": "db", "connection": f"sqlite:///{folder}/cinderlib5.sqlite"}
    cl.setup(
        file_locks_path=tempfile.mkdtemp(),
        persistence_config=persistence,
        output_all_backend_info=mode == "options",
        project_id="project-1",
        user_id="user-1",
        host="controller",
    )
    sys.modules["make"] = sys.modules["__main__"]
    options = {"volume_driver": "make.FixtureDriver", "san_ip": "192.0.2.1"}
    array = cl.Backend(volume_backend_name="array", san_password="arraysecret", **options)
    other = cl.Backend(volume_backend_name="other", **options)

    plain = array.create_volume(1, id=an_id(1))
    rich = array.create_volume(
        3,
        id=an_id(2),
        name="rich",
        description="with everything, ünicode too",
        bootable=True,
        metadata={"app": "db"},
        extra_specs={"thin": "<is> True", "tier": "gold"},
        qos_specs={"maxIOPS": "100"},
        availability_zone="nova",
        multiattach=True,
    )
    first = rich.create_snapshot("snap-1", "first", id=an_id(11))
    rich.create_snapshot("snap-2", "second", id=an_id(12), metadata={"app": "db"})
    clone = rich.clone(name="a clone", id=an_id(3))
    restored = first.create_volume(name="restored", id=an_id(4))
    used = rich.connect(
        connector("compute-1"),
        id=an_id(21),
        attached_host="compute-1",
        mountpoint="/dev/vdb",
        attach_mode="rw",
        instance_uuid="5d1c9a00-0000-4000-8000-0000000000aa",
    )
    used.device_attached(
        {
            "type": "block",
            "path": "/dev/dm-3",
            "scsi_wwn": "360014050000000000000000000000001",
            "multipath_id": "360014050000000000000000000000001",
        }
    )
    unused = rich.connect(connector("compute-2"), id=an_id(22))
    other.create_volume(2, id=an_id(5), name="foreign")
    cl.Backend.persistence.set_key_value(cl.KeyValue("node-1", "value of node-1"))

    if mode == "ember":
        used.disconnect()
        unused.disconnect()
        save_resources(cl.Backend.persistence)
    elif mode == "database":
        read = cl.Volume.get_by_id(rich.id)
        save("database-volume.jsons", read.jsons)  # its snapshots were not loaded
        save("database-volume.dumps", read.dumps)
    elif mode == "options":
        save("options-volume.dumps", plain.dumps)
        save("options-backend.dumps", array.dumps)
    else:
        for name, thing in (
            ("volume-plain", plain),
            ("volume-rich", rich),
            ("volume-clone", clone),
            ("volume-restored", restored),
            ("snapshot", first),
            ("connection-used", used),
            ("connection-unused", unused),
            ("backend", array),
        ):
            assert thing.jsons == thing.dumps, "with this store they are the same"
            save(f"{name}.dumps", thing.dumps)
        save("module.dumps", cl.dumps())


main()
