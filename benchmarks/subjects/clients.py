"""Clients of the service that keep a connection each, on its UNIX socket. They need almost no
processor time, so that the service is measured."""

from __future__ import annotations

import json
import selectors
import socket
import time

_END = b"\r\n\r\n"


class _Client:
    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self._received = bytearray()

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def has_answer(self) -> bool:
        """Receive available data. Returns whether the answer is complete.

        :raises RuntimeError: the service refused the request.
        """
        self._received += self.socket.recv(65536)
        head, end, body = bytes(self._received).partition(_END)
        if not end:
            return False
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        if len(body) < length:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(body.decode())
        self._received.clear()
        return True


def _request(method: str, path: str, body: object = None) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


class Subject:
    """:param socket: of the service.
    :param backend: on which volumes are created.
    """

    def __init__(self, socket: str, backend: str) -> None:
        self._path = socket
        self._create = _request("POST", "/v1/volumes", {"backend": backend, "size": 1})

    def close(self) -> None:
        """Does nothing, because the process ends."""

    def threads(self, count: int, seconds: float) -> float:
        """Volumes created per second by ``count`` clients at once."""
        selector = selectors.DefaultSelector()
        clients = [_Client(self._path) for _ in range(count)]
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        start = time.perf_counter()
        end = start + seconds
        created, busy = 0, count
        for client in clients:
            client.send(self._create)
        while busy:
            for key, _ in selector.select():
                if key.data.has_answer():
                    created += 1
                    if time.perf_counter() < end:
                        key.data.send(self._create)
                    else:
                        busy -= 1
        rate = created / (time.perf_counter() - start)
        for client in clients:
            client.socket.close()
        return rate

    def listing(self) -> dict[str, float]:
        """Seconds to receive all volumes as lines, their number, and the seconds to the first."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self._path)
        start = time.perf_counter()
        client.sendall(
            b"GET /v1/volumes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Accept: application/x-ndjson\r\n\r\n"
        )
        count, first = 0, 0.0
        while part := client.recv(1 << 20):
            count += part.count(b'{"id":')
            first = first or time.perf_counter() - start
        client.close()
        return {"seconds": time.perf_counter() - start, "first": first, "count": count}
