#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Show the capacity and the pools of a backend."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backend_info
short_description: Show the capacity and the pools of a backend
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Loads a backend and shows the driver's report, without changing anything.
  - The driver is also loaded in check mode, which can recover interrupted operations.
extends_documentation_fragment:
  - cinderlib.storage.controller
"""

EXAMPLES = r"""
- name: Show the pools of a backend
  cinderlib.storage.backend_info:
    backend: lvm
  register: found
"""

RETURN = r"""
backend:
  description:
    - The name, the pools, the state of the replication and the statistics of the backend. Sizes are
      GiB.
  returned: success
  type: dict
"""

import dataclasses
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller


def work(session: controller.Session) -> dict[str, Any]:
    """Load the backend, and return the results."""
    backend = session.load(None)
    stats = backend.stats(refresh=True)
    shown = {
        "name": backend.id,
        "pools": list(backend.pool_names),
        "replication": dataclasses.asdict(backend.replication),
        "stats": stats,
    }
    return {"changed": False, "backend": controller.plain(shown)}


def main() -> None:
    """The entry point for Ansible."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
        },
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
