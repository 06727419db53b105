"""Clients that send requests to a service without a pause."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from service.running import Connection

#: Opens a connection.
Connect = Callable[[], http.client.HTTPConnection]


class Load:
    """Some threads: half of them keep their connection, the others open one for each request.

    A kept connection is opened again if the last answer ended it, as HTTP demands.

    :ivar answered: requests that succeeded.
    :ivar failures: what the others got.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._stop = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def running(self, threads: int = 4) -> Iterator[None]:
        """Send requests while entered; half of the threads change something."""
        started = [threading.Thread(target=self._send, args=(number,)) for number in range(threads)]
        for thread in started:
            thread.start()
        try:
            self.more(threads)
            yield
            self.more(threads)
        finally:
            self._stop.set()
            for thread in started:
                thread.join(120)

    def more(self, count: int) -> None:
        """Wait for more successful requests."""
        until = self.answered + count
        while self.answered < until and not self.failures:
            threading.Event().wait(0.02)

    def _send(self, number: int) -> None:
        keeps, changes = bool(number & 1), bool(number & 2)
        used = self._connect()
        while not self._stop.is_set():
            try:
                if changes:
                    made = self._ask(used, "POST", {"backend": "files", "size": 1})
                    self._ask(used, "DELETE", None, made["id"])
                else:
                    self._ask(used, "GET", None)
            except Exception as exc:
                self.failures.append(f"{number}: {exc!r}")
                return
            with self._guard:
                self.answered += 1
            if not keeps:
                used.close()

    def _ask(self, used: http.client.HTTPConnection, method: str, body: Any, id: str = "") -> Any:
        path = "/v1/volumes" + (f"/{id}" if id else "")
        used.request(method, path, None if body is None else json.dumps(body).encode())
        answer = used.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {text!r}")
        return json.loads(text)


def over(path: str) -> Connect:
    """Connections to a UNIX socket."""
    return lambda: Connection(path)
