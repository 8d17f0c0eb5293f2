"""Tell one webhook what changed: put the events into its outbox, call, and delete them there.

The position moves in the transactions that put the events before it into the outbox.  So a receiver
that fails for some time misses nothing, even if a job or a node changes again meanwhile.  Events
leave the outbox after the call.  Each transaction fails if another process has the lease.  So a
process that is killed between a call and its transaction makes the same call again, with the same
ids: nothing is lost.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from clockwork.webhooks.message import MOST_EVENTS, Message, messages
from config import ConfigurationError, WebhookSettings
from ingest.database.changes import Position, PositionLost, position_at, read_after, read_heads
from ingest.database.embedded_quirks import all_of, one_of
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.database.transactions import batches, in_transaction
from ingest.documents.volatile_values import add_newest_values
from ingest.webhooks.events import Event, job_events, node_event, told_id
from ingest.webhooks.outbox import MOST_WAITING, delete_waiting, put_waiting, read_waiting
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
    settings: WebhookSettings, allowed_hosts: tuple[str, ...], now: datetime
) -> Webhook:
    """Return the webhook of these settings. Raises ConfigurationError for a filter's value."""
    kind = JOBS if settings.kind == "jobs" else NODES
    given: dict[str, str] = {str(name): text for name, text in settings.filter.items()}
    try:
        arguments = read_arguments(kind.arguments(), given)
        _check_filter(arguments)
    except (Problem, ValueError) as error:
        detail = error.detail if isinstance(error, Problem) else error
        raise ConfigurationError(f"webhooks.targets.{settings.name}.filter: {detail}") from None
    return Webhook(settings, allowed_hosts, kind.wanted(arguments, {}, now))


def _check_filter(arguments: Any) -> None:
    """Raise ValueError for a value that a list understands by who asks, or by what it finds."""
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

    def send(self, *, may_call: bool = True) -> bool:
        """Look at what follows the webhook's position, and make one call of what waits.

        Without *may_call*, no call is made.  Returns whether to go on at once.  Raises CallFailed,
        LeaseLost and pymongo's errors; what was not told comes next time.
        """
        state, is_more = self._notice()
        return (may_call and self._deliver(state)) or is_more

    def note_failure(self, error: CallFailed) -> None:
        """Keep why a call failed. Raises LeaseLost and pymongo's errors."""
        state = read_state(self._store, self._name)
        if state is not None:
            failure = {"at": self._clock(), "error": str(error)}
            self._write(replace(state, failed=state.failed + 1, last_failure=failure))

    # --- what to tell -----------------------------------------------------------------------------

    def _notice(self) -> tuple[WebhookState, bool]:
        """Put the events behind the position into the outbox. Return the state, and whether there
        is more behind it.

        While the outbox is full, the position stays.
        """
        feed = self._webhook.kind.name
        state = read_state(self._store, self._name)
        with self._store.database.client.start_session() as session:
            heads = read_heads(self._store, session, feed, None)
            now_at = position_at(heads)
            if state is None or state.kind != feed:
                return self._begin(state, now_at, session), False
            if state.position == now_at or len(state.waiting) >= MOST_WAITING:
                return state, False
            try:
                batch = read_after(self._store, session, heads, state.position, _MOST_DOCUMENTS)
            except PositionLost:
                return self._notice_all(state, now_at, session)
            state = self._put(state, [*batch.changed], session)
            state = replace(state, position=batch.position)
            self._write(state)
            return state, not batch.is_whole

    def _notice_all(
        self, state: WebhookState, now_at: Position, session: ClientSession
    ) -> tuple[WebhookState, bool]:
        """Look through all jobs or nodes, once the outbox is empty; as `_notice` otherwise."""
        if state.waiting:
            return state, False
        logger.warning(
            "webhook %s: the changes behind its position are no longer known: all %s are"
            " looked through, and events of jobs that are older than a day are dropped",
            self._name,
            self._webhook.kind.name,
        )
        for ids in batches(self._recent(session), _MOST_DOCUMENTS):
            if len(state.waiting) >= MOST_WAITING:
                return state, False
            state = self._put(state, ids, session)
        state = replace(state, position=now_at)
        self._write(state)
        return state, True

    def _begin(
        self, before: WebhookState | None, position: Position, session: ClientSession
    ) -> WebhookState:
        """Begin with what holds now: nodes that are down or drained already are not told.

        Events of another kind, of the state *before*, are deleted.
        """
        state = WebhookState(self._name, self._webhook.kind.name, self._clock(), position)
        told: list[Document] = []
        if self._webhook.kind is NODES:
            for ids in batches(self._recent(session), _MOST_DOCUMENTS):
                told += (each.told for each in self._node_events(ids, session))
        self._write(state, told, taken=before.waiting if before else ())
        logger.info("webhook %s: first run; it gets the events from now on", self._name)
        return state

    def _recent(self, session: ClientSession) -> Iterator[str]:
        """Yield the ids of all documents of which there may be something to tell."""
        recent: Filter = {}
        if self._webhook.kind is JOBS:
            recent = {"cw.filters.finished_at": {"$gte": self._clock() - _KNOWN_AGE}}
        collection = self._store.database[self._webhook.kind.name]
        for each in collection.find(recent, {"_id": 1}, session=session):
            yield each["_id"]

    def _put(self, state: WebhookState, ids: Sequence[str], session: ClientSession) -> WebhookState:
        """Put the events of these documents into the outbox. Return the state afterwards."""
        if self._webhook.kind is JOBS:
            events = self._job_events(state, ids, session)
            fresh = [each for each in events if not self._is_late(each)]
        else:
            events = self._node_events(ids, session)
            fresh = [each for each in events if each.name in self._webhook.settings.events]
        passed_over = [each for each in events if each not in fresh]
        if passed_over and self._webhook.kind is JOBS:
            state = self._drop(state, len(passed_over))
        if passed_over:
            self._write(state, map(self._note, passed_over))
        collection = self._store.database[self._webhook.kind.name]
        add_newest_values(collection, [each.document for each in fresh], session)
        for some in batches(fresh, _AT_ONCE):
            numbers = range(state.noticed + 1, state.noticed + len(some) + 1)
            state = replace(state, noticed=numbers[-1])
            self._write(state, map(self._note, some), dict(zip(numbers, some, strict=True)))
        return state

    def _is_late(self, event: Event) -> bool:
        """Return whether an event is too old: of a job, after a day; of a node, never."""
        return self._webhook.kind is JOBS and event.at < self._clock() - MOST_AGE

    def _drop(self, state: WebhookState, count: int) -> WebhookState:
        message = "webhook %s: dropped %d events that are more than a day old"
        logger.warning(message, self._name, count)
        return replace(state, dropped=state.dropped + count)

    def _deliver(self, state: WebhookState) -> bool:
        """Make one call of the events that wait longest. Return whether any waited."""
        numbers = state.waiting[:MOST_EVENTS]
        if not numbers:
            return False
        waiting = read_waiting(self._store, self._name, numbers)
        fresh = {number: each for number, each in waiting.items() if not self._is_late(each)}
        message = next(messages(self._webhook.settings, fresh.values()), None)
        count = len(message.events) if message else 0
        taken = range(numbers[0], [*fresh, numbers[-1] + 1][count])
        if message:
            self._webhook.call(message, self._clock())
            delivered = state.delivered + count
            state = replace(state, delivered=delivered, last_success=self._clock())
        if len(taken) > count:
            state = self._drop(state, len(taken) - count)
        self._write(replace(state, taken=taken[-1]), taken=taken)
        return True

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

    def _write(
        self,
        state: WebhookState,
        told: Iterable[Document] = (),
        waiting: Mapping[int, Event] | None = None,
        taken: Iterable[int] = (),
    ) -> None:
        """Write the state with what was noticed, what waits from now on, and what left the outbox.

        Raises LeaseLost and pymongo's errors.
        """
        documents, numbers = list(told), list(taken)

        def write(session: ClientSession) -> None:
            self._lease.confirm(session)
            write_state(self._store, session, state, documents)
            put_waiting(self._store, session, self._name, waiting or {}, self._clock())
            delete_waiting(self._store, session, self._name, numbers)

        in_transaction(self._store, write)
