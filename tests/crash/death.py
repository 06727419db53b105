"""The file with which a test orders the process of an isolated driver to die."""

from __future__ import annotations

import os
import pathlib
import signal

#: The name of the folder of the second backend, in the folder of the first one.
OTHER = "other"
#: In an order: any method of the driver.
ANY = "any method"


def file_of(folder: pathlib.Path) -> pathlib.Path:
    """The file for the backends whose storage is in a folder.

    :param folder: of the first backend or the second one.
    """
    first = folder.parent if folder.name == OTHER else folder
    return first.with_name(f"{first.name}-death")


def order(file: pathlib.Path, when: str, method: str = ANY) -> None:
    """Order the next process that is called to die.

    :param when: ``'before'`` or ``'after'`` the work of the call.
    :param method: of :class:`cinderlib.drivers.port.Driver`: only during its next call.
    """
    file.write_text(f"{when} {method}")


def obey(file: pathlib.Path, when: str, method: str) -> None:
    """Kill this process if the order describes this call. It removes the order first."""
    if file.exists() and file.read_text() in (f"{when} {method}", f"{when} {ANY}"):
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
