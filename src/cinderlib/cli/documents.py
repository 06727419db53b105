"""Reads JSON documents from a pipe, a file or the store."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.value_checks import json_object, shown

if TYPE_CHECKING:
    import cinderlib as cl

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


def registered(controller: cl.Controller, node: str) -> dict[str, Any]:
    """The connector properties of a node that is registered in the store.

    :raises NotFound: no node is registered with this name.
    """
    for found in controller.persistence.get_key_values(node):
        document = json_object(found.value or "")
        if document is None:
            raise errors.InvalidDocument(
                f"Key-value {node!r} in the store is not the connector of a node: run"
                f" `cinderlib node register {node}` on that host again"
            )
        return document
    raise errors.NotFound(
        f"No node is registered as {node!r} in the store: run `cinderlib node register {node}`"
        " on that host",
        resource=node,
    )
