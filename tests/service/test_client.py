"""cinderlib.connect(): the library's objects, with a service."""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from service.running import Service

import cinderlib as cl


def test_lifecycle_of_a_volume(service: Service) -> None:
    with cl.connect(service.url) as controller:
        files = controller.backend("files")
        volume = files.create_volume(1, name="life", metadata={"a": "b"})
        assert (volume.status, volume.changed, volume.metadata) == ("available", True, {"a": "b"})
        assert controller.volume(volume.id) == volume
        assert [each.id for each in controller.volumes(name="life")] == [volume.id]
        snapshot = volume.create_snapshot("monday")
        assert volume.snapshots == [snapshot]
        copy = snapshot.create_volume(name="copy")
        clone = volume.clone(name="clone")
        assert (copy.snapshot_id, clone.source_volid) == (snapshot.id, volume.id)
        assert volume.extend(2) == 2 * 1024**3
        volume.name = "renamed"
        volume.save()
        assert controller.volume(volume.id).name == "renamed"
        with pytest.raises(cl.errors.InvalidVolume, match="snapshot") as refused:
            volume.delete()
        assert refused.value.resource == volume
        snapshot.delete()
        volume.delete()
        volume.delete()
        with pytest.raises(cl.errors.VolumeNotFound):
            controller.volume(volume.id)


def test_capabilities_of_a_backend(service: Service) -> None:
    with cl.connect(service.url) as controller:
        found = controller.backend("files").capabilities()
        assert found["volume.clone"] == cl.Capability("volume.clone", "native")
        assert not found["volume.multiattach"].is_possible


def test_extents_and_streams(service: Service) -> None:
    with cl.connect(service.url) as controller:
        files = controller.backend("files")
        before = len(list(files.volumes))
        source, target = files.create_volume(1), files.create_volume(1)
        first = source.create_snapshot()
        with source.attached() as connection, open(connection.path, "r+b") as device:
            device.write(b"x" * 4096)
        second = source.create_snapshot()
        (changed,) = second.extents(since=first)
        assert (changed.offset, changed.kind) == (0, "data")
        assert sum(each.length for each in source.extents()) == 1024**3
        whole, changes = io.BytesIO(), io.BytesIO()
        first.export_stream(whole)
        exported = second.export_stream(changes, since=first)
        assert exported.data_bytes < 1024**2
        with pytest.raises(cl.errors.InvalidVolume, match="not known"):
            target.apply_stream(io.BytesIO(changes.getvalue()))
        for stream in (whole, changes, changes):
            target.apply_stream(io.BytesIO(stream.getvalue()))
        assert not target.changed
        assert target.applied is not None
        assert (target.applied.point, target.applied.complete) == (second.id, True)
        assert len(list(files.volumes)) == before + 2
        with target.attached() as connection, open(connection.path, "rb") as device:
            assert device.read(4096) == b"x" * 4096


def test_existing_volumes_and_snapshots(service: Service) -> None:
    with cl.connect(service.url) as controller:
        files = controller.backend("files")
        first = files.create_volume(1)
        snapshot = first.create_snapshot()
        (listed,) = [e for e in files.manageable_snapshots() if e.resource_id == snapshot.id]
        assert not listed.safe_to_manage
        snapshot.unmanage()
        snapshot.unmanage()
        managed = first.manage_snapshot(listed.reference, name="again")
        assert first.snapshots == [managed]
        managed.delete()
        everything = files.manageable_volumes()
        (listed,) = [each for each in everything if each.resource_id == first.id]
        assert files.manageable_volumes(limit=1) == everything[:1]
        assert files.manageable_volumes(marker=everything[-1].reference) == []
        first.unmanage()
        assert first.changed
        with pytest.raises(cl.errors.InvalidInput):
            files.manage_volume({"source-name": "nothing"})
        second = files.manage_volume(listed.reference, "second", metadata={"a": "b"})
        assert (second.name, second.metadata, second.size) == ("second", {"a": "b"}, 1)
        assert second.managed_from == listed.reference
        assert controller.volume(second.id) == second
        second.delete()


def test_an_existing_id_with_other_properties(service: Service) -> None:
    with cl.connect(service.url) as controller:
        volume = controller.backend("files").create_volume(1)
        again = controller.backend("files").create_volume(1, id=volume.id)
        assert (again, again.changed) == (volume, False)
        with pytest.raises(cl.errors.AlreadyExists) as refused:
            controller.backend("files").create_volume(2, id=volume.id)
        assert refused.value.differences == {"size": (1, 2)}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_the_service_attaches_to_its_host(service: Service) -> None:
    with cl.connect(service.url) as controller:
        volume = controller.backend("files").create_volume(1)
        connection = volume.attach()
        assert connection.changed
        assert pathlib.Path(connection.path).is_block_device()
        assert not volume.attach().changed
        assert volume.local_attach == connection
        volume.detach()
        assert (volume.status, volume.connections) == ("available", [])


def test_a_program_needs_no_cinder(service: Service) -> None:
    program = (
        "import sys, cinderlib as cl\n"
        f"with cl.connect({service.url!r}) as controller:\n"
        "    controller.backend('files').create_volume(1).delete()\n"
        "heavy = {'cinder', 'os_brick', 'sqlalchemy', 'uvicorn', 'starlette'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_node_registers_itself(service: Service) -> None:
    with cl.connect(service.url) as controller:
        cl.Node(host="node7").register(controller, "node7", "iscsi")
        assert dict(controller.nodes())["node7"]["host"] == "node7"


@pytest.mark.parametrize(
    "url", ["", "http://localhost", "unix://", "unix:relative", "https://", "/run/x.sock"]
)
def test_invalid_service_urls(url: str) -> None:
    with pytest.raises(cl.errors.InvalidInput, match="URL of a service"):
        cl.connect(url)


@pytest.mark.parametrize("name", ["missing.pem", "x" * 300])
def test_a_certificate_that_does_not_exist(name: str) -> None:
    with pytest.raises(cl.errors.InvalidInput, match="does not exist"):
        cl.connect("https://192.0.2.1:1", certificate=name)


def test_a_service_that_is_not_running(folder: pathlib.Path) -> None:
    with pytest.raises(cl.errors.ServiceUnavailable, match="cannot be reached"):
        cl.connect(f"unix://{folder}/none.sock")


@pytest.mark.slow
def test_a_service_that_was_restarted(folder: pathlib.Path) -> None:
    with Service(folder).start() as running:
        controller = cl.connect(running.url)
        volume = controller.backend("files").create_volume(1)
        running.stop(signal.SIGKILL)
        with pytest.raises(cl.errors.ServiceUnavailable):
            volume.extend(2)
        with running.start():
            assert volume.extend(2) == 2 * 1024**3


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
        TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
    ],
)
def test_a_kept_connection_that_the_network_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The next call opens another one."""
    failing = [error]
    send = http.client.HTTPConnection.request

    def request(connection: http.client.HTTPConnection, *given: Any) -> None:
        if failing:
            raise failing.pop()
        send(connection, *given)

    with cl.connect(service.url) as controller:
        files = controller.backend("files")
        assert files.volumes_filtered(volume_name="kept") == []
        monkeypatch.setattr(http.client.HTTPConnection, "request", request)
        volume = files.create_volume(1, "kept")
        assert failing == []
        volume.delete()


class Cable:
    """Forwards connections to a service's socket, until it is cut.

    :param path: of the socket on which it listens.
    """

    def __init__(self, path: pathlib.Path, target: pathlib.Path) -> None:
        self.url = f"unix://{path}"
        self._target = str(target)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                service = socket.socket(socket.AF_UNIX)
                service.connect(self._target)
                self._open += [client, service]
                self.connections += 1
                for source, sink in ((client, service), (service, client)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def cut(self) -> None:
        """Break the connections that are open now."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()


@pytest.mark.slow
def test_a_client_whose_connection_breaks_gets_the_result(folder: pathlib.Path) -> None:
    """It does not repeat the operation, which runs meanwhile."""
    gate = folder / "gate"
    backends = (
        '[backends.files]\nvolume_driver = "cli.slow_driver.SlowDriver"\n'
        f'file_root = "{folder}/volumes"\n'
    )
    running = Service(folder, backends=backends)
    running.environment["GATE"] = str(gate)
    with running.start(), ThreadPoolExecutor() as threads:
        cable = Cable(folder / "cable.sock", running.socket)
        with cl.connect(cable.url) as controller:
            files = controller.backend("files")
            making = threads.submit(files.create_volume, 1, name="once")
            while not gate.with_suffix(".reached").exists():
                threading.Event().wait(0.02)
            before = cable.connections
            cable.cut()
            while cable.connections == before and not making.done():
                threading.Event().wait(0.02)
            gate.touch()
            assert making.result(60).status == "available"
            assert [volume.name for volume in files.volumes] == ["once"]
        calls = running.ask("GET", "/v1/operations")[1]
        assert [call["verb"] for call in calls] == ["volume.create"]
