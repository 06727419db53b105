"""The options of a backend whose driver runs in a separate process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from cinderlib.errors import ConfigurationError

#: Seconds for a call without a result or a report of progress.
CALL_TIMEOUT = 3600.0
#: Seconds that the load of a driver has at least: it imports modules and logs in to an array.
LOAD_TIMEOUT = 60.0
#: MiB that a host process needs before it loads a driver.
LEAST_MEMORY = 256
#: The exit code of a host process that has no memory left.
OUT_OF_MEMORY = 77


class Limits(msgspec.Struct, kw_only=True, frozen=True):
    """How a driver is isolated.

    :ivar isolation: ``'none'``: the driver runs in the caller's process; ``'process'``: in one of
        its own.
    :ivar call_timeout: seconds after which a call without a result or progress is given up.
    :ivar memory_limit: of the driver's process, in MiB; ``None`` for no limit.
    :ivar cpu_limit: number of processors that it may use; ``None`` for all.
    :ivar python: path of the Python that runs it; ``None`` for the caller's.
    """

    isolation: Literal["none", "process"] = "none"
    call_timeout: Annotated[float, msgspec.Meta(gt=0)] = CALL_TIMEOUT
    memory_limit: Annotated[int, msgspec.Meta(ge=LEAST_MEMORY)] | None = None
    cpu_limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    python: str | None = None


_EXPECTED = {
    "isolation": "'none' or 'process'",
    "call_timeout": "a number of seconds above 0",
    "memory_limit": f"a number of MiB from {LEAST_MEMORY}",
    "cpu_limit": "a number of processors from 1",
    "python": "the absolute path of a Python interpreter",
}


def of(name: str, options: Mapping[str, Any]) -> Limits:
    """The limits among a backend's options.

    :param name: the name of the backend, for messages.
    :raises ConfigurationError: an option is invalid, or has no effect without
        ``isolation='process'``; ``resource`` is its name.
    """
    given = {
        option: options[option]
        for option in Limits.__struct_fields__
        if options.get(option) is not None
    }
    for option, value in given.items():
        try:
            msgspec.convert({option: value}, Limits, strict=False)
        except msgspec.ValidationError:
            raise _invalid(name, option, value) from None
    limits = msgspec.convert(given, Limits, strict=False)
    if limits.python is not None and not os.path.isabs(limits.python):
        raise _invalid(name, "python", limits.python)
    without_effect = sorted(given.keys() - {"isolation"})
    if without_effect and limits.isolation == "none":
        raise ConfigurationError(
            f"backend {name!r}: option {without_effect[0]!r} has no effect without"
            " isolation='process'",
            resource=without_effect[0],
        )
    return limits


def _invalid(name: str, option: str, value: Any) -> ConfigurationError:
    return ConfigurationError(
        f"backend {name!r}: option {option!r} is {value!r}, expected {_EXPECTED[option]}",
        resource=option,
    )
