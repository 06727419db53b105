"""Start: from exec to exit of a new process."""

from __future__ import annotations

import sys

from benchmarks.bench import OLD, OURS, Bench
from benchmarks.measure import Figure, ratio
from benchmarks.process import alone, once

_SEEN = """
import json
with open("/proc/self/status") as file:
    peak = [line for line in file if line.startswith("VmHWM")][0].split()[1]
print(json.dumps({"seconds": seconds, "peak": int(peak) / 1024, "modules": len(sys.modules)}))
"""
_START = "import sys, time; start = time.perf_counter()\n"
_END = "\nseconds = time.perf_counter() - start" + _SEEN

_LIST_NEW = """
import os, cinderlib as cl
with cl.Controller({"storage": "db", "connection": os.environ["STORE"]},
                   state_path=os.environ["FOLDER"]) as controller:
    assert len(list(controller.volumes())) == 100
"""
#: 5.2.0 can only list the volumes of a loaded backend.
_LIST_OLD = """
import os, cinderlib as cl
cl.setup(persistence_config={"storage": "db", "connection": os.environ["STORE"]},
         file_locks_path=os.environ["FOLDER"])
backend = cl.Backend(volume_backend_name="null", volume_driver="benchmarks.nulldriver.NullDriver")
assert len(backend.volumes) == 100
"""
_CONTROLLER = """
import os, cinderlib as cl
with cl.Controller(state_path=os.environ["FOLDER"]) as controller:
    controller.backend("b", volume_driver="file", file_root=os.environ["FOLDER"] + "/volumes")
"""
_NODE = """
import os
from cinderlib.node import Node
Node(state_path=os.environ["FOLDER"]).connector_properties("iscsi")
"""

PROGRAMS = {
    "python": "pass",
    "import": "import cinderlib",
    "list": _LIST_NEW,
    "one os-brick connector": "import os_brick.initiator.connectors.iscsi",
    "node": _NODE,
    "one driver's module": "import cinderlib.drivers.file.driver",
    "controller": _CONTROLLER,
}
OLD_PROGRAMS = {"import": "import cinderlib", "list": _LIST_OLD}


#: Commands that load no driver, and the highest accepted time as a multiple of that of a bare
#: interpreter with sqlite3.
COMMANDS = {
    "--version": 5.0,
    "volume list": 8.0,
    "driver list": 15.0,
    "config check": 10.0,
}
_BARE = "import sqlite3"
_COMMAND = "import sys; sys.argv = ['cinderlib', {arguments}]; from cinderlib.launcher import main"


class _Seen:
    """The measurements of one program, with a value for each run."""

    def __init__(self) -> None:
        self.wall: list[Figure] = []
        self.inside: list[Figure] = []
        self.peak: list[float] = []
        self.modules = 0.0

    def run(self, python: str, program: str, environment: dict[str, str]) -> None:
        seconds, seen = once(python, _START + program + _END, **environment)
        self.wall.append(Figure.of([seconds * 1000], "ms"))
        self.inside.append(Figure.of([seen["seconds"] * 1000], "ms"))
        self.peak.append(seen["peak"])
        self.modules = seen["modules"]

    def figure(self, of: list[Figure]) -> Figure:
        return _together(of)


def run(bench: Bench) -> None:
    folder = bench.new_folder()
    stores: dict[str, str] = {}
    for who in [OURS] + ([OLD] if bench.old else []):
        store = bench.stores()["SQLite"]()
        stores[who] = store["connection"]
        with bench.library(who, store) as worker:
            worker.ask("create", count=100)
    seen: dict[tuple[str, str], _Seen] = {}
    for number in range(bench.many(15, 5) + 1):
        for who, programs in ((OURS, PROGRAMS), (OLD, OLD_PROGRAMS if bench.old else {})):
            python = (bench.old if who == OLD else None) or sys.executable
            for name, program in programs.items():
                environment = {"STORE": stores[who], "FOLDER": str(folder)}
                one = seen.setdefault((who, name), _Seen())
                one.run(python, program, environment)
                if not number:  # the first run reads files from the disk
                    seen[who, name] = _Seen()
    _report(bench, seen)
    _commands(bench, stores[OURS])


def _commands(bench: Bench, store: str) -> None:
    """The start of the command, in ratio to a bare interpreter."""
    folder = bench.new_folder()
    configuration = folder / "cinderlib.toml"
    configuration.write_text(
        f'[controller]\nstate_path = "{folder}/state"\n[store]\nconnection = "{store}"\n'
        f'[backends.files]\nvolume_driver = "file"\nfile_root = "{folder}/volumes"\n'
    )
    configuration.chmod(0o600)
    environment = {"CINDERLIB_CONFIG": str(configuration), "XDG_CACHE_HOME": str(folder)}
    found: dict[str, list[Figure]] = {}
    for number in range(bench.many(15, 5) + 1):
        for name in (_BARE, *COMMANDS):
            program = _program(name)
            seconds = alone(sys.executable, program, **environment)
            if number:  # the first run fills the caches
                found.setdefault(name, []).append(Figure.of([seconds * 1000], "ms"))
    bare = found.pop(_BARE)
    for name, figures in found.items():
        bench.results.add(
            "start", f"`cinderlib {name}`, exec to exit, against `{_BARE}`",
            {OURS: _together(figures), "python": _together(bare)},
            ratio(figures, bare), COMMANDS[name],
        )  # fmt: skip


def _program(command: str) -> str:
    if command == _BARE:
        return command
    arguments = ", ".join(map(repr, command.split()))
    return f"{_COMMAND.format(arguments=arguments)}\nmain()"


def _together(figures: list[Figure]) -> Figure:
    return Figure.of([figure.median for figure in figures], "ms")


def _report(bench: Bench, seen: dict[tuple[str, str], _Seen]) -> None:
    ours = {name: one for (who, name), one in seen.items() if who == OURS}
    old = {name: one for (who, name), one in seen.items() if who == OLD}
    add, bare = bench.results.add, ours["python"]
    grown = Figure.of([a - b for a, b in zip(ours["import"].peak, bare.peak, strict=True)], "MiB")
    add("start", "memory of `import cinderlib`", {OURS: grown}, grown, 8)
    if old:
        one, other = ours["import"], old["import"]
        add(
            "start", "`import cinderlib`, the import alone",
            {OURS: one.figure(one.inside), OLD: other.figure(other.inside)},
            ratio(one.inside, other.inside), 1 / 12,
        )  # fmt: skip
        one, other = ours["list"], old["list"]
        add(
            "start", "list 100 volumes from SQLite, exec to exit",
            {OURS: one.figure(one.wall), OLD: other.figure(other.wall)},
            ratio(one.wall, other.wall), 1 / 4,
        )  # fmt: skip
    for what, name, limit, most in (
        ("node, to a connector's properties", "node", "one os-brick connector", 1.25),
        ("controller with one backend", "controller", "one driver's module", 1.2),
    ):
        one, other = ours[name], ours[limit]
        add(
            "start", f"{what}, exec to exit, against the import of {limit}",
            {OURS: one.figure(one.wall), limit: other.figure(other.wall)},
            ratio(one.wall, other.wall), most,
        )  # fmt: skip
