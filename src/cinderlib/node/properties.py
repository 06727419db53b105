"""The connector properties of a host, which a controller needs to map a volume to it.

Querying them runs several programs. They are cached in the process, and queried again if a source
file has changed.
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

from cinderlib.validation import check_host_name
from cinderlib.value_checks import check_flag, check_optional_text

#: The drivers' names of protocols, in lower case, and the connector for each.
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
    """The arguments of a query; :class:`cinderlib.node.Node` describes them."""

    root_helper: str | None
    my_ip: str | None
    multipath: bool
    enforce_multipath: bool
    host: str | None

    def __post_init__(self) -> None:
        """:raises InvalidInput: one is impossible."""
        check_optional_text(self.root_helper, "root_helper")
        check_optional_text(self.my_ip, "my_ip")
        check_flag(self.multipath, "multipath")
        check_flag(self.enforce_multipath, "enforce_multipath")
        if check_optional_text(self.host, "host"):
            check_host_name(self.host)


_lock = threading.Lock()
_known: dict[tuple[Request, str | None], tuple[Any, dict[str, Any]]] = {}


def connector_name(protocol: str) -> str:
    """The name of the connector for a protocol. Drivers use several names for some protocols."""
    return _PROTOCOLS.get(protocol.lower(), protocol.lower())


def gather(request: Request, protocol: str | None) -> dict[str, Any]:
    """The connector properties, from the cache if no source has changed.

    :param protocol: a driver's name of it; ``None`` or an unknown one returns all properties.
    """
    check_optional_text(protocol, "protocol")
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
            # Read the sources again: os-brick creates missing NVMe files.
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
    """The connector properties of this host for every protocol.

    :param root_helper: the command that runs other commands as root, by default ``sudo``.
    :param my_ip: address of this host on the storage network.
    :param multipath: request all paths to a volume.
    :param enforce_multipath: fail to attach without a multipath map, instead of using a path.
    :param host: this host's name, by default the system's host name.
    :param execute: a function that runs programs instead of os-brick's function; then the result is
        not cached.
    :raises NodeError: os-brick failed.
    """
    request = Request(
        root_helper=check_optional_text(root_helper, "root_helper") or "sudo",
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
        (socket.AF_INET, "192.0.2.1"),  # Addresses for documentation: no packet is sent, the
        (socket.AF_INET6, "2001:db8::1"),  # kernel only shows the local address for them.
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
            # The times of folders in sysfs have no meaning.
            inner = sorted(os.listdir(source)) if source.is_dir() else None
        except OSError:
            seen.append(None)
        else:
            seen.append((status.st_mtime_ns, status.st_ino, status.st_size, inner))
    return seen
