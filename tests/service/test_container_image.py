"""The image of the Containerfile is built, and its service answers programs outside of it."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from servers.images import MARKS, Builder, Image, run

import cinderlib as cl
from cinderlib import errors

pytestmark = MARKS


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    # Fewer programs and extras than in the default, because they only take time here.
    with (
        Builder(tmp_path_factory.mktemp("image"), "service") as builder,
        builder.image(
            "contrib/container/Containerfile", PROGRAMS="kmod util-linux", EXTRAS="service"
        ) as image,
    ):
        yield image


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
    assert "files" in run(*image.command(folder, *check[1:]))
    listed = json.loads(run(*image.command(folder, "cinderlib", "-q", "--json", "volume", "list")))
    assert [each["name"] for each in listed] == ["data"]
    volume.delete()

    (unshared,) = run("pgrep", "-P", service.pid).split()
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
