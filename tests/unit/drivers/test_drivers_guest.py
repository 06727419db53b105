"""What a program that uses drivers finds changed in its process afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import asyncio, decimal, json, logging, os, signal, socket, sys, threading, time, warnings

root = logging.getLogger()
root.addHandler(logging.StreamHandler(sys.stderr))
logging.getLogger("host").setLevel(logging.INFO)
signal.signal(signal.SIGUSR1, lambda *args: None)
warnings.filterwarnings("error", category=BytesWarning)
import urllib3, requests

def state():
    os.umask(mask := os.umask(0))
    return {
        "root logger": (root.level, [repr(h) for h in root.handlers], root.disabled),
        "host logger": (logging.getLogger("host").level, logging.getLogger("host").disabled),
        "logging": (repr(logging.getLoggerClass()), logging.root.manager.disable,
                    repr(logging.getLogRecordFactory()), logging.raiseExceptions),
        "handlers of any logger": sorted(
            name for name, each in logging.root.manager.loggerDict.items()
            if any(type(h).__name__ != "NullHandler" for h in getattr(each, "handlers", ()))),
        "warnings": [repr(each) for each in warnings.filters],
        "showwarning": repr(warnings.showwarning),
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
        "umask": mask,
        "signals": {s.name: repr(signal.getsignal(s)) for s in signal.valid_signals()
                    if isinstance(s, signal.Signals)},
        "time.sleep": repr(time.sleep),
        "meta_path": [repr(each) for each in sys.meta_path],
        "path_hooks": len(sys.path_hooks),
        "sys.path": list(sys.path),
        "argv": sys.argv,
        "hooks": [repr(each) for each in (sys.excepthook, threading.excepthook, sys.displayhook,
                  sys.unraisablehook)],
        "socket": [repr(each) for each in (socket.socket, socket.getaddrinfo, socket.gethostname)],
        "threading": [repr(each) for each in (threading.Thread, threading.Lock, threading.local)],
        "subprocess": repr(__import__("subprocess").Popen),
        "select": repr(__import__("select").poll),
        "event loop": repr(asyncio.get_event_loop_policy()),
        "recursion": sys.getrecursionlimit(),
        "decimal": decimal.getcontext().prec,
        "default encoding": sys.stdout.encoding,
        "stdout": [repr(sys.stdout), repr(sys.stderr)],
        "files here": os.listdir("."),
        "modules": {name: id(sys.modules[name]) for name in ("json", "urllib3", "requests")},
        "threads": sorted(each.name for each in threading.enumerate()),
        "etc": os.path.exists("/etc/cinder"),
    }

before = state()
from cinderlib import drivers
from cinderlib.persistence.base import Put
from cinderlib.persistence.memory import MemoryStore
from cinderlib.records import VolumeRecord, new_id

folder = sys.argv[1]
store = MemoryStore()
settings = drivers.Settings(host="h", state_path=folder, lock_path=folder,
                            cinder_options={"debug": True, "log_file": folder + "/log"})
port = drivers.load("b", {"volume_driver": "file", "file_root": folder + "/volumes"},
                    store=store, settings=settings)
(volume,) = store.apply(Put(VolumeRecord(id=new_id(), backend="b", size=1, host="h@b#b")))
port.create_volume(volume)
port.delete_volume(volume)
port.close()
after = state()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("state")
    here = tmp_path_factory.mktemp("here")
    environment = {k: v for k, v in os.environ.items() if k != "EVENTLET_NO_GREENDNS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True, text=True, check=False, cwd=here, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "nothing is written to the program's standard error"
    assert not Path(folder, "log").exists(), "no log file is opened"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_else_changes_than_what_the_documentation_lists(changed: dict[str, Any]) -> None:
    changed = dict(changed)
    before, after = changed.pop("environment")
    assert {k: v for k, v in after.items() if before.get(k) != v} == {"EVENTLET_NO_GREENDNS": "yes"}
    before, after = changed.pop("threads")
    assert set(after) - set(before) <= {"Thread-1 (_beat_forever_until_stopped)"}
    before, after = changed.pop("meta_path", ([], []))
    assert [
        each for each in after if each not in before and "_SixMetaPathImporter" not in each
    ] == []
    assert changed == {}
