"""Encrypts the connection document that a controller sends to a node through the orchestrator.

The orchestrator stores the document where other users of the cluster may read it, and it can
contain keys (CHAP, cephx). Controllers and nodes have the same list of keys. The first key
encrypts; all keys decrypt, so keys can be replaced without an interruption.

A sealed text is bound to the volume and to the host: it is refused for others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cinderlib.errors import ConfigurationError, InvalidDocument, MissingDependency

#: The version of the format.
_VERSION = "1"
_NONCE = 12
#: The window for compression, 4 KiB: most documents are smaller, and the 256 KiB of memory that the
#: largest window needs take longer to prepare than to compress them.
_WINDOW = 12
#: The longest document, in bytes; a longer one is not from a controller.
_LONGEST = 1 << 20


class Seal:
    """The keys.

    :param keys: each 32 bytes in base64, with or without the URL-safe alphabet; white space
        separates several keys in one text.
    :raises ConfigurationError: a key is not valid, or there is none.
    """

    def __init__(self, keys: str | Sequence[str]) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as exc:
            raise MissingDependency(
                "The CSI plug-in needs the Python package 'cryptography': install cinderlib[csi]"
            ) from exc
        texts = [keys] if isinstance(keys, str) else list(keys)
        raw = [
            _key(part, number)
            for number, part in enumerate((p for text in texts for p in text.split()), start=1)
        ]
        if not raw:
            raise ConfigurationError(
                "[csi] keys is empty. Create a key with `openssl rand -base64 32`, and give the"
                " same file to controllers and nodes"
            )
        self._ciphers = {hashlib.sha256(key).hexdigest()[:8]: AESGCM(key) for key in raw}

    def seal(self, document: Mapping[str, Any], volume_id: str, host: str) -> str:
        """Encrypt a document.

        :param volume_id: the volume that it connects.
        :param host: the name of the host that may use it.
        """
        name, cipher = next(iter(self._ciphers.items()))
        nonce = os.urandom(_NONCE)
        small = zlib.compressobj(wbits=_WINDOW, memLevel=5)
        clear = small.compress(msgspec.json.encode(document)) + small.flush()
        sealed = nonce + cipher.encrypt(nonce, clear, _bound(volume_id, host))
        return f"{_VERSION}.{name}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, text: str, volume_id: str, host: str) -> dict[str, Any]:
        """Decrypt a document.

        :raises InvalidDocument: no key decrypts it, or it is for another volume or host.
        """
        from cryptography.exceptions import InvalidTag

        version, _, rest = text.partition(".")
        name, _, encoded = rest.partition(".")
        if version != _VERSION or not encoded:
            raise InvalidDocument(
                "The publish context has no connection that this version of the plug-in can read:"
                " use the same version on controllers and nodes"
            )
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise InvalidDocument(
                f"The connection in the publish context is encrypted with the key {name}, which"
                f" this node does not have (it has {', '.join(self._ciphers)}). Give controllers"
                " and nodes the same [csi] keys; new keys go to the nodes first"
            )
        try:
            sealed = base64.urlsafe_b64decode(encoded)
            clear = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound(volume_id, host))
            expander = zlib.decompressobj()
            document = expander.decompress(clear, _LONGEST)
            found: dict[str, Any] = msgspec.json.decode(document, type=dict[str, Any])
        except (InvalidTag, ValueError, zlib.error, msgspec.MsgspecError):
            raise InvalidDocument(
                f"The connection in the publish context is damaged, or not for volume {volume_id}"
                f" on host {host}"
            ) from None
        return found


def _bound(volume_id: str, host: str) -> bytes:
    return f"{volume_id}\0{host}".encode()


def _key(text: str, number: int) -> bytes:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        # The message does not repeat the value: it is nearly a key.
        raise ConfigurationError(
            f"Number {number} of [csi] keys is not a valid key: a key is 32 bytes in base64."
            " `openssl rand -base64 32` creates one"
        )
    return key
