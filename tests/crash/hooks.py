"""The hooks of ``hooked_driver.py``. Tests import this without importing Cinder."""

from __future__ import annotations

from collections.abc import Callable

#: Called once, by the driver's next operation: ``'between'`` before it does anything, and
#: ``'after'`` when it has done everything.
hooks: dict[str, Callable[[], None]] = {}


def call(moment: str) -> None:
    """Call the hook of that moment, if there is one."""
    hook = hooks.pop(moment, None)
    if hook is not None:
        hook()
