"""The exceptions of this library: which request failed, for which resource, why, and whether a
retry can help.

Every error that leaves this library is a :class:`CinderlibError`. The names that programs written
for cinderlib 5 catch (``VolumeNotFound``, ``InvalidVolume``, ``NotLocal``, ...) are in the same
tree. The values of ``code`` are the names of gRPC status codes. The Container Storage Interface
uses the same codes, so a CSI plug-in can return them unchanged.
"""

from __future__ import annotations

from typing import ClassVar


class CinderlibError(Exception):
    """Base class of all errors.

    :ivar code: the kind of failure, as a gRPC status name (``'NOT_FOUND'``).
    :ivar resource: the object that the call was about, or its ID, or ``None``.
    :ivar retryable: whether the same call can succeed later without any other change.
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


# --- the request can never succeed ------------------------------------------------------------


class InvalidInput(CinderlibError, ValueError):
    """An argument is missing, malformed or out of range. Nothing changed."""

    code = "INVALID_ARGUMENT"


class OutOfRange(InvalidInput):
    """The size is not possible for any volume, or not for this one. Nothing changed."""

    code = "OUT_OF_RANGE"


class InvalidConnector(InvalidInput):
    """The connector properties of a host lack a property that the driver needs."""


class InvalidDocument(InvalidInput):
    """A JSON document is not one that this library can read."""


class ConfigurationError(InvalidInput):
    """An option of the library or of a backend is unknown or has an invalid value."""


class InvalidPersistence(ConfigurationError):
    """The persistence configuration does not describe a usable store."""


class StoreNotFound(InvalidPersistence):
    """The database of the metadata store does not exist yet, and may not be created here."""

    code = "FAILED_PRECONDITION"


class MissingDependency(ConfigurationError):
    """A Python package or a command that this operation needs is not installed."""

    code = "FAILED_PRECONDITION"


def of_node_only(what: str, version: str) -> MissingDependency:
    """The error for a function that cinderlib-node alone does not have.

    :param what: the requested name, such as ``'cinderlib.Controller'``.
    :param version: the installed version.
    """
    return MissingDependency(
        f"{what} manages storage, and this host has only cinderlib-node, which attaches volumes."
        f" Install cinderlib {version}"
    )


class PermissionDenied(CinderlibError):
    """The service does not allow this client to do that. Nothing changed."""

    code = "PERMISSION_DENIED"


class Unsupported(CinderlibError):
    """The driver, the protocol or this host cannot do the operation."""

    code = "UNIMPLEMENTED"


# --- the resource does not exist, or exists with other properties -----------------------------


class NotFound(CinderlibError, LookupError):
    """A resource does not exist."""

    code = "NOT_FOUND"


class VolumeNotFound(NotFound):
    """No volume has that ID."""


class SnapshotNotFound(NotFound):
    """No snapshot has that ID."""


class ConnectionNotFound(NotFound):
    """No connection has that ID."""


class GroupNotFound(NotFound):
    """No group has that ID."""


class GroupSnapshotNotFound(NotFound):
    """No group snapshot has that ID."""


class VolumeTypeNotFound(NotFound):
    """No volume type has that name."""


class BackendNotFound(NotFound):
    """The backend is not loaded in this controller."""

    code = "FAILED_PRECONDITION"


class AlreadyExists(CinderlibError):
    """A resource with that ID exists and differs from the request.

    :ivar differences: field -> (existing value, requested value).
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


# --- the state of the resource does not allow the request now ---------------------------------


class InvalidState(CinderlibError):
    """The resource's state does not allow the operation. Nothing changed."""

    code = "FAILED_PRECONDITION"


class InvalidVolume(InvalidState):
    """The volume's state does not allow the operation."""


class InvalidSnapshot(InvalidState):
    """The snapshot's state does not allow the operation."""


class InvalidGroup(InvalidState):
    """The state of the group or group snapshot does not allow the operation."""


class InvalidConnection(InvalidState):
    """The connection's state does not allow the operation."""


class NotLocal(InvalidState):
    """The volume is not attached to this host."""


class NoBackendFits(InvalidState):
    """No backend can have the volume. Nothing changed."""


class Busy(CinderlibError):
    """Another thread, process or host is using the resource."""

    code = "ABORTED"
    default_retryable = True


# --- the driver, the store or the host failed -------------------------------------------------


class DriverError(CinderlibError):
    """The storage driver failed; its own exception is the ``__cause__``."""

    default_retryable = True


class DriverTimeout(DriverError):
    """The driver gave up waiting for its storage. The state of the storage is unknown."""

    code = "DEADLINE_EXCEEDED"


class DriverInterrupted(DriverError):
    """The process of an isolated driver ended before the call did, or cannot be started again; what
    the storage did is not known. The operation stays recorded, and the next call or ``recover()``
    settles it."""

    code = "UNAVAILABLE"


class DriverCallTimeout(DriverInterrupted, DriverTimeout):
    """A call of an isolated driver took longer than ``call_timeout``, and its process was ended.
    The operation stays recorded, and the next call or ``recover()`` settles it."""

    code = "DEADLINE_EXCEEDED"


class StoreError(CinderlibError):
    """The metadata store failed. The message describes the known state of the storage."""

    code = "UNAVAILABLE"
    default_retryable = True


class StaleRecord(StoreError):
    """Another process or thread changed or removed the record after it was read."""

    code = "ABORTED"


class DecryptionError(StoreError):
    """A secret in the store is encrypted, and none of the specified keys decrypts it."""

    code = "FAILED_PRECONDITION"
    default_retryable = False


class DamagedRecord(StoreError):
    """The stored data of a resource cannot be read. The rest of the store is not affected."""

    code = "DATA_LOSS"
    default_retryable = False


class KeyManagerError(CinderlibError):
    """The key of an encrypted volume cannot be kept, read or deleted in a file or a key manager."""

    code = "UNAVAILABLE"
    default_retryable = True


class NodeError(CinderlibError):
    """A step on the host that attaches the volume failed."""

    default_retryable = True


class DeviceUnavailable(NodeError):
    """The device did not appear, or is not the attached volume."""


class DeviceInUse(NodeError):
    """The device is mounted, or another device is built on it. Nothing changed."""

    code = "FAILED_PRECONDITION"


class LeftoverDevice(NodeError):
    """The volume was detached, but devices or files of it remain on this host."""


class ServiceUnavailable(CinderlibError):
    """The local service cannot be reached, or closed the connection. The result of the request is
    unknown."""

    code = "UNAVAILABLE"
    default_retryable = True
