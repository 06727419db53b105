#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Take and delete snapshots of groups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: group_snapshot
short_description: Take and delete snapshots of groups of volumes
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Takes snapshots of all volumes of a group at the same moment, even if the volumes are in use, or
    deletes them.
  - M(cinderlib.storage.group) creates a group from a group snapshot, and
    M(cinderlib.storage.volume) a volume from one of the snapshots.
  - O(id) identifies the group snapshot; without it, O(name) does.
  - A group snapshot whose creation failed is created again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  group:
    description: ID or name of the group. Required to create a group snapshot.
    type: str
  name:
    description: Name of the group snapshot, and of the snapshots. It cannot be changed later.
    type: str
  id:
    description:
      - ID of the group snapshot, a UUID. An existing group snapshot with this ID is not created
        again.
    type: str
  state:
    description:
      - V(present) creates the group snapshot if it does not exist.
      - V(absent) deletes the group snapshot and its data.
    type: str
    choices: [present, absent]
    default: present
  one_after_another:
    description:
      - Take the snapshots in sequence if the driver cannot take them at the same moment. Without
        it, the module fails then.
    type: bool
    default: false
  description:
    description: A description to store. It cannot be changed later.
    type: str
"""

EXAMPLES = r"""
- name: Take snapshots of all volumes of a database at the same moment
  cinderlib.storage.group_snapshot:
    group: database
    name: monday

- name: Delete them
  cinderlib.storage.group_snapshot:
    name: monday
    state: absent
"""

RETURN = r"""
group_snapshot:
  description:
    - The details of the group snapshot. In check mode, the requested properties of a group snapshot
      that does not exist.
  returned: when the group snapshot exists
  type: dict
  sample:
    id: 5d9f6c1e-8a6b-4b41-93c0-0b1d8e3f7a60
    name: monday
    status: available
    consistent: true
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Create or delete the group snapshot, and return the results."""
    params = session.params
    if params["id"] is not None:
        found = session.by_id("group snapshot", params["id"])
    else:
        found = session.by_name("group snapshot", params["name"])
    if params["state"] == "absent":
        return session.deleted(found, {"name": found.name} if found is not None else {})
    group = session.get("group", params["group"])
    if found is None or found.status == "error":
        return _created(session, group, found)
    existing = {"group": found.group_id, "name": found.name, "description": found.description}
    requested = {**{option: params[option] for option in existing}, "group": group.id}
    controller.refuse_differences(f"Group snapshot {found.name}", existing, requested)
    return {"changed": False, "group_snapshot": controller.shown(found)}


def _created(
    session: controller.Session, group: cl.Group, failed: cl.GroupSnapshot | None
) -> dict[str, Any]:
    params = session.params
    given = {
        "name": params["name"] or (failed.name if failed is not None else ""),
        "description": params["description"] or "",
        "id": failed.id if failed is not None else params["id"],
    }
    after = {name: value for name, value in given.items() if value} | {"group_id": group.id}
    diff = {"before": {"state": "absent"}, "after": {**after, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "group_snapshot": after}
    session.load_for(group)
    taken = group.create_snapshot(**given, one_after_another=params["one_after_another"])
    return {"changed": taken.changed, "diff": diff, "group_snapshot": controller.shown(taken)}


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "group": {"type": "str"},
            "name": {"type": "str"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "one_after_another": {"type": "bool", "default": False},
            "description": {"type": "str"},
        },
        required_one_of=[["id", "name"]],
        required_if=[["state", "present", ["group"]]],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
