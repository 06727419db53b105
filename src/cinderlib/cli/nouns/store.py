"""``cinderlib store``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import output, sizes
from cinderlib.cli.app import App
from cinderlib.cli.framework import Group, agreed, destructive, pass_app

if TYPE_CHECKING:
    from cinderlib.cli.storefile import Counts
    from cinderlib.persistence.base import Store


@click.group(cls=Group)
def store() -> None:
    """The store of the metadata: save it, load it, move it, upgrade it, encrypt its secrets."""


@store.command("dump")
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@pass_app
def dump(app: App, file: str | None) -> None:
    """Write all records to FILE, or to standard output, as JSON Lines.

    Keys of connections are in it in clear. A FILE is made for its owner only, and none is
    written over.
    """
    from cinderlib.cli import storefile
    from cinderlib.records import VolumeRecord

    app.require_store()

    if file is None or file == "-":
        counts = storefile.write(
            app.own_controller, app.own_controller.volumes(), sys.stdout.buffer
        )
    else:
        try:
            with open(file, "xb", opener=_private) as target, app.working("Writing records"):
                total = app.own_controller.store.count(VolumeRecord)
                volumes = app.counting(app.own_controller.volumes(), total)
                counts = storefile.write(app.own_controller, volumes, target)
        except FileExistsError:
            raise errors.AlreadyExists(f"{file} exists; name another, or remove it") from None
        except OSError as exc:
            raise errors.InvalidInput(f"{file} cannot be written: {exc.strerror}") from exc
    app.say(f"Wrote {counts}.")
    left = storefile.unreadable(app.own_controller)
    if left:
        ids = ", ".join(str(found.resource) for found in left)
        raise errors.DamagedRecord(
            f"The dump is not whole: {len(left)} record(s) cannot be read, {ids}. `cinderlib"
            " reconcile` says what they are"
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@store.command("load")
@click.argument("file", type=click.File("rb"))
@click.option("--overwrite", is_flag=True, help="Also over records that the store has already.")
@destructive
@pass_app
def load(app: App, file: IO[bytes], overwrite: bool, yes: bool, dry_run: bool) -> None:
    """Load what `store dump` wrote. Records that are there already are kept as they are.

    FILE is read and checked to the end before anything is stored; - is standard input.
    """
    from cinderlib.cli import storefile

    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        found = storefile.count(storefile.read(copy))
        if dry_run:
            app.say(f"Would load {found}.")
            return
        app.may_create_store()
        what = f"write {found} over what the store has"
        if overwrite and not agreed(what, yes=yes, dry_run=False):
            return
        copy.seek(0)
        with app.working("Loading records"):
            items = app.counting(storefile.read(copy), found.items)
            loaded = storefile.load(app.own_controller, items, overwrite=overwrite)
    _tell(app, loaded)


def _tell(app: App, loaded: Counts) -> None:
    kept = f"; kept {loaded.kept} that were there already" if loaded.kept else ""
    app.say(f"Loaded {loaded}{kept}.")
    if app.as_json:
        output.as_json(dataclasses.asdict(loaded))


@store.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@pass_app
def import_(app: App, source: str, dry_run: bool) -> None:
    """Take over what a database of cinderlib 5 has. Nothing in it is changed.

    SOURCE is its SQLAlchemy URL, or a configuration file (.toml) whose [store] connection is that
    URL. It may be the database of the configured store: the tables are others. All of it is checked
    before anything is stored, and records that are there already are kept as they are.
    """
    from cinderlib.cli import storefile
    from cinderlib.persistence import open_cinderlib5

    app.may_create_store()

    with contextlib.closing(open_cinderlib5(_persistence(source)["connection"])) as database:
        found = storefile.count(storefile.of_cinderlib5(database))
        if dry_run:
            app.say(f"Would load {found}.")
            return
        with app.working("Loading records"):
            items = app.counting(storefile.of_cinderlib5(database), found.items)
            loaded = storefile.load(app.own_controller, items)
    _tell(app, loaded)


def _persistence(target: str) -> dict[str, Any]:
    """The store at the URL that is given, or of the configuration file that is given."""
    if Path(target).suffix != ".toml":
        return {"storage": "db", "connection": target}
    from cinderlib.cli import configuration

    configured = configuration.load(target)
    configured.require_file()
    persistence = configured.persistence()
    if not isinstance(persistence.get("connection"), str):
        raise errors.InvalidInput(f"{target} has no [store] with a connection")
    return persistence


@store.command("migrate")
@click.argument("target", metavar="TARGET")
@destructive
@pass_app
def migrate(app: App, target: str, yes: bool, dry_run: bool) -> None:
    """Copy all records to another store, which must be empty.

    TARGET is a SQLAlchemy URL, or a configuration file (.toml) with the new [store], which keeps
    its password out of the list of processes and can have encryption_keys of its own. Nobody else
    may work on the volumes meanwhile. The store of before stays as it is.
    """
    from cinderlib.persistence import open_store
    from cinderlib.progress import Progress
    from cinderlib.records import KINDS

    app.require_store()

    source = app.own_controller.store
    counts = {kind: source.count(record) for kind, record in KINDS.items()}
    total = sizes.counted({f"{kind}s": count for kind, count in counts.items()})
    if not agreed(f"copy {total} to the new store", yes=yes, dry_run=dry_run):
        return
    with open_store(_persistence(target)) as destination:
        there = sum(destination.count(record) for record in KINDS.values())
        if there:
            raise errors.AlreadyExists(f"The target has {there} records already; name an empty one")
        with app.working("Copying records"):
            done = 0
            for record in KINDS.values():
                for copied in _copied(source, destination, record):
                    done += copied
                    app.tell(Progress(done, max(done, sum(counts.values())), "records"))
    app.say(f"Copied {total}. Now let [store] in the configuration name the new one.")
    if app.as_json:
        output.as_json(counts)


def _copied(source: Store, target: Store, kind: Any) -> Iterator[int]:
    """Copy the records of a kind, a page in a transaction, and read back that they are there; gives
    how many a page had."""
    from cinderlib.persistence.base import PAGE, Put

    last = None
    while page := source.find(kind, after=last, limit=PAGE):
        target.apply(*(Put(record, check=False) for record in page))
        last = page[-1]
        yield len(page)
    if target.count(kind) != source.count(kind):
        raise errors.StoreError(
            f"The store changed while it was copied: it has other {kind.kind}s now. Stop whoever"
            " works on it, empty the target, and do it again"
        )


@store.command("upgrade")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@pass_app
def upgrade(app: App, dry_run: bool) -> None:
    """Bring the tables of a database to the schema of this version.

    Whatever opens the store does it too. This does it when you choose, and says from which version
    to which. An older version of cinderlib goes on using them, or says that it cannot.
    """
    from cinderlib.persistence import upgrade_store

    app.log()
    app.configuration.require_file()
    persistence = app.configuration.persistence(create=not dry_run)
    before, after = upgrade_store(persistence, dry_run=dry_run)
    changed = before != after and not dry_run
    if app.as_json:
        output.as_json({"from": before, "to": after, "changed": changed})
    elif before == after:
        app.say(f"The schema is version {after}. There is nothing to do.")
    elif before is None:
        app.say(f"{'Would make' if dry_run else 'Made'} the tables, schema version {after}.")
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
        output.as_json({"key": key})
    else:
        click.echo(key)


@store.command("rotate")
@pass_app
def rotate(app: App) -> None:
    """Encrypt all secrets in the store with the first of encryption_keys.

    Those that are in clear, and those that are under another of the keys. Whoever uses the store
    meanwhile must have that first key already. It can be interrupted and given again. Ends with 5
    when there are secrets that no key opens; they stay as they are.
    """
    app.require_store()
    with app.working("Encrypting anew"):
        done = app.own_controller.rotate_encryption()
    if app.as_json:
        output.as_json(dataclasses.asdict(done))
    else:
        counted = sizes.counted({"records": done.encrypted})
        app.say(f"Encrypted {counted} with the first key; {done.current} had it already.")
    if done.failed:
        raise errors.DecryptionError(
            f"{sizes.counted({'records': done.failed})} with secrets that none of encryption_keys"
            " opens: add the key that they were encrypted with, and give the command again"
        )
