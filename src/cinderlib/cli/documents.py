"""JSON documents that come from a pipe, a file or the store."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

from cinderlib import errors

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
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise errors.InvalidDocument("The document is not JSON") from None
    if not isinstance(document, dict):
        raise errors.InvalidDocument(f"The document must be a JSON object, not a {_kind(document)}")
    return document


def _kind(value: Any) -> str:
    return "list" if isinstance(value, list) else "single value"


def registered(controller: cl.Controller, node: str) -> dict[str, Any]:
    """The connector properties that a node has left in the store.

    :raises NotFound: none has, under that name.
    """
    for found in controller.persistence.get_key_values(node):
        document: dict[str, Any] = json.loads(found.value)
        return document
    raise errors.NotFound(
        f"No node has registered as {node!r} in the store: run `cinderlib node register {node}`"
        " there",
        resource=node,
    )
