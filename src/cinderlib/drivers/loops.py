"""Ends the calls that drivers repeat in the background, such as the renewal of a login.

In Cinder they run until the volume service ends, and eventlet's threads end with their process.
oslo.service waits at exit for its native threads, so a program would never end.
"""

from __future__ import annotations

import atexit
import functools
import sys
import threading
import weakref
from typing import Any

from cinderlib.drivers import scope
from cinderlib.drivers.scope import Scope

_lock = threading.Lock()
#: Looping call -> the driver that created it; ``None`` if a thread of a driver did.
_loops: weakref.WeakKeyDictionary[Any, Scope | None] = weakref.WeakKeyDictionary()


def adapt() -> None:
    """Register the looping calls that are created from now on. A repeated call has no effect."""
    module = sys.modules.get("oslo_service.loopingcall")
    if module is None or hasattr(module.LoopingCallBase.__init__, "__wrapped__"):
        return
    module.LoopingCallBase.__init__ = _registering(module.LoopingCallBase.__init__)
    # Exit functions run in reverse order: this one runs before futurist waits.
    atexit.register(stop)


def _registering(init: Any) -> Any:
    @functools.wraps(init)
    def register(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        call = scope.current()
        with _lock:
            _loops[self] = None if call is None else call.scope

    return register


def stop(owner: Scope | None = None) -> None:
    """Stop the looping calls of a driver. A call that is running ends, and none follows.

    :param owner: the driver's scope; by default the looping calls of all drivers are stopped.
    """
    with _lock:
        stopped = [loop for loop, its in _loops.items() if owner in (None, its)]
    for loop in stopped:
        loop.stop()
