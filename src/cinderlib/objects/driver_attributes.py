"""A driver's own attributes and methods, as :attr:`cinderlib.Backend.driver` shows them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver


class DriverAttributes:
    """A driver's own attributes and methods, by name."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._driver.attribute(name)

    def __repr__(self) -> str:
        return f"<driver {self._driver.info.driver}>"


def of(driver: Driver) -> DriverAttributes:
    """The attributes of a driver; the type has the name of the driver's class."""
    return _of_class(driver.info.driver)(driver)


@functools.cache
def _of_class(path: str) -> type[DriverAttributes]:
    """
    :param path: full path of the driver's class.
    """
    module, _, name = path.rpartition(".")
    names = {"__module__": module, "__qualname__": name, "__doc__": DriverAttributes.__doc__}
    return type(name, (DriverAttributes,), names)
