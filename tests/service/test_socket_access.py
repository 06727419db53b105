"""Which users of the host the sockets of a service let in, and with which role."""

from __future__ import annotations

import grp
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator

import pytest
from service.running import Service

from cinderlib import service_address

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user"),
]
MEMBERS = grp.getgrnam("daemon")
OTHERS = 65534


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        options = f'group = "{MEMBERS.gr_name}"\nrole = "read"'
        with Service(folder, service=options).start() as running:
            yield running


def test_members_of_the_group_have_the_configured_role(service: Service) -> None:
    assert service.get_as(MEMBERS.gr_gid, "/v1/volumes").startswith("HTTP/1.1 200 ")
    refused = service.get_as(MEMBERS.gr_gid, "/v1/operations/none")
    assert refused.startswith("HTTP/1.1 404 ")


def test_a_user_outside_the_group_is_refused(service: Service) -> None:
    for path in ("/health", "/v1/volumes"):
        with pytest.raises(PermissionError):
            service.get_as(OTHERS, path)


@pytest.mark.parametrize("program", [service_address.COMMAND, service_address.ADAPTER])
def test_all_sockets_have_the_same_access(service: Service, program: str) -> None:
    """The processes that run programs accept the same users."""
    of_program = pathlib.Path(service_address.program_socket(str(service.socket), program))
    for path in (service.socket, of_program):
        found = path.stat()
        assert (found.st_gid, found.st_mode & 0o777) == (MEMBERS.gr_gid, 0o660)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(OTHERS)
        os.setuid(OTHERS)
        try:
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(str(of_program))
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_command_of_a_user_outside_the_group_gets_nothing_of_the_service(
    service: Service,
) -> None:
    service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1, "name": "private"})
    denied = service.command("volume", "list", user=OTHERS, group=OTHERS, extra_groups=[], cwd="/")
    assert denied.returncode != 0
    assert "private" not in denied.stdout
    member = service.command(
        "volume", "list", user=OTHERS, group=MEMBERS.gr_gid, extra_groups=[], cwd="/"
    )
    assert "private" in member.stdout
