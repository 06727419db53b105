"""Python processes in a virtual machine."""

from __future__ import annotations

import json
import socket
import textwrap
from collections.abc import Callable
from typing import Any


class RemoteError(Exception):
    """Code in a machine raised an exception.

    :ivar kind: name of the exception's class.
    :ivar message: the exception's text.
    """

    def __init__(self, machine: str, kind: str, message: str, traceback: str) -> None:
        super().__init__(f"{machine}: {kind}: {message}\n{traceback}")
        self.kind = kind
        self.message = message


class Session:
    """A Python process in a machine. Calling it runs code there, with the keyword arguments as
    names. Names are kept between calls. The call returns the value of the last expression, through
    JSON.

    :param machine: its name.
    :param start: starts the process, and returns the connection to it.
    """

    def __init__(self, machine: str, start: Callable[[], socket.socket]) -> None:
        self._machine = machine
        self._start = start
        self.reopen()

    def reopen(self) -> None:
        """Start a new process, because the previous one ended with its machine."""
        self._socket = self._start()
        self._answers = self._socket.makefile("r", encoding="utf-8")

    def __call__(self, code: str, /, **names: Any) -> Any:
        request = {"code": textwrap.dedent(code), "names": names}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._answers.readline()
        if not line.startswith("{"):
            raise ConnectionError(f"The Python process in {self._machine} ended: {line}")
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(
                self._machine, answer["error"], answer["message"], answer["traceback"]
            )
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._socket.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
