"""The loggers of Cinder, os-brick and oslo, and no other."""

from __future__ import annotations

import logging

#: The loggers that ``disable_logs`` quiets.
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
    """Silence them, except where the host program has chosen a level."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)
