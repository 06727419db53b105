"""Real drivers: the library's share of an operation's time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from benchmarks.bench import Bench
from benchmarks.measure import Figure
from benchmarks.process import Worker


def run(bench: Bench) -> None:
    file = {"volume_driver": "file", "file_root": str(bench.new_folder())}
    _measure(bench, "file", file)
    with _ceph() as options:
        if options is not None:
            _measure(bench, "Ceph RBD", options)


def _measure(bench: Bench, name: str, options: dict[str, Any]) -> None:
    store, folder = bench.stores()["SQLite"](), str(bench.new_folder())
    with Worker(
        "share", store=store, folder=folder, options=options, host=socket.gethostname()
    ) as worker:
        worker.ask("shares", count=2)
        found = worker.ask("shares", count=bench.many(40, 10))
    for step, seconds in found.items():
        whole = Figure.of([total * 1000 for total, _ in seconds], "ms")
        driver = Figure.of([theirs * 1000 for _, theirs in seconds], "ms")
        ours = Figure.of([(total - theirs) * 1000 for total, theirs in seconds], "ms")
        share = Figure.of([100 * (total - theirs) / total for total, theirs in seconds], "%")
        bench.results.add(
            "drivers", f"{name}: {step}, the library's share",
            {"all": whole, "driver": driver, "library": ours}, share,
        )  # fmt: skip


@contextlib.contextmanager
def _ceph() -> Iterator[dict[str, Any] | None]:
    """Start a Ceph cluster; yields the backend's options, or ``None`` if Ceph is not installed."""
    from _pytest.outcomes import OutcomeException
    from servers import ceph

    with contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(ceph.run())
        except OutcomeException as missing:
            print(f"Ceph RBD is skipped: {missing}")
            yield None
        else:
            yield {
                "volume_driver": "rbd",
                "rbd_pool": ceph.POOL,
                "rbd_user": ceph.USER,
                "rbd_ceph_conf": str(cluster.configuration),
            }
