"""Sparse files on common filesystems."""

import errno
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cinderlib.drivers.file import sparse

MIB = 1 << 20


def mounted(tmp_path_factory, kind, *options):
    """A new filesystem in a mounted folder, which is removed afterwards."""
    if os.geteuid():
        pytest.skip(f"mounting {kind} needs root")
    base = tmp_path_factory.mktemp(kind)
    point = base / "mounted"
    point.mkdir()
    source = kind
    if kind in ("xfs", "btrfs"):
        if not shutil.which(f"mkfs.{kind}"):
            package = {"xfs": "xfsprogs", "btrfs": "btrfs-progs"}[kind]
            pytest.skip(f"mkfs.{kind} is missing: apt-get install {package}")
        source = base / "image"
        source.touch()
        os.truncate(source, 512 * MIB)
        subprocess.run([f"mkfs.{kind}", "-q", source], check=True)
    done = subprocess.run(
        ["mount", "-t", kind, *options, source, point], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this machine cannot mount {kind}: {done.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        shutil.rmtree(base)


@pytest.fixture(scope="module")
def xfs(tmp_path_factory):
    yield from mounted(tmp_path_factory, "xfs", "-o", "loop")


@pytest.fixture(scope="module")
def btrfs(tmp_path_factory):
    yield from mounted(tmp_path_factory, "btrfs", "-o", "loop")


@pytest.fixture
def tmpfs(tmp_path_factory):
    """A filesystem of 16 MiB that cannot share extents."""
    yield from mounted(tmp_path_factory, "tmpfs", "-o", "size=16m")


@pytest.fixture(params=["home", "tmpfs", "xfs", pytest.param("btrfs", marks=pytest.mark.slow)])
def folder(request, tmp_path):
    """A folder on each filesystem; 'home' is on the filesystem of the tests."""
    root = tmp_path if request.param == "home" else request.getfixturevalue(request.param)
    folder = root / request.node.name.replace("/", "_")
    folder.mkdir()
    return folder


def fill(path, *extents):
    """Create a file of 64 MiB with random data only in the extents (start, length)."""
    sparse.create(path, 64 * MIB)
    with path.open("r+b") as file:
        for start, length in extents:
            file.seek(start)
            file.write(random.randbytes(length))
    return digest(path)


def digest(path, length=None):
    with path.open("rb") as file:
        return hashlib.sha256(file.read() if length is None else file.read(length)).hexdigest()


def test_new_file_is_private_and_takes_no_space(folder):
    sparse.create(folder / "volume", 64 * MIB)
    found = (folder / "volume").stat()
    assert (found.st_size, found.st_mode & 0o777) == (64 * MIB, 0o600)
    assert sparse.allocated(folder / "volume") < 64 * 1024
    assert os.listdir(folder) == ["volume"]


def test_existing_file_is_never_replaced(folder):
    before = fill(folder / "volume", (0, MIB))
    fill(folder / "other", (0, MIB))
    with pytest.raises(FileExistsError):
        sparse.create(folder / "volume", 128 * MIB)
    with pytest.raises(FileExistsError):
        sparse.clone(folder / "other", folder / "volume")
    with pytest.raises(FileExistsError):
        sparse.rename(folder / "other", folder / "volume")
    assert digest(folder / "volume") == before
    assert sorted(os.listdir(folder)) == ["other", "volume"]


def test_clone_is_equal_sparse_and_independent(folder):
    before = fill(folder / "source", (3 * MIB, MIB), (40 * MIB + 4096, 8192), (63 * MIB, MIB))
    sparse.clone(folder / "source", folder / "clone", size=128 * MIB, mode=0o400)
    assert (folder / "clone").stat().st_size == 128 * MIB
    assert (folder / "clone").stat().st_mode & 0o777 == 0o400
    assert digest(folder / "clone", 64 * MIB) == before
    assert sparse.allocated(folder / "clone") < 3 * MIB
    with (folder / "source").open("r+b") as file:
        file.write(b"changed")
    assert digest(folder / "clone", 64 * MIB) == before


def test_extents_are_shared_if_the_filesystem_supports_it(xfs, btrfs):
    for folder in (xfs, btrfs):
        assert sparse.can_reflink(folder)
        fill(folder / "source", (0, 32 * MIB))
        assert sparse.clone(folder / "source", folder / "clone") == 0
        (folder / "source").unlink()
        (folder / "clone").unlink()


def test_copy_reports_progress_and_copies_only_data(tmpfs):
    assert not sparse.can_reflink(tmpfs)
    fill(tmpfs / "source", (MIB, 2 * MIB), (50 * MIB, MIB))
    seen = []
    copied = sparse.clone(tmpfs / "source", tmpfs / "clone", progress=lambda *now: seen.append(now))
    assert copied == 3 * MIB
    assert seen == [(0, 3 * MIB), (2 * MIB, 3 * MIB), (3 * MIB, 3 * MIB)]


def test_copy_of_a_changing_file_is_repeated(tmpfs):
    fill(tmpfs / "source", (0, MIB))
    writes = iter([b"once"])

    def write(done, total):
        for data in writes:
            with (tmpfs / "source").open("r+b") as file:
                file.write(data)

    sparse.clone(tmpfs / "source", tmpfs / "clone", progress=write)
    assert digest(tmpfs / "clone") == digest(tmpfs / "source")


def test_copy_of_a_busy_file_is_consistent_or_refused(tmpfs, monkeypatch):
    monkeypatch.setattr(sparse, "_TICKS", 5)
    fill(tmpfs / "source", (0, 4 * MIB))
    begun, enough = threading.Event(), threading.Event()

    def keep_counting():
        with (tmpfs / "source").open("r+b", buffering=0) as file:
            for number in itertools.count():
                for offset in (0, 4 * MIB - 8):  # the first place is never behind the second
                    file.seek(offset)
                    file.write(number.to_bytes(8, "big"))
                begun.set()
                if enough.wait(0.0001):
                    return

    writer = threading.Thread(target=keep_counting)
    writer.start()
    begun.wait()
    try:
        for number in range(3):
            target, refused = tmpfs / f"clone-{number}", 0
            try:
                sparse.clone(tmpfs / "source", target)
            except OSError as error:
                refused = error.errno
            if refused or not target.exists():
                assert refused == errno.EBUSY
                continue
            with target.open("rb") as file:
                first = int.from_bytes(file.read(8), "big")
                file.seek(4 * MIB - 8)
                second = int.from_bytes(file.read(8), "big")
            assert first - second in (0, 1)
            target.unlink()
    finally:
        enough.set()
        writer.join()
    assert os.listdir(tmpfs) == ["source"]


def test_file_that_is_written_to_during_each_attempt_is_not_copied(tmpfs):
    fill(tmpfs / "source", (0, MIB))

    def write(done, total):
        with (tmpfs / "source").open("r+b") as file:
            file.write(random.randbytes(16))

    with pytest.raises(OSError, match="source changed during each") as caught:
        sparse.clone(tmpfs / "source", tmpfs / "clone", progress=write)
    assert caught.value.errno == errno.EBUSY
    assert os.listdir(tmpfs) == ["source"]


def test_copy_includes_cached_writes(tmpfs):
    fill(tmpfs / "source", (0, MIB))
    with (tmpfs / "source").open("r+b", buffering=MIB) as writer:
        writer.write(b"held back")
        sparse.clone(tmpfs / "source", tmpfs / "clone", flush=writer.flush)
        assert (tmpfs / "clone").read_bytes()[:9] == b"held back"


def test_data_that_cannot_fit_is_not_copied_at_all(tmpfs):
    before = fill(tmpfs / "source", (0, 10 * MIB))
    seen = []
    with pytest.raises(OSError, match=r"the copy needs \d+ bytes, but only") as caught:
        sparse.clone(tmpfs / "source", tmpfs / "clone", progress=lambda *now: seen.append(now))
    assert caught.value.errno == errno.ENOSPC
    assert not seen
    assert os.listdir(tmpfs) == ["source"]
    assert digest(tmpfs / "source") == before


def test_full_disk_during_a_copy_does_not_affect_the_source(tmpfs):
    before = fill(tmpfs / "source", (0, 5 * MIB))

    def use_up_the_rest(done, total):
        with (tmpfs / "filler").open("ab", buffering=0) as filler:
            while filler.write(bytes(4096)):
                if not sparse.space(tmpfs).free:
                    break

    with pytest.raises(OSError, match="No space") as caught:
        sparse.clone(tmpfs / "source", tmpfs / "clone", progress=use_up_the_rest)
    assert caught.value.errno == errno.ENOSPC
    assert sorted(os.listdir(tmpfs)) == ["filler", "source"]
    assert digest(tmpfs / "source") == before


SLOW_COPY = """
import sys
import threading
from pathlib import Path
from cinderlib.drivers.file import sparse

def wait(done, total):
    if done:
        print(done, flush=True)
        sys.stdin.read()

folder = Path(sys.argv[1])
sparse.clone(folder / "source", folder / "clone", progress=wait)
"""


def test_killed_copy_is_cleaned_up_by_the_next_set_up(tmpfs):
    before = fill(tmpfs / "source", (0, MIB), (2 * MIB, MIB))
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_COPY, str(tmpfs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout.readline() == b"%d\n" % MIB
        assert len(os.listdir(tmpfs)) == 2
        assert sparse.abandoned(tmpfs, remove=True) == []  # its writer is alive
        writer.send_signal(signal.SIGKILL)
    assert not (tmpfs / "clone").exists()
    assert len(sparse.abandoned(tmpfs, remove=True)) == 1
    assert os.listdir(tmpfs) == ["source"]
    assert digest(tmpfs / "source") == before


def test_writer_killed_after_the_rename_loses_no_data(tmp_path):
    sparse.create(tmp_path / "volume", MIB)
    os.link(tmp_path / "volume", tmp_path / ".volume.0123456789abcdef.part")
    assert sparse.abandoned(tmp_path, remove=True) == [".volume.0123456789abcdef.part"]
    assert (tmp_path / "volume").stat().st_size == MIB


def test_only_our_own_temporary_files_are_removed(tmp_path):
    for name in (".hidden", ".volume-1.part", "volume-1.0123456789abcdef.part", "volume-1"):
        (tmp_path / name).touch()
    assert sparse.abandoned(tmp_path, remove=True) == []
    assert len(os.listdir(tmp_path)) == 4


def test_file_is_replaced_atomically(folder):
    fill(folder / "volume", (0, MIB))
    wanted = fill(folder / "snapshot", (MIB, MIB))
    sparse.clone(folder / "snapshot", folder / "volume", replace=True)
    assert digest(folder / "volume") == wanted
    assert sorted(os.listdir(folder)) == ["snapshot", "volume"]


def test_file_is_extended_and_never_shrunk(folder):
    fill(folder / "volume", (63 * MIB, MIB))
    sparse.extend(folder / "volume", 32 * MIB)
    assert (folder / "volume").stat().st_size == 64 * MIB
    sparse.extend(folder / "volume", 128 * MIB)
    assert (folder / "volume").stat().st_size == 128 * MIB


def test_links_and_special_files_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (tmp_path / "link").symlink_to(outside)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            sparse.clone(tmp_path / name, tmp_path / "clone")
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            sparse.extend(tmp_path / name, MIB)
    assert outside.read_bytes() == b"secret"
    assert not (tmp_path / "clone").exists()


def test_capacity_of_the_filesystem(tmpfs):
    before = sparse.space(Path(tmpfs))
    fill(tmpfs / "volume", (0, 4 * MIB))
    after = sparse.space(Path(tmpfs))
    assert before.total == after.total == 16 * MIB
    assert before.free - after.free == 4 * MIB


def test_removal_returns_whether_the_file_existed(tmp_path):
    sparse.create(tmp_path / "volume", MIB)
    assert sparse.remove(tmp_path / "volume")
    assert not sparse.remove(tmp_path / "volume")
