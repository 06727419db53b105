"""A service that is replaced under load: no request fails."""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from service.load import Load, over
from service.running import COMMAND, Service
from service.site import Site
from service.test_life import AS_SYSTEMD, SLOW, _until

import cinderlib as cl

# Each test starts several services.
pytestmark = pytest.mark.slow


def _statuses(service: Service) -> list[str]:
    with cl.connect(service.url) as controller:
        return [volume.status for volume in controller.volumes()]


@pytest.fixture
def first(folder: pathlib.Path) -> Service:
    return Service(folder)


def _pid(service: Service) -> int:
    assert service.process is not None
    return service.process.pid


def _serving(service: Service) -> int:
    pid: int = service.ask("GET", "/v1/service")[1]["pid"]
    return pid


def test_no_request_fails_while_a_service_is_replaced(first: Service) -> None:
    second = first.next()
    load = Load(over(str(first.socket)))
    with first.start():
        with load.running(8):
            for old, new in ((first, second), (second, first)):
                process = old.process
                assert process is not None
                new.start("--replace")
                assert process.wait(60) == 0
                assert _serving(first) == _pid(new)
                load.more(40)
        assert load.failures == []
        assert first.stop() == 0
    left = {path.name for path in first.folder.iterdir() if path.is_socket()}
    assert left == set()


def test_commands_continue_while_a_service_is_replaced(first: Service) -> None:
    second = first.next()
    codes: list[int] = []
    stop = threading.Event()

    def commands() -> None:
        while not stop.is_set():
            codes.append(first.command("volume", "list").returncode)

    with first.start():
        running = threading.Thread(target=commands)
        running.start()
        while len(codes) < 3:
            stop.wait(0.02)
        with second.start("--replace"):
            assert first.process is not None
            assert first.process.wait(60) == 0
            enough = len(codes) + 3
            while len(codes) < enough:
                stop.wait(0.02)
            stop.set()
            running.join()
            assert set(codes) == {0}
            assert first.socket.with_name("s.command.sock").is_socket()


def test_a_replaced_service_finishes_its_calls(first: Service, folder: pathlib.Path) -> None:
    first.configure(backends=SLOW.format(folder=folder))
    first.environment["GATE"] = str(folder / "gate")
    answers = []
    with first.start():
        body = {"backend": "files", "size": 1}
        asking = threading.Thread(
            target=lambda: answers.append(first.ask("POST", "/v1/volumes", body))
        )
        asking.start()
        _until(folder / "gate.reached")
        second = first.next()
        with second.start("--replace"):
            while _serving(second) != _pid(second):
                pass  # for a moment, both accept connections
            assert _statuses(second) == ["creating"]
            (folder / "gate").touch()
            asking.join(60)
            assert first.process is not None
            assert first.process.wait(60) == 0
            ((status, volume),) = answers
            assert (status, volume["status"]) == (200, "available")
            assert _statuses(second) == ["available"]


def test_a_replaced_service_gives_up_calls_after_stop_timeout(
    first: Service, folder: pathlib.Path
) -> None:
    """The next call, in the new service, settles the interrupted one."""
    first.configure("stop_timeout = 1", SLOW.format(folder=folder))
    first.environment["GATE"] = str(folder / "gate")
    body = {"backend": "files", "size": 1, "id": "aaaaaaaa-0000-4000-8000-000000000001"}
    with first.start():
        next(first.lines("POST", "/v1/volumes", body))
        _until(folder / "gate.reached")
        second = first.next()
        del second.environment["GATE"]
        with second.start("--replace"):
            assert first.process is not None
            assert first.process.wait(60) == 1
            status, volume = second.ask("POST", "/v1/volumes", body)
            assert (status, volume["status"]) == (200, "available")


def test_a_new_service_that_fails_replaces_nothing(first: Service, folder: pathlib.Path) -> None:
    load = Load(over(str(first.socket)))
    with first.start(), load.running():
        assert first.ask("GET", "/v1/backends/files/stats")[0] == 200
        good = first.config.read_text()
        first.config.write_text(good.replace(str(first.volumes), "/proc/nothing"))
        failed = first.command("serve", "--replace")
        assert failed.returncode != 0
        assert "backend files" in failed.stderr
        assert f"process {_pid(first)}) continues" in failed.stderr
        first.config.write_text(f"{good}\n[backends.bad\n")
        assert first.command("serve", "--replace").returncode == 2
        load.more(20)
        assert _serving(first) == _pid(first)
        # The command's socket is still that of the running service.
        assert first.socket.with_name("s.command.sock").is_socket()
        assert sorted(path.name for path in folder.iterdir() if path.is_socket()) == [
            *("s.adapter.sock", "s.command.sock", "s.next.sock", "s.sock")
        ]
    assert load.failures == []


def test_a_new_service_that_is_killed_replaces_nothing(
    first: Service, folder: pathlib.Path
) -> None:
    second = first.next()
    with first.start():
        # It blocks while it loads its backend, with the sockets of the running service.
        second.configure(
            backends='[backends.files]\nvolume_driver = "service.gated_load.GatedLoad"\n'
            f'file_root = "{second.volumes}"\n'
        )
        second.environment["GATE"] = str(folder / "gate")
        for number in (signal.SIGKILL, signal.SIGTERM):
            with subprocess.Popen(
                [*COMMAND, "serve", "--replace"], env=second.environment, stderr=subprocess.PIPE
            ) as starting:
                _until(folder / "gate.reached")
                starting.send_signal(number)
                assert starting.wait(60) == (-number if number == signal.SIGKILL else 0)
            (folder / "gate.reached").unlink()
            assert _serving(first) == _pid(first)
        del second.environment["GATE"]
        with second.start("--replace"):
            assert first.process is not None
            assert first.process.wait(60) == 0
            assert _serving(second) == _pid(second)


def test_replace_without_a_running_service_just_starts(first: Service) -> None:
    with first.start("--replace"):
        assert first.ask("GET", "/health")[0] == 200
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        with first.start("--replace"):
            assert first.ask("GET", "/health")[0] == 200


def test_hosts_that_use_tls_do_not_notice(folder: pathlib.Path) -> None:
    site = Site(folder)
    certificate = site.authority.issue("operator", common_name="operator")
    context = ssl.create_default_context(cafile=str(site.authority.certificate))
    context.load_cert_chain(certificate, folder / "operator.key")
    load = Load(lambda: http.client.HTTPSConnection("127.0.0.1", site.port, context=context))
    second = site.service.next()
    with contextlib.ExitStack() as stack:
        stack.enter_context(site.service.start())
        with load.running(4):
            stack.enter_context(second.start("--replace"))
            assert site.service.process is not None
            assert site.service.process.wait(60) == 0
            load.more(20)
            assert _serving(second) == _pid(second)
        assert load.failures == []


def test_no_request_fails_while_systemd_restarts_a_service(folder: pathlib.Path) -> None:
    """systemd keeps the socket, and requests wait in it for the next service."""
    made = Service(folder)
    made.environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "cinderlib"}
    load = Load(over(str(made.socket)))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.socket))
        listener.listen(100)
        program = (*AS_SYSTEMD, str(listener.fileno()))
        with made.start(program=program, pass_fds=(listener.fileno(),)), load.running(8):
            for _ in range(2):
                assert made.stop() == 0
                made.start(program=program, pass_fds=(listener.fileno(),))
                load.more(20)
            # It is systemd's: no other service replaces it.
            del made.environment["LISTEN_FDS"]
            refused = made.command("serve", "--replace")
            assert refused.returncode == 2
            assert "systemctl restart" in refused.stderr
        assert load.failures == []
        assert os.path.exists(made.socket)
