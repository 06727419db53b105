"""Closes the controllers that a failed test left open. Cinder has one value for some options in the
whole process, so a loaded backend makes later tests fail that need another value."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Generator
from typing import Any

import pytest

import cinderlib

_new: weakref.WeakSet[cinderlib.Controller] = weakref.WeakSet()
_init = cinderlib.Controller.__init__


@functools.wraps(_init)
def _remember(self: cinderlib.Controller, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    _new.add(self)


cinderlib.Controller.__init__ = _remember  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    _new.clear()  # The controllers of fixtures, which close them.
    try:
        return (yield)
    except BaseException:
        for controller in list(_new):
            controller.close()
        raise
