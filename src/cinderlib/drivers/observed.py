"""A driver whose calls are measured, logged, and reported to an observer."""

from __future__ import annotations

import functools
import logging
import threading
import time
from typing import Any, cast

from cinderlib.drivers.port import TASKS, Driver
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.observation import Activity, Observer, observed

LOG = logging.getLogger(__name__)

#: These do not call the driver.
_NOT_REPORTED = frozenset({"attribute", "name_in_storage"})

_this_thread = threading.local()


def seconds() -> float:
    """The time that drivers have worked for this thread so far, in seconds."""
    return getattr(_this_thread, "seconds", 0.0)


def driver(driver: Driver, backend: str, observer: Observer | None) -> Driver:
    """A driver that measures and logs each call.

    :param backend: its name.
    :param observer: also gets each call.
    """
    return cast(Driver, _Observed(driver, backend, observer))


class _Observed:
    def __init__(self, driver: Driver, backend: str, observer: Observer | None) -> None:
        self._driver = driver
        self._backend = backend
        self._observer = observer

    @property
    def info(self) -> DriverInfo:
        return self._driver.info

    def __getattr__(self, name: str) -> Any:
        """A method of the driver."""
        value = getattr(self._driver, name)
        if name in TASKS and name not in _NOT_REPORTED:
            value = functools.partial(
                self._reported, Activity("driver call", name, self._backend), value
            )
            setattr(self, name, value)
        return value

    def _reported(self, activity: Activity, method: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        failed = True
        try:
            with observed(self._observer, activity):
                result = method(*args, **kwargs)
            failed = False
            return result
        finally:
            took = time.perf_counter() - start
            _this_thread.seconds = seconds() + took
            LOG.debug(
                "Driver call %s of backend %s%s: %.3f s",
                *(activity.name, activity.backend, " failed" if failed else "", took),
            )
