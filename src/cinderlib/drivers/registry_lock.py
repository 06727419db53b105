"""The lock around oslo.config's global registry, which is not made for threads."""

from __future__ import annotations

import threading

REGISTRY_LOCK = threading.RLock()
