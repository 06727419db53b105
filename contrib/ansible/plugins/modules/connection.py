#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Map volumes to other hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: connection
short_description: Map a volume to another host, or unmap it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - The first step to attach a volume to another host, on the controller. It exports the volume and
    maps it to that host, and returns the document that M(cinderlib.storage.node_attachment) needs
    on that host.
  - Specify the host with O(connector), the result of M(cinderlib.storage.connector_info) on that
    host, or with O(node), the registered name in the store.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: ID or name of the volume.
    type: str
    required: true
  connector:
    description: The connector properties of the host.
    type: dict
  node:
    description: The registered name of the host.
    type: str
  host:
    description: The name of the host; sufficient for V(absent).
    type: str
  state:
    description:
      - V(present) maps the volume to the host.
      - V(absent) unmaps the volume. Detach it on the host first.
    type: str
    choices: [present, absent]
    default: present
  attach_mode:
    description: Access mode of the host; by default V(rw).
    type: str
    choices: [rw, ro]
  instance:
    description: Distinguishes several users on one host, for example VMs.
    type: str
"""

EXAMPLES = r"""
- name: Collect the connector properties of the node
  cinderlib.storage.connector_info:
  delegate_to: node-1
  register: node

- name: Map the volume to the node
  cinderlib.storage.connection:
    volume: data
    connector: "{{ node.connector }}"
  register: mapped
  no_log: true  # the result contains keys

- name: Attach the volume on the node
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
  delegate_to: node-1

- name: Unmap the volume
  cinderlib.storage.connection:
    volume: data
    host: node-1
    state: absent
"""

RETURN = r"""
connection_info:
  description:
    - The document that the host needs to attach the volume. It contains keys in clear text if the
      protocol uses them (CHAP, cephx). Set C(no_log) for the task.
  returned: when the volume is mapped
  type: dict
id:
  description: ID of the connection.
  returned: when the volume is mapped
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Map or unmap the volume, and return the results."""
    params = session.params
    volume = session.find("volume", params["volume"])
    connector = session.connector()
    host = params["host"] or connector.get("host")
    if params["state"] == "absent":
        return _unmapped(session, volume, host)
    if volume is None:
        volume = session.get("volume", params["volume"])
    existing = _of_host(volume, host, params["instance"])
    diff = {"before": {"hosts": _hosts(volume)}}
    if session.module.check_mode:
        connection, changed = (existing[0] if existing else None), not existing
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
    """The connections of a volume to a host, and to one user on it if ``instance`` is set."""
    return [
        connection
        for connection in volume.connections
        if host in (connection.attached_host, connection.connector_info.get("host"))
        and (instance is None or instance == connection.instance_uuid)
    ]


def _hosts(volume: cl.Volume) -> list[str]:
    return sorted(str(c.attached_host or c.connector_info.get("host")) for c in volume.connections)


def main() -> None:
    """The entry point for Ansible."""
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
