"""Calls between two processes over a socket: either side calls functions of the other.

A call that one side makes while it works on a call of the other one runs in the thread that waits
for the latter. So a driver's questions to the store, its progress and its log records arrive in the
thread that called the driver, as they do without a second process.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinderlib.drivers.isolation import values

_LENGTH = struct.Struct("!I")
_TIMEVAL = struct.Struct("@ll")
_CALL, _NOTICE, _RESULT, _ERROR = range(4)

#: The call of the other side that this thread works on.
_serving: contextvars.ContextVar[int | None] = contextvars.ContextVar("serving", default=None)

Handler = Callable[[str, Sequence[Any], Mapping[str, Any]], Any]


class Lost(Exception):
    """The other process has ended, or the channel was closed."""


class Overdue(Exception):
    """The other process has not answered in time."""


class Channel:
    """One end.

    :param end: the connected socket.
    :param handler: answers the calls of the other side: the name of the function, and its
        arguments.
    :param elsewhere: runs a function in another thread: for calls of the other side that belong to
        no call of this one.
    :param send_timeout: seconds after which the other side counts as lost because it does not
        receive; 0 for never.
    """

    def __init__(
        self,
        end: socket.socket,
        handler: Handler,
        elsewhere: Callable[[Callable[[], None]], object],
        *,
        send_timeout: int = 0,
    ) -> None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(send_timeout, 0))
        self._end = end
        self._handler = handler
        self._elsewhere = elsewhere
        self._pid = os.getpid()
        self._ids = itertools.count()
        self._sending = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[list[Any] | None]] = {}
        self._lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the other process is known to have ended."""
        return self._lost

    def call(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> Any:
        """Call a function of the other side.

        :param timeout: seconds without a result or a notice of progress.
        :returns: its result, or the error that it raised.
        :raises Lost: the other process has ended.
        :raises Overdue: the time is over.
        :raises TypeError: an argument cannot be sent.
        """
        messages: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        id = next(self._ids)
        request = values.encode([_CALL, id, _serving.get(), function, list(args), kwargs or {}])
        with self._guard:
            if self._lost:
                raise Lost
            self._waiting[id] = messages
        try:
            self._send(request)
            return self._result(messages, timeout)
        finally:
            with self._guard:
                del self._waiting[id]

    def notify(self, function: str, *args: Any) -> None:
        """Call a function of the other side without waiting for it; ignored if it has ended."""
        with contextlib.suppress(Lost):
            self._send(values.encode([_NOTICE, None, _serving.get(), function, list(args), {}]))

    def _result(self, messages: queue.SimpleQueue[list[Any] | None], timeout: float | None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                message = messages.get(timeout=left)
            except queue.Empty:
                raise Overdue from None
            if message is None:
                raise Lost
            if message[0] in (_RESULT, _ERROR):
                return message[2]
            start = time.monotonic()
            self._serve(message)
            if deadline is not None and timeout is not None:
                end = time.monotonic()
                # The other process does not answer for the time that this one needs.
                deadline += end - start
                if message[3] == "progress":
                    deadline = end + timeout

    def receive(self) -> None:
        """Receive until the other process ends; a separate thread does so."""
        try:
            while True:
                self._dispatch(values.decode(self._message()))
        except (OSError, Lost):
            pass
        finally:
            self._lose()

    def close(self) -> None:
        """End all calls that wait, with :class:`Lost`."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._lose()

    # --- within

    def _lose(self) -> None:
        with self._guard:
            self._lost = True
            for messages in self._waiting.values():
                messages.put(None)

    def _send(self, data: bytes) -> None:
        if os.getpid() != self._pid:
            raise Lost  # a copy of this process: the answers would go to the original
        message = _LENGTH.pack(len(data)) + data
        try:
            with self._sending:
                self._end.sendall(message)
        except OSError:
            self.close()  # a part of the message may have been sent
            raise Lost from None

    def _message(self) -> memoryview:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, length: int) -> memoryview:
        received = bytearray(length)
        view = memoryview(received)
        at = 0
        while at < length:
            count = self._end.recv_into(view[at:])
            if not count:
                raise Lost
            at += count
        return view

    def _dispatch(self, message: list[Any]) -> None:
        kind, id, within = message[:3]
        owner = id if kind in (_RESULT, _ERROR) else within
        with self._guard:
            messages = self._waiting.get(owner)
            if messages is not None:
                messages.put(message)
                return
        if kind == _CALL:
            self._elsewhere(lambda: self._serve(message))
        elif kind == _NOTICE:
            self._serve(message)

    def _serve(self, message: list[Any]) -> None:
        kind, id, _, function, args, kwargs = message
        token = _serving.set(id)
        try:
            answer = [_RESULT, id, self._handler(function, args, kwargs)]
        except BaseException as exc:
            answer = [_ERROR, id, exc]
            if not isinstance(exc, Exception):
                raise
        finally:
            _serving.reset(token)
            if kind == _CALL:
                with contextlib.suppress(Lost):
                    self._send(_encoded(answer))


def _encoded(answer: list[Any]) -> bytes:
    try:
        return values.encode(answer)
    except TypeError as exc:
        return values.encode([_ERROR, answer[1], exc])
