"""Write the body of a call and its signature, as `Standard Webhooks`_ have them.

.. _Standard Webhooks: https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from api.endpoints.jobs import JOBS
from api.endpoints.nodes import NODES
from api.http.json_text import json_bytes
from config import WebhookSettings
from ingest.webhooks.events import Event

MOST_EVENTS = 100
"""Events in one call."""
MOST_BYTES = 1 << 20
"""Bytes of the events in one call, unless one event alone has more."""
_MOST_LINES = 20
"""Lines of a text for people."""
_SLACK_SIGNS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""Without these, a text could call everybody in a channel (``<!channel>``)."""


@dataclass(frozen=True)
class Message:
    """One call: its events, and its body."""

    id: str
    """The same whenever the same events are told."""
    events: Sequence[Event]
    body: bytes

    def headers(self, key: bytes | None, now: datetime) -> dict[str, str]:
        """Return the header fields of a call that is made *now*, signed with *key* if there is one.

        ``webhook-signature`` is ``v1,`` and the base64 of the HMAC-SHA256 of ID.TIMESTAMP.BODY.
        """
        timestamp = str(int(now.timestamp()))
        fields = {
            "Content-Type": "application/json",
            "User-Agent": f"clockwork/{version('clockwork-slurm')}",
            "webhook-id": self.id,
            "webhook-timestamp": timestamp,
        }
        if key is not None:
            signed = b".".join((self.id.encode(), timestamp.encode(), self.body))
            signature = hmac.new(key, signed, hashlib.sha256).digest()
            fields["webhook-signature"] = f"v1,{base64.b64encode(signature).decode()}"
        return fields


def messages(webhook: WebhookSettings, events: Iterable[Event]) -> Iterator[Message]:
    """Yield the calls that tell *events*, in their order."""
    some: list[Event] = []
    shown: list[bytes] = []
    for event in events:
        text = b"" if webhook.format == "slack" else json_bytes(_shown(event))
        size = sum(map(len, shown)) + len(text)
        if some and (len(some) == MOST_EVENTS or size > MOST_BYTES):
            yield _message(webhook, some, shown)
            some, shown = [], []
        some.append(event)
        shown.append(text)
    if some:
        yield _message(webhook, some, shown)


def trial(webhook: WebhookSettings) -> Message:
    """Return a call without events, by which an administrator tries a webhook."""
    text = f"Clockwork tries the webhook {webhook.name}"
    return Message("test", [], _slack(text) if webhook.format == "slack" else _json(webhook, []))


def _message(webhook: WebhookSettings, events: list[Event], shown: list[bytes]) -> Message:
    digest = hashlib.blake2b("\n".join(each.id for each in events).encode(), digest_size=16)
    if webhook.format == "json":
        return Message(digest.hexdigest(), events, _json(webhook, shown))
    lines = [each.text for each in events[:_MOST_LINES]]
    if len(events) > _MOST_LINES:
        lines.append(f"and {len(events) - _MOST_LINES} more")
    return Message(digest.hexdigest(), events, _slack("\n".join(lines)))


def _json(webhook: WebhookSettings, shown: Iterable[bytes]) -> bytes:
    return b'{"webhook":%s,"events":[%s]}' % (json_bytes(webhook.name), b",".join(shown))


def _slack(text: str) -> bytes:
    return json_bytes({"text": "".join(_SLACK_SIGNS.get(each, each) for each in text)})


def _shown(event: Event) -> dict[str, Any]:
    """Return an event as `docs/webhooks.md` shows it."""
    kind, key = (JOBS, "job") if "job_id" in event.document["slurm"] else (NODES, "node")
    shown = {"id": event.id, "event": event.name, "at": event.at, "text": event.text}
    return {**shown, key: kind.fields.shown(event.document)}
