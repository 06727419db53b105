"""Data on devices, written and read past the page cache, told by their checksum."""

import hashlib
import mmap
import os

CHUNK = 1 << 20


def write(path, chunks=4, offset=0):
    """Write random data; offset and length in MiB.

    :returns: its SHA-256.
    """
    buffer = mmap.mmap(-1, CHUNK)
    digest = hashlib.sha256()
    # O_DSYNC: what is acknowledged is on the medium. An array that lost its power between a write
    # and a flush of its own would lose the data, and nobody is told: the flush succeeds afterwards.
    device = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
    try:
        for number in range(chunks):
            buffer[:] = data = os.urandom(CHUNK)
            digest.update(data)
            if os.pwrite(device, buffer, (offset + number) * CHUNK) != CHUNK:
                raise OSError(f"{path} did not take all of it")
    finally:
        os.close(device)
    return digest.hexdigest()


def read(path, chunks=4, offset=0):
    """The SHA-256 of what is there; offset and length in MiB."""
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
    """In bytes."""
    device = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(device, 0, os.SEEK_END)
    finally:
        os.close(device)
