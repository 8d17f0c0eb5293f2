"""Ask Clockwork's REST API, with nothing but Python's standard library.

::

    from clockwork_client import Clockwork

    clockwork = Clockwork("https://clockwork.example.org", "cw_...")
    for job in clockwork.jobs(job_state="RUNNING", fields="slurm.job_id,slurm.name"):
        print(job["slurm"]["job_id"])
    clockwork.update_user_dict("4711", {"loss": 0.2}, cluster_name="mila")

    copy = Copy(clockwork, "jobs")           # lists once, and then reads what changed
    for changes in copy.follow():
        print(len(copy.documents), changes.changed, changes.gone)

This one file can be copied beside a program.  The client waits and asks again when the service is
busy or away for a moment, remembers unchanged responses by their ETag, and follows no redirect: a
redirect could send the token to another host.  An object may be used by one thread at a time.
"""

import http.client
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

__all__ = ["ApiError", "Changes", "Clockwork", "Copy", "CursorGone", "Unreachable"]

Document = dict[str, Any]
"""A job ``{slurm, cw, user}`` or a node ``{slurm, cw}``."""

BASE = "/api/v1/cluster/"
PAGE = 500
"""Documents on one page of a list."""
REMEMBERED = 50
"""Responses that are remembered with their ETags."""

_BUSY = (429, 503)
_NOT_MODIFIED, _GONE = 304, 410
_LONGEST_PAUSE = 60.0
_TOKEN = re.compile("[!-~]*")
_NEXT = re.compile(r'<[^>]*\?([^>]*)>; rel="next"')
_ID_KEYS = {"jobs": "job_id", "nodes": "name"}


class ApiError(Exception):
    """The service refused a request; ``detail`` says why and what to do."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class CursorGone(ApiError):
    """The changes that follow a cursor are no longer known: list all again."""


class Unreachable(Exception):
    """The service did not answer, however often it was asked."""


@dataclass(frozen=True)
class Changes:
    """What changed between two cursors."""

    cursor: str
    """The cursor behind these changes. Store it to go on from here later."""
    changed: list[Document]
    """Documents that are new or changed, as they are now."""
    gone: list[dict[str, str]]
    """The ids of documents that are gone: ``{cluster_name, job_id}`` or ``{cluster_name, name}``.
    """
    more: bool
    """Whether more has changed already."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Clockwork:
    """The service at *url*, asked with *token*.

    *timeout* is in seconds, for each attempt.  *patience* is for how many seconds a request is
    tried again while the service is busy or away.  Raises ValueError for a URL that is none, and
    for a token that has a space, a newline or the like.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 60.0,
        patience: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = _checked_url(url)
        if not _TOKEN.fullmatch(token):  # the error of http.client would show the token
            raise ValueError(
                "the token has a space, a newline or another character that no token has: give it "
                "as it was printed, without anything around it"
            )
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._timeout = timeout
        self._patience = patience
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self._remembered: OrderedDict[str, tuple[str, _Answer]] = OrderedDict()

    # --- documents ----------------------------------------------------------------------------

    def jobs(self, **filters: Any) -> Iterator[Document]:
        """Yield all jobs that pass the filters of ``jobs/list``, page by page.

        Raises ApiError and Unreachable.
        """
        return self._list("jobs/list", filters)

    def nodes(self, **filters: Any) -> Iterator[Document]:
        """Yield all nodes that pass the filters of ``nodes/list``. Raises as `jobs` does."""
        return self._list("nodes/list", filters)

    def job(self, job_id: str, cluster_name: str | None = None) -> Document | None:
        """Return a job, None if there is none.

        *cluster_name* is needed if several clusters have a job of this id.  Raises as `jobs` does.
        """
        found: Document = self.get("jobs/one", job_id=job_id, cluster_name=cluster_name)
        return found or None

    def node(self, name: str, cluster_name: str | None = None) -> Document | None:
        """Return a node, None if there is none. Raises as `jobs` does."""
        found: Document = self.get("nodes/one", node_name=name, cluster_name=cluster_name)
        return found or None

    def update_user_dict(
        self, job_id: str, pairs: Mapping[str, Any], cluster_name: str | None = None
    ) -> dict[str, Any]:
        """Write *pairs* into the user dict of one of your jobs; return the whole dict.

        Raises as `jobs` does; ApiError 403 for a job of another user.
        """
        arguments = {"job_id": job_id, "cluster_name": cluster_name, "update_pairs": dict(pairs)}
        body = json.dumps({key: each for key, each in arguments.items() if each is not None})
        answer = self._ask("PUT", BASE + "jobs/user_dict_update", body.encode())
        return dict(json.loads(answer.body))

    def get(self, path: str, **arguments: Any) -> Any:
        """Return the JSON that ``GET path`` gives, such as ``clusters/list``.

        *arguments* that are None are left out; a list becomes one text with commas.  Raises as
        `jobs` does.
        """
        return json.loads(self._get(BASE + path, _query(arguments)).body)

    # --- changes ------------------------------------------------------------------------------

    def cursor(self, feed: str = "jobs", cluster_name: str | None = None) -> str:
        """Return the present cursor of the changes of ``jobs`` or ``nodes``."""
        return str(self.get(f"{feed}/changes", cluster_name=cluster_name)["cursor"])

    def changes(
        self,
        cursor: str,
        feed: str = "jobs",
        cluster_name: str | None = None,
        fields: str | None = None,
        wait: int = 30,
    ) -> Changes:
        """Return what changed since *cursor*; wait up to *wait* seconds for a change.

        Raises CursorGone when the changes are no longer known, and as `jobs` does.
        """
        given = {"cursor": cursor, "cluster_name": cluster_name, "fields": fields, "wait": wait}
        return Changes(**self.get(f"{feed}/changes", **given))

    # --- requests -----------------------------------------------------------------------------

    def _list(self, path: str, filters: Mapping[str, Any]) -> Iterator[Document]:
        query = _query({"limit": PAGE, **filters})
        while True:
            answer = self._get(BASE + path, query)
            yield from json.loads(answer.body)
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return
            query = urlencode(parse_qsl(following[1]))

    def _get(self, path: str, query: str) -> _Answer:
        address = f"{path}?{query}" if query else path
        tag, known = self._remembered.get(address, ("", None))
        answer = self._ask("GET", address, None, {"If-None-Match": tag} if tag else {})
        if answer.status == _NOT_MODIFIED and known is not None:
            self._remembered.move_to_end(address)
            return known
        if "etag" in answer.headers:
            self._remembered[address] = (answer.headers["etag"], answer)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return answer

    def _ask(
        self,
        method: str,
        address: str,
        body: bytes | None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """Return the answer, after several attempts if need be.

        Every request may be made twice: what is written is the same then.
        """
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        pause, left = 0.5, self._patience
        while True:
            wait, problem = pause, ""
            try:
                answer = self._once(method, address, body, sent)
            except (OSError, http.client.HTTPException) as error:
                problem = f"{self._url.geturl()} does not answer: {error or type(error).__name__}"
            else:
                if answer.status not in _BUSY:
                    return _checked(answer)
                wait = _seconds(answer.headers.get("retry-after"), pause)
            if wait > left:
                if problem:
                    raise Unreachable(problem)
                return _checked(answer)
            self._sleep(wait)
            left -= wait
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _once(
        self, method: str, address: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Answer:
        if self._connection is None:
            kind = http.client.HTTPSConnection
            if self._url.scheme == "http":
                kind = http.client.HTTPConnection  # type: ignore[assignment]
            host = str(self._url.hostname)
            self._connection = kind(host, self._url.port, timeout=self._timeout)
        try:
            path = self._url.path.rstrip("/") + address
            self._connection.request(method, path, body, dict(headers))
            response = self._connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return _Answer(response.status, fields, response.read())
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def close(self) -> None:
        """Close the connection; a further request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Copy:
    """A copy of all jobs or nodes, or of a cluster's, that follows their changes.

    ``documents`` has them by ``(cluster_name, id)``.
    """

    def __init__(
        self,
        clockwork: Clockwork,
        feed: str = "jobs",
        cluster_name: str | None = None,
        fields: str | None = None,
    ) -> None:
        self._clockwork = clockwork
        self._feed, self._id_key = feed, _ID_KEYS[feed]
        self._cluster_name = cluster_name
        self._fields = None
        if fields is not None:
            self._fields = f"slurm.cluster_name,slurm.{self._id_key},{fields}"
        self._cursor: str | None = None
        self.documents: dict[tuple[str, str], Document] = {}

    def follow(self, wait: int = 30) -> Iterator[Changes]:
        """Yield what changed, for ever, after ``documents`` took it in.

        Lists everything first, and again when the service no longer knows the changes.  A list
        yields all documents as changed.  *wait* is in seconds.  Raises ApiError and Unreachable;
        another `follow` then goes on from there.
        """
        while True:
            if self._cursor is None:
                yield self._listed()
            try:
                changes = self._clockwork.changes(
                    str(self._cursor), self._feed, self._cluster_name, self._fields, wait
                )
            except CursorGone:
                self._cursor = None
                continue
            for document in changes.changed:
                self.documents[self._key(document["slurm"])] = document
            for gone in changes.gone:
                self.documents.pop(self._key(gone), None)
            self._cursor = changes.cursor
            if changes.changed or changes.gone:
                yield changes

    def _listed(self) -> Changes:
        cursor = self._clockwork.cursor(self._feed, self._cluster_name)
        given = {"cluster_name": self._cluster_name, "fields": self._fields}
        before = set(self.documents)
        listed = getattr(self._clockwork, self._feed)(**given)
        self.documents = {self._key(each["slurm"]): each for each in listed}
        self._cursor = cursor
        gone = [
            {"cluster_name": cluster_name, self._id_key: its_id}
            for cluster_name, its_id in before - set(self.documents)
        ]
        return Changes(cursor, list(self.documents.values()), gone, more=False)

    def _key(self, names: Mapping[str, str]) -> tuple[str, str]:
        return names["cluster_name"], names[self._id_key]


def _checked_url(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        is_good = split.scheme in ("http", "https") and split.hostname and split.port != 0
    except ValueError:  # such as a port above 65535
        is_good = False
    if not is_good or split.query:
        raise ValueError(f"{url!r} is no address of a service: expected https://HOST")
    return split


def _query(arguments: Mapping[str, Any]) -> str:
    return urlencode({name: _text(each) for name, each in arguments.items() if each is not None})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(str(each).replace("\\", "\\\\").replace(",", "\\,") for each in value)
    return str(value)


def _seconds(text: str | None, otherwise: float) -> float:
    return float(text) if text is not None and text.isdecimal() else otherwise


def _checked(answer: _Answer) -> _Answer:
    """Return the answer of a request that succeeded. Raises ApiError for any other."""
    if answer.status in (200, _NOT_MODIFIED):
        return answer
    try:
        detail = str(json.loads(answer.body)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = "no answer of Clockwork; check the address"
    raise (CursorGone if answer.status == _GONE else ApiError)(answer.status, detail)
