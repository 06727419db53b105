"""The service: commands and requests with it and without it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks import cloud, environment
from benchmarks.bench import OLD, OURS, Bench
from benchmarks.measure import Figure, ratio
from benchmarks.process import ROOT, Worker

#: The highest accepted ratios to ``python -c pass``.
COMMAND, ADAPTER = 4, 5
#: Milliseconds that a request with curl may take longer than the operation.
CURL = 5
CLIENTS = 64
#: The lowest accepted share of the throughput of the library in one process.
SHARE = 0.9
#: The lowest accepted number of volumes listed per second.
LISTED = 30_000
#: MiB that a service with 20 backends may use, and its processes that run programs.
MEMORY = 256

_PASS, _WITH, _WITHOUT = "`python -c pass`", "with service", "without"

_BACKEND = '[backends.{0}]\nvolume_driver = "benchmarks.nulldriver.{1}"\n'
#: What oVirt's client for 5.2.0 does for ``create_volume``, without its own import of eventlet.
_OLD_ADAPTER = """
import os, sys, uuid, cinderlib as cl
cl.setup(persistence_config={"storage": "db", "connection": os.environ["STORE"]},
         file_locks_path=os.environ["FOLDER"], disable_logs=False)
backend = cl.Backend(volume_backend_name="null", volume_driver="benchmarks.nulldriver.NullDriver")
backend.create_volume(1, id=str(uuid.uuid4()))
"""


def run(bench: Bench) -> None:
    with _service(bench, _BACKEND.format("null", "NullDriver")) as service:
        _commands(bench, service)
        _adapter(bench, service)
        _curl(bench, service)
    with _service(bench, _BACKEND.format("null", "SlowDriver")) as service:
        _clients(bench, service, "a driver that takes 50 ms", "SlowDriver")
    with _service(bench, _BACKEND.format("null", "NullDriver")) as service:
        _clients(bench, service, "a driver that does nothing", "NullDriver")
    _listing(bench)
    _memory(bench)


@contextlib.contextmanager
def _service(bench: Bench, backends: str, *, filled: int = 0) -> Iterator[Any]:
    """Start a service.

    :param filled: the number of volumes in its store.
    """
    from service.running import Service

    # A short path, because a socket's is limited.
    with tempfile.TemporaryDirectory(prefix="cl-") as folder:
        service = Service(pathlib.Path(folder), backends=backends)
        store = bench.stores()["SQLite"]()
        text = service.config.read_text()
        before = text.partition('connection = "')[2].partition('"')[0]
        service.config.write_text(text.replace(before, store["connection"]))
        service.environment["PYTHONPATH"] = str(ROOT)
        service.environment["PYTHONWARNINGS"] = "ignore"
        service.environment["STORE"] = store["connection"]
        service.environment["FOLDER"] = folder
        if filled:
            with bench.library(OURS, store, "store") as worker:
                worker.ask("fill", total=filled)
        with service.start():
            _wait_until_loaded(service)
            yield service


def _wait_until_loaded(service: Any) -> None:
    while not all(state["loaded"] for state in service.ask("GET", "/v1/backends")[1]):
        time.sleep(0.05)


# --- exec to exit -------------------------------------------------------------------------------

Program = tuple[Sequence[str], dict[str, str]]


def _in_turn(programs: dict[str, Callable[[], Program]], rounds: int) -> dict[str, list[Figure]]:
    """Milliseconds from exec to exit of each program, in each round."""
    found: dict[str, list[Figure]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, make in programs.items():
            arguments, environment = make()
            start = time.perf_counter()
            done = subprocess.run(arguments, env=environment, capture_output=True, check=False)
            seconds = time.perf_counter() - start
            if done.returncode:
                raise RuntimeError(f"{arguments} failed: {done.stderr.decode()}")
            if number:  # the first round reads files from the disk
                found[name].append(Figure.of([seconds * 1000], "ms"))
    return found


def _commands(bench: Bench, service: Any) -> None:
    command = str(pathlib.Path(sys.executable).with_name("cinderlib"))
    warm = service.environment
    cold = {**warm, "CINDERLIB_SERVICE": "none"}
    number = iter(range(1_000_000))
    service.command("volume", "create", "shown", "1GiB")
    openstack = environment.openstack()
    verbs: dict[str, Callable[[], list[str]]] = {
        "volume show": lambda: ["volume", "show", "shown"],
        "volume list": lambda: ["volume", "list"],
        "volume create": lambda: ["volume", "create", f"v{next(number)}", "1GiB"],
        "volume extend": lambda: ["volume", "extend", "shown", f"{next(number) + 2}GiB"],
    }
    with cloud.run() as their_arguments:
        for verb, arguments in verbs.items():
            programs: dict[str, Callable[[], Program]] = {
                _PASS: lambda: ([sys.executable, "-c", "pass"], warm),
                _WITH: lambda a=arguments: ([command, *a()], warm),  # type: ignore[misc]
                _WITHOUT: lambda a=arguments: ([command, *a()], cold),  # type: ignore[misc]
            }
            if openstack is not None and verb == "volume list":
                theirs = [openstack, *their_arguments, "volume", "list"]
                programs["`openstack volume list`"] = lambda t=theirs: (t, warm)  # type: ignore[misc]
            found = _in_turn(programs, bench.many(15, 5))
            bench.results.add(
                "service", f"`cinderlib {verb}`, exec to exit, against {_PASS}",
                {name: _all(figures) for name, figures in found.items()},
                ratio(found[_WITH], found[_PASS]), COMMAND,
            )  # fmt: skip


def _adapter_of(service: Any, verb: str, *extra: str) -> Program:
    """The adapter with a verb, as oVirt's engine runs it."""
    adapter = str(pathlib.Path(sys.executable).with_name("cinderlib-adapter"))
    environment = {**service.environment, "CINDERLIB_STATE_PATH": f"{service.folder}/state"}
    driver = {
        "volume_backend_name": "null",
        "volume_driver": "benchmarks.nulldriver.NullDriver",
    }
    return [adapter, verb, json.dumps(driver), environment["STORE"], "1234", *extra], environment


def _adapter(bench: Bench, service: Any) -> None:
    from cinderlib.records import new_id

    disk, connector = new_id(), json.dumps({"host": "h", "ip": "192.0.2.1", "initiator": "iqn.h"})
    program, warm = _adapter_of(service, "create_volume", disk, "1")
    subprocess.run(program, env=warm, capture_output=True, check=True)
    verbs: dict[str, Callable[[], list[str]]] = {
        "create_volume": lambda: [new_id(), "1"],
        "connect_volume": lambda: [disk, connector],
        "storage_stats": lambda: ["false"],
    }
    for verb, extra in verbs.items():

        def run(service_socket: str, verb: str = verb, extra: Any = extra) -> Program:
            program, environment = _adapter_of(service, verb, *extra())
            return program, {**environment, "CINDERLIB_SERVICE": service_socket}

        programs: dict[str, Callable[[], Program]] = {
            _PASS: lambda: ([sys.executable, "-c", "pass"], warm),
            _WITH: lambda r=run: r(str(service.socket)),  # type: ignore[misc]
            _WITHOUT: lambda r=run: r("none"),  # type: ignore[misc]
        }
        if bench.old is not None and verb == "create_volume":
            store = bench.stores()["SQLite"]()["connection"]
            old = {**warm, "STORE": store, "FOLDER": str(bench.new_folder())}
            program = [bench.old, "-c", _OLD_ADAPTER]
            programs[OLD] = lambda p=program, e=old: (p, e)  # type: ignore[misc]
        found = _in_turn(programs, bench.many(7, 3))
        bench.results.add(
            "service", f"oVirt's adapter: {verb}, exec to exit, against {_PASS}",
            {name: _all(figures) for name, figures in found.items()},
            ratio(found[_WITH], found[_PASS]), ADAPTER,
        )  # fmt: skip


# --- requests -----------------------------------------------------------------------------------


def _curl(bench: Bench, service: Any) -> None:
    """The time of a request with curl, against the library in one process."""
    if shutil.which("curl") is None:
        print("curl is skipped: it is not installed", file=sys.stderr)
        return
    ask = ["curl", "-sf", "-o", os.devnull, "-w", "%{time_total}"]
    ask += ["--unix-socket", str(service.socket)]
    id = service.ask("POST", "/v1/volumes", {"backend": "null", "size": 1})[1]["id"]
    requests = {
        "create": [*ask, "-d", '{"backend": "null", "size": 1}', "http://localhost/v1/volumes"],
        "get_by_id": [*ask, f"http://localhost/v1/volumes/{id}"],
    }
    times: dict[str, list[Figure]] = {}
    operations: dict[str, list[Figure]] = {}
    with bench.library(OURS, bench.stores()["SQLite"]()) as worker:
        worker.ask("cycles", first=0, count=5)
        for _ in range(bench.many(15, 5)):
            steps = worker.ask("cycles", first=0, count=5)
            for step, arguments in requests.items():
                operations.setdefault(step, []).append(Figure.of(steps[step], "s"))
                seconds = [
                    float(subprocess.run(arguments, capture_output=True, check=True).stdout)
                    for _ in range(5)
                ]
                times.setdefault(step, []).append(Figure.of(seconds, "s"))
    for step, taken in times.items():
        above = Figure.of(
            [
                (ours.median - alone.median) * 1000
                for ours, alone in zip(taken, operations[step], strict=True)
            ],
            "ms",
        )
        figures = {"curl": _all(taken, 1000, "ms"), OURS: _all(operations[step], 1000, "ms")}
        bench.results.add(
            "service", f"curl: {step}, above the operation in the library", figures, above, CURL
        )


def _clients(bench: Bench, service: Any, driver: str, name: str) -> None:
    seconds = bench.many(3, 1)
    anywhere: list[Figure] = []
    bound: list[Figure] = []
    library: list[Figure] = []
    every = os.sched_getaffinity(0)
    with (
        Worker("clients", socket=str(service.socket), backend="null") as ours,
        bench.library(OURS, bench.stores()["SQLite"](), driver=name) as alone,
    ):
        turns = ((ours, every, anywhere), (ours, {max(every)}, bound), (alone, every, library))
        for number in range(bench.many(7, 3) + 1):
            for worker, processors, found in turns:
                _bind(service.process.pid, processors)
                rate = worker.ask("threads", count=CLIENTS, seconds=seconds)
                if number:
                    found.append(Figure.of([rate], "a second"))
    # With a driver that does nothing, the transport is most of the work.
    limit = SHARE if name == "SlowDriver" else None
    for where, clients in (("", anywhere), (", service on one processor", bound)):
        bench.results.add(
            "service", f"{CLIENTS} clients at once, {driver}{where}: volumes created a second",
            {
                f"{CLIENTS} clients": _all(clients),
                f"library, {CLIENTS} threads": _all(library),
            },
            ratio(clients, library, "of the library"), limit, at_least=True,
        )  # fmt: skip


def _bind(pid: int, processors: set[int]) -> None:
    """Bind all threads of a process to processors, as systemd does for ``CPUAffinity=``."""
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended since
            os.sched_setaffinity(int(thread.name), processors)


def _listing(bench: Bench) -> None:
    count = bench.many(100_000, 20_000)
    backend = _BACKEND.format("null", "NullDriver")
    with (
        _service(bench, backend, filled=count) as service,
        Worker("clients", socket=str(service.socket), backend="null") as client,
    ):
        before = _memory_of(service.process.pid)
        lists = [client.ask("listing") for _ in range(4)][1:]
        grown = Figure.of([(_memory_of(service.process.pid) - before) / 2**20], "MiB")
    assert all(each["count"] == count for each in lists), lists
    rate = Figure.of([each["count"] / each["seconds"] for each in lists], "a second")
    first = Figure.of([each["first"] * 1000 for each in lists], "ms")
    bench.results.add(
        "service", f"{count:,} volumes streamed through the socket, volumes a second",
        {OURS: rate, "to the first": first, "more memory": grown}, rate, LISTED, at_least=True,
    )  # fmt: skip


def _memory(bench: Bench) -> None:
    figures: dict[str, Figure] = {}
    for count in (1, 20):
        backends = "".join(_BACKEND.format(f"b{number}", "NullDriver") for number in range(count))
        with _service(bench, backends) as service:
            for number in range(count):
                status, _ = service.ask("POST", "/v1/volumes", {"backend": f"b{number}", "size": 1})
                assert status == 200
            name = f"{count} backend{'s' if count > 1 else ''}"
            figures[name] = _in_mebibytes(_memory_of(service.process.pid))
            if count > 1:
                _run_programs(service)
                for pid, program in _programs_of(service.process.pid).items():
                    figures[f"process for {program}"] = _in_mebibytes(_memory_of(pid))
    bench.results.add(
        "service", "memory of the service with 20 backends", figures,
        figures["20 backends"], MEMORY,
    )  # fmt: skip


def _run_programs(service: Any) -> None:
    """Run the command and the adapter once, so that their processes have imported everything."""
    service.command("volume", "list")
    program, environment = _adapter_of(service, "storage_stats", "false")
    subprocess.run(program, env=environment, capture_output=True, check=True)


def _programs_of(service: int) -> dict[int, str]:
    """The processes of a service that run programs, and the names of the programs."""
    with open(f"/proc/{service}/task/{service}/children") as file:
        children = file.read().split()
    found = {}
    for child in children:
        words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        if "cinderlib.service.warm.listener" in words:
            found[int(child)] = words[words.index("cinderlib.service.warm.listener") + 1]
    return found


def _in_mebibytes(size: int) -> Figure:
    return Figure.of([size / 2**20], "MiB")


def _memory_of(pid: int) -> int:
    """Resident memory of a process in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _all(figures: list[Figure], factor: float = 1, unit: str | None = None) -> Figure:
    return Figure.of([figure.median * factor for figure in figures], unit or figures[0].unit)
