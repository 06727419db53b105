"""Stable paths of attached devices: symbolic links with a path that the caller chooses.

A device's own path depends on the order in which a host attaches volumes. A program that derives a
path from a volume's name, as hypervisors do, needs the same path on every host and after each boot.
"""

from __future__ import annotations

import contextlib
import os

from cinderlib.errors import AlreadyExists, InvalidInput, NodeError
from cinderlib.value_checks import check_text, shown


def check(value: object, what: str = "link") -> str:
    """The path of a link.

    :raises InvalidInput: it is not an absolute path in normal form.
    """
    path = check_text(value, what, longest=4000)
    if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
        raise InvalidInput(f"The {what} must be an absolute path without '..', not {shown(path)}.")
    return path


def create(link: str, device: str) -> None:
    """Make a link lead to a device, and create its folder. A link to another device is replaced.

    :raises AlreadyExists: the path is not a symbolic link.
    :raises NodeError: the link cannot be created.
    """
    if leads_to(link, device):
        return
    temporary = f"{link}.{os.getpid()}.new"
    try:
        if os.path.lexists(link) and not os.path.islink(link):
            raise AlreadyExists(f"{link} exists and is not a symbolic link; remove it.")
        os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(device, temporary)
        os.replace(temporary, link)
    except OSError as exc:
        raise NodeError(f"The link {link} cannot be created: {exc.strerror}.") from exc


def remove(link: str, device: str | None) -> None:
    """Remove a link. A link to another device than this one belongs to another attachment and
    stays.

    :param device: ``None`` if the path of the device is not known: then any link is removed.
    :raises NodeError: the link cannot be removed.
    """
    if device is not None and not leads_to(link, device):
        return
    try:
        if os.path.islink(link):
            os.unlink(link)
    except OSError as exc:
        raise NodeError(f"The link {link} cannot be removed: {exc.strerror}.") from exc


def leads_to(link: str, device: str) -> bool:
    """Whether a path is a symbolic link to a device."""
    try:
        return os.readlink(link) == device
    except OSError:
        return False
