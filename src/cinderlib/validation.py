"""Validation of IDs, sizes, names and connectors that come from outside.

The objects, the operations and the readers of documents call the same functions before they change
anything. Each function returns the value in the form that records use. Otherwise it raises
:class:`cinderlib.errors.InvalidInput`, or the subclass that its docstring names, with a message for
people. The checks of plain values are in :mod:`cinderlib.value_checks`.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Mapping
from typing import Any

from cinderlib.errors import ConfigurationError, InvalidConnector, InvalidInput, OutOfRange
from cinderlib.value_checks import (
    MAX_INT,
    MAX_TEXT,
    check_choice,
    check_json,
    check_json_in_place,
    check_mapping,
    check_path,
    check_text,
    shown,
    type_name,
)

#: Longest value in metadata and specs, in characters.
MAX_VALUE = 65535
#: Largest volume in GiB, as in Cinder's database.
MAX_SIZE = 2**31 - 1

# fmt: off
VOLUME_STATUSES = frozenset({
    "attaching", "available", "awaiting-transfer", "backing-up", "creating", "deleted",
    "deleting", "detaching", "downloading", "error", "error_backing-up", "error_deleting",
    "error_extending", "error_managing", "error_restoring", "error_retyping", "extending",
    "in-use", "maintenance", "managing", "reserved", "restoring-backup", "retyping", "reverting",
    "unmanaging", "uploading",
})
#: Who enforces QoS specs.
QOS_CONSUMERS = ("front-end", "back-end", "both")
SNAPSHOT_STATUSES = frozenset({
    "available", "backing-up", "creating", "deleted", "deleting", "error", "error_deleting",
    "restoring", "unmanaging", "updating",
})
ATTACH_STATUSES = frozenset({
    "attached", "attaching", "deleted", "detached", "detaching", "error_attaching",
    "error_detaching", "reserved",
})
#: How a temporary volume gives access to a snapshot.
SNAPSHOT_ACCESSES = ("native", "clone")
ATTACH_MODES = frozenset({"rw", "ro"})

#: Sections of Cinder's configuration, in lower case. A backend with such a name would collide.
_RESERVED_NAMES = frozenset({
    "default", "backend_defaults", "barbican", "barbican_service_user", "brcd_fabric_example",
    "cache", "cinder_sys_admin", "cisco_fabric_example", "coordination", "database",
    "fc-zone-manager", "glance", "key_manager", "keystone_authtoken", "nova", "os_brick",
    "oslo_concurrency", "oslo_messaging_metrics", "oslo_messaging_tracing", "oslo_middleware",
    "oslo_policy", "oslo_reports", "oslo_versionedobjects", "privsep", "privsep_osbrick",
    "profiler", "profiler_jaeger", "profiler_otlp", "service_user", "ssl", "vault",
})
# fmt: on

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=+-]{0,254}")
# Written out because a repeated group takes twice as long, and IDs are checked very often.
_HEX = "[0-9a-fA-F]"
_UUID = re.compile(f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}|{_HEX}{{32}}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_HOST_NAME = re.compile(r"[^\s@#/\x00-\x1f\x7f]+")
_HOST = re.compile(
    r"[^\s@#/\x00-\x1f\x7f]+@[^\s@#/\x00-\x1f\x7f][^@#/\x00-\x1f\x7f]*(#[^#\x00-\x1f\x7f]+)?"
)
# Names that nearly all backends have. Other names are checked in detail.
_CIPHER = re.compile(r"[a-z0-9]+(-[a-z0-9]+){0,2}(:[a-z0-9-]+)?")
_KEY = re.compile(r"([0-9a-f]{2}){32,128}")
_KEY_SIZES = ("128", "192", "256", "384", "512")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check_point(value: Any, what: str) -> str:
    """Identifies the content of a volume in a stream, usually by the ID of a snapshot."""
    if not check_text(value, what):
        raise InvalidInput(f"The {what} must not be empty.")
    return str(value)


def check_id(value: Any, what: str, *, non_uuid_ids: bool = False) -> str:
    """The ID of a volume, snapshot, connection, ...

    Drivers derive names on the storage from IDs, so an ID must not be a path or look like an
    option.

    :param what: the kind of resource, for the message (``'volume'``).
    :param non_uuid_ids: whether any safe text is valid: letters, digits and ``_.:=+-`` with a
        letter or digit first. Otherwise it must be a UUID, with or without hyphens.
    :returns: the ID, unchanged (a :class:`uuid.UUID` as its text).
    """
    if not isinstance(value, str):
        if isinstance(value, uuid.UUID):
            return str(value)
        raise InvalidInput(f"A {what} ID must be text, not {shown(value)}.")
    if non_uuid_ids:  # every UUID matches too
        if _SAFE_ID.fullmatch(value) and ".." not in value:
            return value
        raise InvalidInput(
            f"{shown(value)} is not a valid {what} ID: an ID has 1 to {MAX_TEXT} letters, digits "
            "or characters of '_.:=+-', begins with a letter or digit, and does not contain '..'."
        )
    if _UUID.fullmatch(value):
        return value
    raise InvalidInput(
        f"{shown(value)} is not a valid {what} ID (expected a UUID). "
        "Set non_uuid_ids to true to allow other IDs."
    )


def check_size(value: Any, what: str = "size") -> int:
    """A size in GiB.

    :param value: a whole or fractional number above 0, or its text (``'5'``).
    :returns: whole GiB; a fraction is rounded up.
    :raises OutOfRange: no volume can have that size.
    """
    if type(value) is int and 0 < value <= MAX_SIZE:
        return value
    number = value
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value) if "." in value else int(value)
    if isinstance(number, bool | str) or not isinstance(number, int | float):
        raise InvalidInput(f"The {what} must be a number of GiB, not {shown(value)}.")
    if not 0 < number <= MAX_SIZE:  # so is NaN
        raise OutOfRange(
            f"The {what} must be above 0 and at most {MAX_SIZE} GiB, not {shown(value)}."
        )
    return math.ceil(number)


def check_name(value: Any, what: str = "name") -> str:
    """The name of a volume or snapshot; ``None`` means that it has no name."""
    return "" if value is None else check_text(value, what)


def check_description(value: Any, what: str = "description") -> str:
    """A description; ``None`` means that it has no description."""
    return "" if value is None else check_text(value, what)


def check_metadata(value: Any, what: str = "metadata") -> dict[str, str]:
    """Metadata: a mapping of text to text.

    :param value: a mapping; numbers and booleans among its values are converted to text. ``None``
        means an empty mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"The {what} must be a mapping of text to text, not {shown(value)}.")
    result = {}
    for key, item in value.items():
        if check_text(key, f"{what} key") == "":
            raise InvalidInput(f"The {what} has an empty key.")
        if isinstance(item, float) or (isinstance(item, int) and abs(item) <= MAX_INT):
            item = str(item)
        elif not isinstance(item, str):
            raise InvalidInput(f"The {what} {shown(key)} must be text, not a {type_name(item)}.")
        result[key] = check_text(item, f"{what} value", longest=MAX_VALUE)
    return result


def check_specs(value: Any, what: str = "extra_specs") -> dict[str, str]:
    """Extra specs or QoS specs; same rules as :func:`check_metadata`."""
    return check_metadata(value, what)


def check_qos_specs(value: Any, what: str = "qos_specs") -> dict[str, str]:
    """QoS specs that a program specifies; their consumer must be one of Cinder's."""
    specs = check_specs(value, what)
    if "consumer" in specs:
        check_choice(specs["consumer"], QOS_CONSUMERS, f"consumer of the {what}")
    return specs


def check_encryption(value: Any, what: str = "encryption") -> dict[str, str]:
    """The encryption of a volume or a type by its hosts, with Cinder's names.

    :param value: ``provider`` (``'luks'`` or ``'luks2'``, the default), ``cipher``, ``key_size``
        in bits, ``control_location`` (only ``'front-end'``). Empty for no encryption.
    """
    given = check_specs(value, what)
    if not given:
        return {}
    unknown = given.keys() - {"provider", "cipher", "key_size", "control_location"}
    if unknown:
        raise InvalidInput(
            f"The {what} has no {shown(min(unknown))}; it can have provider, cipher, key_size and"
            " control_location."
        )
    specs = {"provider": "luks2", "control_location": "front-end"} | given
    check_choice(specs["provider"], ("luks", "luks2"), f"provider of the {what}")
    check_choice(specs["control_location"], ("front-end",), f"control_location of the {what}")
    if not _CIPHER.fullmatch(specs.get("cipher", "aes")):
        raise InvalidInput(
            f"The cipher of the {what} must be like 'aes-xts-plain64', not"
            f" {shown(specs['cipher'])}."
        )
    size = specs.get("key_size", "256")
    if size not in _KEY_SIZES:
        raise InvalidInput(
            f"The key_size of the {what} must be {', '.join(_KEY_SIZES)} bits, not {shown(size)}."
        )
    return specs


def is_key(value: Any) -> bool:
    """Whether it is the key of an encrypted volume, in hexadecimal digits."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def check_host_name(value: Any, what: str = "host") -> str:
    """The name of this controller's host, or of a host that attaches volumes."""
    if not _HOST_NAME.fullmatch(check_text(value, what)):
        raise InvalidInput(
            f"The {what} cannot be {shown(value)}: a host name must not contain spaces, '@', '#'"
            " or '/'."
        )
    return str(value)


def check_host(value: Any, what: str = "host") -> str:
    """The location of a volume: ``host@backend`` or ``host@backend#pool``."""
    text = check_text(value, what)
    if not _HOST.fullmatch(text):
        raise InvalidInput(
            f"The {what} must have the form 'host@backend#pool', not {shown(value)}."
        )
    return text


def check_backend_name(value: Any) -> str:
    """The ``volume_backend_name``. It is part of each volume's host and names a section of Cinder's
    configuration.

    :raises ConfigurationError: it is not a valid name.
    """
    if (
        isinstance(value, str)
        and _PLAIN_NAME.fullmatch(value)
        and value.lower() not in _RESERVED_NAMES
    ):
        return value
    try:
        name = check_text(value, "volume_backend_name")
    except InvalidInput as exc:
        raise ConfigurationError(str(exc)) from None
    if not name or name != name.strip() or not name.isprintable():
        raise ConfigurationError(
            f"The volume_backend_name cannot be {shown(value)}: it must be printable text without "
            "leading or trailing spaces."
        )
    if set(name) & set("@#/") or name in {".", ".."}:
        raise ConfigurationError(
            f"The volume_backend_name cannot be {shown(value)}: '@', '#' and '/' separate the "
            "parts of a volume's host."
        )
    if name.lower() in _RESERVED_NAMES:
        raise ConfigurationError(
            f"The volume_backend_name cannot be {shown(value)}: Cinder's configuration has a "
            "section with that name. Choose another name."
        )
    return name


def check_options(value: Any, what: str) -> dict[str, Any]:
    """Options of a driver or of Cinder: numbers, texts, and lists and mappings of these.

    :param what: whose options they are, for the message.
    :returns: a copy, with paths as text.
    :raises ConfigurationError: a value is something else; ``resource`` is the option.
    """
    options = check_mapping(value, what)
    for name, option in options.items():
        try:
            options[name] = (
                check_path(option, name)
                if isinstance(option, os.PathLike)
                else check_json(option, f"option {name}")
            )
        except InvalidInput as exc:
            raise ConfigurationError(str(exc), resource=name) from None
    return options


def check_reference(value: Any, what: str = "reference") -> dict[str, Any]:
    """The reference of an existing volume or snapshot, such as ``{'source-name': 'disk1'}``. The
    driver defines its keys.

    :returns: a copy.
    """
    if not isinstance(value, Mapping) or not value:
        raise InvalidInput(
            f"The {what} must be a mapping such as {{'source-name': 'disk1'}}, not {shown(value)}."
        )
    reference: dict[str, Any] = check_json(value, what)
    return reference


def check_connector(value: Any, *, copy: bool = True) -> dict[str, Any]:
    """The connector properties of a host, as ``get_connector_properties()`` on it returns them.

    The required properties depend on the protocol. The driver reports a missing one.

    :param copy: whether to return a copy.
    :raises InvalidConnector: they are empty, or not a mapping of text to JSON data.
    """
    if not isinstance(value, Mapping):
        raise InvalidConnector(
            f"The connector must be a mapping with the properties of a host, not {shown(value)}; "
            "get_connector_properties() on that host returns it."
        )
    if not value:
        raise InvalidConnector(
            "The connector is empty; get_connector_properties() on the host returns it."
        )
    try:
        check = check_json if copy else check_json_in_place
        connector: dict[str, Any] = check(value, "connector")
        if connector.get("host") is not None:
            check_host_name(connector["host"], "host in the connector")
    except InvalidInput as exc:
        raise InvalidConnector(str(exc)) from None
    return connector
