"""Tell one webhook what changed: read the changes behind its position, call, and move on.

The position moves only after everything before it was told.  What was told is noted after each
call, in a transaction that fails if another process has the lease.  So a process that is killed
between a call and its note makes the same call again, with the same ids: nothing is lost.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pymongo.client_session import ClientSession

from api.endpoints.jobs import JOBS, ME
from api.endpoints.nodes import NODES
from api.http.problems import Problem
from api.lists.listing import Kind
from api.lists.queries import Filter
from api.lists.single import is_plain
from api.schema.arguments import read_arguments
from clockwork.webhooks.call import CallFailed, call
from clockwork.webhooks.message import Message, messages
from config import ConfigurationError, WebhookSettings
from ingest.database.changes import PositionLost, position_at, read_after, read_heads
from ingest.database.embedded_quirks import all_of, one_of
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.database.transactions import batches, in_transaction
from ingest.documents.volatile_values import add_newest_values
from ingest.webhooks.events import Event, job_events, node_event, told_id
from ingest.webhooks.state import WebhookState, read_state, read_told, write_state

MOST_AGE = timedelta(days=1)
"""An event of a job that is older is not told any more."""
_KNOWN_AGE = timedelta(days=7)
"""An event that is older than this may be one whose note is gone: see `TOLD_SECONDS`."""
_MOST_DOCUMENTS = 500
_AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Webhook:
    """A webhook that can be called."""

    settings: WebhookSettings
    allowed_hosts: tuple[str, ...]
    wanted: Filter
    """The filter for the jobs or nodes that it is told of."""

    @property
    def kind(self) -> Kind:
        """Whether it is told of jobs or of nodes."""
        return JOBS if self.settings.kind == "jobs" else NODES

    def call(self, message: Message, now: datetime) -> int:
        """Make one call; return the status. Raises CallFailed."""
        headers = message.headers(self.settings.key, now)
        return call(self.settings.address, self.allowed_hosts, message.body, headers)


def read_webhook(
    settings: WebhookSettings,
    allowed_hosts: tuple[str, ...],
    clusters: Collection[str],
    now: datetime,
) -> Webhook:
    """Return the webhook of these settings, in a configuration with these *clusters*.

    Raises ConfigurationError for a filter's value.
    """
    kind = JOBS if settings.kind == "jobs" else NODES
    given: dict[str, str] = {str(name): text for name, text in settings.filter.items()}
    try:
        arguments = read_arguments(kind.arguments(), given)
        _check_filter(arguments, clusters)
    except (Problem, ValueError) as error:
        detail = error.detail if isinstance(error, Problem) else error
        raise ConfigurationError(f"webhooks.targets.{settings.name}.filter: {detail}") from None
    return Webhook(settings, allowed_hosts, kind.wanted(arguments, {}, now))


def _check_filter(arguments: Any, clusters: Collection[str]) -> None:
    """Raise ValueError for a value that a list understands by who asks, or by what it finds."""
    if arguments.cluster_name not in {None, *clusters}:
        known = ", ".join(clusters) or "none"
        raise ValueError(
            f"cluster_name: {arguments.cluster_name} is not in [clusters]: expected one of: {known}"
        )
    if getattr(arguments, "user", None) == ME:
        raise ValueError(
            f"user: {ME} is the user who asks for a list: write the name of a user instead"
        )
    for each in getattr(arguments, "job_id", None) or ():
        if not is_plain(each):
            raise ValueError(
                f"job_id: {each} is a name that Slurm's commands show: write the JobId, such as"
                " 4711, or array_job_id for all tasks of a job array"
            )


class Sender:
    """Tells one webhook, while this process has the webhook's *lease*."""

    def __init__(
        self, store: Store, webhook: Webhook, lease: Lease, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._webhook = webhook
        self._name = webhook.settings.name
        self._lease = lease
        self._clock = clock

    def send(self) -> bool:
        """Tell what follows the webhook's position. Return whether there is more already.

        Raises CallFailed, LeaseLost and pymongo's errors; what was not told comes next time.
        """
        feed = self._webhook.kind.name
        state = read_state(self._store, self._name)
        with self._store.database.client.start_session() as session:
            heads = read_heads(self._store, session, feed, None)
            now_at = position_at(heads)
            if state is None or state.kind != feed:
                self._begin(WebhookState(self._name, feed, self._clock(), now_at), session)
                return False
            if state.position == now_at:
                return False
            try:
                batch = read_after(self._store, session, heads, state.position, _MOST_DOCUMENTS)
            except PositionLost:
                logger.warning(
                    "webhook %s: the changes behind its position are no longer known: all %s are"
                    " looked through, and events of jobs that are older than a day are dropped",
                    self._name,
                    feed,
                )
                for ids in batches(self._recent(session), _MOST_DOCUMENTS):
                    state = self._tell(state, ids, session)
                self._write(replace(state, position=now_at))
                return True
            state = self._tell(state, [*batch.changed], session)
            self._write(replace(state, position=batch.position))
            return not batch.is_whole

    def note_failure(self, error: CallFailed) -> None:
        """Keep why a call failed. Raises LeaseLost and pymongo's errors."""
        state = read_state(self._store, self._name)
        if state is not None:
            failure = {"at": self._clock(), "error": str(error)}
            self._write(replace(state, failed=state.failed + 1, last_failure=failure))

    # --- what to tell -----------------------------------------------------------------------------

    def _begin(self, state: WebhookState, session: ClientSession) -> None:
        """Begin with what holds now: nodes that are down or drained already are not told."""
        told: list[Document] = []
        if self._webhook.kind is NODES:
            for ids in batches(self._recent(session), _MOST_DOCUMENTS):
                told += (each.told for each in self._node_events(ids, session))
        self._write(state, told)
        logger.info("webhook %s: first run; it gets the events from now on", self._name)

    def _recent(self, session: ClientSession) -> Iterator[str]:
        """Yield the ids of all documents of which there may be something to tell."""
        recent: Filter = {}
        if self._webhook.kind is JOBS:
            recent = {"cw.filters.finished_at": {"$gte": self._clock() - _KNOWN_AGE}}
        collection = self._store.database[self._webhook.kind.name]
        for each in collection.find(recent, {"_id": 1}, session=session):
            yield each["_id"]

    def _tell(
        self, state: WebhookState, ids: Sequence[str], session: ClientSession
    ) -> WebhookState:
        """Tell the events of these documents, and note them. Return the state afterwards."""
        if self._webhook.kind is JOBS:
            events = self._job_events(state, ids, session)
            oldest = self._clock() - MOST_AGE
            fresh = [each for each in events if each.at >= oldest]
        else:
            events = self._node_events(ids, session)
            fresh = [each for each in events if each.name in self._webhook.settings.events]
        passed_over = [each for each in events if each not in fresh]
        if passed_over and self._webhook.kind is JOBS:
            count = len(passed_over)
            logger.warning(
                "webhook %s: dropped %d events that are more than a day old", self._name, count
            )
            state = replace(state, dropped=state.dropped + count)
        if passed_over:
            self._write(state, map(self._note, passed_over))
        collection = self._store.database[self._webhook.kind.name]
        add_newest_values(collection, [each.document for each in fresh], session)
        for message in messages(self._webhook.settings, fresh):
            self._webhook.call(message, self._clock())
            delivered = state.delivered + len(message.events)
            state = replace(state, delivered=delivered, last_success=self._clock())
            self._write(state, map(self._note, message.events))
        return state

    def _job_events(
        self, state: WebhookState, ids: Sequence[str], session: ClientSession
    ) -> list[Event]:
        """Return the wanted events of these jobs that were not told, in their order."""
        earliest = max(state.since, self._clock() - _KNOWN_AGE)
        found = [
            event
            for document in self._documents(ids, session)
            for event in job_events(self._name, document)
            if event.name in self._webhook.settings.events and event.at >= earliest
        ]
        told = read_told(self._store, [each.told["_id"] for each in found])
        return [each for each in found if each.told["_id"] not in told]

    def _node_events(self, ids: Sequence[str], session: ClientSession) -> list[Event]:
        """Return all events of these nodes that were not noted, in their order."""
        documents = list(self._documents(ids, session))
        told = read_told(self._store, [told_id(self._name, each) for each in documents])
        events = (node_event(self._name, x, told.get(told_id(self._name, x))) for x in documents)
        return [each for each in events if each is not None]

    def _documents(self, ids: Sequence[str], session: ClientSession) -> Iterator[Document]:
        collection = self._store.database[self._webhook.kind.name]
        for some in batches(ids, _AT_ONCE):
            these = all_of({"_id": one_of(some)}, self._webhook.wanted)
            found = {each["_id"]: each for each in collection.find(these, session=session)}
            yield from (found[each] for each in some if each in found)

    def _note(self, event: Event) -> Document:
        """Return what is kept of an event that needs no more telling: of a job, for a while."""
        age = {"at": self._clock()} if self._webhook.kind is JOBS else {}
        return {**event.told, **age}

    def _write(self, state: WebhookState, told: Iterable[Document] = ()) -> None:
        documents = list(told)

        def write(session: ClientSession) -> None:
            self._lease.confirm(session)
            write_state(self._store, session, state, documents)

        in_transaction(self._store, write)
