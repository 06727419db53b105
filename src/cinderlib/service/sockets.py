"""The sockets of a running service: from systemd, from the service that it replaces, or its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from cinderlib import errors
from cinderlib.service import handover, listeners, systemd


class Sockets:
    """What the service listens on.

    :ivar unix: the UNIX socket.
    :ivar tcp: the socket for other hosts, if one is configured.
    :ivar predecessor: the service whose sockets these are; it still answers.
    """

    def __init__(
        self,
        unix: socket.socket,
        tcp: socket.socket | None,
        *,
        listen: str | None,
        own: listeners.UnixListener | None = None,
        predecessor: handover.Successor | None = None,
    ) -> None:
        self.unix = unix
        self.tcp = tcp
        self.predecessor = predecessor
        self._listen = listen
        self._own = own
        self._offer: handover.Predecessor | None = None
        self._is_handed_over = False

    @classmethod
    def open(
        cls, path: Path, *, mode: int, group: int | None, listen: str | None, replace: bool
    ) -> Sockets:
        """Those that systemd has opened; otherwise those of the running service, or new ones.

        :param path: of the UNIX socket.
        :param mode: of the UNIX socket.
        :param group: whose members may connect, by ID.
        :param listen: ``HOST:PORT`` for other hosts.
        :param replace: take over the sockets of the service that runs, if one does.
        :raises ConfigurationError: they cannot be opened or taken over.
        """
        passed = listeners.from_systemd().by_name
        if passed:
            unix = passed.get("cinderlib") or next(iter(passed.values()))
            tcp = passed.get("cinderlib-tls")
            if tcp is None and listen is not None:
                tcp = listeners.tcp(listen)
            return cls(unix, tcp, listen=listen)
        predecessor = handover.Successor.of(path) if replace else None
        if predecessor is None:
            try:
                own = listeners.UnixListener.create(path, mode=mode, group=group)
            except errors.ConfigurationError as exc:
                raise _irreplaceable(exc) if replace else exc from None
            tcp = None if listen is None else listeners.tcp(listen)
            return cls(own.socket, tcp, listen=listen, own=own)
        given = dict(predecessor.descriptors)
        own = listeners.UnixListener(path, socket.socket(fileno=given["unix"]), given["lock"])
        tcp = socket.socket(fileno=given["tcp"]) if "tcp" in given else None
        if tcp is not None and listen != predecessor.state.listen:
            tcp.close()
            tcp = None
        if tcp is None and listen is not None:
            tcp = listeners.tcp(listen)
        return cls(own.socket, tcp, listen=listen, own=own, predecessor=predecessor)

    def take_over(self, *, mode: int, group: int | None) -> None:
        """Have the predecessor stop: this process listens on the sockets.

        :raises ConfigurationError: it has ended meanwhile, or the permissions of the UNIX socket
            cannot be changed.
        """
        if self.predecessor is not None and self._own is not None:
            self._own.permit(mode=mode, group=group)
            self.predecessor.listening()

    def offer(self, loaded: Callable[[], list[str]], replaced: Callable[[], None]) -> None:
        """Let a successor take them over. systemd itself keeps those of units.

        :param loaded: gives the names of the loaded backends.
        :param replaced: called in another thread once a successor listens on them.
        :raises ConfigurationError: the socket for successors cannot be created.
        """
        if self._own is None or systemd.is_unit():
            return
        descriptors = {"unix": self.unix.fileno(), "lock": self._own.lock}
        if self.tcp is not None:
            descriptors["tcp"] = self.tcp.fileno()

        def handed_over() -> None:
            self._is_handed_over = True
            replaced()

        self._offer = handover.Predecessor(
            self._own.path,
            descriptors,
            state=lambda: handover.State(os.getpid(), self._listen, loaded()),
            replaced=handed_over,
        )

    def withdraw(self) -> None:
        """Let no successor take them over any more."""
        if self._offer is not None:
            self._offer.close()

    @property
    def stay(self) -> bool:
        """Whether clients still reach them after this process has ended."""
        return self._own is None or self._is_handed_over

    def close(self) -> None:
        """Stop listening, and remove the UNIX socket if it does not stay."""
        self.withdraw()
        if self._own is not None:
            self._own.close(remove=not self._is_handed_over)


def _irreplaceable(exc: errors.ConfigurationError) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"{exc}. It does not hand its socket over: if systemd runs it, use `systemctl restart"
        " cinderlib`"
    )
