"""Paths of the command: a configuration has the same meaning in every working directory, and
commands that only read do not create files."""

from __future__ import annotations

import ast
import importlib.util
import os
import pathlib
import shutil

import pytest
from cli.command import Command

from cinderlib.cli import paths

RELATIVE = """
[controller]
state_path = "state"
file_locks_path = "locks"

[store]
connection = "sqlite:///metadata.sqlite"

[backends.files]
volume_driver = "file"
file_root = "volumes"
"""
READING = [
    "volume list",
    "snapshot list",
    "connection list",
    "backend list",
    "volume show nothing",
    "volume delete nothing --yes",
    "volume extend nothing 2",
    "snapshot delete nothing --yes",
    "connection show nothing",
    "config check",
    "config show",
    "store dump",
    "store upgrade --dry-run",
    "recover",
    "doctor --protocol local",
]


def there(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_configuration_means_the_same_from_every_folder(
    cinderlib: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = cinderlib.folder, cinderlib.folder / "elsewhere"
    elsewhere.mkdir()
    cinderlib.write(RELATIVE)
    cinderlib("volume", "create", "data", "1GiB")
    assert (folder / "metadata.sqlite").exists()
    assert cinderlib.files
    monkeypatch.chdir(elsewhere)
    for given in (str(cinderlib.config), "../cinderlib.toml"):
        cinderlib.environment["CINDERLIB_CONFIG"] = given
        assert [row[1] for row in cinderlib("volume", "list").rows] == ["data"]
        assert "OK" in cinderlib("config", "check").stderr
    assert [row[1] for row in cinderlib("volume", "list", "--config", given).rows] == ["data"]
    # Including a path from a reference.
    cinderlib.write(RELATIVE.replace('"volumes"', '{ env = "ROOT" }'))
    cinderlib.environment["ROOT"] = "volumes"
    cinderlib("volume", "extend", "data", "2GiB")
    assert there(elsewhere) == []


@pytest.mark.alone(reason="a service creates its store when it starts")
@pytest.mark.parametrize("arguments", READING)
def test_reading_commands_do_not_create_files(cinderlib: Command, arguments: str) -> None:
    cinderlib.write(RELATIVE)
    before = there(cinderlib.folder)
    done = cinderlib(*arguments.split(), ends=None)
    assert done.exit_code in (0, 1, 3, 5), done.stderr
    assert there(cinderlib.folder) == before
    if done.exit_code == 0 and arguments.endswith("list"):
        assert "does not exist yet" in done.stderr or arguments == "backend list"


@pytest.mark.alone(reason="no service runs without its store")
@pytest.mark.parametrize("arguments", [*READING[:9], "volume create data 1", "reconcile"])
def test_a_folder_in_the_url_that_does_not_exist_is_an_error(
    cinderlib: Command, arguments: str
) -> None:
    cinderlib.write(RELATIVE.replace("sqlite:///", "sqlite:///mistyped/"))
    before = there(cinderlib.folder)
    done = cinderlib(*arguments.split(), ends=2)
    assert f"the folder {cinderlib.folder}/mistyped does not exist" in done.stderr
    assert there(cinderlib.folder) == before


@pytest.mark.alone(reason="no service runs without a configuration")
@pytest.mark.parametrize("arguments", [*READING[:10], "volume create data 1", "backend check"])
def test_without_a_configuration_the_error_lists_the_searched_paths(
    cinderlib: Command, tmp_path: pathlib.Path, arguments: str
) -> None:
    cinderlib.config.unlink()
    del cinderlib.environment["CINDERLIB_CONFIG"]
    cinderlib.environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
    cinderlib.environment["CINDERLIB_CONFIG"] = ""
    done = cinderlib(*arguments.split(), ends=None)
    assert done.exit_code in (2, 3)
    assert f"{tmp_path}/.config/cinderlib/cinderlib.toml" in done.stderr
    assert "/etc/cinderlib/cinderlib.toml" in done.stderr
    assert there(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "volume list --backend foo",
        "snapshot list --backend foo",
        "connection list --backend foo",
        "backend show foo",
        "backend check foo",
        "volume create x 1 --backend foo",
        "volume list --status foo",
    ],
)
def test_unknown_names_are_errors(cinderlib: Command, arguments: str) -> None:
    done = cinderlib(*arguments.split(), ends=None)
    assert done.exit_code in (1, 2, 5)
    assert "foo" in done.stderr + done.stdout
    assert "files" in done.stderr + done.stdout or "available" in done.stderr


@pytest.mark.alone(reason="no service runs without its store")
@pytest.mark.parametrize(
    "store",
    [
        "storage = 'memory'",
        "storage = 'memory_db'",
        "connection = 'sqlite://'",
        "connection = 'sqlite:///'",
        "connection = 'sqlite:///:memory:'",
        "connection = 'sqlite:///file::memory:?uri=true'",
        "connection = 'sqlite:///file:x?mode=memory&uri=true'",
        "connection = { env = 'STORE' }",
    ],
)
def test_a_store_in_memory_is_refused(cinderlib: Command, store: str) -> None:
    cinderlib.environment["STORE"] = "sqlite+pysqlite://"
    cinderlib.write(
        f"[store]\n{store}\n{RELATIVE.replace('[store]', '').split('connection')[0]}"
        '[backends.files]\nvolume_driver = "file"\nfile_root = "volumes"'
    )
    for arguments in ("volume create data 1", "volume list", "config check"):
        done = cinderlib(*arguments.split(), ends=2)
        assert "in memory" in done.stderr + done.stdout
        assert ":1: " in done.stderr + done.stdout
    assert cinderlib.files == []


@pytest.mark.parametrize("root", [None, "", "{ env = 'ROOT' }"])
def test_config_check_and_backend_check_agree(cinderlib: Command, root: str | None) -> None:
    cinderlib.environment["ROOT"] = ""
    line = "" if root is None else f"file_root = {root or chr(39) * 2}"
    cinderlib.write(f'[backends.files]\nvolume_driver = "file"\n{line}')
    said = [cinderlib("config", "check", ends=2), cinderlib("backend", "check", ends=1)]
    for done in said:
        assert "file_root must be the absolute path of a folder" in done.stdout


@pytest.mark.slow
def test_all_path_options_of_cinder_are_known() -> None:
    """All options in Cinder whose default is a path."""
    spec = importlib.util.find_spec("cinder")
    assert spec is not None
    (package,) = spec.submodule_search_locations or ()
    found = dict(_path_options(pathlib.Path(package) / "volume"))
    assert len(found) > 10
    assert {name for name in found if not paths.is_path(name)} <= {"java_path"}


def _path_options(folder: pathlib.Path) -> list[tuple[str, str]]:
    found = []
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("StrOpt"):
                continue
            name, *_ = [a.value for a in node.args if isinstance(a, ast.Constant)] or [""]
            default = [
                k.value.value
                for k in node.keywords
                if k.arg == "default" and isinstance(k.value, ast.Constant)
            ]
            if default and str(default[0]).startswith(("/", "$state_path/")):
                found.append((str(name), str(default[0])))
    return found


@pytest.mark.alone(reason="no service runs without a state folder")
@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
@pytest.mark.parametrize("home", [None, "relative"])
def test_a_user_without_a_home_must_choose_a_folder(
    cinderlib: Command, open_folder: pathlib.Path, home: str | None
) -> None:
    config = open_folder / "cinderlib.toml"
    shutil.copy(cinderlib.config, config)
    config.chmod(0o644)
    config.write_text('[backends.files]\nvolume_driver = "file"\nfile_root = "volumes"')
    cinderlib.environment |= {"CINDERLIB_CONFIG": str(config), "HOME": home or ""}
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        cinderlib.environment[name] = home or ""
    removed = {} if home is not None else {"HOME"}
    for arguments in ("volume list", "volume create data 1", "node list", "node leftovers"):
        done = cinderlib.process(*arguments.split(), cwd=open_folder, user=54321, without=removed)
        assert done.returncode == 2, done.stderr
        assert "state_path" in done.stderr
        assert len(done.stderr.splitlines()) <= 2
    assert there(open_folder) == ["cinderlib.toml"]
