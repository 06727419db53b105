"""``cinderlib store``."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import sizes
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import DRY_RUN, agreed, destructive
from cinderlib.cli.framework import Group, pass_app

if TYPE_CHECKING:
    from cinderlib.cli.storefile import Counts
    from cinderlib.persistence.base import Store


@click.group(cls=Group)
def store() -> None:
    """Dump, load, migrate, upgrade and encrypt the metadata store."""


@store.command("dump")
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@pass_app
def dump(app: App, file: str | None) -> None:
    """Write all records as JSON Lines.

    It writes to FILE, or to standard output. The output contains the keys of connections in clear
    text. FILE is created for its owner only; an existing file is never overwritten.
    """
    from cinderlib.cli import storefile
    from cinderlib.records import VolumeRecord

    app.require_store()

    if file is None or file == "-":
        counts = storefile.write(
            app.own_controller, app.own_controller.volumes(), sys.stdout.buffer
        )
        sys.stdout.flush()
    else:
        try:
            with open(file, "xb", opener=_private) as target, app.working("Writing records"):
                total = app.own_controller.store.count(VolumeRecord)
                volumes = app.counting(app.own_controller.volumes(), total)
                counts = storefile.write(app.own_controller, volumes, target)
        except FileExistsError:
            raise errors.AlreadyExists(
                f"{file} already exists: choose another file, or remove it first"
            ) from None
        except OSError as exc:
            raise errors.InvalidInput(f"Cannot write {file}: {exc.strerror}") from exc
    app.say(f"Wrote {counts}.")
    if app.as_json and file not in (None, "-"):
        app.write({"file": file, **dataclasses.asdict(counts)})
    damaged = storefile.unreadable(app.own_controller)
    if damaged:
        ids = ", ".join(str(found.resource) for found in damaged)
        raise errors.DamagedRecord(
            f"The dump is incomplete: {len(damaged)} damaged record(s) cannot be read: {ids}."
            " `cinderlib reconcile` shows them"
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@store.command("load")
@click.argument("file", type=click.File("rb"))
@click.option("--overwrite", is_flag=True, help="Overwrite existing records.")
@destructive
@pass_app
def load(app: App, file: IO[bytes], overwrite: bool, yes: bool, dry_run: bool) -> None:
    """Load the output of `store dump`. By default, existing records do not change.

    The whole FILE is checked before the first record is stored. - reads standard input.
    """
    from cinderlib.cli import storefile

    with tempfile.TemporaryFile() as copy:
        copy.writelines(storefile.lines(file))
        copy.seek(0)
        with _without_cycles():
            found = storefile.count(storefile.read(copy, non_uuid_ids=_non_uuid_ids(app)))
        if dry_run:
            _would(app, found)
            return
        app.may_create_store()
        what = f"load {found} and overwrite existing records"
        if overwrite and not agreed(what, yes=yes, dry_run=False):
            return
        copy.seek(0)
        with app.working("Loading records"), _without_cycles():
            items = app.counting(storefile.read_again(copy), found.items)
            loaded = storefile.load(app.own_controller, items, overwrite=overwrite)
    _report(app, loaded)


@contextlib.contextmanager
def _without_cycles() -> Iterator[None]:
    """Suspend the search for reference cycles, which takes a tenth of the time: records have
    none."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def _non_uuid_ids(app: App) -> bool:
    return bool(app.configuration.controller().get("non_uuid_ids"))


def _would(app: App, found: Counts) -> None:
    """Report what a verb would load."""
    app.say(f"Would load {found}.")
    if app.as_json:
        app.write({"planned": f"load {found}", "changed": False, **dataclasses.asdict(found)})


def _report(app: App, loaded: Counts) -> None:
    kept = f"; kept {loaded.kept} that already existed" if loaded.kept else ""
    app.say(f"Loaded {loaded}{kept}.")
    if app.as_json:
        app.write(dataclasses.asdict(loaded))


@store.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--dry-run", is_flag=True, help=DRY_RUN)
@pass_app
def import_(app: App, source: str, dry_run: bool) -> None:
    """Take over the volumes of cinderlib 5 or Ember-CSI.

    SOURCE is the URL of a database of cinderlib 5, or a configuration file (.toml) with that URL
    as [store] connection, or a file (.json) with the resources of Ember-CSI from kubectl.

    The database or file does not change. It can be the database of the configured store, which
    uses other tables. All records are checked before the first one is stored. Existing records
    do not change.
    """
    from cinderlib.cli import storefile
    from cinderlib.persistence import open_cinderlib5

    app.may_create_store()
    if Path(source).suffix == ".json":
        _import_ember(app, source, dry_run=dry_run)
        return
    with contextlib.closing(open_cinderlib5(_persistence(source)["connection"])) as database:
        volumes = storefile.of_cinderlib5(database, non_uuid_ids=_non_uuid_ids(app))
        found = storefile.count(volumes)
        if dry_run:
            _would(app, found)
            return
        with app.working("Loading records"):
            items = app.counting(storefile.of_cinderlib5(database), found.items)
            loaded = storefile.load(app.own_controller, items)
    _report(app, loaded)


def _import_ember(app: App, source: str, *, dry_run: bool) -> None:
    from cinderlib.cli import ember, storefile
    from cinderlib.csi.settings import DEFAULT_NAME

    driver = app.configuration.csi().get("name", DEFAULT_NAME)
    try:
        with open(source, "rb") as file:
            documents = list(ember.read(file, driver))
    except OSError as exc:
        raise errors.InvalidInput(f"{source} cannot be read: {exc.strerror}") from exc
    for document in documents:
        storefile.check_ids(document, _non_uuid_ids(app))
    found = storefile.count(documents)
    if dry_run:
        _would(app, found)
        return
    with app.working("Loading records"):
        items = app.counting(documents, found.items)
        loaded = storefile.load(app.own_controller, items)
    _report(app, loaded)


def _persistence(target: str) -> dict[str, Any]:
    """The ``persistence_config`` for a URL, or from a configuration file."""
    if Path(target).suffix != ".toml":
        return {"storage": "db", "connection": target}
    from cinderlib.cli import configuration

    configured = configuration.load(target)
    configured.require_file()
    persistence = configured.persistence()
    if not isinstance(persistence.get("connection"), str):
        raise errors.InvalidInput(f"{target} has no connection in [store]")
    return persistence


@store.command("migrate")
@click.argument("target", metavar="TARGET")
@destructive
@pass_app
def migrate(app: App, target: str, yes: bool, dry_run: bool) -> None:
    """Copy all records to another store, which must be empty.

    TARGET is the URL of a database, or a configuration file (.toml) with the new [store]. With a
    file, the list of processes does not show the password, and the new store can have other
    encryption_keys. No other process may use the volumes during the migration. The old store does
    not change. The history is copied too, and added to that of the new store.
    """
    from cinderlib.persistence import open_store
    from cinderlib.progress import Progress
    from cinderlib.records import KINDS, OperationRecord

    app.require_store()

    source = app.own_controller.store
    counts = {
        kind: source.count(record)
        for kind, record in KINDS.items()
        if record is not OperationRecord or source.keeps_history
    }
    total = sizes.counted({f"{kind}s": count for kind, count in counts.items()})
    if not agreed(f"copy {total} to the new store", yes=yes, dry_run=dry_run):
        return
    with open_store(_persistence(target)) as destination:
        # A store from which everything was deleted still has its history.
        existing = sum(
            destination.count(record) for record in KINDS.values() if record is not OperationRecord
        )
        if existing:
            raise errors.AlreadyExists(
                f"The target store is not empty: it has {existing} records. Specify an empty store"
            )
        if not destination.keeps_history and counts.pop("operation", 0):
            app.say("The new store keeps no history; the history is not copied.")
        with app.working("Copying records"):
            done = 0
            for record in map(KINDS.__getitem__, counts):
                for copied in _copied(source, destination, record):
                    done += copied
                    app.show_progress(Progress(done, max(done, sum(counts.values())), "records"))
    app.say(f"Copied {total}. Now configure the new store in [store].")
    if app.as_json:
        app.write(counts)


#: How many records are copied in a transaction, which etcd limits to 1.5 MiB.
_COPIED = 100


def _copied(source: Store, target: Store, kind: Any) -> Iterator[int]:
    """Copy the records of a kind, one page in each transaction, and check their number.

    :returns: the number of records in each page.
    """
    from cinderlib.persistence.base import Put
    from cinderlib.records import OperationRecord

    last = None
    while page := source.find(kind, after=last, limit=_COPIED):
        target.apply(*(Put(record, check=False) for record in page))
        last = page[-1]
        yield len(page)
    copied, expected = target.count(kind), source.count(kind)
    # The target can already have a history.
    if copied < expected or (copied > expected and kind is not OperationRecord):
        raise errors.StoreError(
            f"The {kind.kind}s in the store changed during the migration. Stop all programs that"
            " use the store, empty the target, and run the command again"
        )


@store.command("upgrade")
@click.option("--dry-run", is_flag=True, help=DRY_RUN)
@pass_app
def upgrade(app: App, dry_run: bool) -> None:
    """Upgrade the schema of the store.

    Opening the store also upgrades it. With this command you choose the time, and it shows the
    versions. Older versions of cinderlib either continue to use the tables or report an error.
    """
    from cinderlib.persistence import upgrade_store

    app.log()
    app.configuration.require_file()
    persistence = app.configuration.persistence(create=not dry_run)
    before, after = upgrade_store(persistence, dry_run=dry_run)
    changed = before != after and not dry_run
    if app.as_json:
        app.write({"from": before, "to": after, "changed": changed})
    elif before == after:
        app.say(f"The schema is already version {after}; nothing to do.")
    elif before is None:
        verb = "Would create" if dry_run else "Created"
        app.say(f"{verb} the tables with schema version {after}.")
    else:
        verb = "Would upgrade" if dry_run else "Upgraded"
        app.say(f"{verb} the schema from version {before} to {after}.")


@store.command("generate-key")
@pass_app
def generate_key(app: App) -> None:
    """Print a new key for encryption_keys in [store]."""
    from cinderlib.persistence import generate_key as generated

    key = generated()
    if app.as_json:
        app.write({"key": key})
    else:
        click.echo(key)


@store.command("rotate")
@pass_app
def rotate(app: App) -> None:
    """Encrypt all secrets in the store with the first key.

    It uses the first of encryption_keys, for secrets in clear text and for secrets that are
    encrypted with another of the keys. All processes that use the store must already have the first
    key. You can interrupt the command and run it again. The exit code is 5 if no key can decrypt a
    secret; such secrets do not change.
    """
    app.require_store()
    with app.working("Encrypting secrets"):
        done = app.own_controller.rotate_encryption()
    if app.as_json:
        app.write(dataclasses.asdict(done))
    else:
        counted = sizes.counted({"records": done.encrypted})
        app.say(f"Encrypted {counted} with the first key; {done.current} already used it.")
    if done.failed:
        raise errors.DecryptionError(
            f"None of encryption_keys can decrypt the secrets of"
            f" {sizes.counted({'records': done.failed})}: add the key with which they were"
            " encrypted, and run the command again"
        )
