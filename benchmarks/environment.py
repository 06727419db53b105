"""Virtual environments with other programs to compare with, created if they are missing."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
CACHE = HERE.parent / ".cache"
#: No newer version is supported by all packages that 5.2.0 needs.
PYTHON = "python3.11"


def python() -> str | None:
    """The interpreter with cinderlib 5.2.0, or ``None`` if it cannot be installed."""
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which(PYTHON)
    found = _environment("cinderlib5", "cinderlib 5.2.0", base, "psycopg2-binary")
    return None if found is None else str(found / "bin" / "python")


def openstack() -> str | None:
    """The command ``openstack``, or ``None`` if it cannot be installed."""
    found = _environment("openstackclient", "python-openstackclient", sys.executable)
    return None if found is None else str(found / "bin" / "openstack")


def _environment(name: str, title: str, base: str | None, *more: str) -> pathlib.Path | None:
    """The environment with the packages of a file of requirements in this folder.

    :param name: of the file and the environment.
    :param base: the interpreter, if it was found.
    :param more: packages in addition.
    """
    folder = CACHE / name
    requirements = HERE / f"{name}.txt"
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return folder
    if base is None:
        print(f"{title} is skipped: {PYTHON} was not found", file=sys.stderr)
        return None
    print(f"Installing {title} into {folder} (about two minutes, only once)", file=sys.stderr)
    subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq"]
    install += ["--disable-pip-version-check", "-r", str(requirements), *more]
    if subprocess.run(install, check=False).returncode:
        print(f"{title} is skipped: it cannot be installed", file=sys.stderr)
        return None
    done.write_text(requirements.read_text())
    return folder
