"""Reads JSON documents from a pipe or a file."""

from __future__ import annotations

from typing import IO, Any

import click

from cinderlib import errors
from cinderlib.value_checks import json_object, shown

#: Maximum size of a document in bytes; those of a host or a connection have a few thousand.
LONGEST = 1024**2


def read(file: IO[bytes]) -> dict[str, Any]:
    """Read a JSON object from a file.

    :raises InvalidDocument: the file does not contain a JSON object. The message does not contain
        the text of the file, which can include keys.
    """
    text = file.read(LONGEST + 1)
    if not text.strip():
        raise errors.InvalidDocument("The document is empty: did the command before the pipe fail?")
    if len(text) > LONGEST:
        raise errors.InvalidDocument(f"The document is longer than {LONGEST} bytes")
    document = json_object(text)
    if document is None:
        raise errors.InvalidDocument("The document is not a JSON object")
    return document


def opened(path: str) -> dict[str, Any]:
    """Read a JSON object from a file, or from standard input for ``-``.

    :raises InvalidInput: the file cannot be read.
    :raises InvalidDocument: it does not contain a JSON object.
    """
    try:
        with click.open_file(path, "rb") as file:
            return read(file)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise errors.InvalidInput(
            f"The document {shown(path)} cannot be read: {reason}. To attach a volume by its ID or"
            " name, name a service in [node] of the configuration"
        ) from exc
