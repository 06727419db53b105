"""One tree of exceptions: what was asked, of which resource, why not, whether a retry can help.

Every error that leaves this library is a :class:`CinderlibError`. The names that programs written
for cinderlib 5 catch (``VolumeNotFound``, ``InvalidVolume``, ``NotLocal``, ...) are in the same
tree. ``code`` takes its values from the vocabulary of gRPC status codes, which is also the one that
the Container Storage Interface uses, so a CSI plug-in can hand them on as they are.
"""

from __future__ import annotations

from typing import ClassVar


class CinderlibError(Exception):
    """Root of all errors.

    :ivar code: what kind of failure it is, as a gRPC status name (``'NOT_FOUND'``).
    :ivar resource: the object that the call was about, or its id, or ``None``.
    :ivar retryable: whether the same call, made again later, can succeed without any other change.
    """

    code: ClassVar[str] = "INTERNAL"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self, message: str = "", *, resource: object = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)
        self.resource = resource
        self.retryable = self.default_retryable if retryable is None else retryable

    @property
    def msg(self) -> str:
        """The message; programs written for Cinder's exceptions read this attribute."""
        return str(self)


# --- the caller asked for something that can never be ----------------------------------------


class InvalidInput(CinderlibError, ValueError):
    """An argument is missing, malformed or out of range; nothing was touched."""

    code = "INVALID_ARGUMENT"


class OutOfRange(InvalidInput):
    """A size that no volume, or not this one, can have; nothing was touched."""

    code = "OUT_OF_RANGE"


class InvalidConnector(InvalidInput):
    """The connector properties of a host lack what the driver needs."""


class InvalidDocument(InvalidInput):
    """A JSON document is not one that this library reads."""


class ConfigurationError(InvalidInput):
    """An option of the library or of a backend is unknown or has an impossible value."""


class InvalidPersistence(ConfigurationError):
    """The persistence configuration names no usable store."""


class StoreNotFound(InvalidPersistence):
    """The database of the metadata store does not exist yet, and was not to be created."""

    code = "FAILED_PRECONDITION"


class MissingDependency(ConfigurationError):
    """A Python package or a command that this operation needs is not installed."""

    code = "FAILED_PRECONDITION"


def of_node_only(what: str, version: str) -> MissingDependency:
    """The error for something that cinderlib-node alone cannot do.

    :param what: what was requested, such as ``'cinderlib.Controller'``.
    :param version: the installed version.
    """
    return MissingDependency(
        f"{what} manages storage, and this host has only cinderlib-node, which attaches volumes."
        f" Install cinderlib {version}"
    )


class PermissionDenied(CinderlibError):
    """The service does not let this client do that; nothing was touched."""

    code = "PERMISSION_DENIED"


class Unsupported(CinderlibError):
    """The driver, the protocol or this host cannot do the operation."""

    code = "UNIMPLEMENTED"


# --- it is not there, or it is there but different -------------------------------------------


class NotFound(CinderlibError, LookupError):
    """A resource does not exist."""

    code = "NOT_FOUND"


class VolumeNotFound(NotFound):
    """No volume has that id."""


class SnapshotNotFound(NotFound):
    """No snapshot has that id."""


class ConnectionNotFound(NotFound):
    """No connection has that id."""


class BackendNotFound(NotFound):
    """The backend is not loaded in this controller."""

    code = "FAILED_PRECONDITION"


class AlreadyExists(CinderlibError):
    """A resource with that id exists and differs from what was asked.

    :ivar differences: field -> (what is there, what was asked).
    """

    code = "ALREADY_EXISTS"

    def __init__(
        self,
        message: str = "",
        *,
        resource: object = None,
        differences: dict[str, tuple[object, object]] | None = None,
    ) -> None:
        super().__init__(message, resource=resource)
        self.differences = differences or {}


# --- it is there, but not now ----------------------------------------------------------------


class InvalidState(CinderlibError):
    """The resource's state does not allow the operation; nothing was touched."""

    code = "FAILED_PRECONDITION"


class InvalidVolume(InvalidState):
    """The volume's state does not allow the operation."""


class InvalidSnapshot(InvalidState):
    """The snapshot's state does not allow the operation."""


class InvalidConnection(InvalidState):
    """The connection's state does not allow the operation."""


class NotLocal(InvalidState):
    """The volume is not attached to this host."""


class Busy(CinderlibError):
    """Another thread, process or host works on the resource."""

    code = "ABORTED"
    default_retryable = True


# --- one of the parties failed ---------------------------------------------------------------


class DriverError(CinderlibError):
    """The storage driver failed; its own exception is the ``__cause__``."""

    default_retryable = True


class DriverTimeout(DriverError):
    """The driver gave up waiting for its storage; what the storage did is not known."""

    code = "DEADLINE_EXCEEDED"


class StoreError(CinderlibError):
    """The metadata store failed; the message says what is known of the storage."""

    code = "UNAVAILABLE"
    default_retryable = True


class StaleRecord(StoreError):
    """The record was changed or removed by another since it was read."""

    code = "ABORTED"


class DecryptionError(StoreError):
    """A secret in the store is encrypted, and no key that was given opens it."""

    code = "FAILED_PRECONDITION"
    default_retryable = False


class DamagedRecord(StoreError):
    """What the store has of a resource cannot be read; nothing else of the store is affected."""

    code = "DATA_LOSS"
    default_retryable = False


class NodeError(CinderlibError):
    """A step on the host that attaches failed."""

    default_retryable = True


class DeviceUnavailable(NodeError):
    """The device did not appear, or is not the volume that was attached."""


class DeviceInUse(NodeError):
    """The device is mounted, or another device is built on it; nothing was touched."""

    code = "FAILED_PRECONDITION"


class LeftoverDevice(NodeError):
    """The volume was detached, but something of it is still on this host."""


class ServiceUnavailable(CinderlibError):
    """The local service cannot be reached, or ended the connection; whether it did what it was
    asked is not known."""

    code = "UNAVAILABLE"
    default_retryable = True
