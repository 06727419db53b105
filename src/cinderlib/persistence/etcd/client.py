"""Requests to the members of an etcd cluster: another member answers if one fails.

A request without an answer may have been executed. It is sent again until a member answers, so
every request of this package can be executed twice without harm: a transaction has a condition that
its own execution makes false (see :mod:`cinderlib.persistence.etcd.commit`).
"""

from __future__ import annotations

import json
import random
import re
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from cinderlib.errors import MissingDependency, StoreError
from cinderlib.persistence.etcd import forks, messages
from cinderlib.persistence.etcd.address import Address
from cinderlib.persistence.etcd.messages import Answer, Message

with warnings.catch_warnings():
    # It imports eventlet, whose warning is not for users of this library.
    warnings.simplefilter("ignore")
    try:
        import etcd3gw
        import requests
        from etcd3gw import exceptions
    except ImportError as exc:
        raise MissingDependency(
            "A store in etcd needs the Python package 'etcd3gw'. Install it:"
            " pip install 'cinderlib[etcd]'"
        ) from exc

#: Seconds to wait for a member's answer before a request goes to another member. A member that lost
#: contact to the others answers after about seven.
PATIENCE = 5.0
#: Seconds between two rounds through all members.
PAUSE = 0.1
#: How many connections to a member are kept open.
CONNECTIONS = 64

#: What etcd reports if a token is not valid any more, for example after the restart of a member.
_EXPIRED = ("invalid auth token", "revision in header is old")
#: The reason in the text of an error of the network.
_REASON = re.compile(
    r"(?<=\] )(Connection refused|Name or service not known|No route to host)"
    r"|certificate verify failed[^(\"']*|timed out|Connection aborted"
)
#: What etcd reports if a member has too many requests.
_BUSY = "too many requests"


class Refused(StoreError):
    """etcd executed nothing, and would not if the request was sent again.

    :ivar problem: etcd's own words.
    """

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(message, retryable=False)
        self.problem = problem


class Compacted(StoreError):
    """The revision to read has been removed from etcd's history."""


class Unanswered(StoreError):
    """No member answered in time: whether the request was executed is not known."""


class Outcome(NamedTuple):
    """The result of a transaction.

    :ivar succeeded: whether its conditions were true.
    :ivar revision: of the store, after it.
    :ivar answers: to its reads.
    :ivar repeated: whether it was sent more than once, because an answer was missing.
    """

    succeeded: bool
    revision: int
    answers: list[Answer]
    repeated: bool


class Client:
    """The connections to a cluster. Can be used from several threads, and after a fork.

    :param timeout: seconds after which a request without an answer is given up.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self.timeout = timeout
        self._closed = False
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """In a child process: open its own connections."""
        self._members = [self._member(host, port) for host, port in self._address.endpoints]
        self._preferred = 0
        self._tokens: dict[int, str] = {}

    def _member(self, host: str, port: int) -> etcd3gw.Etcd3Client:
        session = requests.Session()
        # Proxies and logins of the environment are for the web.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
        if self._address.ca is not None:
            session.verify = self._address.ca
        if self._address.cert is not None and self._address.key is not None:
            session.cert = (self._address.cert, self._address.key)
        return etcd3gw.Etcd3Client(
            host,
            port,
            protocol="http" if self._address.ca is None else "https",
            timeout=max(0.5, min(PATIENCE, self.timeout, self._address.lease / 3)),
            api_path="/v3/",
            session=session,
        )

    def __str__(self) -> str:
        return self._address.display_name

    def read(self, *reads: Message) -> tuple[list[Answer], int]:
        """Execute reads, all at the same revision.

        :returns: the answers, and the revision.
        :raises Compacted: this revision is not in etcd's history any more.
        """
        if len(reads) == 1:
            response, _ = self.call("kv/range", reads[0]["request_range"])
            return [messages.answer(response)], int(response["header"]["revision"])
        response, _ = self.call("kv/txn", {"success": list(reads)})
        return (
            messages.answers(response.get("responses", ())),
            int(response["header"]["revision"]),
        )

    def transaction(
        self, conditions: Sequence[Message], success: Sequence[Message], failure: Sequence[Message]
    ) -> Outcome:
        """Execute ``success`` if all conditions are true, ``failure`` otherwise.

        :raises Unanswered: no member answered in time.
        """
        response, repeated = self.call(
            "kv/txn",
            {
                "compare": list(conditions),
                "success": list(messages.nested(success)),
                "failure": list(failure),
            },
        )
        return Outcome(
            bool(response.get("succeeded", False)),
            int(response["header"]["revision"]),
            messages.answers(response.get("responses", ())),
            repeated,
        )

    def call(
        self, path: str, body: Message, *, timeout: float | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Send a request to a member, and to the next one if it does not answer.

        :param path: below ``/v3/``.
        :param timeout: in seconds, instead of the client's.
        :returns: the response, and whether the request was sent more than once.
        :raises Unanswered: no member answered in time.
        :raises Refused: etcd refused the request.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        number, sent = self._preferred, 0
        renewed = False
        while True:
            if self._closed:
                raise StoreError(f"The store {self} is closed.", retryable=False)
            try:
                sent += 1
                response = self._post(number, path, body)
            except (
                exceptions.ConnectionFailedError,
                exceptions.ConnectionTimeoutError,
                exceptions.InternalServerError,
            ) as exc:
                problem = _problem(exc)
            except exceptions.Etcd3Exception as exc:
                problem = _problem(exc)
                if any(words in problem for words in _EXPIRED) and not renewed:
                    renewed = True
                    self._tokens.pop(number, None)
                    continue
                if _BUSY not in problem:
                    raise self._refusal(problem) from None
            except (requests.exceptions.RequestException, ValueError) as exc:
                problem = f"the answer was incomplete: {type(exc).__name__}"
            else:
                self._preferred = number
                return response, sent > 1
            if time.monotonic() >= deadline:
                raise Unanswered(
                    f"The store {self} failed: no member of the cluster answered ({problem})."
                )
            number = self._preferred = (number + 1) % len(self._members)
            if sent % len(self._members) == 0:
                time.sleep(PAUSE * random.uniform(0.5, 1))  # noqa: S311

    def _post(self, number: int, path: str, body: Message) -> dict[str, Any]:
        member = self._members[number]
        headers = {}
        if self._address.user is not None:
            headers["Authorization"] = self._token(number)
        response: dict[str, Any] = member.post(member.get_url(path), json=body, headers=headers)
        if not isinstance(response, dict) or "error" in response:
            raise ValueError("not a response of etcd")
        return response

    def _token(self, number: int) -> str:
        token = self._tokens.get(number)
        if token is None:
            member = self._members[number]
            login = {"name": self._address.user, "password": self._address.password or ""}
            token = str(member.post(member.get_url("auth/authenticate"), json=login)["token"])
            self._tokens[number] = token
        return token

    def _refusal(self, problem: str) -> StoreError:
        if "has been compacted" in problem:
            return Compacted(f"The store {self} failed: {problem}.")
        if "too large" in problem or "larger than max" in problem:
            return Refused(
                f"The store {self} cannot write this much at once: etcd accepts 1.5 MiB for one"
                " transaction (--max-request-bytes). The store did not change.",
                problem,
            )
        if "database space exceeded" in problem:
            return Refused(
                f"The store {self} is full: compact and defragment etcd, remove its alarm, or"
                " increase --quota-backend-bytes. The store did not change.",
                problem,
            )
        return Refused(f"The store {self} failed: {problem}.", problem)

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        for member in self._members:
            member.session.close()


def _problem(error: exceptions.Etcd3Exception) -> str:
    """etcd's words."""
    try:
        answer = json.loads(error.detail_text or "")
        text = str(answer.get("message") or answer.get("error"))
    except (ValueError, AttributeError):
        # The text of the libraries below: only the reason at its end is for people.
        reason = _REASON.search(error.detail_text or "")
        if reason is None and type(error) is exceptions.Etcd3Exception:
            return (error.detail_text or str(error)).strip()[:200]  # of etcd's HTTP server
        return reason[0] if reason else "no connection"
    return text.removeprefix("etcdserver: ")
