"""Notifications to systemd (sd_notify(3)), if it has started the service."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Notify systemd, if it has started this process.

    :param state: such as ``'READY=1'``.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(state.encode(), address)


def watchdog_interval() -> float | None:
    """Seconds between two watchdog notifications, half of systemd's limit; ``None`` without one."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 2e6
    except (KeyError, ValueError):
        return None


def is_unit() -> bool:
    """Whether this process is the main process of a unit: systemd starts its next one."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
