"""The lock for oslo.config's global registry, which is not safe for concurrent threads."""

from __future__ import annotations

import threading

REGISTRY_LOCK = threading.RLock()
