"""One run of the command: common options, configuration, and the controller if a verb needs it."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from cinderlib.cli.form import Form
from cinderlib.cli.standard_error import ToStandardError

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.cli.configuration import Configuration
    from cinderlib.cli.patience import Patience
    from cinderlib.cli.view import View
    from cinderlib.cli.waiting import Waiting
    from cinderlib.errors import InvalidState
    from cinderlib.observation import Observer
    from cinderlib.progress import Progress

T = TypeVar("T")

_OfBackend: TypeAlias = "cl.Volume | cl.Snapshot | cl.Connection | cl.Group | cl.GroupSnapshot"


class App(contextlib.ExitStack):
    """The state that all verbs share.

    :ivar config_path: the value of ``--config``.
    :ivar form: the output format.
    :ivar view: the columns of the results of the verb.
    :ivar quiet: whether to omit messages.
    :ivar verbosity: the number of ``-v`` options.
    :ivar debug: whether to log everything and to show tracebacks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config_path: str | None = None
        self.form = Form()
        self.view: View | None = None
        self.quiet = False
        self.verbosity = 0
        self.debug = False
        #: The value of ``--wait``, in seconds.
        self.wait: float | None = None
        #: Receives the activities of :attr:`own_controller`.
        self.observer: Observer | None = None
        self._waiting: Waiting | None = None
        self._creates = False
        self._requires_store = False
        self._recovers = True
        #: Whether the store exists. Only valid after the first use of :attr:`controller`.
        self.has_store = True

    @property
    def as_json(self) -> bool:
        """Whether to write results as JSON or YAML."""
        return self.form.structured

    def say(self, message: str) -> None:
        """Write a message for the user to standard error."""
        if not self.quiet and not self.as_json:
            from cinderlib.cli import output

            click.echo(output.message(message), err=True)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show the progress of a long operation, if standard error is a terminal.

        :param what: name of the operation, for example ``'Cloning data'``.
        """
        if self._waiting or self.quiet or self.as_json or not sys.stderr.isatty():
            yield
            return
        from cinderlib.cli.waiting import Waiting

        with Waiting(what) as self._waiting:
            try:
                yield
            finally:
                self._waiting = None

    def show_progress(self, progress: Progress) -> None:
        """Update the progress of the current operation."""
        if self._waiting:
            self._waiting.update(progress)

    def counting(self, records: Iterable[T], total: int) -> Iterator[T]:
        """Iterate over records and show the progress.

        :param total: the expected number of records.
        """
        from cinderlib.progress import Progress

        for done, record in enumerate(records):
            self.show_progress(Progress(done, total, "records"))
            yield record

    @functools.cached_property
    def configuration(self) -> Configuration:
        """The configuration file; an empty configuration if none exists."""
        from cinderlib.cli import configuration

        return configuration.load(self.config_path)

    @functools.cached_property
    def controller(self) -> cl.Controller:
        """The controller of the service on this host that uses this configuration. Without such a
        service, a controller of this process without loaded backends."""
        return self.service or self.own_controller

    @functools.cached_property
    def service(self) -> Any:
        """The controller of the service on this host that uses this configuration; ``None`` if no
        such service runs."""
        from cinderlib.cli import served

        return served.controller(self.configuration, self.show_progress)

    @functools.cached_property
    def own_controller(self) -> cl.Controller:
        """A controller of this process, without loaded backends.

        If its store does not exist yet, an empty store in memory replaces it, so that a verb that
        only reads does not create a store. Other verbs call :meth:`may_create_store` or
        :meth:`require_store` first.
        """
        from cinderlib import Controller as Controller  # an error with only cinderlib-node
        from cinderlib.errors import StoreNotFound

        self.log()
        self.configuration.require_file()
        try:
            if not self._creates:
                self.configuration.check_default_store()
            return self._controller(self.configuration.persistence(create=self._creates))
        except StoreNotFound as missing:
            if self._requires_store:
                raise
            self.has_store = False
            self.say(f"{missing} The first `volume create` creates it.")
            return self._controller(self.configuration.empty_store())

    def may_create_store(self) -> None:
        """Allow the creation of the store. Verbs that write to the store call this before they use
        :attr:`controller`."""
        self._creates = True

    def require_store(self) -> None:
        """Open the store, for a verb whose result would be wrong with an empty store instead of a
        store that does not exist.

        :raises StoreNotFound: the store does not exist.
        """
        self._requires_store = True
        assert self.controller is not None

    def patiently(self, step: Callable[[], T]) -> T:
        """Execute a step; with ``--wait``, repeat it while the resource is in use."""
        return step() if self.wait is None else self._patience(step)

    @functools.cached_property
    def _patience(self) -> Patience:
        from cinderlib.cli.patience import Patience

        assert self.wait is not None
        return Patience(self.wait, self.say, self._is_used)

    def _is_used(self, refusal: InvalidState) -> bool:
        """Whether a host uses the resource of a refusal, or another operation works on it."""
        from cinderlib import errors
        from cinderlib.cli import find

        if isinstance(refusal, errors.NotLocal | errors.NoBackendFits):
            return False
        id = str(getattr(refusal.resource, "id", refusal.resource))
        return any(map(find.is_used, find.with_id(self.controller, id)))

    def only_observe(self) -> None:
        """Do not recover interrupted operations when a backend is loaded, for a verb that shows
        them."""
        self._recovers = False

    def _controller(self, store: dict[str, Any]) -> cl.Controller:
        import cinderlib as cl

        controller = cl.Controller(
            store,
            fail_on_missing_backend=False,
            disable_logs=not self._logs_of_others,
            progress=self.show_progress,
            observer=self.observer,
            **self.configuration.controller() | self._own_settings(),
        )
        return self.enter_context(controller)

    def _own_settings(self) -> dict[str, Any]:
        """The arguments of the controller that the verb and its options determine."""
        found: dict[str, Any] = {} if self._recovers else {"recover": False}
        if self.wait is not None:
            from cinderlib.cli.patience import LOCK_TIMEOUT

            found["lock_timeout"] = min(self.wait, LOCK_TIMEOUT)
        return found

    def on_backend(self, name: str | None) -> str | None:
        """Check the name of the backend to which a listing is limited.

        :raises BackendNotFound: the backend is not configured, and the store has no volumes on it.
        """
        if name is not None and not any(self.controller.volumes(backend=name, limit=1)):
            self.configuration.require_backend(name)
        return name

    @functools.cached_property
    def node(self) -> cl.Node:
        """This host."""
        return self.make_node()

    def make_node(self, host: str | None = None) -> cl.Node:
        """This host with the settings of the configuration.

        :param host: its name, instead of the configured one.
        """
        import cinderlib as cl

        self.log()
        named = {} if host is None else {"host": host}
        return cl.Node(**self.configuration.node() | named)

    @functools.cached_property
    def node_client(self) -> cl.NodeClient | None:
        """This host as a node of the service of the configuration; ``None`` without one."""
        import cinderlib as cl

        options = self.configuration.node_client()
        if options is None:
            return None
        return self.enter_context(cl.NodeClient(**options, node=self.node))

    def backend(self, name: str | None = None) -> cl.Backend:
        """Load a backend of the configuration.

        :param name: name of the backend; by default the only backend.
        """
        name = self.configured_name(name)
        with self.working(f"Loading backend {name}"):
            return self.controller.backend(name, **self.backend_options(name))

    def configured_name(self, name: str | None = None) -> str:
        """The name of a backend of the configuration, which is not loaded.

        :param name: by default the only backend.
        :raises BackendNotFound, ConfigurationError: the configuration has no such backend.
        """
        name = self.configuration.only_backend() if name is None else name
        self.configuration.require_backend(name)
        return name

    def backend_options(self, name: str) -> Mapping[str, Any]:
        """The options of a backend of the configuration; a service has its own."""
        return {} if self.service else self.configuration.backend(name)

    def place(self, **fields: Any) -> cl.Volume:
        """Create a volume on the configured backend that fits best."""
        if self.service is None:
            for name in self.configuration.backends:
                self.backend(name)
        return self.controller.create_volume(**fields)

    def backend_of(self, resource: _OfBackend) -> cl.Backend:
        """Load the backend of a resource."""
        return self.backend(backend_name(resource))

    def log(self) -> None:
        """Write the library's warnings to standard error, and more with ``-v`` or ``--debug``."""
        if logging.getLogger().handlers:
            return
        level = logging.ERROR if self.quiet else logging.WARNING
        if self.verbosity:
            level = logging.INFO
        if self.debug or self.verbosity > 1:
            level = logging.DEBUG
        wanted = "%(levelname)s %(name)s: %(message)s" if self.debug else "%(message)s"
        others = logging.DEBUG if self.debug else logging.INFO
        silent = logging.CRITICAL + 1
        logging.basicConfig(
            level=others if self._logs_of_others else silent,
            format=wanted,
            handlers=[ToStandardError()],
        )
        logging.getLogger("cinderlib").setLevel(level)
        if self.verbosity:
            logging.getLogger("cinderlib.drivers.observed").setLevel(logging.DEBUG)

    @property
    def _logs_of_others(self) -> bool:
        return self.debug or self.verbosity > 1

    def write(self, data: Any) -> None:
        """Write data as JSON or YAML."""
        from cinderlib.cli import writing

        writing.document(data, self.form)

    def list_items(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write items in the chosen format, or a message if a table would be empty."""
        from cinderlib.cli import writing

        assert self.view is not None
        if not writing.listing(self.view, items, self.form) and self.form.for_people:
            self.say(f"There are no {self.view.items}.")

    def show(self, item: Mapping[str, Any]) -> None:
        """Write one item in the chosen format."""
        from cinderlib.cli import writing

        assert self.view is not None
        writing.single(self.view, item, self.form)

    def result(self, item: Mapping[str, Any], shown: str | None) -> None:
        """Write the result of a verb that changes something.

        :param item: written if an output format was chosen.
        :param shown: written otherwise: the ID or device that a script needs next; ``None`` for
            nothing.
        """
        if self.form.format:
            self.show(item)
        elif shown is not None:
            click.echo(shown)


def backend_name(resource: _OfBackend) -> str:
    """The name of a resource's backend, loaded or not."""
    backend = resource.backend
    return backend if isinstance(backend, str) else backend.id
