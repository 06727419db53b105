#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Volumes attached to the host that has the drivers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: attachment
short_description: Attach a volume to the managed host, or detach it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Maps a volume for the managed host and makes a device of it there; and takes both back.
  - The managed host needs the drivers' configuration for it. For a host that is not to have it,
    there are M(cinderlib.storage.connection) on the one side and
    M(cinderlib.storage.node_attachment) on the other.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: The volume, an id or a name.
    type: str
    required: true
  state:
    description:
      - V(present) attaches it. One that the store has as attached but that is not any more, as
        after a restart, is attached anew.
      - V(absent) detaches it and unmaps it. A device that is mounted is refused.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Attach it
  cinderlib.storage.attachment:
    volume: data
  register: attached

- name: Mount it
  ansible.posix.mount:
    src: "{{ attached.path }}"
    path: /srv/data
    fstype: xfs
    state: ephemeral

- name: Detach it
  cinderlib.storage.attachment:
    volume: data
    state: absent
"""

RETURN = r"""
path:
  description: The device on the managed host; a plain file where the driver gives one.
  returned: when it is attached
  type: str
  sample: /dev/mapper/36001405f3b4a8c2
connection:
  description: What is known of the connection, without secrets.
  returned: when it is attached
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Do what is asked for, and say what was done."""
    volume = session.find_volume(session.params["volume"])
    if session.params["state"] == "absent":
        return _detached(session, volume)
    if volume is None:
        volume = session.volume(session.params["volume"])
    before = connection = volume.local_attach
    # One that is gone is attached anew.
    changed: bool | None = before is None or before.device_state in ("gone", "another")
    if not session.module.check_mode:
        session.load_for(volume)
        connection = volume.attach()
        if not isinstance(connection.path, str):
            volume.detach()
            raise controller.errors.Unsupported(
                f"{connection.protocol} gives a handle of one process here, and no device; install"
                " the kernel's client of it on this host"
            )
        changed = connection.changed
    results = {"changed": changed, "diff": _diff(before is not None, True)}
    if connection is not None:
        results.update(path=connection.path, connection=controller.shown(connection))
    return results


def _detached(session: controller.Session, volume: cl.Volume | None) -> dict[str, Any]:
    if volume is None or not volume.connections:
        return {"changed": False, "diff": _diff(False, False)}
    attached = volume.local_attach is not None
    if session.module.check_mode:
        return {"changed": attached, "diff": _diff(attached, False)}
    session.load_for(volume)
    # Also what an attach that failed has left.
    volume.cleanup()
    return {"changed": bool(volume.changed), "diff": _diff(attached, False)}


def _diff(before: bool, after: bool) -> dict[str, Any]:
    return {"before": {"attached": before}, "after": {"attached": after}}


def main() -> None:
    """What Ansible runs."""
    module = AnsibleModule(
        argument_spec={
            **controller.CONTROLLER,
            "volume": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_by={"backend_options": ["backend"]},
        supports_check_mode=True,
    )
    controller.run(module, work)


if __name__ == "__main__":
    main()
