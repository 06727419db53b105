"""The garbage collection of the service's process."""

from __future__ import annotations

import gc

#: New objects after which a collection starts, and collections after which it includes older ones.
#: Python's own values start one for every few calls.
THRESHOLDS = (20_000, 20, 20)


def spare_what_stays() -> None:
    """Exclude all current objects from later collections.

    The modules of Cinder have hundreds of thousands of objects that stay as long as the process. A
    collection that visits them stops all threads for a tenth of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
