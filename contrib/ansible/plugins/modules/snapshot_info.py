#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""List snapshots."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_info
short_description: List snapshots
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Lists the snapshots in the store, without changing anything. It does not load drivers.
  - A snapshot that does not exist is not an error; the list is then empty.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  name:
    description: List only snapshots with exactly this name.
    type: str
  volume:
    description: List only snapshots of this volume, specified by ID or name.
    type: str
"""

EXAMPLES = r"""
- name: List the snapshots of a volume
  cinderlib.storage.snapshot_info:
    volume: data
  register: found
"""

RETURN = r"""
snapshots:
  description: The snapshots, without secrets, in the order of creation.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller


def work(session: controller.Session) -> dict[str, Any]:
    """List the snapshots that the options select."""
    params = session.params
    found = session.controller.snapshots(name=params["name"], backend=params["backend"])
    volume = session.get("volume", params["volume"]) if params["volume"] else None
    selected = [each for each in found if volume is None or each.volume_id == volume.id]
    return {"changed": False, "snapshots": [controller.shown(each) for each in selected]}


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "name": {"type": "str"},
            "volume": {"type": "str"},
        },
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
