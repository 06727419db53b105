"""The gRPC server of the plug-in: its socket, errors and logs, and the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from cinderlib import errors
from cinderlib.csi import failures
from cinderlib.csi.wire import services
from cinderlib.csi.wire.services import Method

LOG = logging.getLogger(__name__)
#: The signals that end the plug-in.
_ENDS = (signal.SIGTERM, signal.SIGINT)


def endpoint_path(endpoint: str) -> Path:
    """The path of the socket.

    :param endpoint: ``unix:///PATH`` or ``unix:PATH``.
    :raises ConfigurationError: it is not an absolute path of a UNIX socket.
    """
    path = endpoint.removeprefix("unix://") if endpoint.startswith("unix://") else endpoint
    path = path.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path:
        raise errors.ConfigurationError(
            f"The endpoint must be unix:///PATH with an absolute path, not {endpoint!r}"
        )
    if len(os.fsencode(path)) > 100:
        raise errors.ConfigurationError(
            f"The path of the socket is too long for the kernel: {path}. The maximum is 100 bytes"
        )
    return Path(path)


class Server:
    """The running plug-in.

    :param endpoint: ``unix:///PATH``.
    :param implementations: name of a service -> the object with its methods. A method that the
        object lacks is UNIMPLEMENTED.
    :param threads: how many calls run at the same time.
    :param stop_timeout: seconds that running calls have when it stops.
    """

    def __init__(
        self,
        endpoint: str,
        implementations: Mapping[str, Any],
        *,
        threads: int = 32,
        stop_timeout: float = 30.0,
    ) -> None:
        self._path = endpoint_path(endpoint)
        self._stop_timeout = stop_timeout
        pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="csi")
        self._server = grpc.server(pool, options=[("grpc.max_receive_message_length", 4 << 20)])
        self._server.add_generic_rpc_handlers(
            tuple(
                services.handler(name, _Dispatcher(implementation))
                for name, implementation in implementations.items()
            )
        )

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the running calls end."""
        reader, writer = socket.socketpair()
        with reader, writer:
            # The kernel can deliver a signal to a thread of gRPC, which does not end a wait of the
            # main thread. It does write to this socket.
            writer.setblocking(False)
            signal.set_wakeup_fd(writer.fileno())
            try:
                for number in _ENDS:
                    signal.signal(number, lambda *_: None)
                self.start()
                LOG.info("Listening on %s", self._path)
                while reader.recv(1)[0] not in _ENDS:
                    pass
            finally:
                signal.set_wakeup_fd(-1)  # signals can still arrive when the socket is closed
        self.stop()

    def start(self) -> None:
        """Begin to serve.

        :raises ConfigurationError: another plug-in listens on the socket, or it cannot be created.
        """
        _remove_stale(self._path)
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as exc:
            raise errors.ConfigurationError(f"Cannot listen on {self._path}: {exc}") from exc
        finally:
            os.umask(before)
        self._server.start()

    def stop(self) -> None:
        """Take no more calls, and wait for those that run."""
        self._server.stop(self._stop_timeout).wait()
        with contextlib.suppress(OSError):
            self._path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the socket of a plug-in that was killed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise errors.ConfigurationError(
            f"The socket {path} cannot be created: {exc.strerror}"
        ) from exc
    if not is_socket:
        raise errors.ConfigurationError(f"{path} exists and is not a socket; it is not replaced")
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise errors.ConfigurationError(f"Another process listens on {path}")


class _Dispatcher:
    """Calls the method of an implementation, and converts errors to gRPC's."""

    def __init__(self, implementation: Any) -> None:
        self._implementation = implementation

    def __call__(self, method: Method, request: Any, context: Any) -> Any:
        function = getattr(self._implementation, method.attribute, None)
        if function is None:
            return context.abort(
                grpc.StatusCode.UNIMPLEMENTED, f"This plug-in does not support {method.name}."
            )
        started = time.monotonic()
        # Only IDs and names: requests can contain secrets.
        about = getattr(request, "volume_id", "") or getattr(request, "name", "")
        try:
            response = function(request)
        except errors.CinderlibError as exc:
            code, message = failures.status(exc)
            level = logging.INFO if code == grpc.StatusCode.ABORTED else logging.WARNING
            LOG.log(level, "%s %s: %s: %s", method.name, about, code.name, message)
        except Exception as exc:
            LOG.exception("%s %s failed", method.name, about)
            code = grpc.StatusCode.INTERNAL
            message = f"Internal error ({type(exc).__name__}); see the log of the plug-in."
        else:
            LOG.debug("%s %s: OK in %.3f s", method.name, about, time.monotonic() - started)
            return response
        # It raises an exception of gRPC's.
        return context.abort(code, message)
