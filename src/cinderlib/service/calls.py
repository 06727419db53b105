"""The calls that the service works on and has worked on: clients may leave and come back."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cinderlib import errors
from cinderlib.progress import Progress
from cinderlib.records import new_id
from cinderlib.service.roles import Peer

#: How long the result of a call is kept, in seconds, and of how many calls at most.
KEPT_FOR = 900.0
KEPT = 10_000
#: How many calls can run or wait for a thread. More are refused.
RUNNING = 4096
#: The length of an ID that a client chooses.
LONGEST_ID = 255

Watcher = Callable[[Progress], None]


class Call:
    """One request that changes something.

    :ivar id: from the client's ``Operation-Id``, or a new one.
    :ivar verb: such as ``'volume.create'``.
    :ivar started_at: in seconds since 1970.
    """

    def __init__(self, id: str, verb: str, peer: Peer, fingerprint: str) -> None:
        self.id = id
        self.verb = verb
        self.peer = peer
        self.fingerprint = fingerprint
        self.started_at = time.time()
        self.progress: Progress | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended_at: float | None = None
        self._guard = threading.Lock()
        self._watchers: list[Watcher] = []
        self._when_done: list[Callable[[], None]] = []

    def is_of(self, peer: Peer) -> bool:
        """Whether a client is the caller. Only the caller gets the result, which can have keys."""
        return (self.peer.name, self.peer.uid) == (peer.name, peer.uid)

    def report(self, progress: Progress) -> None:
        """Pass on how far the call is."""
        with self._guard:
            self.progress = progress
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(progress)

    @contextlib.contextmanager
    def watched(self, watcher: Watcher) -> Iterator[None]:
        """While entered, the watcher gets the progress, in the thread that does the work."""
        with self._guard:
            self._watchers.append(watcher)
        try:
            yield
        finally:
            with self._guard:
                self._watchers.remove(watcher)

    def run(self, work: Callable[[], Any]) -> None:
        """Do the work in this thread and keep its result or its error."""
        token = _current.set(self)
        try:
            self.result = work()
        except BaseException as exc:
            self.error = exc
        finally:
            _current.reset(token)
            with self._guard:
                self.ended_at = time.monotonic()
                waiting, self._when_done = self._when_done, []
            for each in waiting:
                each()

    def when_done(self, wake: Callable[[], None]) -> None:
        """Have a function called once the call has ended; at once if it has."""
        with self._guard:
            if self.ended_at is None:
                self._when_done.append(wake)
                return
        wake()

    def wait(self) -> None:
        """Until it has ended."""
        done = threading.Event()
        self.when_done(done.set)
        done.wait()

    @property
    def state(self) -> str:
        """``'running'``, ``'done'`` or ``'failed'``."""
        if self.ended_at is None:
            return "running"
        return "done" if self.error is None else "failed"


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("call", default=None)


def report(progress: Progress) -> None:
    """The controller's progress listener: passes on to the call that this thread works on."""
    call = _current.get()
    if call is not None:
        call.report(progress)


class Calls:
    """All calls of this process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._calls: dict[str, Call] = {}
        #: Those that have ended, in this order. Scanning all calls for each new one would take
        #: longer than the call itself.
        self._ended: collections.deque[Call] = collections.deque()

    def begin(
        self, verb: str, peer: Peer, *, id: str | None, fingerprint: str
    ) -> tuple[Call, bool]:
        """A new call, or an earlier call of the same client with the same ID.

        :param id: chosen by the client; a repeated request with it gets the first result.
        :param fingerprint: of the request, so that an ID is not used for another.
        :returns: the call, and whether it is new: then the caller runs it.
        :raises InvalidInput: the ID belongs to another request, or is too long.
        :raises ServiceUnavailable: too many calls run.
        """
        if id is not None and len(id) > LONGEST_ID:
            raise errors.InvalidInput(f"The Operation-Id is longer than {LONGEST_ID} characters")
        with self._guard:
            self._forget()
            call = self._calls.get(id) if id is not None else None
            if call is not None:
                if call.fingerprint != fingerprint or not call.is_of(peer):
                    raise errors.InvalidInput(f"The Operation-Id {id!r} belongs to another request")
                return call, False
            if len(self._calls) - len(self._ended) >= RUNNING:
                raise errors.ServiceUnavailable(
                    f"The service works on {RUNNING} calls; try again later"
                )
            call = Call(id or new_id(), verb, peer, fingerprint)
            self._calls[call.id] = call
        call.when_done(lambda: self._ended.append(call))
        return call, True

    def get(self, id: str) -> Call:
        """A call by ID.

        :raises NotFound: there is none, or it ended too long ago.
        """
        with self._guard:
            call = self._calls.get(id)
        if call is None:
            raise errors.NotFound(f"Operation {id!r} does not exist in this service", resource=id)
        return call

    def all(self) -> list[Call]:
        """All calls, oldest first."""
        with self._guard:
            return list(self._calls.values())

    def running(self) -> list[Call]:
        """The calls that have not ended."""
        return [call for call in self.all() if call.ended_at is None]

    def wait(self) -> None:
        """Until the calls that run now have ended."""
        for call in self.running():
            call.wait()

    def _forget(self) -> None:
        before = time.monotonic() - KEPT_FOR
        while self._ended:
            oldest = self._ended[0]
            is_old = oldest.ended_at is not None and oldest.ended_at < before
            if not is_old and len(self._calls) <= KEPT:
                return
            self._ended.popleft()
            del self._calls[oldest.id]
