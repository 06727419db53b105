"""Checks the options of a backend in a host process, with the packages that the driver uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from cinderlib.drivers.isolation import limits, process
from cinderlib.drivers.isolation.driver_host import DriverHost, handle_log_record
from cinderlib.drivers.port import Settings
from cinderlib.drivers.port_values import Lacks


def check(backend: str, options: Mapping[str, Any], settings: Settings) -> Lacks:
    """Check the options of a backend as :func:`cinderlib.drivers.check` does, in the environment
    of the driver.

    :raises CinderlibError: as that function.
    """
    bounds = limits.of(backend, options)
    environment = process.Environment(bounds.python)
    try:
        host = DriverHost(environment.fork(backend, bounds), backend, bounds, _answer_check)
        try:
            return cast(Lacks, host.prepare("check", options, settings))
        finally:
            host.close()
    finally:
        environment.close()


def _answer_check(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if function == "log":
        handle_log_record(*args)
