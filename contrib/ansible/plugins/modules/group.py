#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Create, change and delete groups of volumes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: group
short_description: Create, change and delete groups of volumes
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Creates a group of volumes, of which M(cinderlib.storage.group_snapshot) takes snapshots at the
    same moment. Adds volumes to it, removes volumes from it, or deletes it.
  - The data of volumes does not change when they are added or removed.
  - O(id) identifies the group; without it, O(name) does.
  - A group whose creation failed is created again.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  name:
    description: Name of the group. A group cannot be renamed.
    type: str
  id:
    description: ID of the group, a UUID. An existing group with this ID is not created again.
    type: str
  state:
    description:
      - V(present) creates the group if it does not exist, and changes its volumes if O(volumes) is
        specified.
      - V(absent) deletes the group. Its volumes remain, unless O(delete_volumes) is true. It fails
        if the group has group snapshots.
    type: str
    choices: [present, absent]
    default: present
  volumes:
    description:
      - IDs or names of all volumes of the group. Other volumes are removed from the group. An empty
        list removes all.
      - Without it, the volumes of an existing group do not change.
    type: list
    elements: str
  snapshot:
    description:
      - Create the group from this group snapshot, specified by ID or name. It has a volume for each
        snapshot, named C(GROUP-VOLUME).
    type: str
  source:
    description:
      - Create the group as a clone of this group, specified by ID or name. It has a clone of each
        volume, named C(GROUP-VOLUME).
    type: str
  group_specs:
    description:
      - The specs that the driver sees, as in Cinder's group types. They replace the default, which
        requires consistent snapshots, and cannot be changed later.
      - A group from O(snapshot) or O(source) has the specs of that group.
    type: dict
  replicated:
    description:
      - Whether the storage replicates the volumes of the group together. The group needs the spec
        C(consistent_group_replication_enabled), and the volumes a type with replication.
      - Without it, the replication does not change. Failovers are commands.
    type: bool
  one_after_another:
    description: Clone the volumes in sequence if the driver cannot clone them at the same moment.
    type: bool
    default: false
  delete_volumes:
    description: With O(state=absent), also delete the volumes with their data.
    type: bool
    default: false
  description:
    description: A description to store. It cannot be changed later.
    type: str
"""

EXAMPLES = r"""
- name: Group the volumes of a database
  cinderlib.storage.group:
    name: database
    volumes: [data, log]

- name: Group volumes that are replicated together
  cinderlib.storage.group:
    name: ledger
    volumes: [accounts, journal]
    group_specs:
      consistent_group_replication_enabled: "<is> True"
    replicated: true

- name: Create volumes for a test from a group snapshot
  cinderlib.storage.group:
    name: test
    snapshot: monday

- name: Delete them with their data
  cinderlib.storage.group:
    name: test
    state: absent
    delete_volumes: true
"""

RETURN = r"""
group:
  description:
    - The details of the group. In check mode, the requested properties of a group that does not
      exist.
  returned: when the group exists
  type: dict
  sample:
    id: 4c0e6f3b-3f0f-4f4e-8a53-0ad37b8d9f52
    name: database
    status: available
    replication_status: disabled
    volume_ids: [6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c]
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Create, change or delete the group, and return the results."""
    params = session.params
    by_id = params["id"] is not None
    find = session.by_id if by_id else session.by_name
    found = find("group", params["id" if by_id else "name"])
    if params["state"] == "absent":
        return session.deleted(
            found,
            _state(found) if found is not None else {},
            **({"volumes": True} if params["delete_volumes"] else {}),
        )
    if found is None or found.status == "error":
        return _created(session, found)
    existing = {
        "name": found.name,
        "description": found.description,
        "backend": controller.backend_of(found),
        "group_specs": found.group_specs,
    }
    controller.refuse_differences(
        f"Group {found.name}", existing, {option: params[option] for option in existing}
    )
    return _changed(session, found)


def _created(session: controller.Session, failed: cl.Group | None) -> dict[str, Any]:
    params = session.params
    if not params["name"] and failed is None:
        raise controller.errors.InvalidInput("A new group needs a name")
    given: dict[str, Any] = {
        "name": params["name"] or failed.name,
        "description": params["description"] or "",
        "id": failed.id if failed is not None else params["id"],
    }
    source: Any = None
    if params["snapshot"]:
        source = session.get("group snapshot", params["snapshot"])
    elif params["source"]:
        source = session.get("group", params["source"])
    elif params["group_specs"]:
        given["group_specs"] = params["group_specs"]
    volumes = _volumes(session)
    after = {name: value for name, value in given.items() if value}
    if params["replicated"] is not None:
        after["replicated"] = params["replicated"]
    if source is None:
        after["volume_ids"] = sorted(volume.id for volume in volumes or ())
    diff = {"before": {"state": "absent"}, "after": {**after, "state": "present"}}
    if session.module.check_mode:
        return {"changed": True, "diff": diff, "group": after}
    if source is None:
        backend = session.load(controller.backend_of(volumes[0]) if volumes else None)
        group = backend.create_group(volumes=volumes or (), **given)
    else:
        session.load_for(source)
        if params["snapshot"]:
            group = source.create_group(**given)
        else:
            group = source.clone(**given, one_after_another=params["one_after_another"])
    if params["replicated"]:
        group.enable_replication()
    return {"changed": group.changed, "diff": diff, "group": _shown(group)}


def _volumes(session: controller.Session) -> list[cl.Volume] | None:
    named = session.params["volumes"]
    return None if named is None else [session.get("volume", name) for name in named]


def _changed(session: controller.Session, found: cl.Group) -> dict[str, Any]:
    before = _state(found)
    wanted = _volumes(session)
    after = dict(before)
    if wanted is not None:
        after["volume_ids"] = sorted(volume.id for volume in wanted)
    replicated = session.params["replicated"]
    if replicated is not None:
        after["replicated"] = replicated
    if after != before and not session.module.check_mode:
        session.load_for(found)
        new = [each for each in wanted or () if each.id not in before["volume_ids"]]
        if new:
            found.add(*new)
        old = [each for each in found.volumes if each.id not in after["volume_ids"]]
        if old:
            found.remove(*old)
        if after["replicated"] and not before["replicated"]:
            found.enable_replication()
        elif before["replicated"] and not after["replicated"]:
            found.disable_replication()
    return {
        "changed": after != before,
        "diff": {"before": before, "after": after},
        "group": {**_shown(found), **(after if session.module.check_mode else {})},
    }


def _shown(group: cl.Group) -> dict[str, Any]:
    return {**controller.shown(group), "replication_status": group.replication_status}


def _state(group: cl.Group) -> dict[str, Any]:
    return {
        "volume_ids": sorted(group.volume_ids),
        "replicated": group.replication_status in ("enabled", "failed-over"),
    }


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "name": {"type": "str"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "volumes": {"type": "list", "elements": "str"},
            "snapshot": {"type": "str"},
            "source": {"type": "str"},
            "group_specs": {"type": "dict"},
            "replicated": {"type": "bool"},
            "one_after_another": {"type": "bool", "default": False},
            "delete_volumes": {"type": "bool", "default": False},
            "description": {"type": "str"},
        },
        required_one_of=[["id", "name"]],
        mutually_exclusive=[
            ["snapshot", "source", "volumes"],
            ["snapshot", "group_specs"],
            ["source", "group_specs"],
        ],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
