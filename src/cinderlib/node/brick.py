"""Protocols that os-brick attaches. Protocols that need more checks have their own module."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from cinderlib.errors import CinderlibError, DeviceUnavailable, NodeError
from cinderlib.node import block, masking, osbrick
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument

_NOT_THERE = frozenset(
    {"VolumeDeviceNotFound", "VolumePathsNotFound", "NoFibreChannelVolumeDeviceFound"}
    | {"ImageNotFound", "TargetPortalNotFound", "TargetPortalsNotFound"}
    | {"NoFibreChannelHostsFound"}
)


class BrickConnector(Connector):
    """A connection through one of os-brick's connectors."""

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        self._hidden = masking.secrets([document.data, document.connector])

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        with self.errors("attach"):
            device = self.connector().connect_volume(self.data())
        if not isinstance(device, dict) or not device.get("path"):
            raise DeviceUnavailable("os-brick gave no device.", resource=self.document.id)
        if isinstance(device["path"], bytes):
            device["path"] = device["path"].decode()
        return device

    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        with self.errors("detach"):
            self.connector().disconnect_volume(self.data(device), device, force=force)

    def extend(self, device: dict[str, Any]) -> int:
        with self.errors("extend"):
            self.connector().extend_volume(self.data(device))
        return block.size(device["path"])

    def size(self, device: dict[str, Any]) -> int | None:
        path = device["path"]
        return block.size(path) if block.is_block(path) else None  # A file can be qcow2.

    def connector(self) -> Any:
        """os-brick's connector with the settings of the connection."""
        settings, protocol = self.settings, self.document.protocol
        osbrick.prepare(settings.root_helper, settings.state.brick_locks)
        return osbrick.connector_class(protocol)(
            root_helper=settings.root_helper,
            use_multipath=self.uses_multipath,
            device_scan_attempts=self.document.scan_attempts,
            **self.options(),
        )

    @property
    def uses_multipath(self) -> bool:
        """Whether os-brick expects a multipath map."""
        return self.document.multipath

    def options(self) -> dict[str, Any]:
        """Further arguments of os-brick's connector."""
        return {"conn": {"data": self.data()}}

    def data(self, device: dict[str, Any] | None = None) -> dict[str, Any]:
        """A copy of the connection data, which os-brick's connectors write into.

        :param device: the device that the call is for, once it exists.
        """
        return copy.deepcopy(self.document.data)

    @contextlib.contextmanager
    def errors(self, step: str) -> Iterator[None]:
        """Convert os-brick's errors to this library's, and remove keys from both."""
        try:
            yield
        except CinderlibError:
            raise
        except Exception as exc:
            masking.scrub(exc, self._hidden)
            names = {kind.__name__ for kind in type(exc).__mro__}
            kind = DeviceUnavailable if names & _NOT_THERE else NodeError
            reason = _reason(exc, self.settings.root_helper)
            raise kind(
                f"os-brick could not {step} over {self.document.protocol}: {reason}",
                resource=self.document.id,
            ) from exc


def connector_properties(
    root_helper: str | None,
    my_ip: str | None,
    multipath: bool,
    enforce_multipath: bool,
    host: str | None = None,
    execute: Any = None,
    *,
    protocol: str | None = None,
) -> dict[str, Any]:
    """The properties of this host that os-brick reports.

    :param execute: a function that runs programs instead of os-brick's function.
    :param protocol: only the properties for this protocol; all properties for ``None`` and for a
        protocol that os-brick does not have.
    :raises NodeError: os-brick failed.
    """
    osbrick.prepare(root_helper)
    named = {"host": host, "multipath": multipath, "enforce_multipath": enforce_multipath}
    found: dict[str, Any]
    try:
        if protocol in osbrick.protocols():
            kind = osbrick.connector_class(protocol or "")
            found = kind.get_connector_properties(root_helper, execute=execute, **named)
        else:
            found = osbrick.connector_module().get_connector_properties(
                root_helper, my_ip, execute=execute, **named
            )
    except CinderlibError:
        raise
    except Exception as exc:
        reason = _reason(exc, root_helper)
        raise NodeError(f"os-brick could not describe this host: {reason}") from exc
    return found


def _reason(exc: Exception, root_helper: str | None) -> str:
    text = str(exc).strip() or type(exc).__name__
    if type(exc).__name__ == "FailedToDropPrivileges":  # raised by the daemon that runs as root
        return (
            f"this needs root, and the root helper {root_helper!r} did not allow it ({text}). Allow"
            " this user to run commands through it without a password, or run as root"
        )
    return text
