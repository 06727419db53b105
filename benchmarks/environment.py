"""The virtual environment of cinderlib 5.2.0, created if it is missing."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
FOLDER = HERE.parent / ".cache" / "cinderlib5"
#: No newer version is supported by all packages that 5.2.0 needs.
PYTHON = "python3.11"


def python() -> str | None:
    """The interpreter with cinderlib 5.2.0, or ``None`` if it cannot be installed."""
    found = FOLDER / "bin" / "python"
    asked = (HERE / "cinderlib5.txt").read_text()
    done = FOLDER / "installed.txt"
    if done.exists() and done.read_text() == asked:
        return str(found)
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which(PYTHON)
    if base is None:
        print(f"cinderlib 5.2.0 is skipped: {PYTHON} was not found", file=sys.stderr)
        return None
    print(
        f"Installing cinderlib 5.2.0 into {FOLDER} (about two minutes, only once)", file=sys.stderr
    )
    subprocess.run([base, "-m", "venv", "--clear", str(FOLDER)], check=True)
    install = [str(found), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", str(HERE / "cinderlib5.txt"), "psycopg2-binary"], check=True)
    done.write_text(asked)
    return str(found)
