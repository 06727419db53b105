"""Reads the backends of a ``cinder.conf``: with oslo.config, so that each option has the value that
Cinder's own process has."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_config import cfg

from cinderlib.errors import ConfigurationError

_DEFAULT = "DEFAULT"
_SHARED = "backend_defaults"
#: Options of [DEFAULT] that drivers read; the others belong to Cinder's services.
_FOR_DRIVERS = frozenset({"my_ip", "ssh_hosts_key_file", "strict_ssh_host_key_policy"})
#: What a reference stands for if the file does not set the option that it names, where that is not
#: what it would stand for in this library's process.
_OF_CINDER = {"state_path": "/var/lib/cinder"}

_REFERENCE = re.compile(r"\$(?:(\w+)|\{([\w.]+)\})")
_MULTI = re.compile(r"\bcfg\.Multi(?:Str)?Opt\(\s*['\"]([\w-]+)['\"]")


@dataclasses.dataclass(frozen=True)
class CinderConf:
    """The backends that a ``cinder.conf`` defines.

    :ivar backends: name of the section -> its options, with those of ``[backend_defaults]``. An
        option that can be given several times is a list.
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
        # A backend is called by its section here, as in the host of Cinder's volumes.
        options.pop("volume_backend_name", None)
        if "volume_driver" in options:
            backends[name] = options
        else:
            missing.append(name)
    return CinderConf(backends=backends, common=default, missing=missing)


def _parsed(path: str | os.PathLike[str]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    # Cinder reads the files of this folder too, after the file itself.
    folder = Path(f"{os.fspath(path)}.d")
    folders = [str(folder)] if folder.is_dir() else []
    try:
        with open(path, encoding="utf-8") as file:
            file.read()  # oslo.config's own error does not say why
        conf(
            [],
            project="cinder",
            default_config_files=[os.fspath(path)],
            default_config_dirs=folders,
            use_env=False,
        )
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "it is not text in UTF-8"
        raise ConfigurationError(f"{os.fspath(path)!r} cannot be read: {reason}") from exc
    except cfg.ConfigFileParseError as exc:
        raise ConfigurationError(f"{os.fspath(path)!r}: {exc.msg}") from exc
    except cfg.Error as exc:
        raise ConfigurationError(f"{os.fspath(path)!r} cannot be read: {exc}") from exc
    return conf


def _sections(conf: cfg.ConfigOpts) -> dict[str, dict[str, list[str]]]:
    """Section -> option -> the texts that it was given, of all files; names of sections in lower
    case, as oslo.config finds them in any."""
    found: dict[str, dict[str, list[str]]] = {}
    for file in conf._namespace._parsed:
        for section, options in file.items():
            there = found.setdefault(section.lower(), {})
            for option, texts in options.items():
                there.setdefault(option, []).extend(texts)
    return found


class _Values:
    """The values of the options in the file, with references replaced."""

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
            default = None if group else _OF_CINDER.get(option)
            # What the file does not say is left to the process that loads the backend.
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
        """Group, name and text of each reference to what is not in the file."""
        for section, options in self._sections.items():
            for texts in options.values():
                for match in _REFERENCE.finditer("\n".join(texts)):
                    group, _, option = (match[1] or match[2]).rpartition(".")
                    places = {group.lower() or "default", "default" if group else section}
                    if not any(option in self._sections.get(place, {}) for place in places):
                        yield group, option, match[0]

    def _register(self, opt: cfg.Opt, section: str) -> None:
        # What cannot be the name of an option is one of nobody's.
        with contextlib.suppress(cfg.Error, ValueError):
            self._conf.register_opt(opt, group=self._group(section))

    @staticmethod
    def _group(section: str) -> str | None:
        return None if section.lower() in ("", "default") else section.lower()


def _multi_options() -> frozenset[str]:
    """The options of Cinder's drivers that may be given several times; of all others the last one
    counts. They are found in the text, as importing all drivers takes seconds."""
    spec = importlib.util.find_spec("cinder")
    found: set[str] = set()
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in Path(folder, "volume").rglob("*.py"):
            found |= {name.replace("-", "_") for name in _MULTI.findall(file.read_text("utf-8"))}
    return frozenset(found)
