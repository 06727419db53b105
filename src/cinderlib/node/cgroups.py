"""Limits of volumes for the programs in a control group (cgroup v2).

The kernel limits the requests that the programs of a control group send to a block device. The
limits are those of the QoS specs that the host enforces, in the connection data.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from cinderlib.errors import InvalidDocument, InvalidInput, NodeError, Unsupported
from cinderlib.node import block, command
from cinderlib.node.document import ConnectionDocument
from cinderlib.value_checks import shown

#: The kernel's list of mounts.
MOUNTS = Path("/proc/self/mountinfo")

#: QoS specs -> the keys of io.max. It has no key for the sum of reads and writes: each has the
#: limit.
_KEYS = {
    "total_bytes_sec": ("rbps", "wbps"),
    "read_bytes_sec": ("rbps",),
    "write_bytes_sec": ("wbps",),
    "total_iops_sec": ("riops", "wiops"),
    "read_iops_sec": ("riops",),
    "write_iops_sec": ("wiops",),
}
_UNLIMITED = "rbps=max wbps=max riops=max wiops=max"


def limits(document: ConnectionDocument) -> dict[str, int]:
    """The limits of a volume as keys and values of ``io.max``. Other specs, such as limits of short
    bursts, have no key and are ignored.

    :raises InvalidDocument: a limit is not an integer.
    """
    specs = document.data.get("qos_specs") or {}
    if not isinstance(specs, Mapping):
        raise InvalidDocument("The connection document's conn.data.qos_specs must be a mapping.")
    found: dict[str, int] = {}
    for name, keys in _KEYS.items():
        if name not in specs:
            continue
        try:
            value = int(specs[name])
        except (TypeError, ValueError):
            value = -1
        if value < 0:
            raise InvalidDocument(
                f"The QoS spec {name} must be a positive integer, not {shown(specs[name])}."
            )
        if value:  # 0 does not limit, as for hypervisors
            found |= {key: min(value, found.get(key, value)) for key in keys}
    return found


def refuse_unusable(cgroup: str) -> None:
    """Check that a control group can have limits.

    :raises InvalidInput: it is not a control group of cgroup v2.
    :raises Unsupported: it cannot limit block devices.
    """
    if not _is_in_cgroup2(cgroup):
        raise InvalidInput(
            f"{shown(cgroup)} is not a control group of cgroup v2; specify its folder, for example"
            " /sys/fs/cgroup/machine.slice/NAME.scope."
        )
    if not os.path.exists(f"{cgroup}/io.max"):
        parent = os.path.dirname(cgroup)
        raise Unsupported(
            f"The control group {cgroup} cannot limit block devices: the controller 'io' is not"
            f" enabled for it. Enable it: echo +io > {parent}/cgroup.subtree_control"
        )


def _is_in_cgroup2(folder: str) -> bool:
    try:
        device = os.stat(f"{folder}/.").st_dev
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    return any(
        line.split(" ")[2] == number and line.partition(" - ")[2].startswith("cgroup2 ")
        for line in mounts
    )


def device_of(path: str) -> block.Trace:
    """The device of an attach, to which the limits apply.

    :raises Unsupported: it is a file.
    """
    if not block.is_block(path):
        raise Unsupported(
            f"{path} is a file, and control groups limit only block devices: attach it as root, so"
            " that it is attached as a loop device, or attach it without a control group."
        )
    return block.traces(path)[0]


def limit(
    cgroup: str, device: block.Trace, limits: Mapping[str, int], *, root_helper: str | None
) -> None:
    """Set the limits of a device in a control group, in place of earlier ones.

    :raises NodeError: they cannot be set.
    """
    number = _number(device)
    if number is None:
        raise NodeError(f"/dev/{device.name} does not exist any more.")
    keys = (key.partition("=")[0] for key in _UNLIMITED.split())
    line = " ".join(f"{key}={limits.get(key, 'max')}" for key in keys)
    try:
        _write(cgroup, f"{number} {line}", root_helper)
    except OSError as exc:
        raise NodeError(
            f"The limits of /dev/{device.name} cannot be set in {cgroup}: {exc.strerror}."
        ) from exc


def clear(cgroup: str, device: block.Trace, *, root_helper: str | None) -> None:
    """Remove the limits of a device. A control group or a device that does not exist any more has
    none.

    :raises NodeError: they cannot be removed.
    """
    number, limited = _number(device), block.read(f"{cgroup}/io.max") or ""
    if number is None or not any(each.startswith(f"{number} ") for each in limited.splitlines()):
        return
    try:
        _write(cgroup, f"{number} {_UNLIMITED}", root_helper)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENODEV):
            raise NodeError(
                f"The limits of /dev/{device.name} cannot be removed from {cgroup}: {exc.strerror}."
            ) from exc


def _number(device: block.Trace) -> str | None:
    """The number of a device; ``None`` if it was removed, or its name belongs to another one."""
    return block.read(f"{block.SYS}/block/{device.name}/dev") if device.exists() else None


def _write(cgroup: str, line: str, root_helper: str | None) -> None:
    path = f"{cgroup}/io.max"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except PermissionError:
        if os.geteuid() == 0 or not root_helper:
            raise
        command.run(["tee", path], root_helper=root_helper, secret_input=f"{line}\n")
        return
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)
