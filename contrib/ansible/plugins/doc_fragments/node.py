# SPDX-License-Identifier: Apache-2.0
"""Options of the modules that work on a host which uses volumes."""

from __future__ import annotations


class ModuleDocFragment:
    """What C(extends_documentation_fragment: cinderlib.storage.node) adds."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - Path of a C(cinderlib.toml) on the managed host, whose C([node]) says how it attaches
        volumes (C(multipath), C(my_ip), ...).
      - By default the file that the command C(cinderlib) uses there. None is needed.
    type: path
requirements:
  - Python 3.11 or newer, cinderlib 6, and what the protocol needs, on the managed host
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change.
    support: full
  diff_mode:
    description: Says in C(diff_mode) what changes.
    support: full
"""
