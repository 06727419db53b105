"""Requests in every form that HTTP allows on one connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from service.running import Service


class Raw:
    """A connection on which requests are bytes."""

    def __init__(self, service: Service) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(service.socket))
        self._file = self.socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._file.readline(), 16):
                body += self._file.read(size)
                self._file.readline()
            self._file.readline()
        else:
            body = self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(body)

    def is_closed(self) -> bool:
        return self._file.read(1) == b""


@pytest.fixture
def raw(service: Service) -> Iterator[Raw]:
    connection = Raw(service)
    yield connection
    connection.socket.close()


def request(method: str, path: str, body: Any = None, *headers: str) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(text)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


def test_pipelined_requests_are_answered_in_order(raw: Raw) -> None:
    """Those that one thread answers, those that are streamed, and those about the service."""
    new = {"backend": "files", "size": 1}
    raw.send(
        request("POST", "/v1/volumes", {**new, "name": "first"})
        + request("GET", "/v1/volumes?name=first")
        + request("GET", "/health")
        + request("GET", "/v1/volumes/none")
        + request("POST", "/v1/volumes", {**new, "metadata": {"long": "x" * 40_000}})
        + request("GET", "/v1/backends/files")
    )
    found = [raw.answer() for _ in range(6)]
    assert [status for status, _, _ in found] == [200, 200, 200, 404, 200, 200]
    created, listed, health, missing, long, backend = (body for _, _, body in found)
    assert [volume["id"] for volume in listed] == [created["id"]]
    assert health == {"status": "ok"}
    assert missing["error"]["code"] == "NOT_FOUND"
    assert len(long["metadata"]["long"]) == 40_000
    assert backend["name"] == "files"


@pytest.mark.parametrize("size", [10, 50_000])
def test_a_body_can_arrive_in_pieces(raw: Raw, size: int) -> None:
    body = {"backend": "files", "size": 1, "metadata": {"text": "x" * size}}
    whole = request("POST", "/v1/volumes", body, f"operation-id: pieces-{size}")
    step = 7 if size == 10 else 5000
    raw.send(*(whole[at : at + step] for at in range(0, len(whole), step)))
    status, headers, volume = raw.answer()
    assert (status, headers["operation-id"]) == (200, f"pieces-{size}")
    assert volume["metadata"]["text"] == "x" * size
    # In chunks, and with a question before the body.
    text = json.dumps(body).encode()
    head = b"POST /v1/volumes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    raw.send(head, b"%x\r\n%s\r\n" % (len(text), text), b"0\r\n\r\n")
    assert raw.answer()[0] == 200
    head = request("POST", "/v1/volumes", body, "expect: 100-continue")[: -len(text)]
    raw.send(head)
    assert raw._file.readline() == b"HTTP/1.1 100 Continue\r\n"
    raw._file.readline()
    raw.send(text)
    assert raw.answer()[0] == 200


def test_a_connection_is_closed_on_request(raw: Raw) -> None:
    raw.send(request("GET", "/v1/backends/files", None, "connection: close"))
    status, headers, _ = raw.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert raw.is_closed()


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        (b"{", "/v1/volumes", 400),
        (b'{"size": "x"}', "/v1/volumes", 400),
        (b"{}", "/v1/volumes?colour=red", 400),
        (b'{"size": 2}', "/v1/volumes/none/extend", 404),
        (b"{}", "/v1/nothing", 404),
    ],
)
def test_a_refused_request_leaves_the_connection_open(
    raw: Raw, body: bytes, path: str, status: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    for _ in range(2):
        raw.send(head + body)
        found, _, answer = raw.answer()
        assert found == status
        assert answer["error"]["message"]


def test_a_client_that_leaves_before_the_answer(service: Service) -> None:
    body = {"backend": "files", "size": 1, "name": "of one that left"}
    leaving = Raw(service)
    leaving.send(request("POST", "/v1/volumes", body, "operation-id: left"))
    leaving.socket.close()
    status, volume = service.ask("GET", "/v1/operations/left?wait=true")
    while status == 404:  # the request is still on its way
        status, volume = service.ask("GET", "/v1/operations/left?wait=true")
    assert (status, volume["name"]) == (200, "of one that left")
    # In the middle of a body.
    leaving = Raw(service)
    leaving.send(request("POST", "/v1/volumes", body)[:-5])
    leaving.socket.close()
    assert service.ask("GET", "/health")[0] == 200
