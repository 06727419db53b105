#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""List volumes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_info
short_description: List volumes
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Lists the volumes in the store, without changing anything. It does not load drivers.
  - A volume that does not exist is not an error; the list is then empty.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  name:
    description: List only volumes with exactly this name.
    type: str
  id:
    description: List only the volume with this ID.
    type: str
"""

EXAMPLES = r"""
- name: List the volumes of a backend
  cinderlib.storage.volume_info:
    backend: lvm
  register: found
"""

RETURN = r"""
volumes:
  description: The volumes, without secrets, in the order of creation.
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller


def work(session: controller.Session) -> dict[str, Any]:
    """List the volumes that the options select."""
    params = session.params
    if params["id"] is not None:
        by_id = session.by_id("volume", params["id"])
        found = [] if by_id is None else [by_id]
    else:
        found = list(session.controller.volumes(name=params["name"], backend=params["backend"]))
    selected = [
        volume
        for volume in found
        if params["name"] in (None, volume.name)
        and params["backend"] in (None, controller.backend_of(volume))
    ]
    return {"changed": False, "volumes": [controller.shown(volume) for volume in selected]}


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "name": {"type": "str"},
            "id": {"type": "str"},
        },
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
