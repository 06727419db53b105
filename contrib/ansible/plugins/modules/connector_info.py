#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Show the connector properties of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: connector_info
short_description: Show the connector properties of the managed host
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Returns the managed host's initiator names, addresses and other properties, which
    M(cinderlib.storage.connection) needs to map volumes to it.
  - The managed host needs neither a store nor a backend.
extends_documentation_fragment:
  - cinderlib.storage.node
options:
  protocol:
    description: Collect only the properties for this protocol, for example V(iscsi); faster.
    type: str
"""

EXAMPLES = r"""
- name: Show the connector properties of this host
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
    """The entry point for Ansible."""
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
