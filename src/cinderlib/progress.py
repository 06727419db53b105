"""Progress of long operations."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Literal

from cinderlib.errors import InvalidInput
from cinderlib.value_checks import shown

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one operation.

    :ivar done: the amount that is done. It can decrease if a copy must start again.
    :ivar total: the whole amount.
    :ivar unit: of both: ``'bytes'`` of a copy, ``'operations'`` that recovery completes or undoes,
        or ``'records'`` of the store.
    :ivar resource_id: the volume or snapshot that is being created; ``None`` for the other units.
    """

    done: int
    total: int
    unit: Literal["bytes", "operations", "records"]
    resource_id: str | None = None


#: Called with the progress, in the thread that does the work.
Listener = Callable[[Progress], None]


class ProgressReporter:
    """Calls a listener, if one is set. A failure of the listener does not affect the operation.

    :ivar listener: the function to call.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        if listener is not None and not callable(listener):
            raise InvalidInput(f"The progress must be a function, not {shown(listener)}.")
        self.listener = listener

    def __call__(self, progress: Progress) -> None:
        if self.listener is None:
            return
        try:
            self.listener(progress)
        except Exception:
            LOG.warning("The function that reports progress failed", exc_info=True)
