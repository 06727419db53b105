#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What a host is to a controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: connector_info
short_description: What a controller must know of the managed host to map volumes for it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Gives the names of the managed host's initiators, its addresses and the like, for
    M(cinderlib.storage.connection).
  - Needs neither a store nor a backend on the managed host.
extends_documentation_fragment:
  - cinderlib.storage.node
options:
  protocol:
    description: Only what this protocol needs, such as V(iscsi); faster.
    type: str
"""

EXAMPLES = r"""
- name: What this host is
  cinderlib.storage.connector_info:
    protocol: iscsi
  register: node
"""

RETURN = r"""
connector:
  description: The host's connector properties.
  returned: success
  type: dict
  sample:
    host: node-1
    ip: 192.0.2.10
    initiator: iqn.1994-05.com.example:node-1
    multipath: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(
        argument_spec={**controller.NODE, "protocol": {"type": "str"}}, supports_check_mode=True
    )

    def work() -> dict[str, Any]:
        node = controller.node(module)
        connector = node.connector_properties(module.params["protocol"])
        return {"changed": False, "connector": connector}

    controller.end(module, work)


if __name__ == "__main__":
    main()
