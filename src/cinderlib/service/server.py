"""Runs the service: its sockets, its HTTP server, signals, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cinderlib import errors
from cinderlib.service import listeners, roles, systemd
from cinderlib.service.app import Application
from cinderlib.service.options import Options
from cinderlib.service.roles import Peer

LOG = logging.getLogger(__name__)

#: The longest head of a request, in bytes, and how long a client may take to send it, in seconds.
LONGEST_HEAD = 64 * 1024
HEAD_TIMEOUT = 10.0
#: How many connections at once; more are answered with 503.
CONNECTIONS = 4096


class _Protocol(HttpToolsProtocol):
    """HTTP of one connection: identifies its client, and limits the size of a request's head.

    :cvar identify: gives the client of a connection.
    """

    identify: Callable[[asyncio.Transport], Peer]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": type(self).identify(transport)}
        self._head = 0
        self._in_head = True
        self._limit_head()

    def _limit_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Data after the end of the head belongs to the body.
        self._head += len(data)
        if self._in_head and self._head > LONGEST_HEAD:
            self._refuse(431, b"Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        # A kept connection has a head for each request.
        self._deadline.cancel()
        self._limit_head()
        self._head = 0
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._deadline.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        self._refuse(408, b"Request Timeout")

    def _refuse(self, status: int, reason: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                % (status, reason)
            )
            self.transport.close()


def _protocol(identify: Callable[[asyncio.Transport], Peer]) -> type[_Protocol]:
    return type("Protocol", (_Protocol,), {"identify": staticmethod(identify)})


class Server:
    """The running service.

    :param reload: reads the configuration again and applies it; called in a thread.
    :param configuration: its file, by which commands know that it is theirs.
    """

    def __init__(
        self,
        application: Application,
        options: Options,
        *,
        reload: Callable[[], None],
        configuration: Path | None = None,
    ) -> None:
        self.application = application
        application.configuration = str(configuration) if configuration else None
        self.options = options
        self._reload = reload
        self._reloading = threading.Lock()
        application.reload = self._reload_now
        self._stopping = False
        self._last_request = time.monotonic()
        self._servers: list[uvicorn.Server] = []

    def run(self) -> None:
        """Serve until a signal, or until it was idle for long enough."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        passed = listeners.from_systemd().by_name
        own: listeners.UnixListener | None = None
        if passed:
            unix = passed.get("cinderlib") or next(iter(passed.values()))
        else:
            own = listeners.UnixListener(
                self.options.socket, mode=self.options.mode, group=self.options.group
            )
            unix = own.socket
        tcp = passed.get("cinderlib-tls")
        if tcp is None and self.options.listen is not None:
            tcp = listeners.tcp(self.options.listen)
        self._handle_signals()
        serving = [self._serve(unix, self._of_unix_socket)]
        if tcp is not None:
            serving.append(self._serve(tcp, self._of_certificate, tls=self._tls()))
        background = [asyncio.create_task(each) for each in (self._watch_idle(), self._watchdog())]
        threading.Thread(target=self.application.backends.load_all, daemon=True).start()
        try:
            systemd.notify("READY=1")
            LOG.info("Listening on %s", self.options.socket)
            await asyncio.gather(*serving)
        finally:
            for task in background:
                task.cancel()
            systemd.notify("STOPPING=1")
            await self._finish()
            if own is not None:
                own.close()

    async def _serve(
        self,
        listener: socket.socket,
        identify: Callable[[asyncio.Transport], Peer],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        config = uvicorn.Config(
            self._counted,
            http=_protocol(identify),
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=math.ceil(self.options.stop_timeout),
        )
        config.load()
        config.ssl = tls
        server = _Quiet(config)
        self._servers.append(server)
        await server.serve(sockets=[listener])

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        self._last_request = time.monotonic()
        await self.application.asgi(scope, receive, send)

    # --- clients --------------------------------------------------------------------------------

    def _of_unix_socket(self, transport: asyncio.Transport) -> Peer:
        connection = transport.get_extra_info("socket")
        return roles.of_unix_socket(connection, owner=os.geteuid(), others=self.options.role)

    def _of_certificate(self, transport: asyncio.Transport) -> Peer:
        return roles.of_certificate(transport.get_extra_info("peercert"), self.options.clients)

    def _tls(self) -> ssl.SSLContext:
        options = self.options
        if options.certificate is None or options.client_ca is None:
            raise errors.ConfigurationError(
                "[service] listen needs a certificate and a client_ca: clients on"
                " other hosts must present certificates"
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(options.certificate, options.key)
            context.load_verify_locations(options.client_ca)
        except (OSError, ssl.SSLError) as exc:
            raise errors.ConfigurationError(
                f"The service's certificates cannot be read: {exc}"
            ) from exc
        return context

    # --- while it runs --------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def stop(self) -> None:
        """Take no more requests, and end once those that run have ended."""
        self._stopping = True
        for server in self._servers:
            server.should_exit = True

    def _reload_soon(self) -> None:
        threading.Thread(target=self._reload_and_log, daemon=True).start()

    def _reload_and_log(self) -> None:
        with contextlib.suppress(errors.CinderlibError):
            self._reload_now()

    def _reload_now(self) -> None:
        """:raises CinderlibError: the configuration is invalid; the previous one stays."""
        with self._reloading:
            systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                self._reload()
            except errors.CinderlibError as exc:
                LOG.error("The configuration is not reloaded: %s", exc)
                raise
            else:
                LOG.info("The configuration is reloaded")
            finally:
                systemd.notify("READY=1")

    async def _watch_idle(self) -> None:
        limit = self.options.idle_timeout
        while limit:
            idle = time.monotonic() - self._last_request
            if idle >= limit and not self.application.calls.running():
                LOG.info("Idle for %d s; stopping", limit)
                self.stop()
                return
            await asyncio.sleep(max(0.05, limit - idle))

    async def _watchdog(self) -> None:
        interval = systemd.watchdog_interval()
        while interval:
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    async def _finish(self) -> None:
        """Let the calls that run end, for as long as is allowed; what is left then is settled from
        its intent, as after a crash."""
        loop = asyncio.get_running_loop()
        closing = loop.run_in_executor(None, self.application.close)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(closing), self.options.stop_timeout)
        for call in self.application.calls.running():
            LOG.warning("%s of %s did not end in time", call.verb, call.peer)
        if self.application.calls.running():
            # Threads that wait for a driver cannot be ended in any other way.
            logging.shutdown()
            os._exit(1)


class _Quiet(uvicorn.Server):
    """uvicorn's server without its signal handlers: the service has two of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield
