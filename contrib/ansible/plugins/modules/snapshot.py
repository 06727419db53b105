#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Snapshots."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Take, change and delete snapshots of volumes
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Takes a snapshot of a volume, in use or not, changes what is kept with it, deletes it.
  - M(cinderlib.storage.volume) makes volumes of it.
  - A snapshot is known by its O(id), or by its O(name) where no O(id) is given.
  - A snapshot that could not be taken is taken again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: The volume that it is of, an id or a name. Needed to take one.
    type: str
  name:
    description: Its name. With O(id), the name that it is to have.
    type: str
  id:
    description: Its id, a UUID. A snapshot of this id is taken once, whoever asks for it how often.
    type: str
  state:
    description:
      - V(present) takes it where it is not there yet.
      - V(absent) deletes it and its data.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A text to keep with it.
    type: str
  metadata:
    description: Texts to keep with it, by key. Keys that are not named here stay as they are.
    type: dict
"""

EXAMPLES = r"""
- name: Keep today's data
  cinderlib.storage.snapshot:
    volume: data
    name: "data-{{ ansible_facts.date_time.date }}"

- name: Last week's is not needed any more
  cinderlib.storage.snapshot:
    volume: data
    name: data-2026-01-02
    state: absent
"""

RETURN = r"""
snapshot:
  description:
    - All that is known of the snapshot, without secrets. In check mode, of a snapshot that would be
      taken, what is asked for.
  returned: when it is there
  type: dict
  sample:
    id: 0b1c0d9e-58c4-4bb8-9d3d-6d0f6a4f7c11
    name: data-2026-01-09
    volume_id: 6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c
    volume_size: 10
    status: available
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Do what is asked for, and say what was done."""
    params = session.params
    volume = session.find_volume(params["volume"]) if params["volume"] else None
    if params["volume"] and volume is None:
        if params["state"] == "absent":
            return {"changed": False}  # nor can it have snapshots
        session.volume(params["volume"])
    if params["id"] is not None:
        found = session.snapshot_by_id(params["id"], volume)
    else:
        found = session.snapshot_by_name(params["name"], volume)
    if params["state"] == "absent":
        return _absent(session, found)
    if found is None or found.status == "error":
        return _taken(session, session.volume(params["volume"]), found)
    return _changed(session, found)


def _absent(session: controller.Session, found: cl.Snapshot | None) -> dict[str, Any]:
    if found is None:
        return {"changed": False}
    diff = {"before": {**_state(found), "state": "present"}, "after": {"state": "absent"}}
    if not session.module.check_mode:
        session.load_for(found)
        found.delete()
        return {"changed": found.changed, "diff": diff}
    return {"changed": True, "diff": diff}


def _taken(
    session: controller.Session, volume: cl.Volume, failed: cl.Snapshot | None
) -> dict[str, Any]:
    given = {**_asked(session), "id": failed.id if failed is not None else session.params["id"]}
    given = {name: value for name, value in given.items() if value is not None}
    after = {**given, "volume_id": volume.id, "volume_size": volume.size}
    diff = {"before": {"state": "absent"}, "after": {**after, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "snapshot": after}
    session.load_for(volume)
    snapshot = volume.create_snapshot(**given)
    return {"changed": snapshot.changed, "diff": diff, "snapshot": controller.shown(snapshot)}


def _changed(session: controller.Session, found: cl.Snapshot) -> dict[str, Any]:
    before, asked = _state(found), _asked(session)
    after = {**before, **asked, "metadata": {**before["metadata"], **asked.get("metadata", {})}}
    if after != before and not session.module.check_mode:
        for name, value in after.items():
            setattr(found, name, value)
        found.save()
    return {
        "changed": after != before,
        "diff": {"before": before, "after": after},
        "snapshot": {**controller.shown(found), **after},
    }


def _asked(session: controller.Session) -> dict[str, Any]:
    asked = {name: session.params[name] for name in ("name", "description", "metadata")}
    if asked["metadata"] is not None:
        asked["metadata"] = {key: str(value) for key, value in asked["metadata"].items()}
    return {name: value for name, value in asked.items() if value is not None}


def _state(snapshot: cl.Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in ("name", "description", "metadata")}


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "volume": {"type": "str"},
            "name": {"type": "str"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "description": {"type": "str"},
            "metadata": {"type": "dict"},
        },
        required_one_of=[["id", "name"]],
        required_if=[["state", "present", ["volume"]]],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
