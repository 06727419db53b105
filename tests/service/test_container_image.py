"""The image of the Containerfile is built, and its service answers programs outside of it.

That needs neither a registry nor a container runtime: the base image is bootstrapped from the
package sources of this host, buildah builds, and the container is a chroot with its own mounts and
processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

import cinderlib as cl
from cinderlib import errors

ROOT = pathlib.Path(__file__).parents[2]
_NEEDED = ("buildah", "mmdebstrap", "unshare", "chroot")
_MISSING = [name for name in _NEEDED if not shutil.which(name)]
_PYTHON = pathlib.Path("/usr/bin/python3.11")

pytestmark = [
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


def _run(*command: Any, **options: Any) -> str:
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

    def command(self, folder: pathlib.Path, *command: str) -> list[str]:
        """The command line that runs a command in a container with the image.

        :param folder: has the folders for the volumes of the container.
        """
        volumes = sorted(self.config["Volumes"])
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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    tag = f"localhost/cinderlib-test-{os.getpid()}"
    _bootstrap(folder, f"{tag}-base")
    wheels = _wheels(folder)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(subprocess.run, ["buildah", "rmi", f"{tag}-base"], check=False)
        _run(
            *("buildah", "build", "--isolation", "chroot", "--layers=false", "--pull-never"),
            # OCI's format has no health check.
            *("--format", "docker"),
            *("--tag", tag, "--file", ROOT / "contrib" / "container" / "Containerfile"),
            *("--volume", f"{wheels}:/wheels:ro", "--build-arg", f"BASE={tag}-base"),
            *("--build-arg", "PIP_ARGUMENTS=--no-index -f /wheels"),
            # Fewer than in the default, because they only take time here.
            *("--build-arg", "PROGRAMS=kmod util-linux"),
            *("--build-arg", "EXTRAS=service", ROOT),
        )
        cleanup.callback(subprocess.run, ["buildah", "rmi", tag], check=False)
        container = _run("buildah", "from", "--pull-never", tag).strip()
        cleanup.callback(subprocess.run, ["buildah", "rm", container], check=False)
        found = json.loads(_run("buildah", "inspect", "--type", "image", tag))
        root = pathlib.Path(_run("buildah", "mount", container).strip())
        yield Image(root, found["Docker"]["config"])


def _bootstrap(folder: pathlib.Path, tag: str) -> None:
    """Build a minimal Debian as the base image."""
    sources = [
        path
        for path in map(pathlib.Path, ("/etc/apt/sources.list.d/debian.sources",))
        if path.exists()
    ]
    _run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
        *("bookworm", folder / "base.tar", *sources),
    )
    container = _run("buildah", "from", "scratch").strip()
    _run("buildah", "add", "--quiet", container, folder / "base.tar", "/")
    _run("buildah", "commit", "--quiet", "--rm", container, tag)


def _wheels(folder: pathlib.Path) -> pathlib.Path:
    """The wheels of the dependencies: in the container, pip does not have this host's settings."""
    wheels = folder / "wheels"
    pip = [ROOT / ".venv" / "bin" / "python", "-m", "pip", "--python", _PYTHON]
    _run(
        *(
            *pip,
            "wheel",
            "--quiet",
            "--wheel-dir",
            wheels,
            "--constraint",
            ROOT / "constraints.txt",
        ),
        *("hatchling", ROOT / "packages" / "node", f"{ROOT}[service]"),
        env=os.environ | {"CINDERLIB_RELEASE": "1"},
    )
    for wheel in wheels.glob("cinderlib*.whl"):
        wheel.unlink()
    return wheels


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """The container's volumes, with a configuration."""
    configuration = tmp_path / "etc" / "cinderlib" / "cinderlib.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        '[backends.files]\nvolume_driver = "file"\nfile_root = "/var/lib/cinderlib/volumes"\n'
    )
    configuration.chmod(0o600)
    return tmp_path


@pytest.fixture
def service(image: Image, folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the container."""
    command = [*image.config["Entrypoint"], *image.config["Cmd"]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            image.command(folder, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    yield process
    process.kill()
    process.wait()


def _connected(folder: pathlib.Path, process: subprocess.Popen[bytes]) -> cl.RemoteController:
    end = time.monotonic() + 120
    while True:
        try:
            controller = cl.connect(f"unix://{folder}/run/cinderlib/cinderlib.sock")
            controller.status()
            return controller
        except errors.ServiceUnavailable:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError((folder / "log").read_text()) from None
            time.sleep(0.1)


def test_the_service_in_the_image(
    image: Image, folder: pathlib.Path, service: subprocess.Popen[bytes]
) -> None:
    """A program outside creates a volume; the health check passes; SIGTERM stops it in order."""
    controller = _connected(folder, service)
    volume = controller.backend("files").create_volume(1, name="data")
    assert (folder / "var/lib/cinderlib/volumes" / f"volume-{volume.id}").stat().st_size == 1 << 30

    # The runtime runs the health check in the container, which a second one with its mounts shows.
    check = image.config["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    assert "files" in _run(*image.command(folder, *check[1:]))
    listed = json.loads(_run(*image.command(folder, "cinderlib", "-q", "--json", "volume", "list")))
    assert [each["name"] for each in listed] == ["data"]
    volume.delete()

    (unshared,) = _run("pgrep", "-P", service.pid).split()
    os.kill(int(unshared), getattr(signal, image.config.get("StopSignal") or "SIGTERM"))
    assert service.wait(60) == 0
    assert not (folder / "run/cinderlib/cinderlib.sock").exists()


def test_doctor_reports_what_the_container_lacks(image: Image, folder: pathlib.Path) -> None:
    done = subprocess.run(
        image.command(folder, "cinderlib", "doctor", "--protocol", "iscsi", "--json"),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found = {each["check"] for each in json.loads(done.stdout)["findings"]}
    assert "iscsi.package" in found or any(name.startswith("iscsi.") for name in found), found
