"""A call of a driver method in this process: its lock, its context, its errors."""

from __future__ import annotations

from cinderlib.drivers import failures, scope
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.drivers.scope import Scope
from cinderlib.errors import CinderlibError
from cinderlib.locking.backend_lock import BackendLock
from cinderlib.records import Record


class ConvertingCall(scope.Calling):
    """A call of a driver method, whose errors are converted to the library's.

    :param lock: held during the call, if the driver does not support concurrent processes.
    :param what: the task of the driver, for the message, with ``{}`` for the ID of the resource.
    """

    __slots__ = ("_info", "_lock", "_what")

    def __init__(
        self, scope: Scope, info: DriverInfo, lock: BackendLock | None, what: str, *given: Record
    ) -> None:
        super().__init__(scope, *given)
        self._info = info
        self._lock = lock
        self._what = what

    def __enter__(self) -> scope.Call:
        if self._lock is not None:
            self._lock.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._lock is not None:
            self._lock.__exit__()
        raised = error[1]
        if not isinstance(raised, Exception) or isinstance(raised, CinderlibError):
            return
        about, backend, info = self._call.about, self._call.scope.backend, self._info
        raise failures.explain(
            raised,
            f"backend {backend!r} could not {self._what.format(about)}",
            about,
            info.options,
            info.secrets,
        ) from failures.harmless(raised, info.secrets)
