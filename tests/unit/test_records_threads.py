"""Several threads may read the first records of a process at the same time."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys, threading
sys.setswitchinterval(1e-6)
from cinderlib import records
from cinderlib.node import document
owner = records.Owner(host="h", boot_id="b", pid=1, start_time=1)
common = dict(id="i", backend="b")
intent = records.IntentRecord(**common, operation="o", resource_id="r", lock="l", owner=owner)
connection = records.ConnectionRecord(**common, volume_id="v", connector={})
texts = [(type(r), records.encode(r)) for r in (intent, connection)]
info = {"conn": {"driver_volume_type": "local", "data": {"device_path": "/x"}}}
barrier = threading.Barrier(8)
def read():
    barrier.wait()
    for kind, text in texts:
        assert records.decode(kind, text).backend == "b"
    document.ConnectionDocument(info)
threads = [threading.Thread(target=read) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_the_first_records_can_be_read_by_several_threads_at_once() -> None:
    for _ in range(10):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
