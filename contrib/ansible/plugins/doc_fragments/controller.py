# SPDX-License-Identifier: Apache-2.0
"""Options of the modules that work on storage."""

from __future__ import annotations


class ModuleDocFragment:
    """What C(extends_documentation_fragment: cinderlib.storage.controller) adds."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - Path of a C(cinderlib.toml) on the managed host, with backends and the store in it.
      - By default the file that the command C(cinderlib) uses there.
    type: path
  backend:
    description:
      - Name of the backend.
      - May be left out when the configuration has just one, and for what is in the store already.
    type: str
  backend_options:
    description:
      - Options of O(backend), C(volume_driver) among them, instead of those in the configuration.
      - Values whose names say that they are secrets are not shown. Keep them in Ansible Vault.
    type: dict
  store:
    description:
      - Where the metadata is kept, instead of the C([store]) of the configuration, such as a
        C(connection) to C(postgresql://user:password@server/database).
    type: dict
requirements:
  - Python 3.11 or newer, and cinderlib 6, on the managed host
notes:
  - The module runs on the host that has the drivers and reaches the store. Choose its Python with
    C(ansible_python_interpreter).
  - In check mode only the store is asked. Neither a driver is loaded nor storage touched.
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change.
    support: full
  diff_mode:
    description: Says in C(diff_mode) what changes.
    support: full
"""
