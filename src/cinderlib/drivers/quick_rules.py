"""Derives the rules of :mod:`.quick_check` from the options of a driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from oslo_config import cfg, types

from cinderlib.drivers import names, quick_check
from cinderlib.drivers.port_values import Lacks
from cinderlib.drivers.quick_check import Rule

_NUMBERS: dict[type, Literal["integer", "number"]] = {
    types.Integer: "integer",
    types.Port: "integer",
    types.Float: "number",
}


def keep(
    name: str, path: str, driver_class: Any, opts: Mapping[str, cfg.Opt], lacks: Lacks
) -> None:
    """Keep the rules for a driver of Cinder or of this library, whose options passed a check.

    Other drivers can change without a change of the installed packages.

    :param name: the value of ``volume_driver``.
    :param opts: the options that the driver accepts, by name.
    """
    is_known = path in names.classes()
    if not is_known or (
        hasattr(driver_class, "check_options") and path not in quick_check.OWN_CHECKS
    ):
        return
    rules = {
        dest: found
        for dest, opt in opts.items()
        if dest == opt.dest and (found := rule(opt)) is not None
    }
    quick_check.keep(name, quick_check.Known(path, rules, lacks))


def rule(opt: cfg.Opt) -> Rule | None:
    """The rule for an option; ``None`` if it is not simple."""
    kind = type(opt.type)
    choices = getattr(opt.type, "choices", None)
    if opt.multi:
        return None
    if _is_text(opt.type):
        if choices and not all(isinstance(choice, str) for choice in choices):
            return None
        return Rule("text", bool(opt.secret), list(choices) if choices else None)
    if kind is types.Boolean:
        return Rule("boolean")
    if kind is types.List and not opt.type.bounds and _is_text(opt.type.item_type):
        return None if opt.type.item_type.choices else Rule("texts", bool(opt.secret))
    if kind in _NUMBERS and not choices:
        return Rule(_NUMBERS[kind], low=opt.type.min, high=opt.type.max)
    return None


def _is_text(kind: Any) -> bool:
    """Whether a type accepts every text, or only its choices."""
    return type(kind) is types.String and not (
        kind.regex or kind.quotes or kind.max_length or kind.ignore_case
    )
