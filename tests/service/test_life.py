"""Start, stop, reload and crash of the service."""

from __future__ import annotations

import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest
from service.running import COMMAND, Service

import cinderlib as cl

# Each test starts its own services.
pytestmark = pytest.mark.slow

SLOW = """
[backends.files]
volume_driver = "cli.slow_driver.SlowDriver"
file_root = "{folder}/volumes"
"""


@pytest.fixture
def slow(folder: pathlib.Path) -> Service:
    """A service whose backend waits in each create for a gate file."""
    made = Service(folder, backends=SLOW.format(folder=folder))
    made.environment["GATE"] = str(folder / "gate")
    return made


def _until(path: pathlib.Path) -> None:
    """Wait for a file that another process creates."""
    while not path.exists():
        threading.Event().wait(0.02)


def test_a_stop_waits_for_running_operations(slow: Service, folder: pathlib.Path) -> None:
    with slow.start():
        answers = []
        body = {"backend": "files", "size": 1}
        asking = threading.Thread(
            target=lambda: answers.append(slow.ask("POST", "/v1/volumes", body))
        )
        asking.start()
        _until(folder / "gate.reached")
        assert slow.process is not None
        slow.process.send_signal(signal.SIGTERM)
        (folder / "gate").touch()
        asking.join(60)
        assert slow.process.wait(60) == 0
        ((status, volume),) = answers
        assert (status, volume["status"]) == (200, "available")
        assert not slow.socket.exists()


def test_unfinished_operations_are_settled_by_the_next_service(
    slow: Service, folder: pathlib.Path
) -> None:
    slow.configure("stop_timeout = 1", SLOW.format(folder=folder))
    with slow.start():
        lines = slow.lines("POST", "/v1/volumes", {"backend": "files", "size": 1})
        next(lines)
        _until(folder / "gate.reached")
        assert slow.stop() == 1
    del slow.environment["GATE"]
    with slow.start():
        slow.ask("GET", "/v1/backends/files/stats")
        assert slow.ask("GET", "/v1/volumes") == (200, [])
        assert slow.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200


def test_an_isolated_driver_that_hangs_affects_only_its_backend(folder: pathlib.Path) -> None:
    backends = SLOW.format(folder=folder) + (
        'isolation = "process"\ncall_timeout = 5\n'
        f'[backends.other]\nvolume_driver = "file"\nfile_root = "{folder}/other"\n'
    )
    service = Service(folder, backends=backends)
    service.environment["GATE"] = str(folder / "gate")
    body = {"backend": "files", "size": 1, "id": "aaaaaaaa-0000-4000-8000-000000000001"}
    with service.start():
        assert service.ask("GET", "/v1/backends/files/stats")[0] == 200
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(service.ask("POST", "/v1/volumes", body))
        )
        asking.start()
        _until(folder / "gate.reached")
        assert service.ask("POST", "/v1/volumes", {"backend": "other", "size": 1})[0] == 200
        asking.join()
        ((status, answer),) = answers
        assert (status, answer["error"]["type"]) == (504, "DriverCallTimeout")
        assert answer["error"]["retryable"]
        (folder / "gate").touch()
        status, volume = service.ask("POST", "/v1/volumes", body)
        assert (status, volume["status"]) == (200, "available")
        assert service.stop() == 0


def test_a_killed_service_is_replaced(folder: pathlib.Path) -> None:
    with Service(folder).start() as first:
        first.stop(signal.SIGKILL)
        assert first.socket.exists()
        with first.start():
            assert first.ask("GET", "/health")[0] == 200


def test_only_one_service_uses_a_socket(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        second = subprocess.run(
            [*COMMAND, "serve"],
            env=running.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 2
        assert "Another service" in second.stderr
        assert running.ask("GET", "/health")[0] == 200
        assert running.command("backend", "stats").returncode == 0


def test_a_reload_applies_the_configuration(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        assert running.ask("GET", "/v1/backends/more/stats")[0] == 409
        running.configure(
            backends=f'[backends.files]\nvolume_driver = "file"\nfile_root = "{running.volumes}"\n'
            f'[backends.more]\nvolume_driver = "file"\nfile_root = "{folder}/more"\n'
        )
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        with cl.connect(running.url) as controller:
            while "more" not in controller.backends:
                controller.refresh_backends()
        assert running.ask("POST", "/v1/volumes", {"backend": "more", "size": 1})[0] == 200


def test_included_files_are_read_again_when_they_change(folder: pathlib.Path) -> None:
    service = Service(folder)
    service.config.write_text(f'include = "more/*.toml"\n{service.config.read_text()}')
    with service.start() as running:
        file = folder / "more" / "more.toml"
        file.parent.mkdir()
        options = f'volume_driver = "file"\nfile_root = "{folder}/more"\n'
        file.write_text(f"[backends.more]\n{options}")
        with cl.connect(running.url) as controller:
            while "more" not in controller.backends:
                controller.refresh_backends()
            assert running.ask("POST", "/v1/volumes", {"backend": "more", "size": 1})[0] == 200
            file.unlink()
            while "more" in controller.backends:
                controller.refresh_backends()


def test_a_changed_secret_takes_effect(folder: pathlib.Path) -> None:
    """The options are the same, and the file that they refer to has changed."""
    secret = folder / "root"
    secret.write_text(f"{folder}/first\n")
    with Service(
        folder,
        backends='[backends.files]\nvolume_driver = "file"\nfile_root = { file = "root" }\n',
    ).start() as running:
        assert running.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200
        secret.write_text(f"{folder}/second\n")
        assert running.ask("POST", "/v1/service/reload", {})[0] == 200
        assert running.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200
        for name in ("first", "second"):
            assert len(list((folder / name).glob("volume-*"))) == 1


def test_a_reload_rejects_an_invalid_configuration(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        good = running.config.read_text()
        running.config.write_text(good + "\n[backends.bad\n")
        assert running.process is not None
        running.process.send_signal(signal.SIGHUP)
        while b"not reloaded" not in running.log.read_bytes():
            threading.Event().wait(0.02)
        assert running.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200


def test_the_command_shows_and_reloads_the_service(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        assert running.process is not None
        assert running.ask("GET", "/v1/backends/files/stats")[0] == 200
        shown = running.command("service", "status").stdout
        assert str(running.process.pid) in shown
        assert str(running.config) in shown
        assert "loaded" in shown.split("files", 1)[1]
        good = running.config.read_text()
        running.config.write_text(
            f'{good}\n[backends.more]\nvolume_driver = "file"\nfile_root = "{folder}/more"\n'
        )
        reloaded = running.command("service", "reload")
        assert reloaded.stderr == "Reloaded: files, more.\n"
        assert running.ask("POST", "/v1/volumes", {"backend": "more", "size": 1})[0] == 200
        with cl.connect(running.url) as controller:
            running.config.write_text(f"{good}\n[backends.bad\n")
            with pytest.raises(cl.errors.ConfigurationError, match="not valid TOML"):
                controller.reload()
            assert {"files", "more"} == set(controller.backends)
            status = controller.status()
        assert (status["pid"], status["running"]) == (running.process.pid, [])


def test_a_reload_does_not_interrupt_a_call(slow: Service, folder: pathlib.Path) -> None:
    """It waits for the call, whose driver it closes."""
    with slow.start(), cl.connect(slow.url) as controller:
        making = threading.Thread(target=controller.backend("files").create_volume, args=(1,))
        making.start()
        _until(folder / "gate.reached")
        assert [call["verb"] for call in controller.status()["running"]] == ["volume.create"]
        assert "volume.create" in slow.command("service", "status").stdout
        slow.config.write_text(f"{slow.config.read_text()}max_over_subscription_ratio = 3\n")
        reloading = threading.Thread(target=controller.reload)
        reloading.start()
        reloading.join(0.5)
        assert reloading.is_alive()
        (folder / "gate").touch()
        making.join(60)
        reloading.join(60)
        assert [volume.status for volume in controller.volumes()] == ["available"]


def test_a_service_that_does_not_run(folder: pathlib.Path) -> None:
    done = Service(folder).command("service", "status")
    assert "start it with `cinderlib serve`" in done.stderr
    assert done.returncode != 0


def test_an_idle_service_ends(folder: pathlib.Path) -> None:
    with Service(folder).start("--idle-timeout", "0.5") as running:
        assert running.process is not None
        assert running.process.wait(60) == 0


#: Starts a service like systemd: sets LISTEN_PID to its own process ID and executes the service.
AS_SYSTEMD = (
    sys.executable,
    "-c",
    "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.dup2(int(sys.argv[1]), 3);"
    " os.execv(sys.argv[2], sys.argv[2:])",
)


def test_systemd_may_open_the_socket(folder: pathlib.Path) -> None:
    made = Service(folder)
    made.environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "cinderlib"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.socket))
        listener.listen()
        program = (*AS_SYSTEMD, str(listener.fileno()))
        with made.start(program=program, pass_fds=(listener.fileno(),)):
            assert made.ask("GET", "/health")[0] == 200
            assert made.stop() == 0
        assert made.socket.exists()  # systemd owns it and will start the next service
