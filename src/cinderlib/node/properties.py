"""What a host says of itself: the connector properties that a controller maps a volume for.

They are gathered once for a process, and again when a file that they come from has changed, since
gathering them runs several programs.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: How drivers name protocols, in lower case, to the name of the connector that serves them.
_PROTOCOLS = {
    "ceph": "rbd",
    "fc": "fibre_channel",
    "file": "local",
    "iser": "iscsi",
    "nvme": "nvmeof",
    "nvme-fc": "nvmeof",
    "nvme-of": "nvmeof",
    "nvme-rdma": "nvmeof",
    "nvme-roce": "nvmeof",
    "nvme-tcp": "nvmeof",
    "nvmeof_rdma": "nvmeof",
    "nvmeof_tcp": "nvmeof",
}
_INITIATOR_FILE = Path("/etc/iscsi/initiatorname.iscsi")
_SOURCES = (
    _INITIATOR_FILE,
    Path("/etc/nvme/hostnqn"),
    Path("/etc/nvme/hostid"),
    Path("/etc/multipath.conf"),
    Path("/run/multipathd.pid"),
    Path("/sys/class/fc_host"),
    Path("/sys/module/nvme_core"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the host; see :class:`cinderlib.node.Node` for the meanings."""

    root_helper: str | None
    my_ip: str | None
    multipath: bool
    enforce_multipath: bool
    host: str | None


_lock = threading.Lock()
_known: dict[tuple[Request, str | None], tuple[Any, dict[str, Any]]] = {}


def connector_name(protocol: str) -> str:
    """The name of the connector for a protocol, which drivers name in many ways."""
    return _PROTOCOLS.get(protocol.lower(), protocol.lower())


def gather(request: Request, protocol: str | None) -> dict[str, Any]:
    """The connector properties, from memory when nothing that they come from has changed.

    :param protocol: as a driver names it; ``None`` or one that is not known gives all.
    """
    name = connector_name(protocol) if protocol else None
    basics = _basics(request)
    if name == "local":
        return basics
    with _lock:
        state, found = _known.get((request, name), (None, {}))
        if state != _state_of_sources(basics):
            from cinderlib.node import brick

            found = brick.connector_properties(
                request.root_helper,
                basics["ip"],
                request.multipath,
                request.enforce_multipath,
                request.host,
                protocol=name,
            )
            # Looked at again, since os-brick makes the files of NVMe when there are none.
            _known[request, name] = (_state_of_sources(basics), found)
        return basics | copy.deepcopy(found)


def get_connector_properties(
    root_helper: str | None,
    my_ip: str | None,
    multipath: bool,
    enforce_multipath: bool,
    host: str | None = None,
    execute: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """Everything that a controller may want to know of this host, for every protocol.

    :param root_helper: the command that runs another as root, by default ``sudo``.
    :param my_ip: address of this host on the storage network.
    :param multipath: ask for all paths to a volume.
    :param enforce_multipath: fail to attach if there is no multipath map, instead of using a path.
    :param host: this host's name, by default what the system says.
    :param execute: a function that runs programs instead of os-brick's own; nothing is remembered
        then.
    :raises NodeError: os-brick failed.
    """
    request = Request(
        root_helper=root_helper or "sudo",
        my_ip=my_ip,
        multipath=multipath,
        enforce_multipath=enforce_multipath,
        host=host,
    )
    if execute is None:
        return gather(request, None)
    from cinderlib.node import brick

    arguments = (request.root_helper, my_ip, multipath, enforce_multipath, host, execute)
    return _basics(request) | brick.connector_properties(*arguments)


def _basics(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {
        "platform": platform.machine(),
        "os_type": sys.platform,
        "ip": request.my_ip or _default_ip(),
        "host": request.host or socket.gethostname(),
        "multipath": request.multipath,
        "enforce_multipath": request.enforce_multipath,
    }
    if initiator := _initiator():
        found["initiator"] = initiator
    return found


def _initiator() -> str | None:
    try:
        lines = _INITIATOR_FILE.read_text().splitlines()
    except OSError:
        return None
    names = [line.partition("=")[2].strip() for line in lines if line.startswith("InitiatorName=")]
    return names[0] if names else None


def _default_ip() -> str:
    for family, elsewhere in (
        (socket.AF_INET, "192.0.2.1"),  # Addresses for documents: nothing is sent to them, the
        (socket.AF_INET6, "2001:db8::1"),  # kernel only says which of ours it would use.
    ):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:
                continue
            address: str = probe.getsockname()[0]
            return address
    return "127.0.0.1"


def _state_of_sources(basics: dict[str, Any]) -> Any:
    seen: list[Any] = [basics, os.geteuid()]
    for source in _SOURCES:
        try:
            status = source.stat()
            # Times of folders in sysfs say nothing.
            inner = sorted(os.listdir(source)) if source.is_dir() else None
        except OSError:
            seen.append(None)
        else:
            seen.append((status.st_mtime_ns, status.st_ino, status.st_size, inner))
    return seen
