#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Attach volumes to a host without drivers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_attachment
short_description: Attach a mapped volume to the managed host, or detach it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - The second step to attach a volume to another host, on that host. It creates or removes the
    device for the result of M(cinderlib.storage.connection) on the controller.
  - The managed host needs neither a store nor a backend.
extends_documentation_fragment:
  - cinderlib.storage.node
options:
  connection_info:
    description:
      - The document from the controller. It can contain keys, which are hidden.
    type: dict
    required: true
  state:
    description:
      - V(present) attaches the volume, if it is not attached.
      - V(absent) detaches the volume. Unmap it on the controller afterwards.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Detach even if the device is in use or unwritten data is lost.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Attach a volume
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
  register: attached

- name: Detach the volume
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
    state: absent
"""

RETURN = r"""
path:
  description: The device on the managed host.
  returned: when the volume is attached
  type: str
  sample: /dev/dm-3
multipath_id:
  description: Name of the multipath map, if the volume has one.
  returned: when the volume is attached
  type: str
scsi_wwn:
  description: WWN of the SCSI device, if the volume has one.
  returned: when the volume is attached
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def _work(module: AnsibleModule) -> dict[str, Any]:
    node = controller.node(module)
    # Use the device in the host's records: the device in the document can be outdated.
    document = {k: v for k, v in module.params["connection_info"].items() if k != "device"}
    attachment = _attached(node, document)
    absent = module.params["state"] == "absent"
    diff = {"before": {"attached": attachment is not None}, "after": {"attached": not absent}}
    if absent:
        changed = attachment is not None
        if not module.check_mode:
            changed = node.detach(document, force=module.params["force"])
        return {"changed": changed, "diff": diff}
    # A volume without its device is attached again.
    changed = attachment is None or attachment.state in ("gone", "another")
    if not module.check_mode:
        attachment = node.attach(document)
        changed = attachment.changed
        if not isinstance(attachment.path, str):
            node.detach(document)
            raise controller.errors.Unsupported(
                "On this host, this protocol has no device, but a handle of the process: install"
                " the kernel client of the protocol"
            )
    results = {"changed": changed, "diff": diff}
    if attachment is not None:
        found = {name: getattr(attachment, name) for name in ("path", "multipath_id", "scsi_wwn")}
        results.update({name: value for name, value in found.items() if value})
    return results


def _attached(node: cl.Node, document: dict[str, Any]) -> cl.Attachment | None:
    """The attachment of a connection in the host's records."""
    for attachment in node.attachments():
        known = attachment.connection_info
        if known.get("id") == document.get("id") and known["conn"] == document.get("conn"):
            return attachment
    return None


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.NODE,
            "connection_info": {"type": "dict", "required": True, "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    controller.end(module, lambda: _work(module))


if __name__ == "__main__":
    main()
