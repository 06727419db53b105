"""No secret is ever seen: a whole life with marked ones, and everything that it wrote."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys

import pytest
import servers.postgresql
from marks import MARK

LIFE = pathlib.Path(__file__).with_name("secret_life.py")


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_secrets_are_seen_nowhere(
    store: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    if store == "postgresql":
        url = request.getfixturevalue("postgresql").database()
    life = subprocess.run(
        [sys.executable, str(LIFE), str(tmp_path), url],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    written = life.stdout + life.stderr
    assert life.returncode == 0, written[-3000:]
    assert "DEBUG:" in written
    passwords = [MARK, servers.postgresql.PASSWORD, "pass%2Fword%401"]
    seen = [line for line in written.splitlines() if any(word in line for word in passwords)]
    assert seen == []


def test_wrong_password_is_not_shown(postgresql: servers.postgresql.PostgreSQL) -> None:
    url = postgresql.database().replace("pass%2Fword%401", f"{MARK}wrong")
    code = f"import cinderlib; cinderlib.Controller({{'storage': 'db', 'connection': {url!r}}})"
    failed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert "StoreError" in failed.stderr
    # The traceback shows the line above, so only what follows it counts.
    assert MARK not in failed.stderr.replace(code, "")


def test_files_with_secrets_are_private(tmp_path: pathlib.Path) -> None:
    umask = os.umask(0o022)
    try:
        url = f"sqlite:///{tmp_path}/store.sqlite"
        code = (
            "import cinderlib, pathlib, sys\n"
            f"c = cinderlib.Controller({{'storage': 'db', 'connection': {url!r}}},"
            f" state_path={str(tmp_path / 'state')!r})\n"
            f"b = c.backend('x', volume_driver='file', file_root={str(tmp_path / 'v')!r})\n"
            "v = b.create_volume(1)\n"
            "v.attach()\n"
            f"for p in pathlib.Path({str(tmp_path)!r}).rglob('*'):\n"
            "    print(oct(p.stat().st_mode), p, sep='\\t')\n"
            "v.detach()\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
        )
    finally:
        os.umask(umask)
    found = dict(reversed(line.split("\t")) for line in run.stdout.splitlines())
    assert f"{tmp_path}/store.sqlite" in found
    assert any(path.endswith(".json") for path in found)

    def private(path: str) -> bool:
        parents = [p for p in [path, *map(str, pathlib.Path(path).parents)] if p in found]
        return any(not stat.S_IMODE(int(found[p], 8)) & 0o077 for p in parents)

    files = [path for path, mode in found.items() if stat.S_ISREG(int(mode, 8))]
    assert [path for path in files if not private(path)] == []
