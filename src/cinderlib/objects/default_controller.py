"""The default controller, which ``setup`` and ``Backend`` of the module use."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Unpack

from cinderlib import errors
from cinderlib.objects.controller import Controller
from cinderlib.objects.keywords import CinderOptions
from cinderlib.observation import Observer
from cinderlib.persistence import PersistenceConfig
from cinderlib.progress import Listener

# Programs for cinderlib 5 use this module without importing it, even if setup() fails.
importlib.import_module("logging.config")

_lock = threading.RLock()
_controller: Controller | None = None


def setup(
    file_locks_path: str | os.PathLike[str] | None = None,
    root_helper: str = "sudo",
    suppress_requests_ssl_warnings: bool = True,
    disable_logs: bool = True,
    non_uuid_ids: bool = False,
    output_all_backend_info: bool = False,
    project_id: str | None = None,
    user_id: str | None = None,
    persistence_config: PersistenceConfig = None,
    fail_on_missing_backend: bool = True,
    host: str | None = None,
    *,
    state_path: str | os.PathLike[str] | None = None,
    strict_options: bool = True,
    lock_url: str | None = None,
    lock_timeout: float = 60.0,
    recover: bool = True,
    progress: Listener | None = None,
    observer: Observer | None = None,
    **cinder_options: Unpack[CinderOptions],
) -> None:
    """Set up the default controller. Without this call, it is set up with defaults on first use.

    A second call replaces it if it has no backends. For the arguments, see
    :class:`cinderlib.Controller`.

    :param cinder_options: any option of Cinder that does not belong to a backend. Type checkers
        know the most important ones.
    :raises ConfigurationError: backends are already loaded.
    """
    global _controller
    with _lock:
        if _controller is not None and _controller.backends:
            raise errors.ConfigurationError(
                "cinderlib is already set up and has loaded backends:"
                f" {', '.join(_controller.backends)}. Close the controller first, or create a"
                " separate Controller"
            )
        new = Controller(
            persistence_config,
            file_locks_path=file_locks_path,
            root_helper=root_helper,
            suppress_requests_ssl_warnings=suppress_requests_ssl_warnings,
            disable_logs=disable_logs,
            non_uuid_ids=non_uuid_ids,
            output_all_backend_info=output_all_backend_info,
            project_id=project_id,
            user_id=user_id,
            fail_on_missing_backend=fail_on_missing_backend,
            host=host,
            state_path=state_path,
            strict_options=strict_options,
            lock_url=lock_url,
            lock_timeout=lock_timeout,
            recover=recover,
            progress=progress,
            observer=observer,
            cinder_options=cinder_options,
        )
        if _controller is not None:
            _controller.close()
        _controller = new


def is_set_up() -> bool:
    """Whether the default controller exists."""
    return _controller is not None


def controller() -> Controller:
    """The default controller."""
    global _controller
    with _lock:
        if _controller is None:
            _controller = Controller()
        return _controller
