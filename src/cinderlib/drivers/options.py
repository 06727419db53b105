"""Checks the options of a backend and of the process before they are used.

Each load of a driver registers its own option group in oslo.config's ``CONF``. The name of the
group is never used again, because configuration objects of earlier loads still refer to theirs by
name.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cinder.volume import configuration
from oslo_config import cfg

from cinderlib.drivers import declarations, modules, option_modules
from cinderlib.drivers.registry_lock import REGISTRY_LOCK
from cinderlib.errors import ConfigurationError
from cinderlib.value_checks import shown

_log = logging.getLogger(__name__)

#: An option, its value, its group.
Setting = tuple[cfg.Opt, Any, str | None]

#: In characters.
_LONGEST_REASON = 300
_SHARED = "backend_defaults"
_REFERENCE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>[\w.]+)\}|\$)?")


def declared(driver_class: Any) -> dict[str, cfg.Opt]:
    """All options of a backend with this driver, by name, including deprecated names.

    The class must be imported.
    """
    opts: dict[str, cfg.Opt] = {}
    for opt in (*declarations.shared(), *of_every_driver().values(), *of_driver(driver_class)):
        _add(opts, opt)
    return opts


def of_driver(driver_class: Any) -> list[cfg.Opt]:
    """The options that a driver reads in addition to those that all drivers have.

    Few drivers list all of them in ``get_driver_options``, so they are collected from the driver's
    modules.
    """
    found: dict[str, cfg.Opt] = {}
    for module in modules.of(driver_class):
        found |= {opt.dest: opt for opt in _defined_in(module)}
    own = getattr(driver_class, "get_driver_options", None)  # missing on proxy classes
    named = (*(own() if own is not None else ()), *declarations.undeclared(driver_class))
    return list((found | {opt.dest: opt for opt in named}).values())


def _defined_in(module: Any) -> Iterator[cfg.Opt]:
    for value in list(vars(module).values()):
        if isinstance(value, cfg.Opt):
            yield value
        elif isinstance(value, list | tuple) and all(isinstance(item, cfg.Opt) for item in value):
            yield from value


def of_every_driver() -> dict[str, cfg.Opt]:
    """The options that all drivers have, by name."""
    base = importlib.import_module("cinder.volume.driver")
    own = {opt.dest: opt for opt in declarations.OWN}
    return own | {opt.dest: opt for opt in _defined_in(base)}


def _add(opts: dict[str, cfg.Opt], opt: cfg.Opt) -> None:
    opts[opt.dest] = opt
    for old in opt.deprecated_opts:
        if old.name:
            opts.setdefault(old.name.replace("-", "_"), opt)


class Configuration(configuration.Configuration):  # type: ignore[misc]
    """A backend's configuration, for its driver.

    Any thread can declare options. Secrets are returned unchanged: oslo.config would interpret some
    of their characters as references.
    """

    def __init__(self, group: str, secrets: Mapping[str, Any]) -> None:
        super().__init__([], config_group=group)
        self._secrets = dict(secrets)

    def append_config_values(self, volume_opts: Any) -> None:
        with REGISTRY_LOCK:
            super().append_config_values(volume_opts)

    def safe_get(self, value: str) -> Any:
        return self.get(value)

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return getattr(self, key)
        except cfg.NoSuchOptError:
            return default

    def __getattr__(self, value: str) -> Any:
        secrets = self.__dict__.get("_secrets", {})
        if value in secrets:
            return secrets[value]
        try:
            return super().__getattr__(value)
        except cfg.NoSuchOptError:
            # Some drivers read an option before they, or one of their modules, declare it.
            if value not in cfg.CONF._groups[_SHARED]._opts:
                raise
            return cfg.CONF[_SHARED][value]


def new_group() -> str:
    """A unique name for the option group of a load."""
    return f"backend_{uuid.uuid4().hex[:12]}"


def take(
    group: str, name: str, given: Mapping[str, Any], opts: Mapping[str, cfg.Opt], *, strict: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set a backend's options in its group.

    :param name: name of the backend, for messages.
    :param strict: whether an unknown option is an error; otherwise it is a logged warning.
    :returns: the options by their current names, converted to their types: first those that are
        not secret, then the secret ones.
    :raises ConfigurationError: an option is unknown or has an invalid value. The group is empty.
    """
    known: dict[str, tuple[cfg.Opt, Any]] = {}
    for key, value in given.items():
        opt = opts.get(key) or _declared_late(key)
        if opt is None:
            _unknown(key, opts, f"backend {name!r}", strict)
        elif value is not None:
            known[opt.dest] = opt, _as_file_text(opt, value)
    try:
        for opt, value in known.values():
            cfg.CONF.register_opt(opt, group=group)
            # As Cinder does: an option without a value falls back to the shared defaults.
            cfg.CONF.set_default(opt.dest, None, group=group)
            _override(opt, _references(value, opt, known), group, f"backend {name!r}")
        values = {
            dest: _convert(opt, value, f"backend {name!r}") if opt.secret else cfg.CONF[group][dest]
            for dest, (opt, value) in known.items()
        }
    except ConfigurationError:
        clear(group)
        raise
    except cfg.Error as error:
        clear(group)
        raise ConfigurationError(f"backend {name!r}: {error}") from error
    secret = {dest for dest, (opt, _) in known.items() if opt.secret}
    return (
        {dest: value for dest, value in values.items() if dest not in secret},
        {dest: value for dest, value in values.items() if dest in secret},
    )


def _declared_late(key: str) -> cfg.Opt | None:
    """An option of a module that the driver loads later, for example of the target."""
    late: dict[str, cfg.Opt] = {}
    for module in option_modules.declare(key):
        for opt in _defined_in(module):
            if opt.dest in cfg.CONF._groups[_SHARED]._opts:
                _add(late, opt)
    return late.get(key)


def clear(group: str) -> None:
    """Delete the values of a group. The group itself remains for configuration objects that still
    refer to it."""
    registered = cfg.CONF._groups.get(group)
    for dest in list(registered._opts) if registered is not None else ():
        cfg.CONF.clear_override(dest, group=group)


def process_wide(given: Mapping[str, Any], *, strict: bool) -> list[Setting]:
    """Check options of Cinder that do not belong to a backend.

    ``{'group': {'option': value}}`` specifies an option in a group. A backend option is a default
    for all backends.

    :raises ConfigurationError: an option is unknown or has an invalid value.
    """
    conf = cfg.CONF
    todo: list[Setting] = []
    for key, value in given.items():
        if isinstance(value, Mapping) and key in conf._groups and key not in conf._opts:
            group_opts = _opts_of(conf._groups[key]._opts)
            for name, item in value.items():
                if name in group_opts:
                    todo.append((group_opts[name], item, key))
                else:
                    _unknown(name, group_opts, f"group {key!r}", strict)
            continue
        if key not in conf._opts and key not in conf._groups[_SHARED]._opts:
            option_modules.declare(key)
        general, shared = _opts_of(conf._opts), _opts_of(conf._groups[_SHARED]._opts)
        if key in general or key in shared:
            todo += [(general[key], value, None)] if key in general else []
            todo += [(shared[key], value, _SHARED)] if key in shared else []
        else:
            _unknown(key, {**general, **shared}, "Cinder", strict)
    todo = [(opt, _as_file_text(opt, value), group) for opt, value, group in todo]
    for opt, value, _ in todo:
        _convert(opt, value, "Cinder")
    return todo


def apply(settings: Iterable[Setting]) -> None:
    """Set process-wide options."""
    for opt, value, group in settings:
        _override(opt, _references(value, opt, {}), group, "Cinder")


def withdraw(settings: Iterable[Setting]) -> None:
    """Undo :func:`apply`."""
    for opt, _, group in settings:
        cfg.CONF.clear_override(opt.dest, group=group)


def is_secret(name: str) -> bool:
    """Whether an option's value must not be shown."""
    for opts in (cfg.CONF._opts, *(group._opts for group in cfg.CONF._groups.values())):
        if name in opts and opts[name]["opt"].secret:
            return True
    return False


def _opts_of(infos: Mapping[str, Any]) -> dict[str, cfg.Opt]:
    return {name: info["opt"] for name, info in infos.items()}


def _unknown(key: str, known: Iterable[str], owner: str, strict: bool) -> None:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    message = f"{owner} has no option {key!r}"
    if near:
        message += f"; did you mean {near[0]!r}?"
    if strict:
        raise ConfigurationError(message, resource=key)
    _log.warning("%s; it is ignored", message)


def _override(opt: cfg.Opt, value: Any, group: str | None, owner: str) -> None:
    try:
        cfg.CONF.set_override(opt.dest, value, group=group)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _invalid(opt, value, owner, error) from None


def _as_file_text(opt: cfg.Opt, value: Any) -> Any:
    """A value in the form that oslo.config's types accept: they are designed for the text of a
    file, and some raise unexpected errors for a number instead of text."""
    if isinstance(opt, cfg.MultiOpt) and not isinstance(value, list | tuple):
        value = [value]
    if isinstance(value, int | float) and not isinstance(
        opt, cfg.IntOpt | cfg.PortOpt | cfg.FloatOpt
    ):
        return value if isinstance(value, bool) and isinstance(opt, cfg.BoolOpt) else str(value)
    return value


def _convert(opt: cfg.Opt, value: Any, owner: str) -> Any:
    try:
        return cfg.CONF._convert_value(value, opt)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _invalid(opt, value, owner, error) from None


def _invalid(opt: cfg.Opt, value: Any, owner: str, error: Exception) -> ConfigurationError:
    kind = type(opt).__name__.removesuffix("Opt").lower()
    allowed = getattr(opt.type, "choices", None)
    expected = f"one of {', '.join(map(repr, allowed))}" if allowed else f"a value of type {kind}"
    low, high = getattr(opt.type, "min", None), getattr(opt.type, "max", None)
    if low is not None or high is not None:
        expected += f" from {'-∞' if low is None else low} to {'∞' if high is None else high}"
    value_shown, reason = "***", ""
    if not opt.secret:
        value_shown = shown(value)
        # oslo.config repeats the value, which can be long.
        reason = f" ({error})" if len(str(error)) < _LONGEST_REASON else ""
    return ConfigurationError(
        f"{owner}: option {opt.dest!r} is {value_shown}, expected {expected}{reason}",
        resource=opt.dest,
    )


def _references(value: Any, opt: cfg.Opt, given: Mapping[str, tuple[cfg.Opt, Any]]) -> Any:
    """Escape each ``$`` that does not refer to an option, so that oslo.config does not replace it.

    A ``$`` in a secret is never a reference. ``${backend_defaults.x}`` refers to the backend's own
    ``x``, if it is set.
    """
    if isinstance(value, list | tuple):
        return [_references(item, opt, given) for item in value]
    if isinstance(value, Mapping):
        return {
            _references(key, opt, given): _references(item, opt, given)
            for key, item in value.items()
        }
    if not isinstance(value, str) or "$" not in value:
        return value
    if opt.secret:
        return value.replace("$", "$$")

    def keep(match: re.Match[str]) -> str:
        name = match["bare"] or match["braced"]
        if name is None:
            return match[0].replace("$", "$$")
        group, _, option = name.rpartition(".")
        if group == _SHARED and option in given and option != opt.dest:
            own_opt, own = given[option]
            return _text(own, own_opt, given)
        return match[0] if _exists(group, option) else match[0].replace("$", "$$")

    return _REFERENCE.sub(keep, value)


def _text(value: Any, opt: cfg.Opt, given: Mapping[str, tuple[cfg.Opt, Any]]) -> str:
    rest = {dest: item for dest, item in given.items() if dest != opt.dest}
    return str(_references(value, opt, rest))


def _exists(group: str, option: str) -> bool:
    if not group:
        return option in cfg.CONF._opts
    registered = cfg.CONF._groups.get(group)
    return registered is not None and option in registered._opts
