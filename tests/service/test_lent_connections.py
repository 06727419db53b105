"""Connections that a thread of the service answers alone, because their clients keep them."""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import threading
from typing import Any

import pytest
from service.running import Service
from service.test_http_connections import Raw, request

from cinderlib.service.http_connection import KEPT_AFTER
from cinderlib.service.lent_connection import LentConnection, Returned
from cinderlib.service.plain_answer import Answer
from cinderlib.service.roles import Peer, Role

NEW = {"backend": "files", "size": 1}


def create(**more: Any) -> bytes:
    return request("POST", "/v1/volumes", {**NEW, **more}, "user-agent: kept/1")


def lent(service: Service) -> Raw:
    """A connection that a thread has, or has had a moment ago."""
    raw = Raw(service)
    for _ in range(KEPT_AFTER + 1):
        raw.send(create())
        assert raw.answer()[0] == 200
    return raw


def test_all_requests_of_a_kept_connection_are_answered(service: Service) -> None:
    raw = lent(service)
    ids = []
    for number in range(20):
        raw.send(create(name=f"kept-{number}"))
        status, headers, volume = raw.answer()
        assert (status, volume["name"]) == (200, f"kept-{number}")
        assert headers["operation-id"]
        assert headers["date"]
        ids.append(volume["id"])
    for id in ids:
        raw.send(request("GET", f"/v1/volumes/{id}"))
        assert raw.answer()[2]["id"] == id
        raw.send(request("DELETE", f"/v1/volumes/{id}"))
        assert raw.answer()[0] == 200
        raw.send(request("GET", f"/v1/volumes/{id}"))
        assert raw.answer()[0] == 404
    status, operations = service.ask("GET", f"/v1/history?resource={ids[-1]}")
    assert status == 200, operations
    assert json.dumps(operations).count('"kept/1"') == 1, operations


def test_requests_that_the_event_loop_answers(service: Service) -> None:
    """A list, one about the service, refused ones, one in parts, and pipelined ones."""
    raw = lent(service)
    unusual: list[tuple[list[bytes], list[int]]] = [
        ([request("GET", "/v1/volumes?limit=1")], [200]),
        ([request("GET", "/health")], [200]),
        ([request("POST", "/v1/nothing", {})], [404]),
        ([request("POST", "/v1/volumes", {"size": "x"})], [400]),
        ([request("POST", "/v1/volumes?colour=red", NEW)], [400]),
        ([create()[:40], create()[40:]], [200]),
        ([create() + create() + create()[:30], create()[30:]], [200, 200, 200]),
        ([create(metadata={"long": "x" * 40_000})], [200]),
        ([request("GET", "/v1/volumes/%61")], [404]),
    ]
    for parts, statuses in unusual:
        raw.send(create())
        assert raw.answer()[0] == 200
        raw.send(*parts)
        assert [raw.answer()[0] for _ in statuses] == statuses


def test_a_repeated_operation_gets_the_first_result(service: Service) -> None:
    raw = lent(service)
    again = request("POST", "/v1/volumes", NEW, "operation-id: again")
    found = []
    for _ in range(4):
        raw.send(again)
        found.append(raw.answer()[2]["id"])
    assert len(set(found)) == 1


def test_a_client_that_leaves_after_its_request(service: Service) -> None:
    raw = lent(service)
    raw.send(request("POST", "/v1/volumes", {**NEW, "name": "left"}, "operation-id: gone"))
    raw.socket.close()
    raw._file.close()
    status, _ = service.ask("GET", "/v1/operations/gone?wait=true")
    while status == 404:  # the request is still on its way
        status, _ = service.ask("GET", "/v1/operations/gone?wait=true")
    assert status == 200
    assert len(service.ask("GET", "/v1/volumes?name=left")[1]) == 1


def test_more_clients_than_threads(folder: pathlib.Path) -> None:
    """Each gets its answers in order, although others wait for a thread."""
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        raw = Raw(service)
        for turn in range(8):
            raw.send(create(name=f"{number}-{turn}"))
            found.setdefault(number, []).append(raw.answer()[2]["name"])
        raw.socket.close()

    with Service(folder, service="threads = 2").start() as service:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert service.stop() == 0
    assert found == {n: [f"{n}-{turn}" for turn in range(8)] for n in range(6)}


def test_the_end_of_the_service_is_announced(folder: pathlib.Path) -> None:
    """No request on a kept connection is lost while the service stops."""
    with Service(folder).start() as service:
        raw = lent(service)
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        answered = 0
        while True:
            try:
                raw.send(create(name="last"))
                status, headers, _ = raw.answer()
            except (OSError, IndexError):
                break
            answered += 1
            assert status == 200
            if headers.get("connection") == "close":
                assert raw.is_closed()
                break
        assert service.process.wait(60) == 0
    with Service(folder).start() as service:
        assert len(service.ask("GET", "/v1/volumes?name=last")[1]) == answered


class Lent:
    """A lent connection without a service."""

    def __init__(self, *, ending: bool = False) -> None:
        self.client, self.server = socket.socketpair()
        self.server.setblocking(False)
        self.returned: list[Returned] = []
        self.connection = LentConnection(
            self.server,
            Peer("someone", Role.OPERATE),
            default_headers=lambda: [(b"date", b"today")],
            is_ending=lambda: ending,
            give_back=self.returned.append,
        )


ORDINARY = create()


def test_a_request_is_received() -> None:
    it = Lent()
    it.client.sendall(ORDINARY)
    received = it.connection.receive(lambda: True)
    assert received is not None
    scope, body = received
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/v1/volumes", b"")
    assert json.loads(body) == NEW
    it.connection.refuse()
    it.connection.refuse()
    assert it.returned == [(None, b"", ORDINARY)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ORDINARY[:-1],
        ORDINARY + b"P",
        ORDINARY * 2,
        ORDINARY.replace(b"host: x", b"connection: close"),
        ORDINARY.replace(b"host: x", b"expect: 100-continue"),
        ORDINARY.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ORDINARY.replace(b"volumes", b"%76olumes"),
        b"\x00\xff",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_other_requests_are_given_back(data: bytes) -> None:
    it = Lent()
    it.client.sendall(data)
    assert it.connection.receive(lambda: True) is None
    assert it.returned == [(None, b"", data)]


def test_a_thread_without_time_reads_nothing() -> None:
    it = Lent()
    it.client.sendall(ORDINARY)
    assert it.connection.receive(lambda: False) is None
    assert it.returned == [(None, b"", b"")]
    assert it.server.recv(1000) == ORDINARY


def test_an_answer_is_sent_or_given_back() -> None:
    answer = Answer(200, b"{}", "1")
    it = Lent()
    assert it.connection.send(answer)
    assert it.client.recv(1000).endswith(b"operation-id: 1\r\n\r\n{}")
    ending = Lent(ending=True)
    assert not ending.connection.send(answer)
    assert ending.returned == [(answer, b"", b"")]
    slow = Lent()
    long = Answer(200, b"x" * 2**24)
    assert not slow.connection.send(long)
    ((_, unsent, _),) = slow.returned
    assert 0 < len(unsent) < 2**24
    gone = Lent()
    gone.client.close()
    assert not gone.connection.send(answer)
    assert gone.returned[0].unsent == answer.encoded([(b"date", b"today")])
