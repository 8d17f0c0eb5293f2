"""Run the webhooks of the configuration, each in a thread of its own.

So a receiver that hangs delays no other webhook, and no round.  Where several scrapers run, one of
them has the lease of a webhook and calls it.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterable

from pymongo.errors import PyMongoError

from api.app import utc_now
from clockwork.webhooks.call import CallFailed
from clockwork.webhooks.sender import Sender, Webhook, read_webhook
from config import Settings, WebhookSettings, read_webhook_secrets
from ingest.database.changes import Watch
from ingest.database.leases import Lease, LeaseBusy, LeaseLost
from ingest.database.store import Store

POLL_SECONDS = 1.0
"""Between two looks for changes."""
FIRST_PAUSE_SECONDS = 5.0
"""After a call that failed; doubled after each further one."""
LONGEST_PAUSE_SECONDS = 300.0
FINISH_SECONDS = 2.0
"""What calls that run may take in all when the senders stop; afterwards they are made again."""

logger = logging.getLogger(__name__)


def webhooks_of(settings: Settings, *, secrets: bool = True) -> list[Webhook]:
    """Return the webhooks of the configuration; without *secrets*, no other file is looked at.

    Raises ConfigurationError.
    """
    allowed = settings.webhooks.allowed_hosts
    found = [*settings.webhooks.targets.values()]
    if secrets:
        found = [read_webhook_secrets(each, allowed) for each in found]
        _warn_of_clusters(found, settings.clusters)
    return [read_webhook(each, allowed, utc_now()) for each in found]


def _warn_of_clusters(targets: Iterable[WebhookSettings], clusters: Collection[str]) -> None:
    """Log the clusters in filters that are not in the configuration. Another scraper may have them.

    The database may have jobs of them all the same.
    """
    for each in targets:
        name = each.filter.get("cluster_name")
        if name is not None and name not in clusters:
            logger.warning(
                "webhook %s: its filter names the cluster %r, which is not in [clusters] here. "
                "If no other scraper has that cluster, correct cluster_name",
                each.name,
                name,
            )


def lease_name(webhook: Webhook) -> str:
    """Return the name of a webhook's lease, which no cluster can have."""
    return f"/webhooks/{webhook.settings.name}"


class Senders:
    """Runs webhooks from `start` to `stop`; `change` replaces them."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._running: list[_Running] = []
        self._take(settings)

    def start(self) -> None:
        """Start a thread for each webhook."""
        for each in self._running:
            each.start()

    def change(self, settings: Settings) -> None:
        """Run the webhooks of *settings* from now on. Raises ConfigurationError; then none change.

        A webhook is restarted even if its settings are the same: it loses nothing.
        """
        before = self._running
        self._take(settings)
        _end(before)
        self.start()

    def stop(self) -> None:
        """End all threads; a call that hangs is not waited for."""
        _end(self._running)

    def _take(self, settings: Settings) -> None:
        seconds = settings.scraper.lease
        self._running = [_Running(self._store, each, seconds) for each in webhooks_of(settings)]


class _Running:
    """The thread of one webhook."""

    def __init__(self, store: Store, webhook: Webhook, lease_seconds: float) -> None:
        self._store = store
        self._webhook = webhook
        self._lease_seconds = lease_seconds
        self._name = webhook.settings.name
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"webhook {self._name}", daemon=True)
        self.start = self._thread.start

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self.stopping.is_set():
            lease = Lease(self._store, lease_name(self._webhook), self._lease_seconds)
            try:
                with lease.holding(self.stopping.is_set):
                    self._send_while_held(lease)
            except (LeaseBusy, LeaseLost):
                pass  # another daemon calls this webhook
            except PyMongoError as error:
                logger.warning("webhook %s: %s", self._name, error)
            except Exception:  # a defect must not end the calls for good
                logger.exception("webhook %s failed", self._name)
            self.stopping.wait(FIRST_PAUSE_SECONDS)

    def _send_while_held(self, lease: Lease) -> None:
        sender = Sender(self._store, self._webhook, lease, utc_now)
        watch, feed = Watch(self._store), self._webhook.kind.name
        failures, seen, call_at = 0, "", 0.0
        while lease.held and not self.stopping.is_set():
            may_call = time.monotonic() >= call_at
            try:
                state = watch.states([feed])[feed]
                if state == seen and not (failures and may_call):
                    self.stopping.wait(POLL_SECONDS)
                    continue
                is_more = sender.send(may_call=may_call)
                seen = "" if is_more else state
                failures = 0 if may_call else failures
            except CallFailed as error:
                sender.note_failure(error)
                seconds = pause_after(failures, error.retry_after)
                failures += 1
                line = "webhook %s: %s; next try in %.0f s"
                logger.warning(line, self._name, error, seconds)
                call_at = time.monotonic() + seconds


def pause_after(failures: int, retry_after: float | None) -> float:
    """Return the seconds until the next try, after so many earlier failures in a row.

    *retry_after* is what the receiver asks for, in seconds.
    """
    pause = FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10)
    return min(LONGEST_PAUSE_SECONDS, max(pause, retry_after or 0.0))


def _end(running: list[_Running]) -> None:
    for each in running:
        each.stopping.set()
    ends_at = time.monotonic() + FINISH_SECONDS
    for each in running:
        each.join(max(0.0, ends_at - time.monotonic()))
