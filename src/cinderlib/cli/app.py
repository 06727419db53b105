"""One run of the command: its options, its configuration, the controller when one is needed."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.cli.configuration import Configuration
    from cinderlib.cli.waiting import Waiting
    from cinderlib.progress import Progress

T = TypeVar("T")


class App(contextlib.ExitStack):
    """What verbs get.

    :ivar config_path: of ``--config``.
    :ivar as_json: whether results are written as JSON.
    :ivar quiet: whether messages are left out.
    :ivar verbosity: how often ``-v`` was given.
    :ivar debug: whether everything is logged, and tracebacks are shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config_path: str | None = None
        self.as_json = False
        self.quiet = False
        self.verbosity = 0
        self.debug = False
        self._waiting: Waiting | None = None
        self._creates = False
        self._requires_store = False
        #: Whether the store exists; known once :attr:`controller` was used.
        self.has_store = True

    def say(self, message: str) -> None:
        """A message to the person, on standard error."""
        if not self.quiet and not self.as_json:
            click.echo(message, err=True)

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """While something runs that may take long: a person at a terminal sees how far it is.

        :param what: what is done, as ``'Cloning data'``.
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

    def tell(self, progress: Progress) -> None:
        """How far it is that runs."""
        if self._waiting:
            self._waiting.tell(progress)

    def counting(self, records: Iterable[T], total: int) -> Iterator[T]:
        """The records, of which so many are expected; it is told how many of them are done."""
        from cinderlib.progress import Progress

        for done, record in enumerate(records):
            self.tell(Progress(done, total, "records"))
            yield record

    @functools.cached_property
    def configuration(self) -> Configuration:
        """The configuration file; an empty one where there is none."""
        from cinderlib.cli import configuration

        return configuration.load(self.config_path)

    @functools.cached_property
    def controller(self) -> cl.Controller:
        """The controller of the service of this host that was started with this configuration, if
        there is one; otherwise a controller of this process, without any backend loaded."""
        return self.service or self.own_controller

    @functools.cached_property
    def service(self) -> Any:
        """The controller of the service of this host that was started with this configuration, if
        there is one."""
        from cinderlib.cli import served

        return served.controller(self.configuration, self.tell)

    @functools.cached_property
    def own_controller(self) -> cl.Controller:
        """A controller of this process, without any backend loaded.

        If its store does not exist yet, an empty one in memory stands in, so that a verb that
        only reads creates nothing; other verbs call :meth:`may_create_store` or
        :meth:`require_store` first.
        """
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
            return self._controller(self.configuration.stand_in())

    def may_create_store(self) -> None:
        """To be called before :attr:`controller` is used, by verbs that put something into the
        store."""
        self._creates = True

    def require_store(self) -> None:
        """Open the store, for a verb whose result would be wrong if a store that does not exist
        were taken for an empty one.

        :raises StoreNotFound: it does not exist.
        """
        self._requires_store = True
        assert self.controller is not None

    def _controller(self, store: dict[str, Any]) -> cl.Controller:
        import cinderlib as cl

        controller = cl.Controller(
            store,
            fail_on_missing_backend=False,
            disable_logs=not self._logs_of_others,
            progress=self.tell,
            **self.configuration.controller(),
        )
        return self.enter_context(controller)

    def on_backend(self, name: str | None) -> str | None:
        """The name of the backend that a listing is limited to, checked.

        :raises BackendNotFound: it is neither configured, nor does the store have volumes on it.
        """
        if name is not None and not any(self.controller.volumes(backend=name, limit=1)):
            self.configuration.require_backend(name)
        return name

    @functools.cached_property
    def node(self) -> cl.Node:
        """This host."""
        import cinderlib as cl

        self.log()
        return cl.Node(**self.configuration.node())

    def backend(self, name: str | None = None) -> cl.Backend:
        """A backend of the configuration, loaded.

        :param name: by default the only one.
        """
        configured = self.configuration
        name = configured.only_backend() if name is None else name
        options = {} if self.service else configured.backend(name)
        with self.working(f"Loading backend {name}"):
            return self.controller.backend(name, **options)

    def backend_of(self, resource: cl.Volume | cl.Snapshot | cl.Connection) -> cl.Backend:
        """The backend that a resource is on, loaded."""
        return self.backend(backend_name(resource))

    def log(self) -> None:
        """Let the library's warnings reach standard error, and more when more was asked for."""
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
            handlers=[_ToStandardError()],
        )
        logging.getLogger("cinderlib").setLevel(level)

    @property
    def _logs_of_others(self) -> bool:
        return self.debug or self.verbosity > 1

    def result(self, resource: Any, shown: str) -> None:
        """What a verb made: as JSON all of it, otherwise what a script would go on with."""
        from cinderlib.cli import output

        if self.as_json:
            output.as_json({**resource.to_dict(), "changed": resource.changed})
        else:
            click.echo(shown)

    def say_empty(self, rows: Any, what: str) -> None:
        """Say that a list is empty, where nothing would be seen otherwise."""
        if not rows:
            self.say(f"There are no {what}.")


class _ToStandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time: while a bar is shown, it is the bar that writes
    what comes above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def backend_name(resource: cl.Volume | cl.Snapshot | cl.Connection) -> str:
    """The name of the backend that a resource is on, loaded or not."""
    backend = resource.backend
    return backend if isinstance(backend, str) else backend.id
