"""Container images, built from the project's Containerfiles.

That needs neither a registry nor a container runtime: the base image is bootstrapped from the
package sources of this host, buildah builds, and a container is a chroot with its own mounts and
processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Collection, Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).parents[2]
_NEEDED = ("buildah", "mmdebstrap", "unshare", "chroot")
_MISSING = [name for name in _NEEDED if not shutil.which(name)]
_PYTHON = pathlib.Path("/usr/bin/python3.11")

#: The marks of all tests that build images.
MARKS = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(_MISSING),
        reason=f"needs root and the programs {', '.join(_NEEDED)}",
    ),
    pytest.mark.skipif(
        not _PYTHON.exists(), reason="needs Debian 12, whose packages and Python the image has"
    ),
]


def run(*command: Any, **options: Any) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}"
    return done.stdout


class Image:
    """The built image, mounted.

    :ivar root: its root file system.
    :ivar config: the configuration for its process.
    """

    def __init__(self, root: pathlib.Path, config: dict[str, Any]) -> None:
        self.root = root
        self.config = config

    def command(
        self, folder: pathlib.Path, *command: str, volumes: Collection[str] = ()
    ) -> list[str]:
        """The command line that runs a command in a container with the image.

        :param folder: has the folders for the volumes of the container.
        :param volumes: folders in the container, in addition to those of the image.
        """
        volumes = sorted({*(self.config.get("Volumes") or ()), *volumes})
        mounts = "".join(
            f'mkdir -p "{self.root}{path}" "{folder}{path}"\n'
            f'mount --bind "{folder}{path}" "{self.root}{path}"\n'
            for path in volumes
        )
        script = f"""
            set -e
            {mounts}
            mount -t proc proc "{self.root}/proc"
            mount --rbind /dev "{self.root}/dev"
            mount --rbind /sys "{self.root}/sys"
            exec chroot "{self.root}" env -i {" ".join(self.config["Env"])} HOME=/root "$@"
        """
        container = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*container, "--propagation", "private", "bash", "-c", script, "bash", *command]


class Builder:
    """Builds images.

    :param folder: for the base image and the wheels.
    :param extras: of the distribution, for the wheels.
    """

    def __init__(self, folder: pathlib.Path, extras: str) -> None:
        self._tag = f"localhost/cinderlib-test-{os.getpid()}-{folder.name}"
        self._folder = folder
        self._extras = extras
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Builder:
        with self._cleanup:
            self._bootstrap()
            self._cleanup.callback(subprocess.run, ["buildah", "rmi", self._base], check=False)
            self._wheels = self._made_wheels()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()

    @property
    def _base(self) -> str:
        return f"{self._tag}-base"

    @contextlib.contextmanager
    def image(self, containerfile: str, *, target: str = "", **arguments: str) -> Iterator[Image]:
        """An image, mounted while entered.

        :param containerfile: below the project's folder.
        :param target: the stage to build; by default the last one.
        :param arguments: of the Containerfile.
        """
        tag = f"{self._tag}-{target or 'image'}"
        arguments |= {"BASE": self._base, "PIP_ARGUMENTS": "--no-index -f /wheels"}
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        with contextlib.ExitStack() as cleanup:
            run(
                *("buildah", "build", "--isolation", "chroot", "--layers=false", "--pull-never"),
                # OCI's format has no health check.
                *("--format", "docker"),
                *("--tag", tag, "--file", ROOT / containerfile),
                *("--volume", f"{self._wheels}:/wheels:ro", *given),
                *(["--target", target] if target else []),
                ROOT,
            )
            cleanup.callback(subprocess.run, ["buildah", "rmi", tag], check=False)
            container = run("buildah", "from", "--pull-never", tag).strip()
            cleanup.callback(subprocess.run, ["buildah", "rm", container], check=False)
            found = json.loads(run("buildah", "inspect", "--type", "image", tag))
            root = pathlib.Path(run("buildah", "mount", container).strip())
            yield Image(root, found["Docker"]["config"])

    def _bootstrap(self) -> None:
        """Build a minimal Debian as the base image."""
        sources = [
            path
            for path in map(pathlib.Path, ("/etc/apt/sources.list.d/debian.sources",))
            if path.exists()
        ]
        run(
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
            *("bookworm", self._folder / "base.tar", *sources),
        )
        container = run("buildah", "from", "scratch").strip()
        run("buildah", "add", "--quiet", container, self._folder / "base.tar", "/")
        run("buildah", "commit", "--quiet", "--rm", container, self._base)

    def _made_wheels(self) -> pathlib.Path:
        """The wheels of the dependencies: pip in the container has no settings of this host."""
        wheels = self._folder / "wheels"
        pip = [ROOT / ".venv" / "bin" / "python", "-m", "pip", "--python", _PYTHON]
        run(
            *(
                *pip,
                "wheel",
                "--quiet",
                "--wheel-dir",
                wheels,
                "--constraint",
                ROOT / "constraints.txt",
            ),
            *("hatchling", ROOT / "packages" / "node", f"{ROOT}[{self._extras}]"),
            env=os.environ | {"CINDERLIB_RELEASE": "1"},
        )
        for wheel in wheels.glob("cinderlib*.whl"):
            wheel.unlink()
        return wheels
