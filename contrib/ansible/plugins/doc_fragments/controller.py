# SPDX-License-Identifier: Apache-2.0
"""Options of the modules that use storage."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment of C(extends_documentation_fragment: cinderlib.storage.controller)."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - Path of a C(cinderlib.toml) on the managed host, with the backends and the store.
      - By default the file that the command C(cinderlib) uses on that host.
    type: path
  backend:
    description:
      - Name of the backend.
      - Optional if only one backend is configured, and for existing resources.
    type: str
  backend_options:
    description:
      - Options of O(backend), including C(volume_driver), instead of those in the configuration.
      - Values of options whose name indicates a secret are hidden. Keep them in Ansible Vault.
    type: dict
  store:
    description:
      - The metadata store, instead of the C([store]) of the configuration, for example a
        C(connection) to C(postgresql://user:password@server/database).
    type: dict
requirements:
  - Python 3.11 or newer, and cinderlib 6, on the managed host
notes:
  - The module runs on the host with the drivers and access to the store. Choose its Python with
    C(ansible_python_interpreter).
  - In check mode, the module only reads the store. It neither loads drivers nor uses the storage.
attributes:
  check_mode:
    description: Reports the changes in C(check_mode) without making them.
    support: full
  diff_mode:
    description: Shows the changes in C(diff_mode).
    support: full
"""
