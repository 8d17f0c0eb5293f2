"""A store, a receiver, and senders that tell it what changes in the store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clockwork.webhooks.sender import Sender, read_webhook
from clockwork.webhooks.senders import lease_name
from config import WebhookSettings
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.webhooks.state import read_state
from tests.clockwork.webhooks.receiver import Receiver
from tests.clockwork.webhooks.writing import NOW
from tests.support.ports import LOOPBACK


@dataclass
class World:
    store: Store
    receiver: Receiver
    now: datetime = NOW
    lease: Lease | None = None

    def sender(self, kind: str = "jobs", events: Any = ("ended",), **settings: Any) -> Sender:
        """A sender whose webhook ran for the first time, with the lease."""
        made = WebhookSettings(
            **{"name": "ops", "kind": kind, "events": events, "url": self.receiver.url, **settings}
        )
        webhook = read_webhook(made, (LOOPBACK,), self.now)
        self.release()
        self.lease = Lease(self.store, lease_name(webhook), 30)
        self.lease.keep()
        sender = Sender(self.store, webhook, self.lease, lambda: self.now)
        if read_state(self.store, "ops") is None:
            assert not sender.send()
        return sender

    def release(self) -> None:
        if self.lease is not None:
            self.lease.release()

    def told(self) -> list[tuple[str, str]]:
        """The event and the id of the job or node of everything that was told."""
        return [
            (each["event"], each["job"]["slurm"]["job_id"])
            if "job" in each
            else (each["event"], each["node"]["slurm"]["name"])
            for each in self.receiver.events
        ]
