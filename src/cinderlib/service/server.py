"""Runs the service: its sockets, its HTTP server, signals, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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

from cinderlib import errors
from cinderlib.service import garbage, http_connection, roles, systemd
from cinderlib.service.app import Application
from cinderlib.service.direct import Direct
from cinderlib.service.handover import State
from cinderlib.service.options import Options
from cinderlib.service.roles import Peer
from cinderlib.service.sockets import Sockets

LOG = logging.getLogger(__name__)

#: How many connections at once; more are answered with 503.
CONNECTIONS = 4096
#: Seconds between two checks of the files that the configuration includes.
WATCH_INTERVAL = 2.0
#: Seconds that clients have to send a request on a connection to a service that stops while its
#: socket stays: they expect an answer.
GRACE = 2.0


class Server:
    """The running service.

    :param reload: reads the configuration again and applies it; called in a thread.
    :param configuration: its file, by which commands know that it is theirs.
    :param replace: take over the sockets of the service that runs.
    :param listening: called once the service's sockets are its own.
    :param watched: a value that changes with files of the configuration; they are then read again.
    """

    def __init__(
        self,
        application: Application,
        options: Options,
        *,
        reload: Callable[[], None],
        configuration: Path | None = None,
        replace: bool = False,
        listening: Callable[[], None] = lambda: None,
        watched: Callable[[], object] = lambda: None,
    ) -> None:
        self.application = application
        application.endpoints.configuration = str(configuration) if configuration else None
        self.options = options
        self._reload = reload
        self._reloading = threading.Lock()
        application.endpoints.reload = self._reload_now
        self._replaces = replace
        self._on_listening = listening
        self._watched = watched
        self._sockets: Sockets | None = None
        self._stops_at: float | None = None
        self._last_request = time.monotonic()
        self._servers: list[_Quiet] = []
        self._direct = Direct(application.backends, application.workers, self._count)

    def run(self) -> float:
        """Serve until a signal, until it was idle for long enough, or until it is replaced.

        :returns: the seconds that are left of ``stop_timeout``.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run())
        return self._left()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handle_signals()
        options = self.options
        sockets = Sockets.open(
            options.socket,
            mode=options.mode,
            group=options.group,
            listen=options.listen,
            replace=self._replaces,
        )
        loaded = asyncio.Event()
        threading.Thread(target=self._load, args=(loaded,), daemon=True).start()
        if sockets.predecessor is not None:
            # The running service answers until the backends are loaded here.
            await loaded.wait()
            self._check_backends(sockets.predecessor.state)
        self._sockets = sockets
        serving = [self._serve(sockets.unix, self._of_unix_socket)]
        if sockets.tcp is not None:
            serving.append(self._serve(sockets.tcp, self._of_certificate, tls=self._tls()))
        servers = [asyncio.create_task(each) for each in serving]
        background = [
            asyncio.create_task(each)
            for each in (self._watch_idle(), self._watchdog(), self._watch_files())
        ]
        try:
            await asyncio.gather(*servers, self._when_started(sockets))
        finally:
            # After an error they still answer: the service that this one replaces may have ended.
            self.stop()
            await asyncio.gather(*servers, return_exceptions=True)
            for task in background:
                task.cancel()
            systemd.notify("STOPPING=1")
            await self._finish()
            sockets.close()

    def _load(self, loaded: asyncio.Event) -> None:
        self.application.backends.load_all()
        garbage.collect_less()
        # The import of Cinder in a thread makes Thread.is_alive() and join() unreliable.
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(loaded.set)

    async def _when_started(self, sockets: Sockets) -> None:
        """Report that the service answers, and offer its sockets to a successor."""
        while not all(server.started for server in self._servers):
            await asyncio.sleep(0.01)
        if self._stops_at is not None:
            return
        sockets.take_over(mode=self.options.mode, group=self.options.group)
        self._on_listening()
        controller = self.application.backends.controller

        def replaced() -> None:
            self._loop.call_soon_threadsafe(self._replaced)

        sockets.offer(loaded=lambda: list(controller.backends), replaced=replaced)
        systemd.notify("READY=1")
        LOG.info("Listening on %s", self.options.socket)

    def _check_backends(self, state: State) -> None:
        """
        :raises ConfigurationError: a backend that the running service has cannot be loaded.
        """
        for backend in self.application.backends.states():
            if backend["name"] in state.loaded and not backend["loaded"]:
                raise errors.ConfigurationError(
                    f"The running service (process {state.pid}) continues: backend"
                    f" {backend['name']}, which it has loaded, cannot be loaded: {backend['error']}"
                )

    def _replaced(self) -> None:
        LOG.info("Another service has taken over; stopping")
        self.stop()

    async def _serve(
        self,
        listener: socket.socket,
        identify: Callable[[asyncio.Transport], Peer],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        config = uvicorn.Config(
            self._counted,
            http=http_connection.protocol(identify, self._grace, self._direct),
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=75,
        )
        config.load()
        config.ssl = tls
        server = _Quiet(config, grace=self._grace, left=self._left)
        self._servers.append(server)
        await server.serve(sockets=[listener])

    def _count(self) -> None:
        self._last_request = time.monotonic()

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        self._count()
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
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def stop(self) -> None:
        """Take no more requests, and end once those that run have ended."""
        if self._sockets is None:
            raise SystemExit(0)
        if self._stops_at is None:
            self._stops_at = time.monotonic() + self.options.stop_timeout
        self._sockets.withdraw()
        for server in self._servers:
            server.should_exit = True

    def _left(self) -> float:
        """Seconds until the service has to end."""
        if self._stops_at is None:
            return self.options.stop_timeout
        return max(0.0, self._stops_at - time.monotonic())

    def _grace(self) -> float | None:
        """Seconds that a client's next request is waited for on its connection; ``None`` as long as
        the service runs."""
        if self._stops_at is None:
            return None
        return GRACE if self._sockets is not None and self._sockets.stay else 0.0

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
            if idle >= limit and not self.application.workers.calls.running():
                LOG.info("Idle for %d s; stopping", limit)
                self.stop()
                return
            await asyncio.sleep(max(0.05, limit - idle))

    async def _watch_files(self) -> None:
        known = self._watched()
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            now = await self._loop.run_in_executor(None, self._watched)
            if now != known:
                known = now
                self._reload_soon()

    async def _watchdog(self) -> None:
        interval = systemd.watchdog_interval()
        while interval:
            systemd.notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    async def _finish(self) -> None:
        """Let the calls that run end, for as long as is allowed; what is left then is settled from
        its intent, as after a crash."""
        closing = self._loop.run_in_executor(None, self.application.workers.close)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(closing), self._left())
        for call in self.application.workers.calls.running():
            LOG.warning("%s of %s did not end in time", call.verb, call.peer)
        if self.application.workers.calls.running():
            # Threads that wait for a driver cannot be ended in any other way.
            logging.shutdown()
            os._exit(1)


class _Quiet(uvicorn.Server):
    """uvicorn's server without its signal handlers: the service has two of them.

    :param grace: see :func:`cinderlib.service.http_connection.protocol`.
    :param left: gives the seconds until the service has to end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        grace: Callable[[], float | None],
        left: Callable[[], float],
    ) -> None:
        super().__init__(config)
        self._grace = grace
        self._left = left

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self.config.is_ssl:
            # uvicorn does not know the connections whose handshake has not ended.
            await asyncio.sleep(min(self._grace() or 0.0, self._left()))
        self.config.timeout_graceful_shutdown = self._left()  # type: ignore[assignment]
        await super().shutdown(sockets)
