"""One host process with its channel: calls that may be given up, and the reason for its end."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers import loggers
from cinderlib.drivers.isolation import channel, limits, process
from cinderlib.drivers.port import Settings

_LOG = logging.getLogger(__name__)

#: Loggers whose levels a host receives; the empty name is the root logger.
_LEVELS = ("", "cinderlib", *loggers.LOGGERS)
#: Seconds that sending a call may take: hosts always receive, unless they are stopped.
_SEND_TIMEOUT = 30


class Ended(Exception):
    """The host ended before it answered.

    :ivar why: as the end of a sentence.
    :ivar kind: the error to raise.
    """

    def __init__(self, why: str, kind: type[errors.DriverInterrupted]) -> None:
        super().__init__(why)
        self.why = why
        self.kind = kind


class DriverHost:
    """One host process and its channel.

    :param backend: the name of the backend, for the log.
    :param handler: answers the host's calls.
    """

    def __init__(
        self,
        started: process.HostProcess,
        backend: str,
        bounds: limits.Limits,
        handler: channel.Handler,
    ) -> None:
        self.process = started
        self._backend = backend
        self._bounds = bounds
        self._guard = threading.Lock()
        self._why: str | None = None
        self._channel = channel.Channel(
            started.channel, handler, _in_thread, send_timeout=_SEND_TIMEOUT
        )
        _in_thread(self._channel.receive)

    @property
    def is_usable(self) -> bool:
        return self._why is None and not self._channel.is_lost

    def call(
        self,
        function: str,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        least_timeout: float = 0,
    ) -> Any:
        """Call a function of the host.

        :param task: its task, for messages.
        :param least_timeout: seconds that it has even if ``call_timeout`` is shorter.
        :returns: the result or the error.
        :raises Ended: the process of the driver ended without either.
        """
        timeout = max(self._bounds.call_timeout, least_timeout)
        try:
            return self._channel.call(function, args, kwargs, timeout=timeout)
        except channel.Lost:
            raise Ended(self.end(), errors.DriverInterrupted) from None
        except channel.Overdue:
            late = f"did not answer within {timeout:g} seconds, so the driver's process was ended"
            self.end(f"another call of the driver ({task}) {late}", report=True)
            raise Ended(f"its driver {late}", errors.DriverCallTimeout) from None
        except BaseException as exc:
            if not isinstance(exc, Exception):  # Control-C: the caller gives up its lock next
                self.end("another call was interrupted, so the driver's process was ended")
            raise

    def prepare(self, function: str, options: Mapping[str, Any], settings: Settings) -> Any:
        """Let a new host load or check its driver.

        :param function: ``'load'`` or ``'check'``.
        :raises CinderlibError: it cannot.
        """
        backend = self._backend
        try:
            arguments = [backend, dict(options), settings, _levels()]
            answer = self.call(
                function, "load the driver", arguments, {}, least_timeout=limits.LOAD_TIMEOUT
            )
        except Ended as end:
            raise errors.DriverError(
                f"backend {backend!r} could not be set up: {end.why}", resource=backend
            ) from None
        except TypeError as exc:
            raise errors.ConfigurationError(f"backend {backend!r}: {exc}") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def end(self, why: str | None = None, *, report: bool = False) -> str:
        """End the process; again, only wait for that.

        :param why: the reason; by default it has ended by itself.
        :param report: whether to log what its threads do.
        :returns: why it ended, as the end of a sentence.
        """
        with self._guard:
            if self._why is None:
                self.process.end(report=report)
                self._why = why or self._exit_reason()
                self._channel.close()
                self._log(self._why)
            return self._why

    def close(self) -> None:
        """End it without a trace in the log."""
        with self._guard:
            self._why = self._why or "the backend was closed"
            self.process.end()
            self._channel.close()
            self.process.close()

    def _exit_reason(self) -> str:
        code = self.process.exit_code()
        if code is None:
            return "the driver's process has ended"
        if code == limits.OUT_OF_MEMORY:
            limit = self._bounds.memory_limit
            if limit is None:
                return "the driver's process has no memory left"
            return f"its driver used more memory than memory_limit ({limit} MiB)"
        if code < 0:
            return f"the driver's process was ended by {_signal(-code)}"
        return f"the driver's process has ended with exit code {code}"

    def _log(self, why: str) -> None:
        report = self.process.crash_report()
        _LOG.warning(
            "Backend %s: process %d of the driver has ended: %s%s",
            *(self._backend, self.process.pid, why, f"\n{report}" if report else ""),
        )


def _in_thread(function: Callable[[], None]) -> None:
    threading.Thread(target=function, name="driver-host", daemon=True).start()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _levels() -> dict[str, int]:
    """The levels of the loggers that a driver uses: records below them are not sent."""
    return {name: logging.getLogger(name or None).getEffectiveLevel() for name in _LEVELS}


def handle_log_record(fields: Mapping[str, Any]) -> None:
    """Pass a log record of a host to the logger of that name."""
    logger = logging.getLogger(fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        logger.handle(logging.makeLogRecord(dict(fields)))
