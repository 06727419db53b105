"""A process that runs commands for clients: it has imported the command, and forks for each.

The service forks it before it starts threads. A child takes over the client's user, folder,
environment and standard streams. It uses the service's socket as any client does, with exactly the
rights of that user.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from cinderlib import service_address
from cinderlib.service import client_process
from cinderlib.service.listeners import PathSocket

#: How many clients at once; others run their commands themselves. And how long a client may take
#: to send its request, in seconds.
CLIENTS = 512
REQUEST_TIMEOUT = 5.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


class Command(NamedTuple):
    """The command that the process runs.

    :ivar preload: imports everything that the command can need.
    :ivar main: runs it on ``sys.argv`` and the standard streams, and exits.
    """

    preload: Callable[[], None]
    main: Callable[[], None]


class WarmCommand:
    """The process, as the service that has started it sees it."""

    def __init__(self, pid: int, listener: PathSocket) -> None:
        self._pid = pid
        self._listener = listener

    def publish(self) -> None:
        """Let clients find it.

        :raises ConfigurationError: something else than a socket is at its path.
        """
        self._listener.publish()

    def stop(self, timeout: float) -> None:
        """End it once the commands that it runs have ended.

        :param timeout: how long it waits for them, in seconds; those that still run then continue.
        """
        self._listener.remove()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGTERM)
            process = os.pidfd_open(self._pid)
            try:
                if not select.select([process], [], [], timeout)[0]:
                    os.kill(self._pid, signal.SIGKILL)
            finally:
                os.close(process)
            os.waitpid(self._pid, 0)


def start(
    service_socket: Path, command: Command, *, mode: int, group: int | None = None
) -> WarmCommand:
    """Start the process; the caller has no threads yet.

    :param service_socket: the service's socket.
    :param mode: of the process's socket, which is in the same directory.
    :param group: of that socket, by ID; by default the process's group.
    :raises ConfigurationError: the socket cannot be created.
    """
    path = Path(service_address.command_socket(str(service_socket)))
    listener = PathSocket(path, socket.SOCK_SEQPACKET, mode=mode, group=group)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        listener.socket.close()
        return WarmCommand(pid, listener)
    try:
        command.preload()
        _Listener(listener.socket, str(service_socket), parent, command.main).run()
    finally:
        os._exit(0)


class _Listener:
    """The loop of the process: accepts requests, forks, and sends clients the exit codes.

    :param parent: the process to end with.
    """

    def __init__(
        self, listener: socket.socket, service: str, parent: int, main: Callable[[], None]
    ) -> None:
        self._listener = listener
        self._main = main
        self._service = service
        self._parent = parent
        self._selector = selectors.DefaultSelector()
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
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)
        _end_with_parent()
        while self._goes_on():
            for key, _ in self._selector.select(1.0 if self._silent else None):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._silent:
                    self._take(self._no_longer_silent(key.fileobj))
                elif key.fileobj is wake:
                    with contextlib.suppress(BlockingIOError):
                        wake.recv(4096)
                elif key.data in self._clients:
                    self._left(key.data)
            self._reap()
            for client in [c for c, end in self._silent.items() if end < time.monotonic()]:
                self._no_longer_silent(client).close()

    def _goes_on(self) -> bool:
        """Whether there is something to do: once the service has ended, the last commands."""
        if not self._ending and os.getppid() == self._parent:
            return True
        if self._listener.fileno() >= 0:
            self._selector.unregister(self._listener)
            self._listener.close()
        return bool(self._clients)

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            self._ending = True

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
        self._selector.register(client, selectors.EVENT_READ)

    def _no_longer_silent(self, client: Any) -> socket.socket:
        del self._silent[client]
        self._selector.unregister(client)
        found: socket.socket = client
        return found

    def _take(self, client: socket.socket) -> None:
        client.settimeout(2.0)
        streams: tuple[int, ...] = ()
        try:
            text, streams = client_process.receive(client)
            request = client_process.request_of(client, text, streams)
            if request is None or os.getppid() != self._parent:
                client.sendall(b"refused")
                client.close()
                return
            pid = os.fork()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            client.close()
            return
        else:
            if pid == 0:
                self._become(request, client)
        finally:
            for stream in streams:
                os.close(stream)
        self._clients[pid] = client
        self._selector.register(client, selectors.EVENT_READ, pid)

    def _left(self, pid: int) -> None:
        """A client disconnected before its command ended: end it as if its terminal closed."""
        client = self._clients.pop(pid)
        self._selector.unregister(client)
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
                self._selector.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(b"exit %d" % os.waitstatus_to_exitcode(status))
                client.close()

    def _become(self, request: client_process.Request, client: socket.socket) -> NoReturn:
        """Be the client's command, in the child."""
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listener.close()
            self._selector.close()
            for other in (*self._clients.values(), *self._silent):
                other.close()
            os.setsid()
            client_process.take_over(request)
            os.environ.setdefault(service_address.VARIABLE, self._service)
            client.sendall(b"pid %d" % os.getpid())
        except BaseException:
            with contextlib.suppress(OSError):
                client.sendall(b"refused")
            os._exit(0)
        client.close()
        os._exit(client_process.run(self._main))


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the service dies (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
