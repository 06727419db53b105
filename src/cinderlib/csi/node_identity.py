"""The ID of a node: its name, and the properties that a controller needs to map volumes to it.

CSI gives a controller only the ID of a node, and limits it to 256 bytes. An ID is
``NAME/PROPERTIES``, with the connector properties that drivers use, packed. If they do not fit (a
host with many Fibre Channel ports), the ID is only ``NAME``, and the node registers its properties
in the store of the controllers, through their service.

Properties that change without an effect on the storage, such as all addresses of a host, are left
out: an ID must stay the same as long as the host does.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

#: The longest ID. CSI permits 256 bytes, and the store 255 characters.
LONGEST = 255

#: Property -> its key in the packed form. The order and the numbers must stay.
_PROPERTIES = (
    "ip", "initiator", "nqn", "nvme_hostid", "system uuid", "uuid", "wwpns", "wwnns", "multipath",
    "enforce_multipath", "platform", "os_type", "do_local_attach", "nvme_native_multipath",
    "found_dsc", "sdc_guid", "host",
)  # fmt: skip
#: Values that most hosts have, which are not packed.
_USUAL = {
    "multipath": False,
    "enforce_multipath": False,
    "platform": "x86_64",
    "os_type": "linux",
    "do_local_attach": False,
    "nvme_native_multipath": False,
    "found_dsc": "",
}
_WORDS = (
    b"nqn.2014-08.org.nvmexpress:uuid:iqn.1994-05.com.redhat:iqn.1993-08.org.debian:01:"
    b"iqn.2004-10.com.ubuntu:01:iqn.1996-04.de.suse:01:"
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WWN = re.compile(r"[0-9a-f]{16}")
_NQN = "nqn.2014-08.org.nvmexpress:uuid:"


def encode(connector: Mapping[str, Any]) -> str:
    """The ID of a node.

    :param connector: its connector properties.
    :returns: the ID; only the host's name if the properties do not fit.
    """
    host = str(connector["host"])
    packed = {
        number: _pack(name, connector[name])
        for number, name in enumerate(_PROPERTIES)
        if name != "host"
        and connector.get(name) is not None
        and connector[name] != _USUAL.get(name)
    }
    plain = msgspec.msgpack.encode(packed)
    compressor = zlib.compressobj(9, wbits=-15, zdict=_WORDS)
    small = compressor.compress(plain) + compressor.flush()
    text = base64.urlsafe_b64encode(small).decode().rstrip("=")
    whole = f"{host}/{text}"
    return whole if len(whole.encode()) <= LONGEST else host


def decode(node_id: str) -> dict[str, Any] | None:
    """The connector properties in an ID.

    :returns: ``None`` if the ID has none, or is not from this plug-in.
    """
    host, slash, text = node_id.partition("/")
    if not slash or not host:
        return None
    try:
        small = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        expander = zlib.decompressobj(wbits=-15, zdict=_WORDS)
        plain = expander.decompress(small, 1 << 16)
        packed = msgspec.msgpack.decode(plain, type=dict[int, Any])
        found = {_PROPERTIES[number]: _unpack(value) for number, value in packed.items()}
    except (binascii.Error, ValueError, IndexError, TypeError, zlib.error, msgspec.MsgspecError):
        return None
    return {**_USUAL, **found, "host": host}


def host_of(node_id: str) -> str:
    """The name of the host in an ID."""
    return node_id.partition("/")[0]


def _pack(name: str, value: Any) -> Any:
    """Smaller: UUIDs, WWNs and addresses as bytes; the length shows the kind."""
    if isinstance(value, list | tuple):
        return [_pack(name, item) for item in value]
    if not isinstance(value, str):
        return value
    if name == "nqn" and value.startswith(_NQN) and _UUID.fullmatch(value[len(_NQN) :]):
        return b"n" + uuid.UUID(value[len(_NQN) :]).bytes
    if _UUID.fullmatch(value):
        return uuid.UUID(value).bytes
    if _WWN.fullmatch(value):
        return bytes.fromhex(value)
    if name == "ip":
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return value
        if str(address) == value:
            return address.packed if address.version == 4 else b"6" + address.packed
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, bytes):
        return value
    match len(value), value[:1]:
        case 4, _:
            return str(ipaddress.IPv4Address(value))
        case 8, _:
            return value.hex()
        case 16, _:
            return str(uuid.UUID(bytes=value))
        case 17, b"n":
            return _NQN + str(uuid.UUID(bytes=value[1:]))
        case 17, b"6":
            return str(ipaddress.IPv6Address(value[1:]))
    raise ValueError("unknown packed value")
