"""Find out what a job or a node did, from its document and from what was told of it before.

An event has an id that is the same whenever the same event is found again: a receiver that is told
an event twice can tell by the id.  All functions are pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from ingest.clusters.node_life import condition_words, node_class
from ingest.database.store import Document
from ingest.documents.fingerprints import is_finished, owner_name
from ingest.slurm.values import moment

IN_SERVICE = "in_service"
"""The event of a node that is neither down nor drained any more."""
_RUNNING = "RUNNING"


@dataclass(frozen=True)
class Event:
    """What a job or a node did."""

    id: str
    name: str
    """``started`` or ``ended``; ``down``, ``drained`` or ``in_service``."""
    at: datetime
    """When: by Slurm's word for a job; when a round showed it for a node."""
    document: Document
    """The job or the node, as the database has it."""
    told: Document
    """The document of ``webhook_told`` that says that the event was told."""

    @property
    def text(self) -> str:
        """One line for people, which holds no text that a user chose."""
        slurm, cw = self.document["slurm"], self.document["cw"]
        cluster = slurm["cluster_name"]
        if "job_id" in slurm:
            owner = owner_name(slurm) or "unknown"
            of_job = f"{cluster}: job {slurm['job_id']} of {owner} {self.name}"
            end = _last_state(slurm, cw) if _is_end_known(slurm, cw) else "unknown"
            return of_job if self.name == "started" else f"{of_job}: {end}"
        reason = f": {slurm['reason']}" if slurm.get("reason") and self.name != IN_SERVICE else ""
        name = self.name.replace("_", " ")
        return f"{cluster}: node {slurm['name']} {name} ({slurm.get('state')}){reason}"


def job_events(webhook: str, document: Document) -> Iterator[Event]:
    """Yield what the job of a document has done, whether it was told before or not.

    A job that is requeued starts and ends again: it gets a new submit time, or counts a restart.
    A job that is gone has ended, as far as anybody knows; its true end is an event of its own.
    """
    slurm, cw = document["slurm"], document["cw"]
    ended = cw.get("finished_at")
    started = moment(slurm.get("start_time"))
    state = str(slurm.get("job_state") or "").partition("+")[0]
    # Without the cluster's name, so that a cluster that is renamed tells nothing again.
    submitted = moment(slurm.get("submit_time"))
    run: tuple[Any, ...] = (slurm["job_id"], submitted, slurm.get("restarts"), cw.get("first_seen"))
    if ended is not None:
        if not _is_end_known(slurm, cw):
            run = (*run, "gone")
        yield _job_event(webhook, "ended", ended, document, run)
    elif state == _RUNNING and started is not None:
        yield _job_event(webhook, "started", started, document, run)


def _job_event(
    webhook: str, name: str, at: datetime, document: Document, run: tuple[Any, ...]
) -> Event:
    event_id = _digest(webhook, name, *run)
    return Event(event_id, name, at, document, {"_id": f"{webhook}/{event_id}"})


def _is_end_known(slurm: Mapping[str, Any], cw: Mapping[str, Any]) -> bool:
    """Return whether a scrape or sacct told how a job ended."""
    return is_finished(_last_state(slurm, cw))


def _last_state(slurm: Mapping[str, Any], cw: Mapping[str, Any]) -> str | None:
    state: str | None = (cw.get("accounting") or slurm).get("job_state")
    return state


def told_id(webhook: str, node: Document) -> str:
    """Return the ``_id`` of what was told of a node."""
    return f"{webhook}/nodes/{node['slurm']['cluster_name']}/{node['slurm']['name']}"


def node_event(webhook: str, document: Document, told: Mapping[str, Any] | None) -> Event | None:
    """Return what a node did since its last event *told*; None: nothing, or it is gone.

    A node of which nothing was told was in service.
    """
    state = node_state(document["slurm"])
    before = told or {"state": None, "number": 0}
    if state == before["state"] or document["cw"].get("vanished") is not None:
        return None
    number = before["number"] + 1
    kept = {"_id": told_id(webhook, document), "state": state, "number": number}
    event_id = _digest(kept["_id"], number, state)
    return Event(event_id, state or IN_SERVICE, document["cw"]["last_changed"], document, kept)


def node_state(slurm: Mapping[str, Any]) -> str | None:
    """Return ``down`` or ``drained``; None for a node in service."""
    return node_class(condition_words(slurm))


def _digest(*parts: object) -> str:
    return blake2b("\n".join(map(str, parts)).encode(), digest_size=16).hexdigest()
