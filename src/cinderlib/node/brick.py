"""Everything that os-brick attaches; protocols with more to be said have a file of their own."""

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
        return block.size(path) if block.is_block(path) else None  # A file has a format of its own.

    def connector(self) -> Any:
        """os-brick's connector, made the way the connection was made."""
        settings, protocol = self.settings, self.document.protocol
        osbrick.prepare(settings.root_helper, settings.state.brick_locks)
        return osbrick.connector_class(protocol)(
            root_helper=settings.root_helper,
            use_multipath=self.document.multipath,
            device_scan_attempts=self.document.scan_attempts,
            **self.options(),
        )

    def options(self) -> dict[str, Any]:
        """Further arguments of os-brick's connector."""
        return {"conn": {"data": self.data()}}

    def data(self, device: dict[str, Any] | None = None) -> dict[str, Any]:
        """A copy of the connection data, which os-brick's connectors write into.

        :param device: the device that it is about, once there is one.
        """
        return copy.deepcopy(self.document.data)

    @contextlib.contextmanager
    def errors(self, step: str) -> Iterator[None]:
        """Turns os-brick's errors into ours, with the keys taken out of both."""
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
    """What os-brick knows of this host.

    :param execute: a function that runs programs instead of os-brick's own.
    :param protocol: only what this one needs; all that there is for ``None`` and for one that
        os-brick does not have.
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
    said = str(exc).strip() or type(exc).__name__
    if type(exc).__name__ == "FailedToDropPrivileges":  # the daemon that does the work of root
        return (
            f"this needs root, and the root helper {root_helper!r} did not give it ({said}); let"
            " this user run commands through it without a password, or run as root"
        )
    return said
