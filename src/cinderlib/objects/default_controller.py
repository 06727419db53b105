"""The default controller: what ``setup`` and ``Backend`` of the module work on."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Unpack

from cinderlib import errors
from cinderlib.objects.controller import Controller
from cinderlib.objects.keywords import CinderOptions
from cinderlib.persistence import PersistenceConfig
from cinderlib.progress import Listener

# Programs for cinderlib 5 use it without importing it, also where setup() fails.
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
    **cinder_options: Unpack[CinderOptions],
) -> None:
    """Set up the default controller; what is not set up is, with defaults, when it is first used.

    A second call replaces it while it has no backends. For the arguments see
    :class:`cinderlib.Controller`.

    :param cinder_options: any option of Cinder that belongs to no backend; type checkers know the
        ones that matter most.
    :raises ConfigurationError: backends are loaded already.
    """
    global _controller
    with _lock:
        if _controller is not None and _controller.backends:
            raise errors.ConfigurationError(
                "cinderlib is set up already and has backends loaded:"
                f" {', '.join(_controller.backends)}; close() the controller first, or use a"
                " Controller of your own beside it"
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
            cinder_options=cinder_options,
        )
        if _controller is not None:
            _controller.close()
        _controller = new


def is_set_up() -> bool:
    """Whether there is a default controller by now."""
    return _controller is not None


def controller() -> Controller:
    """The default controller."""
    global _controller
    with _lock:
        if _controller is None:
            _controller = Controller()
        return _controller
