"""etcd: locks that fence, answers that are lost, members that are killed, TLS and users."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import certificates
import pytest
import servers.etcd

import cinderlib as cl
from cinderlib import errors
from cinderlib.errors import InvalidPersistence, StaleRecord, StoreError, StoreNotFound
from cinderlib.persistence import open_store, upgrade_store
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.persistence.etcd import EtcdStore
from cinderlib.persistence.etcd.address import parse
from cinderlib.records import IntentRecord, KeyValueRecord, SnapshotRecord, VolumeRecord, replace
from cinderlib.testing.store import volume

TESTS = pathlib.Path(__file__).parents[1]
#: Seconds for which anything may take here on a busy machine.
PATIENCE = 100


def opened(url: str, **arguments: Any) -> EtcdStore:
    store = open_store({"storage": "db", "connection": url, **arguments})
    assert isinstance(store, EtcdStore)
    return store


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestURL:
    @pytest.mark.parametrize(
        ("url", "endpoints", "prefix"),
        [
            ("etcd://one", (("one", 2379),), "cinderlib"),
            ("etcd://one:1,two:2/", (("one", 1), ("two", 2)), "cinderlib"),
            ("etcd://[fd00::1]:7,[fd00::2]/a/b", (("fd00::1", 7), ("fd00::2", 2379)), "a/b"),
            ("etcd://u:p%40/x?y@one/a?lease=30", (("one", 2379),), "a"),
        ],
    )
    def test_hosts_and_prefix(self, url, endpoints, prefix) -> None:
        address = parse(url)
        assert (address.endpoints, address.prefix) == (endpoints, prefix)

    def test_login_is_decoded_and_never_shown(self) -> None:
        address = parse("etcd://us%40er:p%2Fw%3Fhunter2@one,two/a")
        assert (address.user, address.password) == ("us@er", "p/w?hunter2")
        assert "hunter2" not in f"{address!r} {address.display_name}"

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("etcd://", "not a valid URL"),
            ("etcd://u:hunter2@/x", "not a valid URL"),
            ("etcd://u:hunter2@one:99999/x", "not a valid URL"),
            ("etcd://one,,two", "not a valid URL"),
            ("etcd://one two", "not a valid URL"),
            ("etcd://u:hunter2@one?tls=1", "unknown parameter 'tls'"),
            ("etcd://one?lease=1", "lease .* 2 to 3600"),
            ("etcd://one?lease=x", "lease .* 2 to 3600"),
            ("etcd://one?lease", "parameters"),
            ("etcd://one?ca=/does/not/exist", "ca .*/does/not/exist cannot be read"),
            ("etcd://one?cert=/dev/null&key=/dev/null", "need ca"),
            ("etcd://one?ca=/dev/null&cert=/dev/null", "both cert and key"),
        ],
    )
    def test_an_error_names_the_problem(self, url, problem) -> None:
        with pytest.raises(InvalidPersistence, match=problem) as caught:
            opened(url)
        assert "hunter2" not in str(caught.value)

    def test_a_cluster_that_does_not_answer_is_named_without_its_password(self) -> None:
        (port,) = servers.etcd.free_ports(1)
        with pytest.raises(StoreError, match="Connection refused") as caught:
            opened(f"etcd://u:hunter2@127.0.0.1:{port}/x", timeout=0.5)
        assert "hunter2" not in str(caught.value)
        assert caught.value.retryable


class TestOpening:
    def test_a_store_is_created_only_if_that_is_allowed(self, etcd) -> None:
        url = etcd.database()
        config = {"storage": "db", "connection": url}
        with pytest.raises(StoreNotFound, match="test"):
            opened(url, create=False)
        assert upgrade_store(config, dry_run=True) == (None, 1)
        with pytest.raises(StoreNotFound):
            opened(url, create=False)
        assert upgrade_store(config) == (None, 1)
        assert upgrade_store(config) == (1, 1)
        opened(url, create=False).close()

    def test_a_newer_layout_is_refused(self, etcd) -> None:
        url = etcd.database()
        etcd.control("put", f"{parse(url).prefix}/layout", "2")
        with pytest.raises(StoreError, match=r"layout 2.*Upgrade cinderlib"):
            opened(url)

    def test_a_prefix_of_another_program_is_refused(self, etcd) -> None:
        url = etcd.database()
        etcd.control("put", f"{parse(url).prefix}/layout", "blue")
        with pytest.raises(StoreError, match="another program"):
            opened(url)

    def test_two_stores_of_a_cluster_are_separate(self, etcd) -> None:
        one, other = etcd.database(), etcd.database()
        with opened(one) as first, opened(f"{one}/b") as inside, opened(other) as second:
            first.apply(Put(volume("v")))
            assert second.find(VolumeRecord) == inside.find(VolumeRecord) == []

    def test_it_leaves_nothing_but_its_layout(self, etcd) -> None:
        """No index entry, session or lock stays when records are removed and the store closes."""
        url = etcd.database()
        with opened(url) as store:
            release = store.locks.take([1, 2], 1)
            made = store.apply(
                Put(volume("v", name="n")),
                Put(SnapshotRecord(id="s", backend="b", volume_id="v", volume_size=1)),
                Put(KeyValueRecord(id="k", value="x")),
            )
            store.apply(Put(replace(made[0], name="other", backend="b2")))
            release()
            store.apply(*[Remove(type(record), record.id) for record in made])
        keys = etcd.control("get", "--prefix", "--keys-only", f"{parse(url).prefix}/").split()
        assert keys == [f"{parse(url).prefix}/layout"]


class TestLimits:
    def test_a_record_that_is_too_large_is_refused(self, etcd) -> None:
        with opened(etcd.database()) as store:
            for size in (1_600_000, 3_000_000):
                with pytest.raises(
                    StoreError, match=r"1\.5 MiB.*The store did not change"
                ) as caught:
                    store.apply(Put(volume("large", description="d" * size)))
                assert not caught.value.retryable
            store.apply(Put(volume("small")))
            assert [found.id for found in store.find(VolumeRecord)] == ["small"]

    def test_history_that_is_removed_while_a_list_is_read(self, etcd, monkeypatch) -> None:
        with opened(etcd.database()) as store:
            store.apply(*[Put(volume(f"v{n:03}")) for n in range(120)])
            read = store._client.read

            def compacting(*reads: Any) -> Any:
                answers, revision = read(*reads)
                if once:
                    once.pop()
                    store.apply(Put(KeyValueRecord(id="k"), check=False))
                    newest = etcd.control("get", "x", "-w", "json")
                    etcd.control("compaction", str(json.loads(newest)["header"]["revision"]))
                return answers, revision

            monkeypatch.setattr(store._client, "read", compacting)
            for search in (
                lambda: store.find(VolumeRecord),
                lambda: list(store.scan(VolumeRecord, page=50)),
            ):
                once = [1]
                assert len(search()) == 120
                assert not once


class TestMany:
    def test_a_large_change_is_made_at_once_among_others(self, etcd) -> None:
        """While others write, 200 records change together, again and again."""
        url = etcd.database()
        with opened(url) as one, opened(url) as other:
            ids = [f"v{n}" for n in range(200)]
            one.apply(*[Put(volume(id)) for id in ids])
            stop = threading.Event()
            seen: list[set[int]] = []

            def count() -> None:
                while not stop.is_set():
                    other.apply(Put(KeyValueRecord(id="k"), check=False))
                    sizes = {record.size for record in other.find(VolumeRecord)}
                    seen.append(sizes)

            thread = threading.Thread(target=count)
            thread.start()
            for _ in range(4):
                records = one.find(VolumeRecord)
                one.apply(*[Put(replace(each, size=each.size + 1)) for each in records])
            stop.set()
            thread.join(PATIENCE)
            assert {record.size for record in one.find(VolumeRecord)} == {5}
            assert all(len(sizes) == 1 for sizes in seen), seen
            with pytest.raises(StaleRecord):
                one.apply(*[Put(each) for each in records])

    def test_a_large_change_of_a_killed_process_blocks_nobody(self, etcd) -> None:
        url = etcd.database()
        program = f"""
import os, signal, time
from cinderlib.persistence import open_store
store = open_store({{"storage": "db", "connection": {url!r}}})
with store.locks.everything(time.monotonic() + 9):
    os.kill(os.getpid(), signal.SIGKILL)
"""
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
        with opened(url, timeout=5) as store:
            store.apply(Put(volume("v")))


# --- fencing -------------------------------------------------------------------------------------

#: Creates a volume, and waits inside the driver for a line on standard input.
HOLDER = """
import sys, time
import cinderlib as cl
from cinderlib import errors
from crash import hooks
url, folder, volume = sys.argv[1:]
def wait():
    print("inside", flush=True)
    sys.stdin.readline()
with cl.Controller({"storage": "db", "connection": url}, state_path=folder) as controller:
    backend = controller.backend(
        "array", volume_driver="crash.hooked_driver.HookedDriver", file_root=folder + "/array"
    )
    hooks.hooks["after"] = wait
    try:
        backend.create_volume(1, id=volume)
    except errors.StoreError as exc:
        print("refused:", exc, flush=True)
    else:
        print("recorded", flush=True)
    # Its session is new; what comes next works again.
    print("next:", backend.create_volume(1).status, flush=True)
"""
VOLUME = "aaaaaaaa-0000-4000-8000-000000000000"


@pytest.fixture
def holder(etcd, tmp_path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    url = etcd.database(parameters="lease=2")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, str(tmp_path), VOLUME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert process.stdout.readline() == "inside\n"
    yield url, process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def controller_of(url: str, folder: pathlib.Path) -> cl.Controller:
    controller = cl.Controller({"storage": "db", "connection": url}, state_path=folder)
    controller.backend(
        "array",
        volume_driver="crash.hooked_driver.HookedDriver",
        file_root=f"{folder}/array",
    )
    return controller


class TestFencing:
    def test_a_process_that_was_stopped_cannot_record_a_result(
        self, holder, etcd, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.syspath_prepend(str(TESTS))
        url, process = holder
        locks = f"{parse(url).prefix}/locks/"
        with controller_of(url, tmp_path) as controller:
            assert [found.outcome for found in controller.recover()] == ["skipped"]
            process.send_signal(signal.SIGSTOP)
            until(lambda: not etcd.control("get", "--prefix", "--keys-only", locks).strip())
            assert [found.outcome for found in controller.recover()] != ["skipped"]
            assert controller.store.find(IntentRecord) == []
            before = controller.store.find(VolumeRecord)
            process.send_signal(signal.SIGCONT)
            process.stdin.write("\n")
            process.stdin.flush()
            assert "lost its locks" in (refused := process.stdout.readline())
            assert "No data is lost" in refused
            assert controller.store.get(VolumeRecord, VOLUME) == next(iter(before), None)
            assert process.stdout.readline() == "next: available\n"

    @pytest.mark.slow
    def test_it_cannot_even_if_nobody_took_the_locks(self, holder, etcd, tmp_path) -> None:
        url, process = holder
        process.send_signal(signal.SIGSTOP)
        sessions = f"{parse(url).prefix}/sessions/"
        until(lambda: not etcd.control("get", "--prefix", "--keys-only", sessions).strip())
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert "lost its locks" in process.stdout.readline()
        assert process.stdout.readline() == "next: available\n"
        assert process.wait(PATIENCE) == 0
        with opened(url) as store:
            assert [found.status for found in store.find(VolumeRecord)] == ["creating", "available"]
            assert [found.resource_id for found in store.find(IntentRecord)] == [VOLUME]

    def test_a_lock_that_an_administrator_removed_is_lost(self, etcd) -> None:
        url = etcd.database()
        with opened(url) as store:
            release = store.locks.take([7], 1)
            store.apply(Put(volume("v")))
            etcd.control("del", "--prefix", f"{parse(url).prefix}/locks/7/")
            with pytest.raises(StoreError, match="lost its locks"):
                store.apply(Put(volume("w")))
            release()
            store.apply(Put(volume("x")))
            assert [found.id for found in store.find(VolumeRecord)] == ["v", "x"]

    def test_a_lease_is_renewed_while_its_process_works(self, etcd) -> None:
        url = etcd.database(parameters="lease=2")
        with opened(url) as store, opened(url) as other:
            store.locks.take([7], 1)
            assert other.locks.take([7], 5) is None
            store.apply(Put(volume("v")))

    def test_the_locks_of_a_killed_process_of_this_host_are_free_at_once(self, etcd) -> None:
        url = etcd.database(parameters="lease=3600")
        program = f"""
import os, signal
from cinderlib.persistence import open_store
store = open_store({{"storage": "db", "connection": {url!r}}})
store.locks.take([1, 2, 3], 9)
os.kill(os.getpid(), signal.SIGKILL)
"""
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
        with opened(url) as store:
            release = store.locks.take([2], 0)
            assert release is not None
            release()

    def test_locks_are_given_out_in_the_order_of_the_requests(self, etcd) -> None:
        url = etcd.database()
        order: list[int] = []
        queue = f"{parse(url).prefix}/locks/1/"
        with contextlib.ExitStack() as stack:
            stores = [stack.enter_context(opened(url)) for _ in range(5)]
            release = stores[0].locks.take([1, 2], 1)
            threads = []
            for number, store in enumerate(stores[1:]):

                def wait(number=number, store=store) -> None:
                    mine = store.locks.take([1] if number % 2 else [1, 2], PATIENCE)
                    order.append(number)
                    mine()

                threads.append(threading.Thread(target=wait))
                threads[-1].start()
                until(
                    lambda n=number: (
                        len(etcd.control("get", "--prefix", "--keys-only", queue).split()) == n + 2
                    )
                )
            release()
            for thread in threads:
                thread.join(PATIENCE)
        assert order == [0, 1, 2, 3]

    def test_a_child_process_has_its_own_session(self, etcd) -> None:
        url = etcd.database()
        with opened(url) as store:
            release = store.locks.take([1], 1)
            child = os.fork()
            if not child:
                status = 1
                with contextlib.suppress(BaseException):
                    release()  # the parent's
                    if store.locks.take([1], 0) is None:
                        store.apply(Put(volume("of child")))
                        status = 0
                os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            store.apply(Put(volume("of parent")))
            assert store.count(VolumeRecord) == 2


# --- lost answers --------------------------------------------------------------------------------


class Proxy(http.server.ThreadingHTTPServer):
    """Forwards requests to etcd, and loses some.

    :ivar lose: called for each transaction that writes records; ``before`` loses the request,
        ``after`` its answer.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.lose: Callable[[], str | None] = lambda: None

    def handle_error(self, request: Any, address: Any) -> None:
        pass  # the client closed the connection


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        writes = self.path.endswith("/txn") and b"request_put" in body and b"compare" in body
        lose = self.server.lose() if writes else None
        if lose == "before":
            self.close_connection = True
            return
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.port)) as etcd:
            etcd.request("POST", self.path, body)
            answer = etcd.getresponse()
            content = answer.read()
        if lose == "after":
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def proxied(etcd) -> Iterator[tuple[Proxy, Store, Store]]:
    """A proxy, a store behind it, and one that sees the same records without it."""
    proxy = Proxy(etcd.ports[0])
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    url = etcd.database()
    through = url.replace(f":{etcd.ports[0]}/", f":{proxy.server_port}/")
    with opened(through, timeout=3) as store, opened(url) as other:
        store.apply(Put(KeyValueRecord(id="starts the session")))
        yield proxy, store, other
        proxy.lose = lambda: None
    proxy.shutdown()
    proxy.server_close()


class TestLostAnswers:
    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("lose", ["before", "after"])
    def test_a_change_is_made_exactly_once(self, proxied, lose, times) -> None:
        proxy, store, other = proxied
        left: list[str] = []
        proxy.lose = lambda: left.pop() if left else None

        def apply(change: Any) -> Any:
            left[:] = [lose] * times
            written = store.apply(change)
            assert not left
            return written

        (first,) = apply(Put(volume("v")))
        (second,) = apply(Put(replace(first, size=2)))
        (third,) = apply(Put(replace(second, size=3), check=False))
        assert other.get(VolumeRecord, "v") == third
        assert third.version == 3
        apply(Remove(VolumeRecord, "v", 3))
        assert other.find(VolumeRecord) == []

    def test_a_change_that_others_continued_is_not_made_again(self, proxied) -> None:
        """The answer is lost, and before the request is repeated, another process changes or
        removes the record."""
        proxy, store, other = proxied
        for follow in ("change", "remove"):

            def lose(follow=follow) -> str | None:
                proxy.lose = repeated
                return "after"

            def repeated(follow=follow) -> None:
                proxy.lose = lambda: None
                there = other.get(VolumeRecord, follow)
                if follow == "change":
                    other.apply(Put(replace(there, size=9)))
                else:
                    other.apply(Remove(VolumeRecord, follow))

            proxy.lose = lose
            (written,) = store.apply(Put(volume(follow)))
            assert written.version == 1
        (found,) = other.find(VolumeRecord)
        assert (found.id, found.size, found.version) == ("change", 9, 2)

    def test_a_stale_change_stays_stale(self, proxied) -> None:
        proxy, store, other = proxied
        (old,) = store.apply(Put(volume("v")))
        other.apply(Put(old))
        left = ["after"]
        proxy.lose = lambda: left.pop() if left else None
        with pytest.raises(StaleRecord):
            store.apply(Put(replace(old, size=5)))

    def test_an_unknown_result_is_reported(self, proxied) -> None:
        proxy, store, other = proxied
        proxy.lose = lambda: "after"
        with pytest.raises(StoreError, match="not known; read the records"):
            store.apply(Put(volume("v")))
        proxy.lose = lambda: None
        assert other.get(VolumeRecord, "v") == store.get(VolumeRecord, "v")
        store.apply(Put(volume("w")))

    def test_a_lock_whose_request_is_lost_is_not_held(self, proxied) -> None:
        proxy, store, other = proxied
        proxy.lose = lambda: "after"
        with pytest.raises(StoreError):
            store.locks.take([5], 0.5)
        proxy.lose = lambda: None
        store.locks.take([5], 5)()
        release = other.locks.take([5], 5)
        assert release is not None
        release()


# --- clusters ------------------------------------------------------------------------------------

#: Works until standard input has data, and prints its errors.
WORKER = """
import itertools, json, select, sys
import cinderlib as cl
url, folder, name = sys.argv[1:]
failed, done = [], 0
store = {"storage": "db", "connection": url}
with cl.Controller(store, state_path=folder, lock_timeout=60) as controller:
    backend = controller.backend("array", volume_driver="file", file_root=folder + "/array")
    connector = controller.local_connector(backend)
    print("ready", flush=True)
    for number in itertools.count():
        if select.select([sys.stdin], [], [], 0)[0]:
            break
        try:
            volume = backend.create_volume(1, name=f"{name}-{number}")
            snapshot = volume.create_snapshot()
            connection = volume.connect(connector)
            connection.disconnect()
            snapshot.delete()
            volume.extend(2)
            if number % 2:
                volume.delete()
        except Exception as exc:
            failed.append(repr(exc))
            print(exc, flush=True)
        else:
            done += 1
            print("cycle", flush=True)
print(json.dumps([done, number, failed]))
"""


def cycles(process: subprocess.Popen[str], count: int) -> None:
    for _ in range(count):
        assert process.stdout.readline() == "cycle\n"


class TestCluster:
    @pytest.fixture(scope="class")
    @classmethod
    def cluster(cls) -> Iterator[servers.etcd.Etcd]:
        with servers.etcd.run(3) as cluster:
            yield cluster

    @pytest.mark.slow
    def test_a_member_that_is_killed_under_load_fails_no_operation(self, cluster, tmp_path) -> None:
        url = cluster.database()
        opened(url).close()
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, url, str(tmp_path), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in ("one", "two")
        ]
        try:
            for worker in workers:
                assert worker.stdout.readline() == "ready\n"
            for member in self._leader_first(cluster):
                for worker in workers:
                    cycles(worker, 2)
                member.stop()  # by SIGKILL
                for worker in workers:
                    cycles(worker, 2)
                member.start()
            results = []
            for worker in workers:
                worker.stdin.close()
                lines = worker.stdout.read().splitlines()
                results.append(json.loads(lines[-1]))
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                worker.stdout.close()
        assert [failed for _, _, failed in results] == [[], []]
        kept = sum((number + 1) // 2 for _, number, _ in results)
        with cl.Controller({"storage": "db", "connection": url}, state_path=tmp_path) as controller:
            controller.backend("array", volume_driver="file", file_root=f"{tmp_path}/array")
            found = controller.store.find(VolumeRecord)
            assert {each.status for each in found} == {"available"}
            assert len(found) == kept
            assert controller.store.find(IntentRecord) == []
            names = {controller.name_in_storage(each) for each in found}
        assert {path.name for path in (tmp_path / "array").iterdir()} == names

    @staticmethod
    def _leader_first(cluster: servers.etcd.Etcd) -> list[Any]:
        """The member that leads, and one of the others."""
        status = json.loads(cluster.control("endpoint", "status", "-w", "json"))
        (leader,) = [
            at
            for at, each in enumerate(status)
            if each["Status"]["leader"] == each["Status"]["header"]["member_id"]
        ]
        return [cluster.members[leader], cluster.members[(leader + 1) % 3]]

    def test_without_a_majority_an_operation_fails_and_nothing_changes(
        self, cluster, tmp_path
    ) -> None:
        url = cluster.database()
        store = {"storage": "db", "connection": url, "timeout": 2}
        with cl.Controller(store, state_path=tmp_path, lock_timeout=60) as controller:
            backend = controller.backend(
                "array", volume_driver="file", file_root=f"{tmp_path}/array"
            )
            kept = backend.create_volume(1)
            for member in cluster.members[:2]:
                member.stop()
            with pytest.raises(errors.StoreError, match="no member of the cluster answered"):
                backend.create_volume(1)
            with pytest.raises(errors.StoreError, match="no member of the cluster answered"):
                controller.volume(kept.id)
            for member in cluster.members[:2]:
                member.start()
            until(lambda: _answers(controller))
            backend.create_volume(1)
            assert len(list((tmp_path / "array").iterdir())) == controller.store.count(VolumeRecord)

    @pytest.mark.slow
    def test_a_member_that_hangs_is_passed_over(self, cluster) -> None:
        with opened(cluster.database()) as store:
            store.apply(Put(volume("v")))
            member = cluster.members[store._client._preferred]
            member.signal(signal.SIGSTOP)
            try:
                store.apply(Put(volume("w")))
                assert store.count(VolumeRecord) == 2
            finally:
                member.signal(signal.SIGCONT)


def _answers(controller: cl.Controller) -> bool:
    try:
        controller.store.count(VolumeRecord)
    except errors.StoreError:
        return False
    return True


# --- TLS and users -------------------------------------------------------------------------------


class TestSecured:
    PASSWORD = "pass/word@1?x"
    ESCAPED = "pass%2Fword%401%3Fx"

    @pytest.fixture(scope="class")
    @classmethod
    def secured(cls, tmp_path_factory) -> Iterator[tuple[servers.etcd.Etcd, pathlib.Path]]:
        folder = tmp_path_factory.mktemp("tls")
        authority = certificates.Authority(folder, "ca")
        # etcd refuses certificates with a common name on its JSON interface.
        authority.issue("host", common_name=None)
        certificates.Authority(folder, "other-ca")
        files = f"ca={folder}/ca.pem&cert={folder}/host.pem&key={folder}/host.key"
        options = [
            f"--cert-file={folder}/host.pem",
            f"--key-file={folder}/host.key",
            f"--trusted-ca-file={folder}/ca.pem",
            "--client-cert-auth",
        ]
        control = [
            f"--cacert={folder}/ca.pem",
            f"--cert={folder}/host.pem",
            f"--key={folder}/host.key",
        ]
        with servers.etcd.run(options=options, control=control, parameters=files) as cluster:
            for command in (
                "user add root:root",
                f"user add tester:{cls.PASSWORD}",
                "user grant-role root root",
                "role add of-tester",
                "role grant-permission --prefix=true of-tester readwrite test0/",
                "user grant-role tester of-tester",
                "auth enable",
            ):
                cluster.control(*command.split(" "))
            yield cluster, folder

    def test_with_certificates_and_a_user_it_works(self, secured) -> None:
        """Also after the restart of the server, which forgets who logged in."""
        cluster, _ = secured
        url = cluster.database(login=f"tester:{self.ESCAPED}")
        with opened(url) as store:
            release = store.locks.take([1], 1)
            store.apply(Put(volume("v")))
            cluster.members[0].restart()
            store.apply(Put(volume("w")))
            assert store.count(VolumeRecord) == 2
            release()

    def test_whoever_lacks_one_of_them_is_refused(self, secured) -> None:
        cluster, folder = secured
        hosts = f"127.0.0.1:{cluster.ports[0]}/test0"
        login = f"tester:{self.ESCAPED}@"
        files = f"cert={folder}/host.pem&key={folder}/host.key"
        for url, problem in (
            (f"etcd://tester:hunter2@{hosts}?ca={folder}/ca.pem&{files}", "invalid user"),
            (f"etcd://{hosts}?ca={folder}/ca.pem&{files}", "user name is empty"),
            (f"etcd://{login}{hosts}?ca={folder}/other-ca.pem&{files}", "certificate verify"),
            (f"etcd://{login}{hosts}?ca={folder}/ca.pem", "no member"),
            (f"etcd://{login}{hosts}", "no member"),
            (f"etcd://{login}{hosts}x?ca={folder}/ca.pem&{files}", "permission denied"),
        ):
            # The server takes long to check a password on a busy machine.
            timeout = 20 if problem in ("invalid user", "permission denied") else 0.5
            with pytest.raises(StoreError, match=problem) as caught:
                opened(url, timeout=timeout)
            assert "hunter2" not in str(caught.value)
            assert self.PASSWORD not in str(caught.value)
            assert self.ESCAPED not in str(caught.value)
