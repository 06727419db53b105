"""The service of a host that only attaches, which uses a service on another host."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

import pytest
from service.running import Service
from service.site import Site

import cinderlib as cl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices"),
]


class Host(Service):
    """The service of a host. Its name is that of this machine."""

    def __init__(self, folder: pathlib.Path, site: Site, role: str) -> None:
        folder.mkdir()
        self.site, self.role = site, role
        super().__init__(folder)

    def configure(self, service: str = "", backends: str = "") -> None:
        site, role = self.site, self.role
        self.config.write_text(
            f'[controller]\nstate_path = "{self.folder}/state"\n'
            f'[node]\nservice = "{site.url}"\n'
            f'certificate = "{site.authority.issue(role, common_name=role)}"\n'
            f'key = "{site.folder}/{role}.key"\nca = "{site.authority.certificate}"\n'
            f'[service]\nsocket = "{self.socket}"\nlinks = "{self.folder}/links"\n'
            f"{service}\n{backends}"
        )


@pytest.fixture
def host(site: Site, tmp_path: pathlib.Path) -> Iterator[Host]:
    with Host(tmp_path / "host", site, "operator") as made:
        yield made


def test_this_host_attaches_and_the_other_one_drives(host: Host) -> None:
    host.start()
    status, _ = host.ask(
        "POST", "/v1/volumes", {"backend": "files", "name": "data", "size": 1, "unique_name": True}
    )
    assert status == 200
    named = "/v1/volumes/data"
    link = host.folder / "links" / "data"
    status, connection = host.ask(
        "POST", f"{named}/attach?backend=files", {"link": str(link), "migrating": True}
    )
    assert status == 200
    assert link.resolve() == pathlib.Path(connection["device"]["path"])
    status, _ = host.ask("POST", f"{named}/extend?backend=files", {"size": 2})
    with link.open("rb") as device:
        assert (status, device.seek(0, 2)) == (200, 2 << 30)
    status, listed = host.site.service.ask("GET", "/v1/connections")
    assert [each["status"] for each in listed] == ["attached"]
    assert host.ask("POST", f"{named}/detach?backend=files", {})[0] == 200
    assert not link.is_symlink()
    assert host.ask("DELETE", f"{named}?backend=files")[0] == 200
    assert host.site.service.ask("GET", "/v1/volumes") == (200, [])


def test_the_other_service_is_down_for_a_time(host: Host) -> None:
    host.site.service.stop()
    host.start()
    began = time.monotonic()
    status, answer = host.ask("GET", "/v1/backends/files/capacity")
    assert (status, answer["error"]["type"]) == (503, "ServiceUnavailable")
    assert host.site.url in answer["error"]["message"]
    assert time.monotonic() - began < 2
    assert host.ask("GET", "/health")[0] == 200
    host.site.service.start()
    deadline = time.monotonic() + 60
    status = 0
    while status != 200 and time.monotonic() < deadline:
        # The other service loads its driver. A request does not wait for that.
        status, answer = host.ask("GET", "/v1/backends/files/capacity")
    assert (status, answer["stale"], answer["total_bytes"] > 0) == (200, False, True)
    # A capacity that is known is shown without the other service.
    host.site.service.stop()
    assert host.ask("GET", "/v1/backends/files/capacity")[0] == 200
    host.site.service.start()


def test_the_rights_are_those_of_the_hosts_certificate(site: Site, tmp_path: pathlib.Path) -> None:
    with Host(tmp_path / "host", site, "reader").start() as host:
        assert host.ask("GET", "/v1/volumes") == (200, [])
        status, answer = host.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})
        assert (status, answer["error"]["type"]) == (403, "PermissionDenied")


def test_it_has_no_backends_of_its_own(host: Host) -> None:
    host.configure(backends='[backends.files]\nvolume_driver = "file"\n')
    done = host.command("serve")
    assert done.returncode != 0
    assert "[node] service" in done.stderr
    host.configure()
    host.start()
    host.configure(backends='[backends.files]\nvolume_driver = "file"\n')
    status, answer = host.ask("POST", "/v1/service/reload", {})
    assert (status, answer["error"]["type"]) == (400, "ConfigurationError")
    host.configure()
    assert host.ask("POST", "/v1/service/reload", {})[0] == 200
    assert isinstance(cl.connect(host.url).backend("files").stats(), dict)
