#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Create, change and delete snapshots."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Create, change and delete snapshots of volumes
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Creates a snapshot of a volume, even if the volume is in use, changes its name and metadata, or
    deletes it.
  - M(cinderlib.storage.volume) creates volumes from snapshots.
  - O(id) identifies the snapshot; without it, O(name) does.
  - A snapshot whose creation failed is created again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: ID or name of the volume. Required to create a snapshot.
    type: str
  name:
    description: Name of the snapshot. With O(id), its new name.
    type: str
  id:
    description: ID of the snapshot, a UUID. An existing snapshot with this ID is not created again.
    type: str
  state:
    description:
      - V(present) creates the snapshot if it does not exist.
      - V(absent) deletes the snapshot and its data.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: A description to store.
    type: str
  metadata:
    description: Metadata to store. Other keys of an existing snapshot do not change.
    type: dict
"""

EXAMPLES = r"""
- name: Create a snapshot
  cinderlib.storage.snapshot:
    volume: data
    name: "data-{{ ansible_facts.date_time.date }}"

- name: Delete a snapshot
  cinderlib.storage.snapshot:
    volume: data
    name: data-2026-01-02
    state: absent
"""

RETURN = r"""
snapshot:
  description:
    - The details of the snapshot, without secrets. In check mode, the requested properties of a
      snapshot that does not exist.
  returned: when the snapshot exists
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
    """Create, change or delete the snapshot, and return the results."""
    params = session.params
    volume = session.find("volume", params["volume"]) if params["volume"] else None
    if params["volume"] and volume is None:
        if params["state"] == "absent":
            return {"changed": False}  # without its volume, a snapshot does not exist
        session.get("volume", params["volume"])
    if params["id"] is not None:
        found = session.by_id("snapshot", params["id"])
        if found is not None and volume is not None and found.volume_id != volume.id:
            found = None
    else:
        found = session.by_name("snapshot", params["name"], volume)
    if params["state"] == "absent":
        return session.deleted(found, _state(found) if found is not None else {})
    if found is None or found.status == "error":
        return _created(session, session.get("volume", params["volume"]), found)
    return _changed(session, found)


def _created(
    session: controller.Session, volume: cl.Volume, failed: cl.Snapshot | None
) -> dict[str, Any]:
    given = {**_requested(session), "id": failed.id if failed is not None else session.params["id"]}
    given = {name: value for name, value in given.items() if value is not None}
    after = {**given, "volume_id": volume.id, "volume_size": volume.size}
    diff = {"before": {"state": "absent"}, "after": {**after, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "snapshot": after}
    session.load_for(volume)
    snapshot = volume.create_snapshot(**given)
    return {"changed": snapshot.changed, "diff": diff, "snapshot": controller.shown(snapshot)}


def _changed(session: controller.Session, found: cl.Snapshot) -> dict[str, Any]:
    before, requested = _state(found), _requested(session)
    metadata = {**before["metadata"], **requested.get("metadata", {})}
    after = {**before, **requested, "metadata": metadata}
    if after != before and not session.module.check_mode:
        for name, value in after.items():
            setattr(found, name, value)
        found.save()
    return {
        "changed": after != before,
        "diff": {"before": before, "after": after},
        "snapshot": {**controller.shown(found), **after},
    }


def _requested(session: controller.Session) -> dict[str, Any]:
    requested = {name: session.params[name] for name in ("name", "description", "metadata")}
    if requested["metadata"] is not None:
        requested["metadata"] = {key: str(value) for key, value in requested["metadata"].items()}
    return {name: value for name, value in requested.items() if value is not None}


def _state(snapshot: cl.Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in ("name", "description", "metadata")}


def main() -> None:
    """The entry point for Ansible."""
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
