"""The connection document, which a node receives for an attach, and its validation."""

from __future__ import annotations

import copy
import difflib
import hashlib
import re
import threading
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from cinderlib.errors import InvalidDocument, InvalidInput
from cinderlib.value_checks import check_mapping

T = TypeVar("T", bound=msgspec.Struct)

_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_preparing = threading.Lock()
_prepared: set[type[msgspec.Struct]] = set()

#: Parts of the connection data that do not identify the volume.
_NOT_IDENTITY = frozenset(
    {"access_mode", "auth_method", "auth_password", "auth_username", "cacheable", "discard"}
    | {"discovery_auth_method", "discovery_auth_password", "discovery_auth_username"}
    | {"encrypted", "enforce_multipath", "keyring", "qos_specs", "secret_type", "secret_uuid"}
)


class Encryption(msgspec.Struct, frozen=True):
    """How the host decrypts the volume.

    :ivar provider: the format of the header, LUKS1 (``'luks'``) or LUKS2.
    :ivar key: in hexadecimal digits; ``None`` in this host's records, which have no keys.
    :ivar cipher: for a new header; ``None`` for the default of cryptsetup.
    :ivar key_size: in bits, for a new header.
    :ivar format: whether no host has opened the volume yet, so that it can lack a header.
    """

    provider: Literal["luks", "luks2"]
    key: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})+$")] | None = None
    cipher: str | None = None
    key_size: Annotated[int, msgspec.Meta(ge=1)] | None = None
    format: bool = False

    def __repr__(self) -> str:
        return f"Encryption(provider={self.provider!r})"


class Conn(msgspec.Struct, frozen=True):
    """The driver's answer, and the encryption of the volume."""

    driver_volume_type: str
    data: dict[str, Any]
    encryption: Encryption | None = None


class VolumeFacts(msgspec.Struct, frozen=True):
    """Data about the volume from the controller, to compare the device with. Size in bytes."""

    id: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Connector(msgspec.Struct, frozen=True):
    """The connector properties that are checked for every protocol."""

    host: str | None = None
    ip: str | None = None
    initiator: str | None = None
    nqn: str | None = None
    wwpns: list[str] | None = None
    wwnns: list[str] | None = None
    multipath: bool | None = None
    enforce_multipath: bool | None = None


class _Document(msgspec.Struct, frozen=True):
    conn: Conn
    connector: dict[str, Any] = {}
    device: dict[str, Any] | None = None
    use_multipath: bool | None = None
    scan_attempts: Annotated[int, msgspec.Meta(ge=1)] | None = None
    attach_mode: Literal["rw", "ro"] | None = None
    volume: VolumeFacts | None = None
    id: str | None = None


def check_device(value: Any) -> dict[str, Any]:
    """A device that an attach returned.

    :returns: a copy.
    :raises InvalidDocument: it is not one.
    """
    try:
        device = check_mapping(value, "device")
    except InvalidInput as exc:
        raise InvalidDocument(str(exc)) from None
    # A handle of this process is an object of another library.
    if isinstance(device.get("path", 0), int | float | bytes | list | dict):
        raise InvalidDocument("The device must have a path, as the attach returned it.")
    return device


class ConnectionDocument:
    """A checked connection document.

    The connection's own settings decide how it is attached, detached and extended. The current
    settings of the caller have no influence.

    :ivar id: of the controller's connection, if the document has it.
    :ivar protocol: the driver's ``driver_volume_type``, in lower case.
    :ivar data: the driver's connection data; can contain keys in clear.
    :ivar encryption: how the host decrypts the volume; ``None`` if it is not encrypted.
    :ivar device: the result of an earlier attach, or ``None``.
    :ivar multipath: whether all paths of the connection are used.
    :ivar scan_attempts: how many times to check for the device to appear.
    :ivar mode: ``'rw'`` or ``'ro'``.
    """

    def __init__(self, connection_info: Mapping[str, Any]) -> None:
        if not isinstance(connection_info, Mapping):
            raise InvalidDocument(
                f"A connection document must be a mapping, not {type(connection_info).__name__}."
            )
        raw = dict(connection_info)
        if "conn" not in raw and "driver_volume_type" in raw:
            raw = {"conn": raw}
        _refuse_misspelt(raw)
        parsed = check(_Document, raw)
        connector = check(_Connector, parsed.connector, where="connector")
        try:
            text = msgspec.json.encode({k: v for k, v in raw.items() if k != "device"})
        except (TypeError, ValueError) as exc:
            raise InvalidDocument(f"The connection document is not JSON data: {exc}.") from None
        except RecursionError:
            raise InvalidDocument("The connection document is nested too deeply.") from None
        if _NULL.search(text):
            raise InvalidDocument(
                "The connection document contains a null character, which is not valid in a path or"
                " name."
            )
        self._raw = raw
        self.id = parsed.id
        self.protocol = parsed.conn.driver_volume_type.lower()
        self.data = parsed.conn.data
        self.encryption = parsed.conn.encryption
        self.connector = parsed.connector
        self.device = parsed.device
        self.volume_id = parsed.volume.id if parsed.volume else None
        self.size = parsed.volume.size if parsed.volume else None
        self.scan_attempts = parsed.scan_attempts or 3
        # The stricter mode of the caller's and the driver's.
        self.mode = "ro" if _access_mode(self.data) == "ro" else parsed.attach_mode or "rw"
        self.multipath = _multipath(parsed, connector)

    def key(self, identity: Mapping[str, Any] | None = None) -> str:
        """Identifies this attachment among those on this host.

        :param identity: the part of the data that identifies the volume; by default all data except
            fields that are known not to identify it (keys, modes, QoS).
        """
        if identity is None:
            identity = {k: v for k, v in self.data.items() if k not in _NOT_IDENTITY}
        text = msgspec.json.encode([self.protocol, identity], order="deterministic")
        return hashlib.sha256(text).hexdigest()[:32]

    def with_device(self, device: Mapping[str, Any] | None) -> dict[str, Any]:
        """The document as a mapping, with this device and the settings of the connection."""
        settings = {
            "use_multipath": self.multipath,
            "scan_attempts": self.scan_attempts,
            "attach_mode": self.mode,
        }
        document = copy.deepcopy({k: v for k, v in self._raw.items() if k != "device"})
        document = {"connector": {}, **document, **settings}
        if device is not None:
            document["device"] = dict(device)
        return document

    def recorded(self) -> dict[str, Any]:
        """The document for this host's records: without a device, and without the key of an
        encrypted volume."""
        document = self.with_device(None)
        if self.encryption is not None:
            kept = ("provider", "cipher", "key_size")
            found = document["conn"]["encryption"]
            document["conn"]["encryption"] = {k: v for k, v in found.items() if k in kept}
        return document

    def __repr__(self) -> str:
        return f"ConnectionDocument(id={self.id!r}, protocol={self.protocol!r})"


def check(kind: type[T], data: Mapping[str, Any], *, where: str = "") -> T:
    """Convert the data to the given type.

    :param where: the path of the data in the connection document, for the message.
    :raises InvalidDocument: a field is missing or has the wrong type; the message names it.
    """
    with _preparing:
        # msgspec analyses a type on first use, and two threads that do so at the same time crash
        # the process (seen with msgspec 0.22).
        if kind not in _prepared:
            msgspec.json.Decoder(kind)
            _prepared.add(kind)
    try:
        return msgspec.convert(data, kind)
    except UnicodeEncodeError:
        raise InvalidDocument("The connection document is not valid Unicode text.") from None
    except msgspec.ValidationError as exc:
        # The message begins with a value of any length, and ends with the path of the field.
        reason = str(exc)
        if len(reason) > 500:
            reason = f"{reason[:200]}...{reason[-200:]}"
        at = f"$.{where}" if where else "$"
        reason = reason.replace("`$", f"`{at}") if "`$" in reason else f"{reason} - at `{at}`"
        raise InvalidDocument(f"The connection document is not valid: {reason}.") from None


def _refuse_misspelt(raw: Mapping[str, Any]) -> None:
    # A misspelt option that was silently ignored has cost users their multipath before.
    known = _Document.__struct_fields__
    for name in raw:
        if name in known:
            continue
        close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.8)
        if close:
            raise InvalidDocument(
                f"The connection document has a field {name!r}; did you mean {close[0]!r}?"
            )


def _access_mode(data: Mapping[str, Any]) -> Literal["rw", "ro"]:
    mode = data.get("access_mode") or "rw"
    if mode not in ("rw", "ro"):
        raise InvalidDocument(
            "The connection document's conn.data.access_mode must be 'rw' or 'ro'."
        )
    return "ro" if mode == "ro" else "rw"


def _multipath(parsed: _Document, connector: _Connector) -> bool:
    if parsed.use_multipath is not None:
        return parsed.use_multipath
    if connector.multipath is not None:
        return connector.multipath
    data = parsed.conn.data
    if data.get("target_iqns") and data.get("target_portals"):
        return True
    return isinstance(data.get("target_wwn"), list) or bool(data.get("target_wwns"))
