"""A process settles what another one began, also if it has not used that operation itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_FRESH = """
import contextlib, os, sys
import cinderlib as cl

def observer(activity):
    if sys.argv[2] == "begin" and activity.name == "retype":
        os._exit(9)
    return contextlib.nullcontext()

store = {"storage": "db", "connection": f"sqlite:///{sys.argv[1]}/store.sqlite"}
with cl.Controller(
    store, state_path=f"{sys.argv[1]}/state", recover=False, observer=observer
) as controller:
    backend = controller.backend("files", volume_driver="file", file_root=f"{sys.argv[1]}/volumes")
    if sys.argv[2] == "begin":
        backend.create_volume(1, name="data").retype(extra_specs={"a": "1"})
    (volume,) = controller.volumes()
    print(volume.status)
    volume.extend(2)
    print(volume.status, volume.extra_specs, volume.size)
"""


def test_a_new_process_settles_an_operation_that_it_has_not_used(tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()

    def run(what: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _FRESH, str(tmp_path), what]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("begin").returncode == 9
    done = run("continue")
    assert done.stdout.splitlines() == ["retyping", "available {'a': '1'} 2"], done.stderr
