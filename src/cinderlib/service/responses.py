"""Answers: errors, results, and lines while a call runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response

from cinderlib import errors
from cinderlib.client import answers
from cinderlib.progress import Progress
from cinderlib.service.calls import Call
from cinderlib.service.roles import Peer

LOG = logging.getLogger(__name__)

#: Seconds between two lines of a progress stream in which the progress has not changed.
HEARTBEAT = 10.0

JSON = "application/json"
LINES = "application/x-ndjson"


def wants_lines(http: HTTPRequest) -> bool:
    return LINES in http.headers.get("accept", "")


def of_error(error: BaseException, *, is_logged: bool = False) -> Response:
    if not is_logged and not isinstance(error, errors.CinderlibError):
        LOG.error("A request failed", exc_info=error)
    return Response(answers.encode(answers.of_error(error)), answers.status(error), media_type=JSON)


async def result(call: Call) -> Response:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call.when_done(functools.partial(_wake, loop, done))
    await done.wait()
    headers = {"Operation-Id": call.id}
    if call.error is not None:
        response = of_error(call.error, is_logged=True)
        response.headers.update(headers)
        return response
    return Response(answers.encode(call.result), media_type=JSON, headers=headers)


async def progress(call: Call) -> AsyncIterator[bytes]:
    """Lines ``{"progress": ...}`` while the call runs, and at the end its result or error."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    watcher = functools.partial(_wake, loop, changed)
    call.when_done(watcher)
    with call.watched(lambda _: watcher()):
        seen: Progress | None = None
        yield msgspec.json.encode({"operation": call.id}) + b"\n"
        while call.ended_at is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), HEARTBEAT)
            changed.clear()
            if call.progress is not seen or call.ended_at is None:
                seen = call.progress
                yield msgspec.json.encode({"progress": seen}) + b"\n"
    end = answers.of_error(call.error) if call.error is not None else {"result": call.result}
    yield answers.encode(end) + b"\n"


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits
        loop.call_soon_threadsafe(event.set)


def peer(http: HTTPRequest) -> Peer:
    """The client of a request."""
    found = http.scope["state"].get("peer")
    return found if isinstance(found, Peer) else Peer("an unknown client", None)
