#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Volumes mapped for other hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: connection
short_description: Map a volume for another host, or unmap it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - The controller's half of attaching a volume to another host. It exports and maps the volume for
    that host and gives the document that the host attaches it with, which
    M(cinderlib.storage.node_attachment) does there.
  - Which host is meant is said by O(connector), as M(cinderlib.storage.connector_info) gives it
    there, or by O(node), the name under which it has registered itself in the store.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: The volume, an id or a name.
    type: str
    required: true
  connector:
    description: What the controller has to know of the host.
    type: dict
  node:
    description: The name under which the host has registered itself.
    type: str
  host:
    description: The host's name; enough to unmap.
    type: str
  state:
    description:
      - V(present) maps the volume for the host.
      - V(absent) unmaps it. Detach it there first.
    type: str
    choices: [present, absent]
    default: present
  attach_mode:
    description: Whether the host may write; V(rw) where nothing is said.
    type: str
    choices: [rw, ro]
  instance:
    description: Tells several users on one host apart.
    type: str
"""

EXAMPLES = r"""
- name: What the node is
  cinderlib.storage.connector_info:
  delegate_to: node-1
  register: node

- name: Map the volume for it
  cinderlib.storage.connection:
    volume: data
    connector: "{{ node.connector }}"
  register: mapped
  no_log: true  # the result has keys in it

- name: Attach it there
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
  delegate_to: node-1

- name: Unmap it again
  cinderlib.storage.connection:
    volume: data
    host: node-1
    state: absent
"""

RETURN = r"""
connection_info:
  description:
    - The document that the host attaches the volume with. Where the protocol uses keys (CHAP,
      cephx), they are in it in clear, as the host needs them. Give the task C(no_log).
  returned: when it is mapped
  type: dict
id:
  description: Of the connection.
  returned: when it is mapped
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Do what is asked for, and say what was done."""
    params = session.params
    volume = session.find_volume(params["volume"])
    connector = session.connector()
    host = params["host"] or connector.get("host")
    if params["state"] == "absent":
        return _unmapped(session, volume, host)
    if volume is None:
        volume = session.volume(params["volume"])
    there = _of_host(volume, host, params["instance"])
    diff = {"before": {"hosts": _hosts(volume)}}
    if session.module.check_mode:
        connection, changed = (there[0] if there else None), not there
        after = sorted({*_hosts(volume), host})
    else:
        session.load_for(volume)
        fields = {
            "attached_host": host,
            "attach_mode": params["attach_mode"],
            "instance_uuid": params["instance"],
        }
        connection = volume.connect(connector, **{k: v for k, v in fields.items() if v})
        changed, after = bool(connection.changed), _hosts(volume)
    results = {"changed": changed, "diff": {**diff, "after": {"hosts": after}}}
    if connection is not None:
        results.update(id=connection.id, connection_info=connection.connection_info)
    return results


def _unmapped(
    session: controller.Session, volume: cl.Volume | None, host: str | None
) -> dict[str, Any]:
    found = _of_host(volume, host, session.params["instance"]) if volume is not None else []
    if volume is None or not found:
        return {"changed": False}
    before = _hosts(volume)
    if not session.module.check_mode:
        session.load_for(volume)
        for connection in found:
            volume.disconnect(connection)
    after = [name for name in before if name != host]
    return {"changed": True, "diff": {"before": {"hosts": before}, "after": {"hosts": after}}}


def _of_host(volume: cl.Volume, host: str | None, instance: str | None) -> list[cl.Connection]:
    """The connections of a volume that are for a host, and on it for one user where it is named."""
    return [
        connection
        for connection in volume.connections
        if host in (connection.attached_host, connection.connector_info.get("host"))
        and (instance is None or instance == connection.instance_uuid)
    ]


def _hosts(volume: cl.Volume) -> list[str]:
    return sorted(str(c.attached_host or c.connector_info.get("host")) for c in volume.connections)


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "volume": {"type": "str", "required": True},
            "connector": {"type": "dict"},
            "node": {"type": "str"},
            "host": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "attach_mode": {"type": "str", "choices": ["rw", "ro"]},
            "instance": {"type": "str"},
        },
        mutually_exclusive=[["connector", "node"]],
        required_one_of=[["connector", "node", "host"]],
        required_if=[["state", "present", ["connector", "node"], True]],
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
