"""The service as systemd runs it, with the units of the package, on a host with LVM and LIO."""

from __future__ import annotations

import json
from typing import Any

import lvm
import pytest
from steps import GIB, WRITER, shows, until

from lab.machine import CommandFailed, Machine
from lab.session import Session

_CONFIGURATION = lvm.backend(host="service", group="volumes")
_SOCKET = "/run/cinderlib/cinderlib.sock"


@shows(
    "The service with systemd: activation, reload, restart and kill while data is written", "iSCSI"
)
@pytest.mark.timeout(1500)
def test_the_service_restarts_while_a_volume_is_written_to(service: Machine) -> None:
    service.run(
        "vgcreate -q volumes /dev/disk/by-id/virtio-data0; mkdir -p /etc/cinderlib; umask 077;"
        f" cat >/etc/cinderlib/cinderlib.toml <<'TOML'\n{_CONFIGURATION}TOML"
    )
    # The processor is emulated, and target and initiator share it.
    service.run(
        "mkdir /etc/systemd/system/cinderlib.service.d; cd $_; printf '[Service]\\n"
        "TimeoutStartSec=10min\\nWatchdogSec=120\\n' >lab.conf; systemctl daemon-reload"
    )
    service.run("systemctl enable --now cinderlib.socket")
    assert _state(service, "ActiveState") == "inactive"

    # The first command starts the service, which systemd considers started when it is ready.
    assert _json(service, "volume list") == []
    assert _state(service, "ActiveState") == "active"
    assert _state(service, "Type") == "notify"
    first = _state(service, "MainPID")
    fed = _state(service, "WatchdogTimestampMonotonic")
    until(lambda: _state(service, "WatchdogTimestampMonotonic") != fed, "the watchdog is fed")

    volume = _json(service, "volume create data 1GiB --backend lvm")
    path = service.run("cinderlib volume attach data").strip().splitlines()[-1]
    with service.python() as python:
        python("from types import SimpleNamespace; import data")
        python("attachment = SimpleNamespace(path=path); pause = 1", path=path)
        python(WRITER)
        until(lambda: python("progress[0]") > 4, "writes begin")

        _reload(service, first)
        _restart(service, python, first)
        _kill(service, python)

        python("stop.set(); writer.join()")
        assert python("failed") == []
        assert python("different()") == []
    _calls_are_in_the_journal(service, volume["id"])

    service.run("systemctl start cinderlib-recover.service")
    service.run("cinderlib volume detach data && cinderlib volume delete data --yes")
    _idle_exit(service)
    service.run("systemctl disable --now cinderlib.socket cinderlib.service; vgremove -qf volumes")


def _reload(service: Machine, process: str) -> None:
    """The same process uses a changed configuration after a reload, but not an invalid one."""
    file = "/etc/cinderlib/cinderlib.toml"
    second = '[backends.second]\nvolume_driver = "file"\nfile_root = "/srv/second"\n'
    service.run(f"mkdir -p /srv/second; cat >>{file} <<'TOML'\n{second}TOML")
    service.run("systemctl reload cinderlib")
    names = [each["name"] for each in _json(service, "service status")["states"]]
    assert names == ["lvm", "second"]
    service.run(f"cp {file} /run/valid && echo 'backends = 1' >{file}")
    with pytest.raises(CommandFailed):
        service.run("systemctl reload cinderlib")
    service.run(f"cp /run/valid {file} && systemctl reload cinderlib")
    assert _state(service, "MainPID") == process


def _restart(service: Machine, python: Session, process: str) -> None:
    """Commands wait for the new process; nobody sees an error."""
    count = python("progress[0]")
    service.run(
        "systemctl restart --no-block cinderlib; cinderlib --json volume list >/run/listed"
        " && cinderlib --json volume show data >/run/shown"
    )
    assert json.loads(service.run("cat /run/shown"))["size_bytes"] == GIB
    assert _state(service, "MainPID") != process
    until(lambda: python("progress[0]") > count + 4, "writes go on")


def _kill(service: Machine, python: Session) -> None:
    """systemd starts a killed service again; the interrupted command is settled."""
    count, process = python("progress[0]"), _state(service, "MainPID")
    service.run(f"kill -9 {process}")
    until(lambda: _state(service, "MainPID") not in ("0", process), "the service is started again")
    assert _json(service, "volume show data")["status"] == "in-use"
    assert int(_state(service, "NRestarts")) >= 1
    until(lambda: python("progress[0]") > count + 4, "writes go on")


def _calls_are_in_the_journal(service: Machine, volume: str) -> None:
    found = service.run("journalctl -u cinderlib -o json CINDERLIB_VERB=volume.attach")
    (entry,) = map(json.loads, found.splitlines())
    assert entry["CINDERLIB_OUTCOME"] == "OK"
    assert entry["CINDERLIB_RESOURCE"] == volume


def _idle_exit(service: Machine) -> None:
    """The idle service ends, and its socket starts the next one."""
    service.run("printf '\\n[service]\\nidle_timeout = 5\\n' >>/etc/cinderlib/cinderlib.toml")
    service.run("systemctl restart cinderlib")
    until(lambda: _state(service, "ActiveState") == "inactive", "the idle service ends")
    assert _state(service, "Result") == "success"
    service.run("systemctl is-active cinderlib.socket")


def _state(machine: Machine, name: str) -> str:
    return machine.run(f"systemctl show -P {name} cinderlib.service").strip()


def _json(machine: Machine, command: str) -> Any:
    return json.loads(machine.run(f"cinderlib --json {command} 2>/dev/hvc0"))
