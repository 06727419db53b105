"""Hands the listening sockets of a running service over to the service that replaces it.

The running service has a separate socket for the successor. It sends the open sockets, and
continues to serve until the successor reports that it listens on them, so a successor that fails
changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from cinderlib import errors
from cinderlib.service.listeners import PathSocket

LOG = logging.getLogger(__name__)

#: Seconds that a successor may take from the request of the sockets until it listens on them.
TIMEOUT = 600.0

_LONGEST = 1024**2
_REQUEST = b"cinderlib sockets 1"
_LISTENING = b"listening"
_STOPPING = b"stopping"


class State(msgspec.Struct, frozen=True):
    """The running service.

    :ivar pid: its process.
    :ivar listen: the address of the TCP socket.
    :ivar loaded: the names of the backends that it has loaded.
    """

    pid: int
    listen: str | None
    loaded: list[str]


class _Offer(msgspec.Struct, frozen=True):
    """What accompanies the descriptors.

    :ivar names: of the descriptors, in their order.
    """

    state: State
    names: list[str]


def _path(service_socket: Path) -> Path:
    return service_socket.with_name(f"{service_socket.name.removesuffix('.sock')}.next.sock")


class Predecessor:
    """The side of the running service: a thread that waits for a successor.

    :param service_socket: the path of the service's UNIX socket.
    :param descriptors: the open sockets and the lock, by name.
    :param state: gives its state.
    :param replaced: called once the successor listens.
    :raises ConfigurationError: the socket for successors cannot be created.
    """

    def __init__(
        self,
        service_socket: Path,
        descriptors: Mapping[str, int],
        *,
        state: Callable[[], State],
        replaced: Callable[[], None],
    ) -> None:
        self._descriptors = descriptors
        self._state = state
        self._replaced = replaced
        self._guard = threading.Lock()
        self._is_closed = False
        # The mode admits root and the service's own user only.
        self._listener = PathSocket(_path(service_socket), socket.SOCK_SEQPACKET, mode=0o600)
        self._listener.publish()
        threading.Thread(target=self._wait, name="successor", daemon=True).start()

    def close(self) -> None:
        """Admit no successor any more; one that does not listen yet cannot take over."""
        with self._guard:
            self._is_closed = True
        self._listener.remove()
        # A close alone does not wake the thread.
        with contextlib.suppress(OSError):
            self._listener.socket.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        with self._listener.socket as listener:
            while not self._is_closed:
                try:
                    successor, _ = listener.accept()
                except OSError:
                    return
                with successor:
                    successor.settimeout(TIMEOUT)
                    try:
                        self._hand_over(successor)
                    except OSError as exc:
                        LOG.warning("The service is not replaced: %s", exc)

    def _hand_over(self, successor: socket.socket) -> None:
        if successor.recv(_LONGEST) != _REQUEST:
            return
        offer = msgspec.json.encode(_Offer(self._state(), list(self._descriptors)))
        with self._guard:
            # The service closes the sockets after it has closed this object.
            if not self._is_closed:
                socket.send_fds(successor, [offer], list(self._descriptors.values()))
        if successor.recv(_LONGEST) != _LISTENING:
            LOG.warning("The service is not replaced: the new process ended before it listened")
            return
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            self._replaced()
        self._listener.remove()
        with contextlib.suppress(OSError):
            successor.sendall(_STOPPING)


class Successor:
    """The side of the new service.

    :ivar state: of the running service.
    :ivar descriptors: its open sockets and its lock, by name; they belong to this process now.
    """

    def __init__(
        self, connection: socket.socket, state: State, descriptors: dict[str, int]
    ) -> None:
        self._connection = connection
        self.state = state
        self.descriptors = descriptors

    @classmethod
    def of(cls, service_socket: Path) -> Successor | None:
        """Receive the sockets of the service that runs.

        :returns: ``None`` if no service offers its sockets.
        :raises ConfigurationError: they cannot be received.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(str(_path(service_socket)))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as exc:
            connection.close()
            raise _failed(service_socket, exc.strerror or str(exc)) from exc
        received: list[int] = []
        try:
            connection.sendall(_REQUEST)
            text, received, _, _ = socket.recv_fds(connection, _LONGEST, 16)
            if not text:
                raise ValueError("another process has just replaced it; try again")
            offer = msgspec.json.decode(text, type=_Offer)
            descriptors = dict(zip(offer.names, received, strict=True))
            for descriptor in received:
                os.set_inheritable(descriptor, False)
        except (OSError, ValueError, msgspec.MsgspecError) as exc:
            connection.close()
            for descriptor in received:
                os.close(descriptor)
            raise _failed(service_socket, str(exc)) from exc
        return cls(connection, offer.state, descriptors)

    def listening(self) -> None:
        """Report that this process listens: the running service stops accepting connections.

        :raises ConfigurationError: it was stopped meanwhile, and with it the sockets.
        """
        answer = b""
        with self._connection as connection, contextlib.suppress(OSError):
            connection.sendall(_LISTENING)
            answer = connection.recv(_LONGEST)
        if answer != _STOPPING:
            raise errors.ConfigurationError(
                f"Process {self.state.pid}, whose sockets these are, has ended meanwhile; start"
                " this service again"
            )


def _failed(service_socket: Path, reason: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"The service that listens on {service_socket} cannot be replaced: {reason}"
    )
