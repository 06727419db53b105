"""A driver that calls a test's hooks during its operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crash import hooks

from cinderlib.drivers.file.driver import FileDriver


def _hooked(name: str) -> Callable[..., None]:
    work = getattr(FileDriver, name)

    def call(self: FileDriver, *args: Any) -> None:
        hooks.call("between")
        work(self, *args)
        hooks.call("after")

    return call


class HookedDriver(FileDriver):
    """The driver ``file`` with hooks."""

    create_volume = _hooked("create_volume")
    create_cloned_volume = _hooked("create_cloned_volume")
    create_snapshot = _hooked("create_snapshot")
    extend_volume = _hooked("extend_volume")
    delete_volume = _hooked("delete_volume")
