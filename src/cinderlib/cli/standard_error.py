"""The log on standard error."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class ToStandardError(logging.StreamHandler[TextIO]):
    """Writes to the current standard error. A progress bar replaces it, to write messages above the
    bar."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)
