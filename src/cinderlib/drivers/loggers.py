"""Sets the levels of the loggers of Cinder, os-brick and oslo."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cinderlib.errors import ConfigurationError

_LOG = logging.getLogger("cinderlib")

#: The loggers that ``disable_logs`` silences.
LOGGERS = (
    "cinder",
    "os_brick",
    "oslo",
    "oslo_concurrency",
    "oslo_config",
    "oslo_db",
    "oslo_messaging",
    "oslo_policy",
    "oslo_privsep",
    "oslo_service",
    "oslo_utils",
    "oslo_versionedobjects",
    "privsep",
    "taskflow",
    "tooz",
)


def quiet() -> None:
    """Silence the loggers, except those for which the program has set a level."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


#: Options of oslo.log for the destination and format of log records.
_FOR_HANDLERS = frozenset(
    {
        "log_color", "log_config_append", "log_date_format", "log_dir", "log_file",
        "log_rotate_interval", "log_rotation_type", "logging_context_format_string",
        "logging_debug_format_suffix", "logging_default_format_string",
        "logging_exception_prefix", "logging_user_identity_format", "publish_errors",
        "rate_limit_burst", "syslog_log_facility", "use_journal", "use_json", "use_stderr",
        "use_syslog", "watch_log_file",
    }
)  # fmt: skip


def set_levels(options: Mapping[str, Any]) -> None:
    """Set the levels from oslo.log's options ``debug`` and ``default_log_levels``. A warning lists
    its other options, which have no effect because the program configures the handlers.

    :param options: options of Cinder; others than those of oslo.log are ignored.
    :raises ConfigurationError: a level is unknown.
    """
    debug = options.get("debug")
    if debug is True or str(debug).strip().lower() in ("1", "on", "true", "yes"):
        for name in (*LOGGERS, _LOG.name):
            logging.getLogger(name).setLevel(logging.DEBUG)
    given = options.get("default_log_levels") or ()
    for pair in given.split(",") if isinstance(given, str) else given:
        name, _, level = str(pair).strip().partition("=")
        try:
            logging.getLogger(name).setLevel(level.strip().upper())
        except ValueError:
            raise ConfigurationError(
                f"default_log_levels contains {pair!r}; expected LOGGER=LEVEL, with the level"
                " DEBUG, INFO, WARNING, ERROR or CRITICAL",
                resource="default_log_levels",
            ) from None
    without_effect = sorted(_FOR_HANDLERS & options.keys())
    if without_effect:
        _LOG.warning(
            "cinderlib does not add log handlers, so these options have no effect: %s. Configure"
            " logging in the program",
            ", ".join(without_effect),
        )
