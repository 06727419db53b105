#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Create, adopt, extend, change, move and delete volumes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: Create, adopt, extend, change, move and delete volumes on a storage array
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Creates a volume on any array with a driver of OpenStack Cinder, without Cinder. The volume is
    empty, or has the data of a snapshot or another volume. Adopts existing volumes of an array,
    extends volumes, changes their properties, moves and deletes them.
  - O(id) identifies the volume; without it, O(name) does. Names do not have to be unique. If
    several volumes have the same name, the module fails and does not change anything.
  - A volume whose creation failed is created again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  name:
    description: Name of the volume. With O(id), its new name.
    type: str
  id:
    description: ID of the volume, a UUID. An existing volume with this ID is not created again.
    type: str
  state:
    description:
      - V(present) creates the volume if it does not exist, and extends or changes it if it exists.
      - V(absent) deletes the volume and its data. It fails if the volume has snapshots or
        connections.
      - V(unmanaged) hands the volume back. The volume and its data stay on the storage, and only
        its record is removed. It fails if the volume has snapshots or connections.
    type: str
    choices: [present, absent, unmanaged]
    default: present
  size:
    description:
      - Size of the volume, for example V(10GiB), V(512MiB) or V(1.5TiB). V(20GB) uses powers of
        1000, and a number without a unit is in GiB. The size is rounded up to whole GiB.
      - A smaller volume is extended, even if it is attached. The module fails if the volume is
        larger, because volumes cannot shrink.
      - Required for an empty volume.
    type: str
  snapshot:
    description: Create the volume from this snapshot, specified by ID or name.
    type: str
  source:
    description: Create the volume as a clone of this volume, specified by ID or name.
    type: str
  reference:
    description:
      - Adopt this existing volume of the storage instead of creating one, for most drivers
        C(source-name) with its name there. Its data does not change. C(cinderlib volume manageable)
        lists the references.
      - Has no effect if the volume has been adopted.
    type: dict
  pool:
    description: The pool of the volume; by default the backend's first. See also O(migrate).
    type: str
  description:
    description: A description to store.
    type: str
  metadata:
    description: Metadata to store. Other keys of an existing volume do not change.
    type: dict
  bootable:
    description: Mark the volume as bootable.
    type: bool
  multiattach:
    description: Allow several hosts to use the volume. Cannot be changed later.
    type: bool
  extra_specs:
    description: Extra specs for the driver. An existing volume gets them as it gets a O(type).
    type: dict
  qos_specs:
    description: QoS specs for the driver. An existing volume gets them as it gets a O(type).
    type: dict
  type:
    description:
      - Name of a volume type, with the specs of the volume. An existing volume gets the type if its
        driver can change the specs, or with O(migrate).
    type: str
  migrate:
    description:
      - Whether an existing volume is moved if it is not on the O(backend) or in the O(pool). A
        volume with the O(name) is then also found on other backends.
      - Also whether its data is copied to a new volume if its driver cannot give it the O(type),
        O(extra_specs) or O(qos_specs).
      - The volume must not be connected or have snapshots. A volume that becomes encrypted becomes
        1 GiB larger, so specify the O(size) that it has then.
    type: bool
    default: false
  encryption:
    description:
      - Encryption by the hosts that attach the volume, for example C(provider) with the value
        C(luks2). Cannot be changed later.
    type: dict
"""

EXAMPLES = r"""
- name: Create a volume of 10 GiB, or extend it to 10 GiB
  cinderlib.storage.volume:
    name: data
    size: 10GiB
    backend: lvm
    metadata:
      owner: postgres

- name: Create a volume from a snapshot
  cinderlib.storage.volume:
    name: restored
    snapshot: monday

- name: Create a volume without a configuration file on the host
  cinderlib.storage.volume:
    name: data
    size: 1GiB
    backend: files
    backend_options:
      volume_driver: file
      file_root: /srv/volumes
    store:
      connection: sqlite:////var/lib/cinderlib/metadata.sqlite

- name: Give a volume another type
  cinderlib.storage.volume:
    name: data
    type: gold

- name: Adopt the volume vol-17 of the array
  cinderlib.storage.volume:
    name: data
    reference:
      source-name: vol-17

- name: Move a volume to another backend
  cinderlib.storage.volume:
    name: data
    backend: fast
    migrate: true

- name: Encrypt a volume of 10 GiB
  cinderlib.storage.volume:
    name: data
    size: 11GiB
    type: encrypted
    migrate: true

- name: Delete a volume
  cinderlib.storage.volume:
    name: data
    state: absent
"""

RETURN = r"""
volume:
  description:
    - The details of the volume, without secrets. In check mode, the requested properties of a
      volume that does not exist.
  returned: when the volume exists
  type: dict
  sample:
    id: 6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c
    name: data
    size: 10
    status: available
    host: controller@lvm#pool
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import changes, controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Create, change or delete the volume, and return the results."""
    params = session.params
    by_id = params["id"] is not None
    if by_id:
        found = session.by_id("volume", params["id"])
    else:
        found = session.by_name("volume", params["name"])
        if found is None and params["migrate"] and params["state"] == "present":
            found = session.by_name("volume", params["name"], everywhere=True)
    if params["state"] == "absent":
        return session.deleted(found, changes.state(found) if found is not None else {})
    if params["state"] == "unmanaged":
        return _handed_back(session, found)
    if found is None or _creation_failed(found, params["reference"]):
        return _created(session, found)
    _refuse_differences(session, found)
    return changes.apply(session, found)


def _creation_failed(volume: cl.Volume, reference: dict[str, Any] | None) -> bool:
    """Whether the creation of the volume failed, so that it has no data yet, or its adoption."""
    if volume.status == "error_managing":
        return reference is not None
    return volume.status == "error" and volume.launched_at is None


def _handed_back(session: controller.Session, found: cl.Volume | None) -> dict[str, Any]:
    if found is None:
        return {"changed": False}
    diff = {"before": {**changes.state(found), "state": "present"}, "after": {"state": "unmanaged"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff}
    session.load_for(found)
    found.unmanage()
    return {"changed": found.changed, "diff": diff}


def _created(session: controller.Session, failed: cl.Volume | None) -> dict[str, Any]:
    params = session.params
    given = {
        "id": failed.id if failed is not None else params["id"],
        "name": params["name"],
        "size": controller.size_of(params["size"]) if params["size"] else None,
        "pool_name": params["pool"],
        **{name: params[name] for name in ("description", "bootable", "multiattach", "type")},
    }
    for name in (*changes.SPECS, "encryption"):
        given[name] = params[name] and controller.texts(params[name])
    given = {name: value for name, value in given.items() if value is not None}
    source = _source(session, needed=True)
    reference = params["reference"]
    if source is None and reference is None and "size" not in given:
        raise controller.errors.InvalidInput("An empty volume needs a size, for example 10GiB")
    diff = {"before": {"state": "absent"}, "after": {**given, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "volume": given}
    if reference is not None:
        volume = session.load(None).manage_volume(controller.texts(reference), **given)
    elif source is None:
        volume = session.load(None).create_volume(**given)
    else:
        session.load_for(source)
        volume = (source.clone if params["source"] else source.create_volume)(**given)
    return {"changed": volume.changed, "diff": diff, "volume": controller.shown(volume)}


def _source(session: controller.Session, *, needed: bool) -> Any:
    """The source of the volume, if the options specify one."""
    params = session.params
    named = params["snapshot"] or params["source"]
    if not named:
        return None
    what = "snapshot" if params["snapshot"] else "volume"
    return session.get(what, named) if needed else session.find(what, named)


def _refuse_differences(session: controller.Session, found: cl.Volume) -> None:
    params = session.params
    # The source may already be deleted.
    source = _source(session, needed=False)
    source_option = "snapshot" if params["snapshot"] else "source"
    existing = {
        **changes.place(found),
        "multiattach": found.multiattach,
        # The library adds defaults.
        "encryption": {name: found.encryption.get(name) for name in params["encryption"] or ()},
        source_option: found.snapshot_id if params["snapshot"] else found.source_volid,
    }
    requested = {
        **({} if params["migrate"] else {name: params[name] for name in changes.PLACE}),
        "multiattach": params["multiattach"],
        "encryption": params["encryption"] and controller.texts(params["encryption"]),
        source_option: source.id if source is not None else None,
    }
    controller.refuse_differences(f"Volume {found.name or found.id}", existing, requested)


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "name": {"type": "str"},
            "id": {"type": "str"},
            "state": {
                "type": "str",
                "choices": ["present", "absent", "unmanaged"],
                "default": "present",
            },
            "reference": {"type": "dict"},
            "size": {"type": "str"},
            "snapshot": {"type": "str"},
            "source": {"type": "str"},
            "pool": {"type": "str"},
            "description": {"type": "str"},
            "metadata": {"type": "dict"},
            "bootable": {"type": "bool"},
            "multiattach": {"type": "bool"},
            "extra_specs": {"type": "dict"},
            "qos_specs": {"type": "dict"},
            "type": {"type": "str"},
            "migrate": {"type": "bool", "default": False},
            "encryption": {"type": "dict"},
        },
        required_one_of=[["id", "name"]],
        mutually_exclusive=[
            ["snapshot", "source", "reference"],
            ["size", "reference"],
            *(["type", own] for own in ("extra_specs", "qos_specs", "encryption")),
        ],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
