"""The disk images of the machines. They are rebuilt if their sources have changed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
HERE = ROOT / "lab"
CACHE = ROOT / ".cache" / "lab"
#: The distribution's Python, because the machines have the same version.
PYTHON = "/usr/bin/python3"

#: The distribution for a host that only attaches.
NODE = ROOT / "packages" / "node"
_OF_NODE = tomllib.loads((NODE / "pyproject.toml").read_text())["project"]
_NODE = tuple(_OF_NODE["dependencies"])
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
_DATABASE = ("alembic", "SQLAlchemy", "tooz", "psycopg2-binary")
#: The Python packages of each role in addition to this project. A node has no cinder, and the
#: packages for the service and for a store in a database are on a separate disk. So are those for
#: the CSI plug-in and its tests.
ENVIRONMENTS = {
    "node": _NODE,
    "store": (*_DATABASE, *_EXTRAS["service"]),
    "csi": (*_OF_NODE["optional-dependencies"]["csi"], "pytest"),
    "controller": ("cinder", *_NODE, *_DATABASE, *_EXTRAS["service"]),
}
#: The distributions of this project that each role has.
DISTRIBUTIONS = {"node": [NODE], "controller": [NODE, ROOT]}
#: Folders of this project that all machines have in ``/opt/project``.
_FOLDERS = ("contrib/proxmox", "systemd")

#: Builds the content of an empty folder.
Maker = Callable[[pathlib.Path], None]
#: A key that changes with the sources of an image, and the function that builds the image.
Recipe = tuple[str, Maker]


def prepare(report: Callable[[str], None]) -> dict[str, pathlib.Path]:
    """Build missing images.

    :param report: called with a line when a slow step begins or ends.
    :returns: folders by name: the kernel and roots (``'roots'``), and others with a file system
        ``image`` each.
    """
    if os.geteuid():
        raise PermissionError("The lab builds system images: run it as root.")
    CACHE.mkdir(parents=True, exist_ok=True)
    recipes: dict[str, Recipe] = {
        "roots": (_of_files((HERE / "image").iterdir()), _make_roots),
    }
    for role, packages in ENVIRONMENTS.items():
        key = "\n".join([*packages, (ROOT / "constraints.txt").read_text(), _python_version()])
        recipes[f"python-{role}"] = (key, functools.partial(_make_environment, packages=packages))
    files = [*(ROOT / "src").rglob("*.py"), *(HERE / "guest").rglob("*")]
    for folder in _FOLDERS:
        files += (ROOT / folder).rglob("*")
    files += [ROOT / "pyproject.toml", ROOT / "hatch_build.py", NODE / "pyproject.toml"]
    for role, distributions in DISTRIBUTIONS.items():
        make = functools.partial(_make_project, distributions=distributions)
        recipes[f"project-{role}"] = (_of_files(files), make)
    with alone(), concurrent.futures.ThreadPoolExecutor() as pool:
        folders = pool.map(lambda name: _cached(name, *recipes[name], report), recipes)
        return dict(zip(recipes, folders, strict=True))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lock the cache, so that no other run changes it."""
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cached(name: str, key: str, make: Maker, report: Callable[[str], None]) -> pathlib.Path:
    """The folder for a name and a key, built if it is missing. Folders of other keys are
    removed."""
    folder = CACHE / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    for other in CACHE.glob(f"{name}-????????????"):
        shutil.rmtree(other)
    draft = CACHE / f"{name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    began = time.monotonic()
    report(f"building {name} ...")
    make(draft)
    draft.rename(folder)
    report(f"built {name} in {time.monotonic() - began:.0f} s")
    return folder


def remove(folder: pathlib.Path) -> None:
    """Remove a folder with its content."""
    shutil.rmtree(folder)


def _make_roots(folder: pathlib.Path) -> None:
    subprocess.run([HERE / "image" / "build", folder], check=True, stdin=subprocess.DEVNULL)


def _make_environment(folder: pathlib.Path, packages: Iterable[str]) -> None:
    _pip(folder / "tree", *packages)
    _pack(folder)


def _make_project(folder: pathlib.Path, distributions: Iterable[pathlib.Path]) -> None:
    _pip(folder / "tree" / "python", "--no-deps", *map(str, distributions))
    shutil.copytree(HERE / "guest", folder / "tree" / "guest", symlinks=True)
    for each in _FOLDERS:
        shutil.copytree(ROOT / each, folder / "tree" / pathlib.Path(each).name)
    _pack(folder)


def _pip(target: pathlib.Path, *arguments: str) -> None:
    constraints = str(ROOT / "constraints.txt")
    environment = os.environ | {
        "PIP_CONSTRAINT": constraints,
        "PIP_BUILD_CONSTRAINT": constraints,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    command = [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet"]
    subprocess.run(
        [*command, "--no-warn-conflicts", "--target", target, *arguments],
        check=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def _pack(folder: pathlib.Path) -> None:
    """Pack ``tree`` in the folder into the file system ``image``."""
    tree = folder / "tree"
    sizes = [path.lstat().st_size for path in tree.rglob("*")]
    blocks = sum(size // 4096 + 1 for size in sizes) * 5 // 4 + 4096
    inodes = len(sizes) + 1000
    subprocess.run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-b", "4096"),
            *("-N", str(inodes), "-E", "root_owner=0:0"),
            *("-d", tree, folder / "image", str(blocks + inodes // 8)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(tree)


def _of_files(paths: Iterable[pathlib.Path]) -> str:
    lines = []
    for path in sorted(paths):
        if path.is_file() and "__pycache__" not in path.parts:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{path.relative_to(ROOT)} {path.stat().st_mode:o} {digest}")
    return "\n".join(lines)


def _python_version() -> str:
    return subprocess.check_output([PYTHON, "--version"], text=True)


if __name__ == "__main__":
    prepare(lambda line: print(f"lab: {line}", flush=True))
