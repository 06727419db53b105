#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Volumes attached to a host that has no drivers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_attachment
short_description: Attach to the managed host what a controller has mapped for it, or detach it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - The node's half of attaching a volume. It makes a device of what
    M(cinderlib.storage.connection) gave on the controller, and takes it away again.
  - Needs neither a store nor a backend on the managed host.
extends_documentation_fragment:
  - cinderlib.storage.node
options:
  connection_info:
    description:
      - The document that the controller gave. Can have keys in it, which are not shown.
    type: dict
    required: true
  state:
    description:
      - V(present) attaches it; what is attached already stays so.
      - V(absent) detaches it, the way it was attached. Unmap it on the controller afterwards.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Detach also when it is in use or data cannot be written out any more.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Attach it
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
  register: attached

- name: Detach it
  cinderlib.storage.node_attachment:
    connection_info: "{{ mapped.connection_info }}"
    state: absent
"""

RETURN = r"""
path:
  description: The device on the managed host.
  returned: when it is attached
  type: str
  sample: /dev/dm-3
multipath_id:
  description: Name of the multipath map, where there is one.
  returned: when it is attached
  type: str
scsi_wwn:
  description: Of the SCSI device, where there is one.
  returned: when it is attached
  type: str
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def _work(module: AnsibleModule) -> dict[str, Any]:
    node = controller.node(module)
    # What the host has noted says more than a document that has a device of some time ago.
    document = {k: v for k, v in module.params["connection_info"].items() if k != "device"}
    there = _attached(node, document)
    absent = module.params["state"] == "absent"
    diff = {"before": {"attached": there is not None}, "after": {"attached": not absent}}
    if absent:
        changed = there is not None
        if not module.check_mode:
            changed = node.detach(document, force=module.params["force"])
        return {"changed": changed, "diff": diff}
    # One that is gone is attached anew.
    changed = there is None or there.state in ("gone", "another")
    if not module.check_mode:
        there = node.attach(document)
        changed = there.changed
        if not isinstance(there.path, str):
            node.detach(document)
            raise controller.errors.Unsupported(
                "This protocol gives a handle of one process here, and no device; install the"
                " kernel's client of it on this host"
            )
    results = {"changed": changed, "diff": diff}
    if there is not None:
        found = {name: getattr(there, name) for name in ("path", "multipath_id", "scsi_wwn")}
        results.update({name: value for name, value in found.items() if value})
    return results


def _attached(node: cl.Node, document: dict[str, Any]) -> cl.Attachment | None:
    """What is attached of a connection, as the host has noted it."""
    for attachment in node.attachments():
        known = attachment.connection_info
        if known.get("id") == document.get("id") and known["conn"] == document.get("conn"):
            return attachment
    return None


def main() -> None:
    """What Ansible runs."""
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
