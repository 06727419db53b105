#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Attach volumes to the host with the drivers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: attachment
short_description: Attach a volume to the managed host, or detach it
version_added: 6.0.0
author:
  - The cinderlib developers (@cinderlib)
description:
  - Maps a volume to the managed host and creates its device; or removes the device and unmaps the
    volume.
  - The managed host needs the configuration of the drivers. For hosts without it, use
    M(cinderlib.storage.connection) on the controller and M(cinderlib.storage.node_attachment) on
    the host.
extends_documentation_fragment:
  - cinderlib.storage.controller
options:
  volume:
    description: ID or name of the volume.
    type: str
    required: true
  state:
    description:
      - V(present) attaches the volume. If its device does not exist any more, for example after a
        restart, it is attached again.
      - V(absent) detaches and unmaps the volume. It fails if the device is mounted.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Attach a volume
  cinderlib.storage.attachment:
    volume: data
  register: attached

- name: Mount the volume
  ansible.posix.mount:
    src: "{{ attached.path }}"
    path: /srv/data
    fstype: xfs
    state: ephemeral

- name: Detach the volume
  cinderlib.storage.attachment:
    volume: data
    state: absent
"""

RETURN = r"""
path:
  description: The device on the managed host; a plain file with some drivers.
  returned: when the volume is attached
  type: str
  sample: /dev/mapper/36001405f3b4a8c2
connection:
  description: The details of the connection, without secrets.
  returned: when the volume is attached
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl


def work(session: controller.Session) -> dict[str, Any]:
    """Attach or detach the volume, and return the results."""
    volume = session.find("volume", session.params["volume"])
    if session.params["state"] == "absent":
        return _detached(session, volume)
    if volume is None:
        volume = session.get("volume", session.params["volume"])
    before = connection = volume.local_attach
    # A volume without its device is attached again.
    changed: bool | None = before is None or before.device_state in ("gone", "another")
    if not session.module.check_mode:
        session.load_for(volume)
        connection = volume.attach()
        if not isinstance(connection.path, str):
            volume.detach()
            raise controller.errors.Unsupported(
                f"On this host, {connection.protocol} has no device, but a handle of the process:"
                " install the kernel client of the protocol"
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
    # This also removes leftovers of a failed attachment.
    volume.cleanup()
    return {"changed": bool(volume.changed), "diff": _diff(attached, False)}


def _diff(before: bool, after: bool) -> dict[str, Any]:
    return {"before": {"attached": before}, "after": {"attached": after}}


def main() -> None:
    """The entry point for Ansible."""
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
