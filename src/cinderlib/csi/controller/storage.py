"""The backends of the plug-in, each loaded when it is first used."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi.controller.context import Context
from cinderlib.csi.controller.groups import GroupControllerService
from cinderlib.csi.controller.service import ControllerService
from cinderlib.csi.failures import NotReady
from cinderlib.csi.settings import Settings
from cinderlib.objects.configured_backends import ConfiguredBackends

LOG = logging.getLogger(__name__)


class Storage:
    """The controller's side of the plug-in.

    :param names: of the configured backends.
    :param options: returns the options of a backend.
    """

    def __init__(
        self,
        settings: Settings,
        controller: cl.Controller,
        names: Sequence[str],
        options: Callable[[str], Mapping[str, Any]],
    ) -> None:
        unknown = sorted(settings.backend_topology.keys() - set(names))
        if unknown:
            raise errors.ConfigurationError(
                f"[csi] backend_topology names backends that are not configured:"
                f" {', '.join(unknown)}"
            )
        self._controller = controller
        self._backends = ConfiguredBackends(controller, list(names), options)
        context = Context(settings, controller, tuple(names), self._backends.loaded)
        #: Answers the service Controller.
        self.service = ControllerService(context)
        #: Answers the service GroupController.
        self.groups = GroupControllerService(context)
        # Not the end of the thread: the first import of Cinder imports a second copy of Python's
        # threading, and Python 3.11 then never notices that the thread has ended.
        self._tried = threading.Event()

    def load(self) -> None:
        """Load all backends in another thread; until then, the plug-in is not ready."""
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        try:
            self._backends.load_all()
        finally:
            self._tried.set()

    def ready(self) -> bool:
        """Whether volumes can be created.

        :raises CinderlibError: the store or every backend fails; the message has the reasons.
        """
        next(iter(self._controller.volumes(limit=1)), None)
        if self._controller.backends:
            return True
        if not self._tried.is_set():
            return False
        reasons = [
            f"{state['name']}: {state['error']}"
            for state in self._backends.states()
            if state["error"]
        ]
        raise NotReady(f"No backend can be loaded. {'; '.join(reasons) or 'None is configured'}")
