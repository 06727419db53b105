"""Reads the backends of a ``cinder.conf``."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from oslo_config import iniparser

from cinderlib.errors import ConfigurationError

_DEFAULT = "DEFAULT"
_SHARED = "backend_defaults"
#: Options of [DEFAULT] that drivers look at; the others are those of Cinder's services.
_FOR_DRIVERS = frozenset({"my_ip", "ssh_hosts_key_file", "strict_ssh_host_key_policy"})


@dataclasses.dataclass(frozen=True)
class CinderConf:
    """What a ``cinder.conf`` says of backends.

    :ivar backends: name of the section -> its options, with those of ``[backend_defaults]``. An
        option that is given several times is a list.
    :ivar common: options of ``[DEFAULT]`` that drivers look at.
    :ivar missing: names in ``enabled_backends`` that have no section, or one without a driver.
    """

    backends: dict[str, dict[str, Any]]
    common: dict[str, Any]
    missing: list[str]


def read(path: str | os.PathLike[str]) -> CinderConf:
    """See :func:`cinderlib.drivers.read_cinder_conf`."""
    parser = _Parser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.parse(file)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {reason}") from exc
    except iniparser.ParseError as exc:
        raise ConfigurationError(f"{path}:{exc.lineno}: {exc.msg}: {exc.line!r}") from exc
    default = parser.sections.get(_DEFAULT, {})
    enabled = [name.strip() for name in str(default.get("enabled_backends", "")).split(",")]
    backends: dict[str, dict[str, Any]] = {}
    missing = []
    for name in filter(None, enabled):
        options = {**parser.sections.get(_SHARED, {}), **parser.sections.get(name, {})}
        # A backend is called by its section here, as in the host of Cinder's volumes.
        options.pop("volume_backend_name", None)
        if "volume_driver" in options:
            backends[name] = options
        else:
            missing.append(name)
    common = {name: value for name, value in default.items() if name in _FOR_DRIVERS}
    return CinderConf(backends=backends, common=common, missing=missing)


class _Parser(iniparser.BaseParser):  # type: ignore[misc]
    """The parser of oslo.config itself, which has its own idea of continued lines."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, dict[str, Any]] = {}
        self._section = self.sections.setdefault(_DEFAULT, {})

    def new_section(self, section: str) -> None:
        self._section = self.sections.setdefault(section, {})

    def assignment(self, key: str, value: list[str]) -> None:
        text = "\n".join(value)
        before = self._section.get(key)
        if before is None:
            self._section[key] = text
        else:
            self._section[key] = [*(before if isinstance(before, list) else [before]), text]
