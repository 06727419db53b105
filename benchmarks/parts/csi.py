"""The CSI plug-in: each call above the operation, many volumes at once, and long lists."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cinderlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Figure
from cinderlib.csi.ids import DRIVER, NAME
from cinderlib.persistence import open_store
from cinderlib.persistence.base import Put
from cinderlib.records import VolumeRecord
from cinderlib.testing.csi.plugin import Plugin, mount

#: Milliseconds of a call above the operation.
CONTROLLER, NODE = 2, 5
WORKERS = 32
#: Milliseconds for a page of a thousand volumes.
PAGE = 500


def run(bench: Bench) -> None:
    if os.geteuid() != 0:
        print("csi is skipped: it needs root, for loop devices and mounts")
        return
    _above_the_operation(bench, bench.many(50, 10))
    _at_once(bench, bench.many(1000, 100))
    _list(bench, bench.many(100_000, 5_000))


@contextlib.contextmanager
def _plugin() -> Iterator[tuple[Plugin, pathlib.Path]]:
    from csi.plugins import running

    # A short path, because a socket's is limited.
    with (
        tempfile.TemporaryDirectory(prefix="cl-") as name,
        running(pathlib.Path(name)) as process,
    ):
        paths = pathlib.Path(name, "paths")
        paths.mkdir()
        plugin = Plugin(process.endpoint, paths)
        yield plugin, pathlib.Path(name)
        plugin.clean()
        plugin.close()


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """The milliseconds of a call, and its result."""
    began = time.perf_counter()
    result = call()
    return (time.perf_counter() - began) * 1000, result


def _above_the_operation(bench: Bench, count: int) -> None:
    """The calls, and right after each the same operation of the library and the same programs. A
    call without an operation shows the time of gRPC between two Python processes.

    The fastest of several runs are compared: each call waits for two processes, which takes long
    while others use the processors.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    empty: list[float] = []
    with _plugin() as (plugin, folder), _library(folder / "library") as (backend, node):
        for number in range(count):
            empty.append(_timed(lambda: plugin.call("ControllerGetCapabilities"))[0])
            for name, both in _one_volume(plugin, backend, node, number).items():
                found.setdefault(name, []).append(both)
    nothing = Figure.of([min(empty)], "ms")
    for name, pairs in found.items():
        calls, operations = (Figure.of([min(each)], "ms") for each in zip(*pairs, strict=True))
        above = Figure.of([calls.median - operations.median], "ms")
        limit = NODE if name.startswith("Node") else CONTROLLER
        figures = {"the call": calls, "the operation": operations, "an empty call": nothing}
        bench.results.add("csi", f"{name} above the operation", figures, above, limit)


@contextlib.contextmanager
def _library(folder: pathlib.Path) -> Iterator[tuple[cl.Backend, cl.Node]]:
    volumes = folder / "volumes"
    volumes.mkdir(parents=True)
    store = {"storage": "db", "connection": f"sqlite:///{folder}/store.sqlite"}
    controller = cl.Controller(store, state_path=folder / "state")
    backend = controller.backend("files", volume_driver="file", file_root=str(volumes))
    yield backend, cl.Node(state_path=folder / "node")
    controller.close()


def _one_volume(
    plugin: Plugin, backend: cl.Backend, node: cl.Node, number: int
) -> dict[str, tuple[float, float]]:
    """The milliseconds of each call and of the same operation."""
    found = {}
    create, volume = _timed(lambda: plugin.volume())
    alone, own = _timed(lambda: backend.create_volume(1, name=f"v{number}"))
    found["CreateVolume"] = create, alone
    publish, context = _timed(lambda: plugin.publish(volume, mount()))
    connector = node.connector_properties("local")
    alone, connection = _timed(lambda: own.connect(connector))
    found["ControllerPublishVolume"] = publish, alone
    document = connection.connection_info
    staging, target = plugin.folder / f"own-{number}", plugin.folder / f"own-target-{number}"
    staging.mkdir()
    target.mkdir()
    plugin.staging(volume)
    stage, staged = _timed(lambda: plugin.stage(volume, mount(), context))
    alone, _ = _timed(lambda: _stage(node, document, staging))
    found["NodeStageVolume"] = stage, alone
    path = plugin.target(volume)
    show, _ = _timed(lambda: plugin.show(staged, path))
    alone, _ = _timed(lambda: _run("mount", "--bind", staging, target))
    found["NodePublishVolume"] = show, alone
    id = {"volume_id": volume.volume_id}
    hide, _ = _timed(lambda: plugin.call("NodeUnpublishVolume", **id, target_path=path))
    alone, _ = _timed(lambda: _run("umount", target))
    found["NodeUnpublishVolume"] = hide, alone
    fields = {**id, "staging_target_path": staged["staging_target_path"]}
    unstage, _ = _timed(lambda: plugin.call("NodeUnstageVolume", **fields))
    alone, _ = _timed(lambda: (_run("umount", staging), node.detach(document)))
    found["NodeUnstageVolume"] = unstage, alone
    fields = {**id, "node_id": plugin.node_id}
    unpublish, _ = _timed(lambda: plugin.call("ControllerUnpublishVolume", **fields))
    alone, _ = _timed(connection.disconnect)
    found["ControllerUnpublishVolume"] = unpublish, alone
    delete, _ = _timed(lambda: plugin.call("DeleteVolume", **id))
    alone, _ = _timed(own.delete)
    found["DeleteVolume"] = delete, alone
    staging.rmdir()
    target.rmdir()
    return found


def _stage(node: cl.Node, document: dict[str, Any], staging: pathlib.Path) -> str:
    """Attach a volume, and run the programs that each stage of a new volume needs."""
    path = str(node.attach(document).path)
    _run("blkid", "--probe", "--output", "export", path, ok=2)
    _run("mkfs.ext4", "-q", "-F", "-m0", "-E", "nodiscard", path)
    _run("mount", "-t", "ext4", path, staging)
    return path


def _run(*command: str | pathlib.Path, ok: int = 0) -> None:
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == ok, done.stderr


def _at_once(bench: Bench, count: int) -> None:
    """Volumes that are created, published, staged and removed by parallel workers."""
    with _plugin() as (plugin, _):
        plugin.patient = True

        def live(_: int) -> None:
            volume = plugin.volume()
            plugin.use(volume)
            plugin.clean_node(volume)
            plugin.call("DeleteVolume", volume_id=volume.volume_id)

        began = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as threads:
            list(threads.map(live, range(count)))
        figure = Figure.of([time.perf_counter() - began], "s")
        assert not plugin.call("ListVolumes").entries
    what = f"{count} volumes created, staged, published and removed by {WORKERS} workers"
    bench.results.add("csi", what, {"cinderlib": figure})


def _list(bench: Bench, total: int) -> None:
    """A list of all volumes by pages of a thousand."""
    with _plugin() as (plugin, folder):
        store = open_store(
            {"storage": "db", "connection": f"sqlite:///{folder}/state/metadata.sqlite"}
        )
        began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        for first in range(0, total, 1000):
            store.apply(*(Put(_record(began, first + each), check=False) for each in range(1000)))
        store.close()
        pages, token, found = [], "", set()
        while token or not pages:
            taken, page = _timed(
                lambda token=token: plugin.call(  # type: ignore[misc]
                    "ListVolumes", max_entries=1000, starting_token=token
                )
            )
            pages.append(taken)
            found |= {each.volume.volume_id for each in page.entries}
            token = page.next_token
        assert len(found) == total
    figure = Figure.of(pages, "ms")
    what = f"ListVolumes of {total:,} volumes, a page of 1,000"
    bench.results.add("csi", what, {"cinderlib": figure}, figure, PAGE)
    tenth = len(pages) // 5 or 1
    ends = [Figure.of(each, "ms") for each in (pages[-tenth:], pages[:tenth])]
    growth = Figure.of([ends[0].median / ends[1].median], "times")
    what = f"the last pages of {total:,} volumes and the first"
    bench.results.add("csi", what, {"last": ends[0], "first": ends[1]}, growth, 2)


def _record(began: datetime.datetime, number: int) -> VolumeRecord:
    return VolumeRecord(
        id=str(uuid.UUID(int=number + 1)),
        backend="files",
        host="controller@files#files",
        size=1,
        status="available",
        name=f"v{number}",
        metadata={NAME: f"v{number}", DRIVER: "csi.test"},
        created_at=began + datetime.timedelta(seconds=number),
    )
