"""Reads the backends of a ``cinder.conf`` with oslo.config, so that each option has the same value
as in Cinder's own process."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_config import cfg

from cinderlib.errors import ConfigurationError
from cinderlib.value_checks import shown_path

#: Maximum length of a file, in characters.
_LONGEST = 2**24
_DEFAULT = "DEFAULT"
_SHARED = "backend_defaults"
#: Options of [DEFAULT] that drivers read; the others belong to Cinder's services.
_FOR_DRIVERS = frozenset({"my_ip", "ssh_hosts_key_file", "strict_ssh_host_key_policy"})
#: Values of references to options that the file does not set, and whose defaults differ in this
#: library's process.
_CINDER_DEFAULTS = {"state_path": "/var/lib/cinder"}

_REFERENCE = re.compile(r"\$(?:(\w+)|\{([\w.]+)\})")
_MULTI = re.compile(r"\bcfg\.Multi(?:Str)?Opt\(\s*['\"]([\w-]+)['\"]")


@dataclasses.dataclass(frozen=True)
class CinderConf:
    """The backends that a ``cinder.conf`` defines.

    :ivar backends: name of the section -> its options, including those of ``[backend_defaults]``.
        The value of an option that can be repeated is a list.
    :ivar common: options of ``[DEFAULT]`` that drivers read.
    :ivar missing: names in ``enabled_backends`` that have no section, or one without a driver.
    """

    backends: dict[str, dict[str, Any]]
    common: dict[str, Any]
    missing: list[str]


def read(path: str | os.PathLike[str]) -> CinderConf:
    """See :func:`cinderlib.drivers.read_cinder_conf`."""
    conf = _parsed(path)
    sections = _sections(conf)
    values = _Values(conf, sections)
    default = values.of(_DEFAULT, "enabled_backends", *_FOR_DRIVERS)
    enabled = [name.strip() for name in str(default.pop("enabled_backends", "")).split(",")]
    backends: dict[str, dict[str, Any]] = {}
    missing = []
    for name in filter(None, enabled):
        options = {**values.of(_SHARED), **values.of(name)}
        # The section is the name of the backend here, as in the host of Cinder's volumes.
        options.pop("volume_backend_name", None)
        if "volume_driver" in options:
            backends[name] = options
        else:
            missing.append(name)
    return CinderConf(backends=backends, common=default, missing=missing)


def _parsed(path: str | os.PathLike[str]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    # Cinder reads the files of this folder too, after the file itself.
    folder = f"{os.fspath(path)}.d"
    folders = [folder] if os.path.isdir(folder) else []
    try:
        with open(path, encoding="utf-8") as file:
            # Reading it here gives the reason of an error, which oslo.config leaves out.
            if len(file.read(_LONGEST + 1)) > _LONGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        conf(
            [],
            project="cinder",
            default_config_files=[os.fspath(path)],
            default_config_dirs=folders,
            use_env=False,
        )
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "the file is not UTF-8 text"
        raise ConfigurationError(f"cannot read {shown_path(path)}: {reason}") from exc
    except cfg.ConfigFileParseError as exc:
        raise ConfigurationError(f"{shown_path(path)}: {exc.msg}") from exc
    except cfg.Error as exc:
        raise ConfigurationError(f"cannot read {shown_path(path)}: {exc}") from exc
    return conf


def _sections(conf: cfg.ConfigOpts) -> dict[str, dict[str, list[str]]]:
    """Section -> option -> its texts in all files. Names of sections are in lower case, because
    oslo.config ignores their case."""
    found: dict[str, dict[str, list[str]]] = {}
    for file in conf._namespace._parsed:
        for section, options in file.items():
            merged = found.setdefault(section.lower(), {})
            for option, texts in options.items():
                merged.setdefault(option, []).extend(texts)
    return found


class _Values:
    """The values of the options in the file, with references resolved."""

    def __init__(self, conf: cfg.ConfigOpts, sections: dict[str, dict[str, list[str]]]) -> None:
        self._conf = conf
        self._sections = sections
        multi = _multi_options()
        for section, options in sections.items():
            for option in options:
                kind = cfg.MultiStrOpt if option in multi else cfg.StrOpt
                with contextlib.suppress(ValueError):
                    self._register(kind(option, dest=option), section)
        for group, option, text in self._referenced():
            default = None if group else _CINDER_DEFAULTS.get(option)
            # The process that loads the backend resolves the other references.
            self._register(cfg.StrOpt(option, default=default or f"${text}"), group)

    def of(self, section: str, *wanted: str) -> dict[str, Any]:
        """Option -> value in a section.

        :param wanted: only these options; by default all.
        """
        names = self._sections.get(section.lower(), {})
        if not names:
            return {}
        group = self._group(section)
        view = self._conf if group is None else self._conf[group]
        try:
            return {
                name: view[name]
                for name in names
                if name in view and (not wanted or name in wanted)
            }
        except (cfg.Error, ValueError, RecursionError) as exc:
            raise ConfigurationError(f"[{section}]: {exc}") from exc

    def _referenced(self) -> Iterator[tuple[str, str, str]]:
        """Group, name and text of each reference to an option that the file does not set."""
        for section, options in self._sections.items():
            for texts in options.values():
                for match in _REFERENCE.finditer("\n".join(texts)):
                    group, _, option = (match[1] or match[2]).rpartition(".")
                    places = {group.lower() or "default", "default" if group else section}
                    if not any(option in self._sections.get(place, {}) for place in places):
                        yield group, option, match[0]

    def _register(self, opt: cfg.Opt, section: str) -> None:
        # No driver reads an option whose name is not valid.
        with contextlib.suppress(cfg.Error, ValueError):
            self._conf.register_opt(opt, group=self._group(section))

    @staticmethod
    def _group(section: str) -> str | None:
        return None if section.lower() in ("", "default") else section.lower()


def _multi_options() -> frozenset[str]:
    """The options of Cinder's drivers that can be repeated; of all others, the last value counts.
    They are found in the source, because importing all drivers takes seconds."""
    spec = importlib.util.find_spec("cinder")
    found: set[str] = set()
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in Path(folder, "volume").rglob("*.py"):
            found |= {name.replace("-", "_") for name in _MULTI.findall(file.read_text("utf-8"))}
    return frozenset(found)
