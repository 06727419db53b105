"""The drivers of ``array_driver.py`` in a process that can be killed during each call.

Only the processes of isolated drivers import this module. It instruments all methods that other
processes can call, so it also instruments new methods.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import death
from array_driver import (
    ArrayDriver,
    CopyingDriver,
    NamingDriver,
    ReplicatedDriver,
    SequentialDriver,
    UngroupedDriver,
)

from cinderlib.drivers.port import TASKS
from cinderlib.drivers.snapshot_access import SnapshotAccessDriver

__all__ = [
    "ArrayDriver",
    "CopyingDriver",
    "NamingDriver",
    "ReplicatedDriver",
    "SequentialDriver",
    "UngroupedDriver",
]


def _dying(method: str) -> Callable[..., Any]:
    work = getattr(SnapshotAccessDriver, method)

    @functools.wraps(work)
    def call(driver: SnapshotAccessDriver, *args: Any, **kwargs: Any) -> Any:
        file = death.file_of(pathlib.Path(driver._driver.configuration.safe_get("file_root")))
        death.obey(file, "before", method)
        answer = work(driver, *args, **kwargs)
        death.obey(file, "after", method)
        return answer

    return call


for _method in TASKS:
    setattr(SnapshotAccessDriver, _method, _dying(_method))
