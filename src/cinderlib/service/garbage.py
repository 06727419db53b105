"""The garbage collection of the service's process."""

from __future__ import annotations

import gc

#: New objects after which a collection starts, and collections after which it includes older ones.
#: Python's own values start one for every few calls.
THRESHOLDS = (20_000, 20, 20)


def collect_less() -> None:
    """Start fewer collections.

    Cinder has hundreds of thousands of objects, and a collection that visits them stops all threads
    for a tenth of a second. ``gc.freeze()`` would exclude them, but it can end the process while
    another thread collects.
    """
    gc.set_threshold(*THRESHOLDS)
