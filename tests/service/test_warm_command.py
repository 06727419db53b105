"""A command that runs in the service behaves like one that runs by itself, but faster."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import signal
import subprocess
import threading

import pytest
from service.running import COMMAND, Service

#: To run the command without the service.
COLD = {"CINDERLIB_SERVICE": "none"}


def test_the_same_output_and_exit_code_both_ways(service: Service) -> None:
    made = service.command("volume", "create", "both", "1GiB")
    assert made.returncode == 0, made.stderr
    for arguments in (
        ("volume", "list"),
        ("volume", "list", "--json"),
        ("volume", "show", "both"),
        ("volume", "show", "none"),
        ("volume", "show"),
        ("volume", "delete", "both"),
        ("snapshot", "list"),
        ("config", "check"),
        ("--version",),
        ("--help",),
        ("no-such-noun",),
    ):
        warm = service.command(*arguments, input="")
        cold = service.command(*arguments, input="", environment=COLD)
        assert (warm.returncode, warm.stdout, warm.stderr) == (
            cold.returncode,
            cold.stdout,
            cold.stderr,
        ), arguments


def test_a_command_in_the_service_imports_few_modules(service: Service) -> None:
    program = (
        "import sys; sys.argv = ['cinderlib', 'volume', 'list']\n"
        "import os, cinderlib.launcher as launcher\n"
        "def ended(code):\n"
        "    heavy = {'click', 'msgspec', 'cinder', 'http.client'} & set(sys.modules)\n"
        "    print(code, sorted(heavy), file=sys.stderr); sys.stderr.flush(); exit_(code)\n"
        "exit_, os._exit = os._exit, ended\n"
        "launcher.main()\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", program],
        env=service.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "0 []"


def test_standard_input_and_the_working_directory_of_the_client_are_used(
    service: Service, tmp_path: pathlib.Path
) -> None:
    service.command("volume", "create", "mapped", "1GiB")
    connector = {"host": "node1", "initiator": "iqn.2026-11.org.example:node1"}
    (tmp_path / "node1.json").write_text(json.dumps(connector))
    failed = service.command("volume", "connect", "mapped", "--connector", "none.json")
    assert failed.returncode == 2
    for source, given in (("-", json.dumps(connector)), ("node1.json", "")):
        done = service.command(
            "volume", "connect", "mapped", "--connector", source, input=given, cwd=tmp_path
        )
        assert "not valid" not in done.stderr
        assert "No such file" not in done.stderr


def test_a_command_with_another_configuration_does_not_use_the_service(
    service: Service, folder: pathlib.Path
) -> None:
    other = Service(folder)
    environment = {**service.environment, "CINDERLIB_CONFIG": str(other.config)}
    done = service.command("volume", "create", "elsewhere", "1GiB", environment=environment)
    assert done.returncode == 0
    assert list(other.volumes.glob("volume-*"))
    assert "elsewhere" not in service.command("volume", "list").stdout


def test_a_question_is_answered_on_the_terminal(service: Service) -> None:
    service.command("volume", "create", "asked", "1GiB")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "volume", "delete", "asked"],
        env=service.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"?" not in seen:
        seen += os.read(ours, 1000)
    os.write(ours, b"y\n")
    assert process.wait(60) == 0
    os.close(ours)
    assert "asked" not in service.command("volume", "list").stdout


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 2))]
)
def test_a_closed_stream(service: Service, number: int) -> None:
    def close() -> None:
        os.close(number)

    results = []
    for environment in (service.environment, {**service.environment, **COLD}):
        done = subprocess.run(
            [*COMMAND, "volume", "list"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if number == 1 else subprocess.PIPE,
            stderr=None if number == 2 else subprocess.PIPE,
            preexec_fn=close,
            check=False,
        )
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1]


@pytest.mark.slow
def test_ctrl_c_reaches_the_command(folder: pathlib.Path) -> None:
    backends = (
        '[backends.files]\nvolume_driver = "cli.slow_driver.SlowDriver"\n'
        f'file_root = "{folder}/volumes"\n'
    )
    slow = Service(folder, backends=backends)
    slow.environment["GATE"] = str(folder / "gate")
    with slow.start():
        process = subprocess.Popen(
            [*COMMAND, "volume", "create", "stopped", "1GiB"],
            env=slow.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not (folder / "gate.reached").exists():
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Interrupted" in stderr
        (folder / "gate").touch()
        # The service continues the operation.
        (call,) = slow.ask("GET", "/v1/operations")[1]
        status, volume = slow.ask("GET", f"/v1/operations/{call['id']}?wait=true")
        assert (status, volume["status"]) == (200, "available")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.slow
def test_a_command_has_the_rights_of_its_user(folder: pathlib.Path) -> None:
    secret = folder / "secret.json"
    secret.write_text("{}")
    secret.chmod(0o600)
    with Service(folder, service='mode = "0666"\nrole = "read"').start() as running:
        running.config.chmod(0o644)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        assert running.command("volume", "list", **nobody).returncode == 0
        refused = running.command("volume", "create", "x", "1GiB", **nobody)
        assert refused.returncode != 0
        assert "needs the role 'operate'" in refused.stderr
        read = running.command("volume", "connect", "x", "--connector", str(secret), **nobody)
        assert "Permission denied" in read.stderr


@pytest.mark.slow
def test_a_service_that_dies_meanwhile(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        running.stop(signal.SIGKILL)
        done = running.command("volume", "create", "cold", "1GiB")
        assert done.returncode == 0
        assert "cold" in running.command("volume", "list").stdout


def test_a_signal_after_the_end_of_a_warm_process_prints_nothing(folder: pathlib.Path) -> None:
    program = (
        "import os, signal, socket\n"
        "from cinderlib.service.warm.listener import Listener\n"
        "from cinderlib.service.warm.programs import PROGRAMS\n"
        "*_, program = PROGRAMS\n"
        "with socket.socket(socket.AF_UNIX) as listener:\n"
        "    Listener(listener, program, 'none', parent=0).run()\n"
        "os.kill(os.getpid(), signal.SIGCHLD)\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", program], capture_output=True, text=True, check=True, cwd=folder
    )
    assert (done.stdout, done.stderr) == ("", "")
