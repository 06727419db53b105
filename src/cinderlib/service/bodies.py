"""Reads the bodies of requests. Many clients with large or slow bodies do not fill the memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.requests import Request as HTTPRequest

from cinderlib import errors

#: The longest body of a request, in bytes.
LONGEST = 4 * 1024**2
#: Only :data:`LARGE_AT_ONCE` bodies with more bytes than this are read at the same time. Clients
#: with others wait, and meanwhile the server does not read from their connections.
LARGE = 16 * 1024
LARGE_AT_ONCE = 8


class Bodies:
    """Reads bodies."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def read(self, http: HTTPRequest, decoder: msgspec.json.Decoder[Any]) -> Any:
        """The decoded body of a request.

        :raises InvalidInput: it is too long or not valid.
        :raises starlette.requests.ClientDisconnect: the client disconnected before its end.
        """
        received, length = bytearray(), 0
        async with contextlib.AsyncExitStack() as held:
            async for chunk in http.stream():
                if length <= LARGE < length + len(chunk):
                    await held.enter_async_context(self._large)
                length += len(chunk)
                # Read a longer body to its end, so that the client gets to read the answer.
                if length <= LONGEST:
                    received += chunk
            if length > LONGEST:
                raise errors.InvalidInput(f"The body is longer than {LONGEST} bytes")
            return decoded(bytes(received), decoder)


def decoded(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """
    :raises InvalidInput: the body is not valid.
    """
    try:
        return decoder.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise errors.InvalidInput(f"The body is not valid: {exc}") from None
