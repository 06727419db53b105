"""Secrets are never shown: checks the output and files of programs that use marked secrets."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys

import pytest
import servers.postgresql
from marks import MARK, OPTION

from cinderlib.persistence import generate_key

LIFE = pathlib.Path(__file__).with_name("secret_life.py")
PASSWORDS = [MARK, servers.postgresql.PASSWORD, "pass%2Fword%401"]


@pytest.mark.parametrize(
    "store",
    [
        "sqlite",
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("postgresql", "etcd", "encrypted")),
    ],
)
def test_no_secret_is_shown_or_stored(
    store: str, tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    if store in ("postgresql", "etcd"):
        url = request.getfixturevalue(store).database()
    keys = [generate_key(), generate_key()] if store == "encrypted" else []
    life = subprocess.run(
        [sys.executable, str(LIFE), str(tmp_path), url, *keys],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    written = life.stdout + life.stderr
    assert life.returncode == 0, written[-3000:]
    assert "DEBUG:" in written
    # Mistyped keys are not shown either.
    hidden = [*PASSWORDS, *(key[1:] for key in keys)]
    seen = [line for line in written.splitlines() if any(word in line for word in hidden)]
    assert seen == []


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.core
def test_the_command_shows_no_secret_with_debug(tmp_path: pathlib.Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(generate_key())
    config = tmp_path / "cinderlib.toml"
    config.write_text(
        f"""
        [controller]
        state_path = "{tmp_path}/state"
        [store]
        connection = "sqlite:///{tmp_path}/store.sqlite"
        encryption_keys = {{ file = "keys" }}
        [backends.array]
        volume_driver = "secretive_driver.SecretiveDriver"
        file_root = "{tmp_path}/volumes"
        array_password = "{OPTION}"
        """
    )
    written = ""

    def run(*arguments: str, ends: int = 0) -> None:
        nonlocal written
        command = "from cinderlib.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", command, "--debug", "--config", str(config), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PYTHONPATH": str(LIFE.parent)},
        )
        written += done.stdout + done.stderr
        assert done.returncode == ends, done.stderr[-3000:]

    run("volume", "create", "data", "1GiB")
    run("volume", "attach", "data")
    run("volume", "extend", "data", "13GiB", ends=1)
    for noun in ("volume", "connection", "node"):
        run(noun, "list")
        run(noun, "list", "--json")
    run("volume", "show", "data")
    run("store", "rotate")
    run("config", "show")
    run("recover")
    key = keys.read_text()
    keys.write_text(generate_key())
    run("volume", "detach", "data", ends=5)
    run("store", "rotate", ends=5)
    keys.write_text(key[1:])
    run("volume", "list", ends=2)
    keys.write_text(key)
    run("volume", "detach", "data")
    run("volume", "delete", "data", "--yes")
    assert "DEBUG cinder" in written
    assert "Traceback" in written
    hidden = [*PASSWORDS, key[1:]]
    assert [line for line in written.splitlines() if any(w in line for w in hidden)] == []


def test_wrong_password_is_not_shown(postgresql: servers.postgresql.PostgreSQL) -> None:
    url = postgresql.database().replace("pass%2Fword%401", f"{MARK}wrong")
    code = f"import cinderlib; cinderlib.Controller({{'storage': 'db', 'connection': {url!r}}})"
    failed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert "StoreError" in failed.stderr
    # The traceback shows the line above, so check only the text after it.
    assert MARK not in failed.stderr.replace(code, "")


PRIVATE = """
import json, os, pathlib, sys, uuid
import cinderlib
from cinderlib.ovirt import adapter

folder = sys.argv[1]
url = f"sqlite:///{folder}/store.sqlite"
options = {"volume_driver": "file", "file_root": f"{folder}/the/volumes"}

os.environ[adapter.STATE_PATH] = f"{folder}/ovirt/state"
driver = json.dumps({"volume_backend_name": "x", **options})
assert adapter.run(["create_volume", driver, url, "id", str(uuid.uuid4()), "1"]) == 0

config = {"storage": "db", "connection": url}
controller = cinderlib.Controller(config, state_path=f"{folder}/of/state")
volume = controller.backend("x", **options).create_volume(1)
volume.attach()
for path in pathlib.Path(folder).rglob("*"):
    print(oct(path.stat().st_mode), path, sep="\\t")
volume.detach()
"""


@pytest.mark.parametrize("umask", [0o022, 0o000], ids=oct)
@pytest.mark.slow
def test_files_with_secrets_are_private(tmp_path: pathlib.Path, umask: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PRIVATE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        umask=umask,
    )
    modes = [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]
    found = {path: int(mode, 8) for mode, path in modes}
    for made in ("store.sqlite", "store.sqlite-wal", "ovirt/state/ovirt-adapter.log"):
        assert f"{tmp_path}/{made}" in found
    assert any(path.endswith(".json") for path in found)
    assert any(path.endswith("-locks") for path in found)
    open_to_others = []
    for path, mode in found.items():
        way = [path, *map(str, pathlib.Path(path).parents)]
        hidden = any(not found[step] & 0o077 for step in way if step in found)
        # Others can only access folders, without permission to write.
        if not hidden and (not stat.S_ISDIR(mode) or mode & 0o022):
            open_to_others.append((oct(mode), path))
    assert open_to_others == []
