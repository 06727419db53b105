#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Volumes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: Make, grow, change and delete volumes on a storage array
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Makes a volume on any array that OpenStack Cinder has a driver for, without Cinder; empty, of a
    snapshot or as a clone of another volume. Grows it, changes what is kept with it, deletes it.
  - A volume is known by its O(id), or by its O(name) where no O(id) is given. The array does not
    keep names apart; when several volumes have the name, the module changes nothing and says so.
  - A volume whose making failed is made again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  name:
    description: Its name. With O(id), the name that it is to have.
    type: str
  id:
    description: Its id, a UUID. A volume of this id is made once, whoever asks for it how often.
    type: str
  state:
    description:
      - V(present) makes it where it is not there yet, and grows and changes it where it is.
      - V(absent) deletes it and its data. One with snapshots or connections is refused.
    type: str
    choices: [present, absent]
    default: present
  size:
    description:
      - Its size, such as V(10GiB), V(512MiB) or V(1.5TiB); V(20GB) counts in thousands, and a
        number is GiB. Rounded up to whole GiB.
      - A volume that is smaller grows, attached or not. One that is larger is refused, as no volume
        can be made smaller.
      - Needed for an empty volume.
    type: str
  snapshot:
    description: Make it of the data of this snapshot, an id or a name.
    type: str
  source:
    description: Make it a clone of this volume, an id or a name.
    type: str
  pool:
    description: The pool to put it in; by default the backend's first.
    type: str
  description:
    description: A text to keep with it.
    type: str
  metadata:
    description: Texts to keep with it, by key. Keys that are not named here stay as they are.
    type: dict
  bootable:
    description: Whether it is marked as one to boot from.
    type: bool
  multiattach:
    description: Whether several hosts may use it at once. Cannot be changed later.
    type: bool
  extra_specs:
    description: Extra specs for the driver. Cannot be changed later.
    type: dict
  qos_specs:
    description: QoS specs for the driver. Cannot be changed later.
    type: dict
"""

EXAMPLES = r"""
- name: A volume of 10 GiB, or more if somebody has grown it by this playbook
  cinderlib.storage.volume:
    name: data
    size: 10GiB
    backend: lvm
    metadata:
      owner: postgres

- name: A copy of Monday's data
  cinderlib.storage.volume:
    name: restored
    snapshot: monday

- name: Without a configuration file on the host
  cinderlib.storage.volume:
    name: data
    size: 1GiB
    backend: files
    backend_options:
      volume_driver: file
      file_root: /srv/volumes
    store:
      connection: sqlite:////var/lib/cinderlib/metadata.sqlite

- name: No volume of that name
  cinderlib.storage.volume:
    name: data
    state: absent
"""

RETURN = r"""
volume:
  description:
    - All that is known of the volume, without secrets. In check mode, of a volume that would be
      made, what is asked for.
  returned: when it is there
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
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl

#: What can be changed of a volume that is there.
CHANGEABLE = ("name", "description", "bootable")


def work(session: controller.Session) -> dict[str, Any]:
    """Do what is asked for, and say what was done."""
    params = session.params
    by_id = params["id"] is not None
    found = session.volume_by_id(params["id"]) if by_id else session.volume_by_name(params["name"])
    if params["state"] == "absent":
        return _absent(session, found)
    if found is None or _is_unmade(found):
        return _made(session, found)
    _refuse_other(session, found)
    return _changed(session, found)


def _is_unmade(volume: cl.Volume) -> bool:
    """Whether making it failed: it has no data yet."""
    return volume.status == "error" and volume.launched_at is None


def _absent(session: controller.Session, found: cl.Volume | None) -> dict[str, Any]:
    if found is None:
        return {"changed": False}
    diff = {"before": {**_state(found), "state": "present"}, "after": {"state": "absent"}}
    if not session.module.check_mode:
        session.load_for(found)
        found.delete()
        return {"changed": found.changed, "diff": diff}
    return {"changed": True, "diff": diff}


def _made(session: controller.Session, failed: cl.Volume | None) -> dict[str, Any]:
    params = session.params
    given = {
        "id": failed.id if failed is not None else params["id"],
        "name": params["name"],
        "size": controller.size_of(params["size"]) if params["size"] else None,
        "pool_name": params["pool"],
        **{name: params[name] for name in ("description", "bootable", "multiattach")},
        **{name: params[name] and _texts(params[name]) for name in SPECS},
    }
    given = {name: value for name, value in given.items() if value is not None}
    source = _source(session, needed=True)
    if source is None and "size" not in given:
        raise controller.errors.InvalidInput("An empty volume needs a size, such as 10GiB")
    diff = {"before": {"state": "absent"}, "after": {**given, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "volume": given}
    if source is None:
        volume = session.load(None).create_volume(**given)
    else:
        session.load_for(source)
        volume = (source.clone if params["source"] else source.create_volume)(**given)
    return {"changed": volume.changed, "diff": diff, "volume": controller.shown(volume)}


SPECS = ("metadata", "extra_specs", "qos_specs")


def _texts(given: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in given.items()}


def _source(session: controller.Session, *, needed: bool) -> Any:
    """The snapshot or volume to make it of, if one is named."""
    params = session.params
    named = params["snapshot"] or params["source"]
    if not named:
        return None
    what = "snapshot" if params["snapshot"] else "volume"
    find = session.find_snapshot if params["snapshot"] else session.find_volume
    found = find(named)
    if found is None and needed:
        raise controller.errors.NotFound(f"There is no {what} with the id or name {named!r}")
    return found


def _refuse_other(session: controller.Session, found: cl.Volume) -> None:
    params = session.params
    # What it was made of may be gone by now.
    source = _source(session, needed=False)
    made_of = "snapshot" if params["snapshot"] else "source"
    there = {
        "backend": controller.backend_of(found),
        "pool": found.host.partition("#")[2],
        "multiattach": found.multiattach,
        "extra_specs": found.extra_specs,
        "qos_specs": found.qos_specs,
        made_of: found.snapshot_id if params["snapshot"] else found.source_volid,
    }
    asked = {
        "backend": params["backend"],
        "pool": params["pool"],
        "multiattach": params["multiattach"],
        "extra_specs": params["extra_specs"] and _texts(params["extra_specs"]),
        "qos_specs": params["qos_specs"] and _texts(params["qos_specs"]),
        made_of: source.id if source is not None else None,
    }
    controller.refuse_differences(f"Volume {found.name or found.id}", there, asked)


def _changed(session: controller.Session, found: cl.Volume) -> dict[str, Any]:
    params, before = session.params, _state(found)
    size = controller.size_of(params["size"]) if params["size"] else found.size
    if size < found.size:
        raise controller.errors.InvalidInput(
            f"Volume {found.name or found.id} has {found.size} GiB and cannot be made smaller"
            f" ({params['size']})"
        )
    asked = {name: params[name] for name in CHANGEABLE if params[name] is not None}
    asked["metadata"] = {**before["metadata"], **_texts(params["metadata"] or {})}
    after = {**before, **asked, "size": size}
    if after != before and not session.module.check_mode:
        for name, value in asked.items():
            setattr(found, name, value)
        found.save()
        if size != before["size"]:
            session.load_for(found)
            found.extend(size)
    return {
        "changed": after != before,
        "diff": {"before": before, "after": after},
        "volume": {**controller.shown(found), **after},
    }


def _state(volume: cl.Volume) -> dict[str, Any]:
    return {name: getattr(volume, name) for name in (*CHANGEABLE, "metadata", "size")}


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "name": {"type": "str"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
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
        },
        required_one_of=[["id", "name"]],
        mutually_exclusive=[["snapshot", "source"]],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
