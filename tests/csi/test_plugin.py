"""The plug-in as processes: two controllers, two nodes, the end, lost state, odd requests."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import plugins
import pytest

from cinderlib.csi import node_identity
from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import METHODS, Stub
from cinderlib.testing.csi.plugin import CODE, GIB, Plugin, block, mount

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounts need root"),
]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    plugins.prepare(tmp_path)
    yield tmp_path
    assert not list((tmp_path / "volumes").rglob("volume-*")), "volumes remain"


@pytest.fixture
def process(folder: pathlib.Path) -> Iterator[plugins.Process]:
    process = plugins.Process(folder)
    process.start()
    yield process
    if process.runs:
        process.stop()


@pytest.fixture
def csi(process: plugins.Process) -> Iterator[Plugin]:
    with tempfile.TemporaryDirectory(prefix="csi-") as paths:
        plugin = Plugin(process.endpoint, pathlib.Path(paths))
        yield plugin
        plugin.clean()
        plugin.close()


def test_two_controllers_create_one_volume(folder: pathlib.Path) -> None:
    """The same calls to two processes with one store; volumes and clones."""
    processes = [plugins.Process(folder, mode) for mode in ("controller", "all")]
    for process in processes:
        process.start()
    names = [f"v{number}" for number in range(12)]
    answers: dict[str, set[str]] = {name: set() for name in names}
    channels = [
        grpc.insecure_channel(process.endpoint.replace("///", "/")) for process in processes
    ]
    stubs = [Stub(channel, "Controller") for channel in channels]

    def create(number: int) -> None:
        name = names[number % len(names)]
        request = m.CreateVolumeRequest(name=name, volume_capabilities=[block()])
        while True:
            try:
                answer = stubs[number % 2].create_volume(request, timeout=60)
            except grpc.RpcError as error:
                if error.code() != CODE.ABORTED:
                    raise
                continue
            answers[name].add(answer.volume.volume_id)
            return

    # Each name is created by both processes.
    with ThreadPoolExecutor(24) as threads:
        list(threads.map(create, [*range(12), *(number + 13 for number in range(11)), 24]))
    assert all(len(found) == 1 for found in answers.values())
    files = list((folder / "volumes").rglob("volume-*"))
    assert len(files) == len(names)
    for found in answers.values():
        stubs[0].delete_volume(m.DeleteVolumeRequest(volume_id=found.pop()), timeout=60)
    for channel in channels:
        channel.close()
    assert [process.stop() for process in processes] == [0, 0]


def test_a_second_node_is_refused_and_the_error_names_the_first(csi: Plugin) -> None:
    volume = csi.volume()
    csi.publish(volume, mount())
    connector = node_identity.decode(csi.node_id)
    assert connector is not None
    other = node_identity.encode({**connector, "host": "other-node", "ip": "192.0.2.99"})
    message = csi.refused(
        CODE.FAILED_PRECONDITION,
        "ControllerPublishVolume",
        volume_id=volume.volume_id,
        node_id=other,
        volume_capability=mount(),
    )
    assert str(connector["host"]) in message


def test_a_node_registered_in_the_store_is_known_by_its_name(
    csi: Plugin, folder: pathlib.Path
) -> None:
    """Its properties do not fit into an ID."""
    host = os.uname().nodename
    csi.refused(
        CODE.NOT_FOUND,
        "ControllerPublishVolume",
        volume_id=csi.volume().volume_id,
        node_id=host,
        volume_capability=mount(),
    )
    command = ["--config", str(folder / "cinderlib.toml"), "node", "register", host]
    subprocess.run(
        [plugins.sys.executable, "-c", "from cinderlib.cli.main import main; main()", *command],
        check=True,
        env={**os.environ, "CINDERLIB_SERVICE": "none"},
    )
    csi.node_id = host
    assert csi.publish(csi.volume(), mount())


def test_a_restarted_node_knows_its_volumes(csi: Plugin, process: plugins.Process) -> None:
    volume = csi.volume()
    used = csi.use(volume)
    pathlib.Path(used["target_path"], "file").write_text("data")
    process.stop(signal.SIGKILL)
    process.start()
    assert pathlib.Path(used["target_path"], "file").read_text() == "data"
    csi.call("NodePublishVolume", **used)
    stats = csi.call(
        "NodeGetVolumeStats", volume_id=volume.volume_id, volume_path=used["target_path"]
    )
    assert not stats.volume_condition.abnormal
    csi.clean_node(volume)


def test_running_calls_end_before_the_plugin_does(csi: Plugin, process: plugins.Process) -> None:
    names = [csi.name() for _ in range(8)]
    done: list[str] = []
    started = threading.Event()

    def create(name: str) -> None:
        started.set()
        failed = _code_of(lambda: done.append(csi.volume(name).volume_id))
        # A call that the plug-in did not accept any more.
        assert failed is None or failed[0] in (CODE.UNAVAILABLE, CODE.CANCELLED)

    with ThreadPoolExecutor(8) as threads:
        calls = threads.map(create, names)
        started.wait()
        assert process.stop() == 0
        list(calls)
    assert not os.path.exists(process.endpoint.removeprefix("unix://"))
    process.start()
    every = {each.volume.volume_id for each in csi.call("ListVolumes").entries}
    assert every == set(done)


def test_a_second_plugin_on_the_socket_is_refused(process: plugins.Process) -> None:
    other = plugins.Process(process.folder)
    other.start(wait=False)
    assert other.wait() == 2
    assert "Another process listens" in process.log
    assert process.runs


def test_probe_explains_why_the_plugin_is_not_ready(folder: pathlib.Path) -> None:
    text = (folder / "cinderlib.toml").read_text()
    (folder / "cinderlib.toml").write_text(text.replace("/volumes", "/cinderlib.toml/volumes"))
    process = plugins.Process(folder)
    process.start(wait=False)
    deadline = time.monotonic() + 120
    with grpc.insecure_channel(process.endpoint.replace("///", "/")) as channel:
        probe = Stub(channel, "Identity").probe
        while (answer := _code_of(lambda: probe(m.ProbeRequest(), wait_for_ready=True))) is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    process.stop()
    assert answer[0] == CODE.FAILED_PRECONDITION
    assert "No backend can be loaded. files: " in answer[1]


@pytest.mark.parametrize("shared", [True, False])
def test_the_host_sees_mounts_of_a_plugin_in_another_namespace(
    folder: pathlib.Path, shared: bool
) -> None:
    """As in a container: only the folder of the kubelet can be shared."""
    kubelet = folder / "kubelet"
    kubelet.mkdir()
    subprocess.run(["mount", "--bind", kubelet, kubelet], check=True)
    try:
        kind = "--make-shared" if shared else "--make-private"
        subprocess.run(["mount", kind, kubelet], check=True)
        namespace = ("unshare", "--mount", "--propagation", "unchanged")
        process = plugins.Process(folder, before=namespace)
        process.start()
        csi = Plugin(process.endpoint, kubelet)
        volume = csi.volume()
        used = csi.use(volume)
        target = pathlib.Path(used["target_path"])
        assert os.path.ismount(target) == shared
        # The plug-in compares with its own mounts.
        csi.call("NodePublishVolume", **used)
        if shared:
            (target / "file").write_text("data")
            reader = csi.show(used, csi.target(volume, 2), readonly=True)["target_path"]
            assert pathlib.Path(reader, "file").read_text() == "data"
            with pytest.raises(OSError, match="Read-only"):
                pathlib.Path(reader, "other").touch()
        csi.clean_node(volume)
        assert not target.exists()
        csi.clean()
        csi.close()
        process.stop()
    finally:
        subprocess.run(["umount", kubelet], check=True)


def test_a_mode_answers_its_own_services(folder: pathlib.Path) -> None:
    process = plugins.Process(folder, "controller")
    process.start()
    with grpc.insecure_channel(process.endpoint.replace("///", "/")) as channel:
        answer = _code_of(lambda: Stub(channel, "Node").node_get_info(m.NodeGetInfoRequest()))
    process.stop()
    assert answer is not None
    assert answer[0] == CODE.UNIMPLEMENTED


def _code_of(call: Callable[[], Any]) -> tuple[Any, str] | None:
    """The status and the message of a call that fails; ``None`` if it succeeds."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), str(error.details())
    return None


def test_random_requests_change_nothing(csi: Plugin, process: plugins.Process) -> None:
    """Fields of any kind with odd values: never an internal error, and the plug-in runs on."""
    chance = random.Random(7)
    odd = [
        "", "x", "/", "..", "/tmp/../etc", "\n", "-", "a/b", "0" * 5000, "ü" * 50, "%s", "|",
        csi.node_id, "c0ffee00-0000-4000-8000-000000000000", "2020-01-01T00:00:00+00:00|x",
    ]  # fmt: skip

    def fill(message: object, depth: int = 0) -> None:
        for field in message.DESCRIPTOR.fields:  # type: ignore[attr-defined]
            if chance.random() < 0.3:
                continue
            name = field.name
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                for _ in range(chance.randrange(3)):
                    getattr(message, name)[chance.choice(odd)] = chance.choice(odd)
            elif field.message_type is not None:
                if depth > 3:
                    continue
                if field.is_repeated:
                    for _ in range(chance.randrange(3)):
                        fill(getattr(message, name).add(), depth + 1)
                else:
                    getattr(message, name).SetInParent()
                    fill(getattr(message, name), depth + 1)
            elif field.is_repeated:
                getattr(message, name).append(chance.choice(odd))
            elif field.type == field.TYPE_STRING:
                setattr(message, name, chance.choice(odd))
            elif field.type == field.TYPE_BOOL:
                setattr(message, name, chance.random() < 0.5)
            elif field.type == field.TYPE_ENUM:
                setattr(message, name, chance.randrange(10))
            else:
                setattr(message, name, chance.choice([0, 1, -1, 2**31 - 1, -(2**31)]))

    methods = [each for group in METHODS.values() for each in group]
    created = set()
    refused = 0
    for _ in range(1500):
        method = chance.choice(methods)
        request = method.request()
        fill(request)
        answers: list[Any] = []
        failed = _code_of(lambda r=request, n=method.name, a=answers: a.append(csi.call(n, r)))
        if failed is not None:
            refused += 1
            severe = (CODE.INTERNAL, CODE.UNKNOWN, CODE.UNAVAILABLE)
            assert failed[0] not in severe, f"{method.name}: {failed[1]}"
        elif method.name == "CreateVolume":
            created.add(answers[0].volume.volume_id)
    assert refused > 500
    assert process.runs
    for volume_id in created:
        csi.call("DeleteVolume", volume_id=volume_id)
    assert "Traceback" not in process.log


def test_bytes_that_are_not_a_request(csi: Plugin, process: plugins.Process) -> None:
    chance = random.Random(3)
    with grpc.insecure_channel(process.endpoint.replace("///", "/")) as channel:
        for group in METHODS.values():
            for method in group:
                call = channel.unary_unary(
                    method.path, request_serializer=None, response_deserializer=None
                )
                data = b"\xff" + chance.randbytes(64)
                with pytest.raises(grpc.RpcError):
                    call(data, timeout=30)
    assert csi.call("Probe").ready.value


def test_secrets_are_neither_in_the_log_nor_in_the_context(
    csi: Plugin, process: plugins.Process
) -> None:
    context = csi.publish(csi.volume(), mount())
    # The driver's connection has the path of the file in place of a password.
    assert str(process.folder) not in "".join(context.values())
    assert str(process.folder / "volumes") not in process.log


def test_the_size_of_a_volume_is_whole_gib(csi: Plugin) -> None:
    size = m.CapacityRange(required_bytes=GIB + 1)
    assert csi.volume(capacity_range=size).capacity_bytes == 2 * GIB
