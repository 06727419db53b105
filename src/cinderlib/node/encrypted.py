"""Encrypted volumes: a device of dm-crypt on the device of another connector, by os-brick's
encryptors.

The key is in the caller's document only. This host records no keys, and programs get a key on
their standard input.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import CinderlibError, DeviceUnavailable, NodeError, Unsupported
from cinderlib.node import block, command, luks, osbrick
from cinderlib.node.base import Connector
from cinderlib.node.document import Encryption
from cinderlib.node.state import Entry

LOG = logging.getLogger(__name__)

#: The key has at least 128 random bits, so a slow derivation would protect nothing. It would cost
#: a second and, with argon2, a gigabyte of memory for each attach.
_DERIVATION = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
_RAW = "encrypted_path"
#: cryptsetup: no key of the header is the given one.
_WRONG_KEY = 2


class EncryptedConnector(Connector):
    """Opens the device of another connector with the volume's key.

    The recorded device has the path of the decrypted device as ``path``, and the other's path as
    ``encrypted_path``.

    :param inner: the connector of the protocol.
    """

    def __init__(self, inner: Connector, encryption: Encryption) -> None:
        super().__init__(inner.document, inner.settings)
        self._inner = inner
        self._encryption = encryption
        self.targets = inner.targets

    @property
    def key(self) -> str:
        return self._inner.key

    @property
    def _name(self) -> str:
        """The name of the decrypted device, by os-brick's rule."""
        return f"crypt-{self.key}"

    @property
    def _path(self) -> str:
        return f"/dev/mapper/{self._name}"

    def survey(self) -> dict[str, Any]:
        return self._inner.survey()

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        if self._encryption.key is None:
            raise Unsupported(
                "The volume is encrypted, and the connection document has no key: connect it again,"
                " and use that document.",
                resource=self.document.id,
            )
        device = self._inner.attach(before)
        try:
            self._inner.protect(device)
            self._inner.verify(device)
            self._open(device["path"])
        except BaseException:
            with contextlib.suppress(CinderlibError):
                self.detach(self._opened(device))
            raise
        return self._opened(device)

    def _opened(self, device: dict[str, Any]) -> dict[str, Any]:
        return {**device, "path": self._path, _RAW: device["path"]}

    def _open(self, path: Any) -> None:
        if not isinstance(path, str) or not block.is_block(path):
            raise Unsupported(
                f"The volume is encrypted, and over {self.document.protocol} this host has no block"
                " device of it that could be decrypted. Attach it as root, or on another host.",
                resource=self.document.id,
            )
        if self._mapping() is not None:
            if self._is_over(path):
                # An interrupted attach has opened it, or it was extended since.
                self._run(["cryptsetup", "resize", self._name])
                return
            self._close()
        self._check_header(path)
        self.settings.state.link_encrypted(self.key, path)
        options = {
            name: str(value)
            for name in ("cipher", "key_size")
            if (value := getattr(self._encryption, name)) is not None
        }
        with self._errors("open"):
            self._encryptor().attach_volume(None, **options)

    def _check_header(self, path: str) -> None:
        """Refuse a device that os-brick would format although it has data.

        :raises NodeError: the volume cannot be opened. Nothing changed.
        """
        found = luks.inspect(path, self.settings.root_helper)
        if found == "header":
            return
        volume = self.document.volume_id or self.document.id
        if not self._encryption.format:
            raise NodeError(
                f"Volume {volume} is encrypted, but its LUKS header is missing or has no key."
                " Nothing changed. Restore the header from a backup or the volume from a"
                " snapshot.",
                resource=self.document.id,
                retryable=False,
            )
        if self.document.mode == "ro":
            raise NodeError(
                f"Volume {volume} is encrypted and was never attached, so it has no LUKS header"
                " yet: attach it read-write first.",
                resource=self.document.id,
                retryable=False,
            )
        if found == "data":
            raise NodeError(
                f"Encrypted volume {volume} is new, but its device has data, and is not formatted."
                " If the storage left the data of another volume there, run `cinderlib volume wipe"
                f" {volume}` and attach it again.",
                resource=self.document.id,
                retryable=False,
            )
        if found == "unfinished":
            luks.remove_unfinished(path, self.settings.root_helper)

    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        if self._mapping() is not None:
            try:
                self._close()
            except NodeError:
                if not force:
                    raise
                LOG.warning("%s is in use; it disappears with its last user", self._path)
                self._run(["cryptsetup", "close", "--deferred", self._name])
        self._inner.detach(_raw(device), force=force)
        self.settings.state.unlink_encrypted(self.key)

    def _close(self) -> None:
        with self._errors("close"):
            self._encryptor().detach_volume()

    def extend(self, device: dict[str, Any]) -> int:
        self._inner.extend(_raw(device) or {})
        with self._errors("extend"):
            self._encryptor().extend_volume(None)
        return block.size(self._path)

    def identify(self, device: dict[str, Any]) -> None:
        raw = _raw(device)
        if raw is None:
            raise DeviceUnavailable("The device is not decrypted.", resource=self.document.id)
        self._inner.identify(raw)
        if not self._is_over(raw["path"]):
            raise DeviceUnavailable(
                f"{self._path} does not exist, or does not decrypt {raw['path']}.",
                resource=self.document.id,
            )

    def exists(self, device: dict[str, Any]) -> bool:
        return self._mapping() is not None

    def size(self, device: dict[str, Any]) -> int | None:
        # The header takes a part of the decrypted device.
        return self._inner.size(_raw(device) or {})

    def verify(self, device: dict[str, Any]) -> None:
        self._inner.verify(_raw(device) or {})
        super().verify(device)

    def traces(self, device: dict[str, Any]) -> list[block.Trace]:
        opened = block.traces(self._path)[:1] if block.is_block(self._path) else []
        return opened + self._inner.traces(_raw(device) or {})

    def users(self, device: dict[str, Any]) -> list[str]:
        if self._mapping() is None:
            return self._inner.users(_raw(device) or {})
        return block.users(self._path) if block.is_block(self._path) else []

    def remains(self, entry: Entry) -> list[str]:
        opened = [self._path] if self._mapping() is not None else []
        inner = msgspec.structs.replace(entry, device=_raw(entry.device))
        return opened + self._inner.remains(inner)

    def is_attaching_from(self, target: str | None, entry: Entry) -> bool:
        return self._inner.is_attaching_from(target, entry)

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        inner = msgspec.structs.replace(entry, device=_raw(entry.device))
        found = self._inner.find_interrupted(inner)
        return None if found is None else self._opened(found)

    def outlives_process(self, device: dict[str, Any]) -> bool:
        return True

    def _mapping(self) -> Path | None:
        """The sysfs folder of the decrypted device."""
        for folder in Path(f"{block.SYS}/block").glob("dm-*"):
            if block.read(folder / "dm" / "name") == self._name:
                return folder
        return None

    def _is_over(self, path: str) -> bool:
        """Whether the decrypted device belongs to this device."""
        mapping = self._mapping()
        return (
            mapping is not None
            and block.is_block(path)
            and os.path.exists(
                mapping / "slaves" / os.path.realpath(block.sysfs(path)).split("/")[-1]
            )
        )

    def _encryptor(self) -> Any:
        link = self.settings.state.encrypted(self.key)
        keys = _Key(bytes.fromhex(self._encryption.key or ""))
        return osbrick.encryptor(self._encryption.provider, link, keys, self._execute)

    def _execute(self, *argv: str, **options: Any) -> tuple[str, str]:
        """Run a program for os-brick."""
        command_ = list(argv)
        if "luksFormat" in argv:
            command_[-1:-1] = _DERIVATION
        if "luksOpen" in argv:
            # Otherwise the key would be needed again to extend the device.
            command_[-2:-2] = ["--disable-keyring"]
        if "luksOpen" in argv and self.document.mode == "ro":
            command_[-2:-2] = ["--readonly"]
        allowed = options.get("check_exit_code", True)
        try:
            return self._run(command_, secret_input=options.get("process_input")), ""
        except command.ProgramFailed as exc:
            if isinstance(allowed, list) and exc.status in allowed:
                return "", ""
            raise osbrick.program_failed(exc.status, exc.reason) from None

    def _run(self, argv: list[str], *, secret_input: str | None = None) -> str:
        return command.run(
            argv, root_helper=self.settings.root_helper, secret_input=secret_input, timeout=300
        )

    @contextlib.contextmanager
    def _errors(self, step: str) -> Any:
        """Convert os-brick's errors to this library's. They contain no key, because os-brick and
        cryptsetup get it only on the standard input."""
        try:
            yield
        except CinderlibError:
            raise
        except Exception as exc:
            volume = self.document.volume_id or self.document.id
            if getattr(exc, "exit_code", None) == _WRONG_KEY:
                raise NodeError(
                    f"The key does not open encrypted volume {volume}: its LUKS header belongs to"
                    " another key. Nothing changed.",
                    resource=self.document.id,
                    retryable=False,
                ) from None
            reason = str(getattr(exc, "stderr", None) or exc).strip()
            raise NodeError(
                f"Could not {step} the encryption of volume {volume}: {reason}",
                resource=self.document.id,
            ) from None


class _Key:
    """The key of one volume, with the interface of castellan's key managers and keys."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def get(self, context: Any, key_id: Any) -> _Key:
        """The key manager's method."""
        return self

    def get_encoded(self) -> bytes:
        """The key's method."""
        return self._key

    def managed_type(self) -> str:
        """The kind of the key: os-brick converts it to hexadecimal digits, as Cinder does."""
        return "symmetric"


def _raw(device: dict[str, Any] | None) -> dict[str, Any] | None:
    """The device of the other connector."""
    if device is None or _RAW not in device:
        return None
    return {**{k: v for k, v in device.items() if k != _RAW}, "path": device[_RAW]}
