"""Errors of the plug-in, in addition to those of the library, and the gRPC status of each."""

from __future__ import annotations

import grpc

from cinderlib import errors


class Exhausted(errors.CinderlibError):
    """A limit is reached. Nothing changed."""

    code = "RESOURCE_EXHAUSTED"


class Pending(errors.Busy):
    """Another call works on the same volume or snapshot."""


class InvalidToken(errors.CinderlibError):
    """The token of a page is not valid: list from the start again."""

    code = "ABORTED"


class NotReady(errors.InvalidState):
    """The plug-in cannot work now, or a previous call is missing."""


def status(error: errors.CinderlibError) -> tuple[grpc.StatusCode, str]:
    """The gRPC status of an error, and its message with notes."""
    notes = getattr(error, "__notes__", ())
    message = ". ".join([str(error).rstrip("."), *(note.rstrip(".") for note in notes)])
    return grpc.StatusCode[error.code], message
