"""The program of a warm process: accepts clients, forks for each, and sends them the exit codes.

usage: python -m cinderlib.service.warm.listener PROGRAM LISTENER PARENT SERVICE (the listening
socket's file descriptor, the process to end with, the path of the service's socket)
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from cinderlib import service_address
from cinderlib.service.warm import client as client_side
from cinderlib.service.warm.programs import PROGRAMS, Program

#: How many clients at once; others run their programs themselves. And how long a client may take
#: to send its request, in seconds.
CLIENTS = 512
REQUEST_TIMEOUT = 5.0
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def main() -> None:
    """The entry point of the process."""
    name, listener, parent, service = sys.argv[1:]
    (program,) = (each for each in PROGRAMS if each.name == name)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # the kernel sends it when the service dies
    _prctl(_PR_SET_NAME, f"cinderlib {name}".encode())
    Listener(socket.socket(fileno=int(listener)), program, service, int(parent)).run()


class Listener:
    """The loop of the process.

    :param service: the path of the service's socket.
    :param parent: the process to end with.
    """

    def __init__(
        self, listener: socket.socket, program: Program, service: str, parent: int
    ) -> None:
        self._listener = listener
        self._program = program
        self._service = service
        self._parent = parent
        self._poll = select.poll()
        self._is_ready = False
        self._clients: dict[int, socket.socket] = {}
        #: Clients that have not sent their request, and the time until which they may.
        self._silent: dict[socket.socket, float] = {}
        self._ending = False

    def run(self) -> None:
        """Until the service ends it, or ends."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            self._serve(wake)
        finally:
            signal.set_wakeup_fd(-1)  # its socket is closed now, but signals can still arrive

    def _serve(self, wake: socket.socket) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self._listener.setblocking(False)
        if self._program.eager:
            self._preload()
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(wake, select.POLLIN)
        while self._goes_on():
            events = dict(self._poll.poll(1000 if self._silent else None))
            if wake.fileno() in events:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            if self._listener.fileno() in events:
                self._accept()
            for pid in [pid for pid, c in self._clients.items() if c.fileno() in events]:
                self._left(pid)
            for client in [client for client in self._silent if client.fileno() in events]:
                self._take(self._no_longer_silent(client))
            self._reap()
            for client in [c for c, end in self._silent.items() if end < time.monotonic()]:
                self._no_longer_silent(client).close()

    def _goes_on(self) -> bool:
        """Whether there is something to do: once the service has ended, the last programs."""
        if not self._is_ending():
            return True
        if self._listener.fileno() >= 0:
            self._poll.unregister(self._listener)
            self._listener.close()
        return bool(self._clients)

    def _is_ending(self) -> bool:
        return self._ending or os.getppid() != self._parent

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            self._ending = True

    def _preload(self) -> None:
        _function(self._program.preload)()
        gc.collect()
        gc.freeze()  # the collector of a copy would otherwise write to pages that all share
        self._is_ready = True

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has disconnected
            return
        if len(self._clients) + len(self._silent) >= CLIENTS:
            client.close()
            return
        # A client that sends nothing does not block the others.
        self._silent[client] = time.monotonic() + REQUEST_TIMEOUT
        self._poll.register(client, select.POLLIN)

    def _no_longer_silent(self, client: socket.socket) -> socket.socket:
        del self._silent[client]
        self._poll.unregister(client)
        return client

    def _take(self, client: socket.socket) -> None:
        """Fork for a client. The copy reads the request, because another copy, which can belong to
        another user, must not find it in its memory."""
        try:
            user = client_side.user(client)
            if user is None or self._is_ending():
                client.sendall(b"refused")
                client.close()
                return
            if not self._is_ready:
                self._preload()
            pid = os.fork()
        except OSError:
            client.close()
            return
        if pid == 0:
            self._become(user, client)
        self._clients[pid] = client
        # Without events, it reports only that the client has disconnected.
        self._poll.register(client, 0)

    def _left(self, pid: int) -> None:
        """A client disconnected before its program ended: end it as if its terminal closed."""
        client = self._clients.pop(pid)
        self._poll.unregister(client)
        client.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            client = self._clients.pop(pid, None)
            if client is not None:
                self._poll.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(b"exit %d" % os.waitstatus_to_exitcode(status))
                client.close()

    def _become(self, user: client_side.User, client: socket.socket) -> NoReturn:
        """Be the client's program, in the copy."""
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listener.close()
            for other in (*self._clients.values(), *self._silent):
                other.close()
            os.setsid()
            program = client_side.take_over(client, user)
            run = self._program.mains[program]
            os.environ.setdefault(service_address.VARIABLE, self._service)
            client.sendall(b"pid %d" % os.getpid())
        except BaseException:
            with contextlib.suppress(OSError):
                client.sendall(b"refused")
            os._exit(0)
        code = _run(_function(run))
        # The client does not wait until the memory of this process is freed.
        for stream in range(3):
            with contextlib.suppress(OSError):
                os.close(stream)
        with contextlib.suppress(OSError):
            client.sendall(b"exit %d" % code)
        os._exit(code)


def _function(path: str) -> Callable[[], None]:
    module, _, name = path.partition(":")
    function: Callable[[], None] = getattr(importlib.import_module(module), name)
    return function


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _run(main: Callable[[], None]) -> int:
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return code


if __name__ == "__main__":
    main()
