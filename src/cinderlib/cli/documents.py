"""JSON documents that come from a pipe, a file or the store."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.validation import json_object

if TYPE_CHECKING:
    import cinderlib as cl

#: Longest document that is read, in bytes; one of a host or of a connection has a few thousand.
LONGEST = 1024**2


def read(file: IO[bytes]) -> dict[str, Any]:
    """The JSON object in a file.

    :raises InvalidDocument: it is none. What was read is not repeated, since keys may be in it.
    """
    text = file.read(LONGEST + 1)
    if not text.strip():
        raise errors.InvalidDocument(
            "The document is empty: has the command before the pipe failed?"
        )
    if len(text) > LONGEST:
        raise errors.InvalidDocument(f"The document is longer than {LONGEST} bytes")
    document = json_object(text)
    if document is None:
        raise errors.InvalidDocument("The document is no JSON object")
    return document


def registered(controller: cl.Controller, node: str) -> dict[str, Any]:
    """The connector properties that a node has left in the store.

    :raises NotFound: none has, under that name.
    """
    for found in controller.persistence.get_key_values(node):
        document = json_object(found.value or "")
        if document is None:
            raise errors.InvalidDocument(
                f"What the store has under {node!r} is not what a node registers: run `cinderlib"
                f" node register {node}` there again"
            )
        return document
    raise errors.NotFound(
        f"No node has registered as {node!r} in the store: run `cinderlib node register {node}`"
        " there",
        resource=node,
    )
