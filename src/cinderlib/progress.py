"""How far work is that takes long, for whoever wants to show it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Literal

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is.

    :ivar done: how much of it is done; can fall back when a copy has to be made again.
    :ivar total: how much there is to do.
    :ivar unit: of both: ``'bytes'`` of a copy, ``'operations'`` that recovery settles, or
        ``'records'`` of the store.
    :ivar resource_id: of the volume or snapshot that is made; ``None`` for the other two.
    """

    done: int
    total: int
    unit: Literal["bytes", "operations", "records"]
    resource_id: str | None = None


#: Is told how far it is, in the thread that does the work.
Listener = Callable[[Progress], None]


class ProgressReporter:
    """Tells a listener, if there is one. What goes wrong in it does not touch the work.

    :ivar listener: whom to tell.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener

    def __call__(self, progress: Progress) -> None:
        if self.listener is None:
            return
        try:
            self.listener(progress)
        except Exception:
            LOG.warning("The function that is told of progress failed", exc_info=True)
