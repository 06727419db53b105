"""Clients that send garbage, too much, too slowly, or nothing: others are answered promptly, and
the service's memory and files are bounded."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest
from service.running import Service

from cinderlib import service_address

pytestmark = pytest.mark.slow

CREATE = b"POST /v1/volumes HTTP/1.1\r\nhost: x\r\n"
#: MiB that an attack may add to the memory of the service, for each of 1,000 connections a buffer.
MOST = 300
#: How many times longer than without an attack another client may wait: the service answers the
#: complete requests of up to 1,000 connections first. And seconds that are never too long.
LONGER, SHORT = 200, 1.0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory(prefix="cl-") as name,
        Service(pathlib.Path(name)).start() as running,
    ):
        assert running.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200
        for _ in range(20):
            running.ask("GET", "/v1/volumes")
        yield running


def memory(service: Service) -> float:
    """The resident memory of the service, in MiB."""
    assert service.process is not None
    status = pathlib.Path(f"/proc/{service.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def files(service: Service) -> int:
    """How many descriptors the service has open."""
    assert service.process is not None
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))


def seconds_for_answers(service: Service) -> float:
    """How long another client waits for its answers."""
    start = time.monotonic()
    assert service.ask("GET", "/health")[0] == 200
    assert service.ask("GET", "/v1/volumes?limit=1")[0] == 200
    return time.monotonic() - start


#: Seconds that other clients waited during the attacks of a test.
WAITS: list[float] = []


def answers_others(service: Service) -> None:
    """Another client gets its answers during an attack. The time is compared after the attack."""
    WAITS.append(seconds_for_answers(service))


@pytest.fixture(autouse=True)
def is_bounded(service: Service) -> Iterator[None]:
    before, opened = memory(service), files(service)
    WAITS.clear()
    usual = [seconds_for_answers(service) for _ in range(3)]
    yield
    assert memory(service) < before + MOST
    deadline = time.monotonic() + 30
    # Connections of the pool of the store may stay.
    while files(service) > opened + 16 and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert files(service) <= opened + 16
    # A busy machine delays the answers without an attack, too.
    usual += [seconds_for_answers(service) for _ in range(3)]
    assert max(WAITS, default=0.0) < SHORT + LONGER * max(usual), (WAITS, usual)


def connect(service: Service) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(service.socket))
    return connection


@contextlib.contextmanager
def connections(service: Service, number: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(connect(service)) for _ in range(number)]


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the service takes."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


def test_random_bytes(service: Service) -> None:
    chance = random.Random(16)
    heads = (b"", b"GET / HTTP/1.1\r\n", CREATE, CREATE + b"content-length: 50\r\n\r\n")
    for number in range(400):
        with connect(service) as connection:
            sent = chance.choice(heads) + chance.randbytes(chance.randrange(1, 3000))
            send(connection, sent)
            if number % 2:
                connection.shutdown(socket.SHUT_WR)  # half-closed
                with contextlib.suppress(OSError):
                    answer = connection.recv(100)
                    assert not answer or answer.startswith(b"HTTP/1.1 ")
    answers_others(service)


def test_a_thousand_connections_with_incomplete_requests(service: Service) -> None:
    starts = (b"", b"G", b"GET /v1/volumes HTTP/1.1\r\nhost:", CREATE, b"GET / HTTP/1.1\r\n" * 3)
    with connections(service, 1000) as opened:
        for number, connection in enumerate(opened):
            send(connection, starts[number % len(starts)])
        answers_others(service)


def test_a_thousand_large_bodies_that_never_end(service: Service) -> None:
    head = CREATE + b"content-length: 4000000\r\n\r\n"
    part = b'{"name": "' + b"x" * 200_000
    used = []
    for _ in range(3):
        with connections(service, 1000) as opened:
            for connection in opened:
                send(connection, head)
                connection.setblocking(False)
                send(connection, part)
            answers_others(service)
            body = {"backend": "files", "size": 1}
            assert service.ask("POST", "/v1/volumes", body)[0] == 200
            used.append(memory(service))
    # The allocator keeps some memory, but uses it again.
    assert max(used[1:]) < used[0] + 64, used


def test_large_bodies_are_not_read_all_at_once(service: Service) -> None:
    head = CREATE + b"content-length: 4000000\r\n\r\n"
    before = memory(service)
    with connections(service, 100) as opened:
        left = dict.fromkeys(opened, head + b"{" * 3900000)
        for connection in opened:
            connection.setblocking(False)
        stalled = 0
        while stalled < 20:
            stalled += 1
            for connection, data in left.items():
                with contextlib.suppress(BlockingIOError):
                    left[connection] = data[connection.send(data) :]
                    stalled = 0 if data else stalled
            threading.Event().wait(0.05)
        assert memory(service) < before + 150
        answers_others(service)


def test_a_body_of_any_length_is_not_kept(service: Service) -> None:
    before = memory(service)
    with connect(service) as connection:
        send(connection, CREATE + b"transfer-encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
        for _ in range(256):
            send(connection, chunk)
        assert memory(service) < before + 64
        answers_others(service)


def test_headers_of_any_length_are_refused(service: Service) -> None:
    for line in (b"a: " + b"b" * 1000 + b"\r\n", b"a: b\r\n" * 20, b"b" * 5000):
        with connect(service) as connection:
            send(connection, b"GET / HTTP/1.1\r\n")
            for _ in range(2000):
                send(connection, line)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                answer = connection.recv(100)
                assert not answer or answer.startswith(b"HTTP/1.1 4")
                # For its length, not because its end was missing for too long.
                assert not answer.startswith(b"HTTP/1.1 408 ")


def test_slow_heads_and_bodies_are_ended(service: Service) -> None:
    """One byte at a time does not extend the time."""
    with connect(service) as head, connect(service) as idle:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in b"GET /health HTTP/1.1\r\nhost: " + b"x" * 1000:
                head.sendall(bytes([byte]))
                threading.Event().wait(0.1)
        assert 5 < time.monotonic() - start < 45
        assert idle.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_stops_is_ended(service: Service) -> None:
    with connect(service) as connection:
        connection.settimeout(120)
        send(connection, CREATE + b"content-length: 100\r\n\r\n{")
        start = time.monotonic()
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - start > 10


def test_requests_that_are_aborted(service: Service) -> None:
    body = b'{"backend": "files", "size": 0}'
    whole = CREATE + b"content-length: %d\r\n\r\n" % len(body) + body
    for number in range(500):
        with connect(service) as connection:
            send(connection, whole[: 1 + number % len(whole)])
    lists = b"GET /v1/volumes HTTP/1.1\r\nhost: x\r\n\r\n"
    for _ in range(200):
        with connect(service) as connection:
            send(connection, lists * 10)
    answers_others(service)
    # Clients that have left are not an error, whose traceback takes time.
    assert "Traceback" not in service.log.read_text()


def test_clients_that_do_not_read(service: Service) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    lists = b"GET /v1/volumes HTTP/1.1\r\nhost: x\r\n\r\n"
    with connections(service, 200) as opened:
        for number, connection in enumerate(opened):
            connection.setblocking(False)
            send(connection, (request if number % 2 else lists) * 500)
        answers_others(service)


def test_an_operation_id_is_limited(service: Service) -> None:
    body = {"backend": "files", "size": 1}
    status, error = service.ask("POST", "/v1/volumes", body, Operation_Id="x" * 10_000)
    assert (status, error["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_commands_run_while_others_send_nothing_or_garbage(service: Service) -> None:
    """To the process that runs commands."""

    def seconds_for_command() -> float:
        start = time.monotonic()
        # Only the process in the service accepts it: without standard streams, no other would.
        assert service.command("volume", "list", "--json", input="").returncode == 0
        return time.monotonic() - start

    usual = [seconds_for_command()]
    path = service_address.program_socket(str(service.socket), "command")
    chance = random.Random(16)
    with contextlib.ExitStack() as opened:
        for number in range(100):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            opened.enter_context(connection).connect(path)
            if number % 3 == 1:
                send(connection, chance.randbytes(1000))
            elif number % 3 == 2:
                send(connection, b"[" * 100_000)
        taken = seconds_for_command()
    usual.append(seconds_for_command())
    assert taken < SHORT + LONGER * max(usual), (taken, usual)
    done = service.command("--version", input="")
    assert done.returncode == 0
