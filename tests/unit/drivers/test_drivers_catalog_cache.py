"""The list of drivers is kept between runs, until something changes on which it depends."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest
from cli.command import COMMAND

from cinderlib.drivers import catalog_cache, package_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    return tmp_path


def _command(folder: Path) -> None:
    path = folder / "bin" / "mount.nfs"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_catalog_is_valid_until_a_command_is_installed(folder: Path) -> None:
    options = [{"name": "a", "default": None}, {"name": "b", "default": [1]}]
    listing = {name: {"name": name, "driver_options": options} for name in ("one", "two")}
    assert catalog_cache.load() is None
    catalog_cache.save(catalog_cache.Catalog.of(listing))
    found = catalog_cache.load()
    assert found is not None
    assert found.listing(options=True) == listing
    copies = found.listing(options=True)
    copies["one"]["driver_options"][1]["default"].append(2)
    assert copies["two"] == listing["two"]
    assert found.listing(options=False)["one"] == {"name": "one"}
    _command(folder)
    assert catalog_cache.load() is None
    for number in range(8):
        (folder / "bin" / str(number)).touch()
        catalog_cache.save(found)
    kept = list((folder / "cache" / "cinderlib").iterdir())
    assert len(kept) == 4
    (damaged,) = (path for path in kept if path == package_cache.path("drivers"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert catalog_cache.load() is None


def test_a_folder_that_cannot_be_written_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    catalog_cache.save(catalog_cache.Catalog([], {}))
    assert catalog_cache.load() is None


@pytest.mark.slow
def test_the_second_list_of_drivers_is_fast_and_current(folder: Path) -> None:
    def listed() -> tuple[str, float]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*COMMAND, "driver", "list", "nfs"], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return done.stdout, after.ru_utime - before.ru_utime

    first, slow = listed()
    again, fast = listed()
    assert again == first
    assert fast < 0.4 < slow
    if "command mount.nfs" in first:
        _command(folder)
        assert "command mount.nfs" not in listed()[0]
