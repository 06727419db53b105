"""Converts errors of drivers to this library's errors."""

from __future__ import annotations

import errno
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from cinder import exception
from oslo_utils import strutils

from cinderlib import errors
from cinderlib.drivers import port_values


def explain(
    error: Exception,
    task: str,
    resource: Any,
    options: Mapping[str, Any],
    secrets: Mapping[str, Any],
) -> errors.CinderlibError:
    """Convert an error that a driver raised.

    :param task: the failed task and the backend, for the message.
    :param options: the backend's options that are not secret.
    :param secrets: options whose values the driver may have put into its message.
    """
    message = f"{task}: {text(error, secrets)}"
    if isinstance(error, NotImplementedError):
        return errors.Unsupported(message, resource=resource)
    if isinstance(error, exception.InvalidConnectorException):
        return errors.InvalidConnector(message, resource=resource)
    if isinstance(error, exception.VolumeIsBusy | exception.VolumeAttached):
        return errors.InvalidVolume(message, resource=resource, retryable=True)
    if isinstance(error, _BAD_REFERENCE):
        return errors.InvalidInput(message, resource=resource)
    if isinstance(
        error, exception.ManageExistingAlreadyManaged | exception.InvalidReplicationTarget
    ):
        return errors.InvalidState(message, resource=resource)
    if isinstance(error, exception.SnapshotIsBusy):
        return errors.InvalidSnapshot(message, resource=resource, retryable=True)
    unreached = _unreached(error)
    if unreached is not None:
        cause = text(unreached, secrets)
        if cause not in message:
            message = f"{message} ({cause})"
        address = port_values.address(options)
        if address not in message:
            message = f"{message}; the address is {address}"
    elif _timed_out(error):
        return errors.DriverTimeout(message, resource=resource)
    elif any(isinstance(each, OSError) and each.errno in _NO_SPACE for each in _chain(error)):
        return errors.DriverError(message, resource=resource, retryable=False)
    return errors.DriverError(message, resource=resource)


#: Drivers raise these before they change anything.
_BAD_REFERENCE = (
    exception.ManageExistingInvalidReference,
    exception.ManageExistingVolumeTypeMismatch,
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


#: System errors if the storage is full, or the size exceeds a limit of the filesystem.
_NO_SPACE = frozenset({errno.EDQUOT, errno.EFBIG, errno.ENOSPC})
#: Immediate system errors if no server listens at an address, or the address has no route.
_UNREACHED = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    }
)


def _unreached(error: BaseException) -> BaseException | None:
    """The error in the chain that reports a failed network connection."""
    for each in _chain(error):
        if isinstance(each, socket.gaierror) or (
            isinstance(each, OSError) and each.errno in _UNREACHED
        ):
            return each
    # Some drivers and libraries only keep the text of the error.
    texts = (os.strerror(number) for number in _UNREACHED)
    return error if any(text in str(error) for text in texts) else None


def _timed_out(error: BaseException) -> bool:
    """Whether a request to the storage timed out, in this error or in an earlier one in the chain.

    Sockets, requests, paramiko, oslo's loops and the drivers of a dozen vendors each have their own
    class for it. Only a part of the name is common to them.
    """
    return any(
        "timeout" in kind.__name__.lower() for each in _chain(error) for kind in type(each).__mro__
    )


def text(error: BaseException, secrets: Mapping[str, Any]) -> str:
    """The message of an error, or its class name if it is empty; secrets are ``***``."""
    message = strutils.mask_password(str(error)) or type(error).__name__
    for secret in _texts(secrets.values()):
        message = message.replace(secret, "***")
    return message


def harmless(error: BaseException, secrets: Mapping[str, Any]) -> BaseException | None:
    """The error, as the cause of the new one, unless its traceback would show a secret."""
    shown = "".join(traceback.TracebackException.from_exception(error).format(chain=True))
    return None if any(secret in shown for secret in _texts(secrets.values())) else error


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, list | tuple):
            yield from _texts(value)
        elif value and isinstance(value, str):
            yield value
