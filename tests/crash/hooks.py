"""What shall happen during the work of ``hooked_driver.py``. Without Cinder, for the tests."""

from __future__ import annotations

from collections.abc import Callable

#: Called by the driver's next operation, once: ``'between'``, before the driver has done anything,
#: and ``'after'``, when it has done all.
hooks: dict[str, Callable[[], None]] = {}


def call(moment: str) -> None:
    """Call the hook of that moment, if there is one."""
    hook = hooks.pop(moment, None)
    if hook is not None:
        hook()
