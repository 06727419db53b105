# SPDX-License-Identifier: Apache-2.0
"""Options of the modules for hosts that use volumes."""

from __future__ import annotations


class ModuleDocFragment:
    """The fragment of C(extends_documentation_fragment: cinderlib.storage.node)."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - Path of a C(cinderlib.toml) on the managed host, whose C([node]) has the settings for
        attaching volumes (C(multipath), C(my_ip), ...).
      - By default the file that the command C(cinderlib) uses on that host. A file is not required.
    type: path
requirements:
  - Python 3.11 or newer, cinderlib 6, and the packages for the protocol, on the managed host
attributes:
  check_mode:
    description: Reports the changes in C(check_mode) without making them.
    support: full
  diff_mode:
    description: Shows the changes in C(diff_mode).
    support: full
"""
