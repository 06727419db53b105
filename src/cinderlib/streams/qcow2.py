"""qcow2 images: their inspection, and their conversion from and to devices with ``qemu-img``.

A qcow2 image can name other files of the host, whose content would then become that of the volume.
So images are inspected first, and ``qemu-img`` gets open files and must not open others.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from cinderlib import errors
from cinderlib.progress import Progress
from cinderlib.streams import raw
from cinderlib.streams.device import Device
from cinderlib.streams.raw import Report

#: The first bytes of an image.
MAGIC = b"QFI\xfb"
#: How many bytes of an image :func:`virtual_size` needs.
HEADER = 512

#: Limits for ``qemu-img``, because a damaged image could make it use all memory.
_MEMORY = 2 << 30
_ENCRYPTION = slice(32, 36)
_PERCENT = re.compile(rb"\(([\d.]+)/100%\)")
_STEP = 1 << 30


def virtual_size(header: bytes) -> int:
    """The size of the disk in an image.

    :param header: its first 512 bytes.
    :returns: in bytes.
    :raises InvalidInput: it is not a qcow2 image, it is encrypted, or it refers to other files.
    """
    from oslo_utils.imageutils import format_inspector

    inspector = format_inspector.QcowInspector()
    inspector.eat_chunk(header)
    if not header.startswith(MAGIC) or not inspector.complete or not inspector.format_match:
        raise errors.InvalidInput("The file is not a qcow2 image")
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as exc:
        reasons = ", ".join(str(reason) for reason in exc.failures.values())
        raise errors.InvalidInput(
            f"The qcow2 image is not accepted: {reasons}. Convert it with `qemu-img convert -O"
            " qcow2`, where you trust it, to an image without other files"
        ) from None
    if any(header[_ENCRYPTION]):
        raise errors.InvalidInput("The qcow2 image is encrypted: decrypt it with qemu-img first")
    return int(inspector.virtual_size)


def load(image: IO[bytes], target: Device, report: Report) -> None:
    """Write the disk in an image to a device. The rest of the device becomes zero.

    :param image: an open file, which :func:`virtual_size` has accepted.
    :raises InvalidInput: the image does not fit.
    :raises NodeError: the image is damaged, or the device cannot be written.
    """
    size, room = _size(image), target.size
    if size > room:
        raise errors.InvalidInput(f"The image has a disk of {size} bytes, the volume {room}")
    fd = target.fd
    if fd is None:
        with tempfile.TemporaryFile(prefix="cinderlib-") as copy:
            copy.truncate(size)
            _to_raw(image, copy.fileno(), size, report)
            raw.load(copy, target, size, report)
        return
    # qemu-img does not write zeros then.
    for offset in range(0, room, _STEP):
        target.zero(offset, min(_STEP, room - offset))
    _to_raw(image, fd, size, report)
    target.flush()


def export(source: Device, target: IO[bytes], report: Report) -> None:
    """Write a device to a new image.

    :param target: an empty file.
    :raises NodeError: the device cannot be read, or the file cannot be written.
    """
    fd = source.fd
    if fd is None:
        with tempfile.TemporaryFile(prefix="cinderlib-") as copy:
            raw.export(source, copy, sparse=True, report=report)
            _to_qcow2(copy.fileno(), target.fileno(), source.size, report)
    else:
        _to_qcow2(fd, target.fileno(), source.size, report)


def require() -> None:
    """
    :raises MissingDependency: ``qemu-img`` is not installed.
    """
    if shutil.which("qemu-img") is None:
        raise errors.MissingDependency(
            "qcow2 images require qemu-img: install the package qemu-utils (Debian, Ubuntu) or"
            " qemu-img (Fedora, Red Hat)"
        )


def _size(image: IO[bytes]) -> int:
    image.seek(0)
    size = virtual_size(image.read(HEADER))
    image.seek(0)
    return size


def _to_raw(image: IO[bytes], target: int, size: int, report: Report) -> None:
    # Neither a backing file nor a file of data is opened, even if another process has changed the
    # image since it was inspected.
    source = {
        "driver": "qcow2",
        "backing": None,
        "file": {"driver": "file", "filename": _path(image.fileno())},
    }
    options = ["-n", "--target-is-zero", "-O", "raw", f"json:{json.dumps(source)}", _path(target)]
    _qemu_img(options, [image.fileno(), target], size, report)


def _to_qcow2(source: int, target: int, size: int, report: Report) -> None:
    options = ["-f", "raw", "-O", "qcow2", _path(source), _path(target)]
    _qemu_img(options, [source, target], size, report)


def _path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _qemu_img(options: Sequence[str], fds: Sequence[int], size: int, report: Report) -> None:
    """Run ``qemu-img convert``.

    :raises MissingDependency: it is not installed.
    :raises NodeError: it failed.
    """
    require()
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            ["qemu-img", "convert", "-p", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            pass_fds=fds,
        ) as process,
    ):
        try:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            assert process.stdout is not None
            while part := process.stdout.read1(4096):  # type: ignore[attr-defined]
                for found in _PERCENT.findall(part):
                    report(Progress(int(float(found) / 100 * size), size, "bytes"))
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        if status:
            messages.seek(0)
            reason = messages.read().decode(errors="replace").strip()[-500:]
            raise errors.NodeError(f"qemu-img could not convert the image: {reason}")
