"""Requests to a service, over its UNIX socket or over TLS."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from cinderlib import author, errors
from cinderlib.client import answers
from cinderlib.progress import Progress
from cinderlib.records import new_id
from cinderlib.value_checks import shown_path

#: Where the service of this host listens by default.
DEFAULT_URL = "unix:///run/cinderlib/cinderlib.sock"

#: How often the client requests the result of a call again after its connection broke.
ATTEMPTS = 5

#: Seconds for a connection to a service on another host.
CONNECT_TIMEOUT = 10.0
#: The connection to a host that lost its power or network breaks after 20 to 25 s.
_KEEP_ALIVE = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 20_000,
}

_LINES = {"Accept": "application/x-ndjson"}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.connect(self._path)
        except BaseException:
            self.close()
            raise


class _TLSConnection(http.client.HTTPSConnection):
    """HTTP over TLS. A service that does not answer for long is not an error, a host that does not
    is."""

    def connect(self) -> None:
        self.timeout = CONNECT_TIMEOUT
        super().connect()
        self.sock.settimeout(None)
        for option, value in _KEEP_ALIVE.items():
            self.sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class Transport:
    """Sends requests to a service. Each thread has its own connection.

    :param url: ``unix:///path/of/socket`` or ``https://host:port``.
    :param certificate: file with this client's certificate, and its key if ``key`` is not given.
    :param key: file with its key.
    :param ca: file with the certificate that the service's certificate is signed by.
    :raises InvalidInput: the URL is not of these forms, or a file is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._mine = threading.local()
        if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
            path = parts.path
            self._open: Callable[[], http.client.HTTPConnection] = lambda: _UnixConnection(path)
        elif parts.scheme == "https" and parts.hostname:
            context = _context(certificate, key, ca)
            host, port = parts.hostname, parts.port or 443
            self._open = lambda: _TLSConnection(host, port, context=context)
        else:
            raise errors.InvalidInput(
                f"{url!r} is not the URL of a service; expected unix:///PATH or https://HOST:PORT"
            )

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this host."""
        return self.url.startswith("unix:")

    def get(self, path: str, **query: str | None) -> Any:
        """A result.

        :raises CinderlibError: the service's error.
        :raises ServiceUnavailable: it cannot be reached.
        """
        try:
            response = self._send("GET", _target(path, query), None, {})
            return _result(response.status, response.read())
        except (OSError, http.client.HTTPException) as exc:
            self._close()
            raise self._unreachable(exc) from exc

    def lines(self, path: str, **query: str | None) -> Iterator[bytes]:
        """The lines of a list as they arrive.

        :raises CinderlibError: the service's error, with the first line.
        """
        # A separate connection: the thread sends other requests meanwhile, and may not read the
        # list to its end.
        connection = self._open()
        try:
            try:
                connection.request("GET", _target(path, query), headers=_LINES)
                response = connection.getresponse()
                if response.status != 200:
                    _result(response.status, response.read())
                for line in response:
                    if line := line.rstrip(b"\n"):
                        yield line
            except (OSError, http.client.HTTPException) as exc:
                raise self._unreachable(exc) from exc
        finally:
            connection.close()

    def change(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        report: Callable[[Progress], None] | None = None,
    ) -> Any:
        """Do something, and wait until it is done.

        A broken connection does not end the call: the client requests its result again by its ID.

        :param report: gets how far it is.
        :raises CinderlibError: the service's error.
        :raises ServiceUnavailable: it cannot be reached, or was restarted meanwhile.
        """
        id = new_id()
        headers = {**_LINES, "Operation-Id": id, "Content-Type": "application/json"}
        sent = _encoded(body or {})
        for attempt in range(ATTEMPTS):
            try:
                if attempt == 0:
                    response = self._send(method, path, sent, headers)
                else:
                    response = self._send("GET", f"/v1/operations/{id}?wait=true", None, _LINES)
                return self._outcome(response, report)
            except (OSError, http.client.HTTPException) as exc:
                self._close()
                broken = exc
            except errors.NotFound as exc:
                if attempt and exc.resource == id:
                    break
                raise
        raise self._unreachable(broken)

    def _outcome(
        self,
        response: http.client.HTTPResponse,
        report: Callable[[Progress], None] | None,
    ) -> Any:
        if response.status != 200:
            return _result(response.status, response.read())
        for line in response:
            message = msgspec.json.decode(line)
            if "error" in message:
                response.read()
                raise answers.to_error(message["error"])
            if "result" in message:
                response.read()
                return message["result"]
            if report is not None and message.get("progress"):
                report(msgspec.convert(message["progress"], Progress))
        raise http.client.IncompleteRead(b"")

    def _send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        for fresh in (False, True):
            connection = None if fresh else getattr(self._mine, "connection", None)
            if connection is None:
                connection = self._mine.connection = self._open()
                fresh = True
            try:
                connection.request(method, target, body, {**headers, **_of_program()})
                response: http.client.HTTPResponse = connection.getresponse()
            except OSError as exc:
                # The service or the network may have ended a kept connection; TLS and timeouts have
                # their own errors for that. A call that changes something is sent again with the
                # same ID, so the service does it once.
                self._close()
                if fresh and isinstance(exc, ConnectionError):
                    raise
                if fresh:
                    raise self._unreachable(exc) from exc
            else:
                return response
        raise AssertionError("a fresh connection either answers or fails")

    def _unreachable(self, exc: BaseException) -> errors.ServiceUnavailable:
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        ended = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
        if not self.is_local and isinstance(exc, ended):
            # With TLS 1.3, the service checks a certificate after the client's handshake has ended.
            reason = f"{reason}; it may have refused the certificate of this host"
        return errors.ServiceUnavailable(f"The service at {self.url} cannot be reached: {reason}")

    def _close(self) -> None:
        connection = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()
            self._mine.connection = None

    def close(self) -> None:
        """Close this thread's connection; those of others go with their threads."""
        self._close()


def _of_program() -> dict[str, str]:
    """The header with the name of this program, for the history."""
    return {"User-Agent": author.current().program.encode("ascii", "replace").decode()}


def _target(path: str, query: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    try:
        return f"{path}?{urlencode(given)}" if given else path
    except UnicodeEncodeError:
        raise errors.InvalidInput("A filter is not valid Unicode text.") from None


def _encoded(body: Mapping[str, Any]) -> bytes:
    """A request's body.

    :raises InvalidInput: an argument is not plain data.
    """
    try:
        return msgspec.json.encode(body)
    except RecursionError:
        raise errors.InvalidInput("An argument is nested too deep.") from None
    except (TypeError, ValueError, OverflowError) as exc:
        raise errors.InvalidInput(f"An argument cannot be sent to the service: {exc}") from None


def _result(status: int, body: bytes) -> Any:
    try:
        document = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        document = {}
    if status == 200:
        return document
    if isinstance(document, dict) and "error" in document:
        raise answers.to_error(document["error"])
    raise errors.ServiceUnavailable(f"The service answered with the HTTP status {status}")


def _context(
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    ca: str | os.PathLike[str] | None,
) -> ssl.SSLContext:
    for file in (certificate, key, ca):
        if file is not None and not os.path.isfile(file):
            raise errors.InvalidInput(f"The file {shown_path(file)} does not exist")
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as exc:
        raise errors.InvalidInput(f"The certificates cannot be read: {exc}") from exc
    return context
