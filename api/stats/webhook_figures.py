"""Count for /metrics what each webhook was told, and how far it is behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pymongo

from api.stats.ttl_cache import TtlCache
from ingest.database.changes import Heads, read_heads
from ingest.database.store import Store
from ingest.webhooks.state import WebhookState, read_states, seconds_behind

FIGURES_SECONDS = 10.0
"""Seconds for which the figures are cached."""
_QUERY_SECONDS = 2.0


@dataclass(frozen=True)
class WebhookFigures:
    """The figures of one webhook."""

    state: WebhookState
    seconds_behind: float
    """The age of the oldest change or event that was not told; 0 if there is none."""


class WebhookStats:
    """Keeps the figures of all webhooks that ever ran."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._cache = TtlCache(self._count, timedelta(seconds=FIGURES_SECONDS), clock)

    def figures(self) -> Sequence[WebhookFigures]:
        """Return the figures by name. Raises as `ClusterStats.census` does."""
        return self._cache.value()

    def _count(self) -> Sequence[WebhookFigures]:
        heads: dict[str, Heads] = {}
        with pymongo.timeout(_QUERY_SECONDS):
            states = read_states(self._store)
            for feed in {each.kind for each in states}:
                heads[feed] = read_heads(self._store, None, feed, None)
            return [WebhookFigures(each, self._behind(each, heads[each.kind])) for each in states]

    def _behind(self, state: WebhookState, heads: Heads) -> float:
        return seconds_behind(self._store, heads, state, self._clock())
