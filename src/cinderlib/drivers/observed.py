"""A driver whose calls are reported to an observer."""

from __future__ import annotations

import functools
from typing import Any, cast

from cinderlib.drivers.port import TASKS, Driver, DriverInfo
from cinderlib.observation import Activity, Observer

#: These do not call the driver.
_NOT_REPORTED = frozenset({"attribute", "name_in_storage"})


def driver(driver: Driver, backend: str, observer: Observer | None) -> Driver:
    """The driver itself, or a driver that reports each call.

    :param backend: its name.
    :param observer: by default the driver is returned unchanged.
    """
    return driver if observer is None else cast(Driver, _Observed(driver, backend, observer))


class _Observed:
    def __init__(self, driver: Driver, backend: str, observer: Observer) -> None:
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
        with self._observer(activity):
            return method(*args, **kwargs)
