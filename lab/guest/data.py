"""Writes and reads data on devices with direct I/O, and returns checksums."""

import hashlib
import mmap
import os

CHUNK = 1 << 20


def write(path, chunks=4, offset=0):
    """Write random data; offset and length are in MiB.

    :returns: the data's SHA-256.
    """
    buffer = mmap.mmap(-1, CHUNK)
    digest = hashlib.sha256()
    # With O_DSYNC, acknowledged data is on the medium. Otherwise, an array that loses power before
    # a flush loses the data without an error: the flush succeeds after the restart.
    device = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    try:
        for number in range(chunks):
            buffer[:] = data = os.urandom(CHUNK)
            digest.update(data)
            if os.pwrite(device, buffer, (offset + number) * CHUNK) != CHUNK:
                raise OSError(f"short write to {path}")
    finally:
        os.close(device)
    return digest.hexdigest()


def read(path, chunks=4, offset=0):
    """Read data and return its SHA-256; offset and length are in MiB."""
    buffer = mmap.mmap(-1, CHUNK)
    digest = hashlib.sha256()
    device = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        for number in range(chunks):
            if os.preadv(device, [buffer], (offset + number) * CHUNK) != CHUNK:
                raise OSError(f"{path} ends early")
            digest.update(buffer)
    finally:
        os.close(device)
    return digest.hexdigest()


def size(path):
    """The size of a device in bytes."""
    device = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(device, 0, os.SEEK_END)
    finally:
        os.close(device)
