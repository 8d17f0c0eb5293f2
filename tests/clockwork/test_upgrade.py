"""An upgrade from release 0.1.0, with a database that this release wrote."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from api.app import build_app
from config import ApiSettings, ClusterSettings, SshSettings
from config.settings import UsernameField
from ingest.accounts.username_field import adopt_username_field
from ingest.accounts.users import add_user
from ingest.clusters.round_log import RoundLog
from ingest.database.leases import Lease
from ingest.database.migrations import migrate
from ingest.database.search_fields import VERSION
from ingest.database.store import Document, Store
from ingest.slurm.kinds import JOBS, NODES
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from tests.api.support.client import Client
from tests.support.reading import read_lazily

FIRST_RELEASE = Path(__file__).parent / "first_release" / "documents.ndjson"
FIELDS: Mapping[str, UsernameField] = {
    "mila": "mila_cluster_username",
    "beluga": "cc_account_username",
}
END = datetime(2026, 11, 23, 12, 11, tzinfo=timezone.utc)
"""When the first release ended."""
OWNER = "owner@mila.example"
FILTERS = {
    "slurm.account": "account",
    "slurm.reason": "reason",
    "slurm.qos": "qos",
    "slurm.name": "name",
    "filters.nodes": "node",
    "filters.states": "job_state",
    "filters.partitions": "partition",
}
"""Filters by the place of the values that they find."""
OWN = {"cluster_name": "mila", "job_id": "233874"}
GONE = {"cluster_name": "mila", "job_id": "233883"}
REUSED = {"cluster_name": "mila", "job_id": "233885"}


@cache
def first_release() -> tuple[dict[str, Any], list[tuple[str, Document]]]:
    """The tokens and outputs of the first release, and its documents by their collection."""
    first, *lines = FIRST_RELEASE.read_text().splitlines()
    options = json_util.JSONOptions(tz_aware=True, tzinfo=timezone.utc)
    documents = (json_util.loads(line, json_options=options) for line in lines)
    return json.loads(first), [*(each for document in documents for each in document.items())]


class Upgraded:
    """The database of the first release after the start of today's daemons."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = END + timedelta(minutes=1)
        self.first, documents = first_release()
        for name, document in documents:
            store.database[name].insert_one(document)
        self.before = self.documents("jobs")
        store.ensure_indexes()
        self.migrated = migrate(store)
        for name, field in FIELDS.items():
            adopt_username_field(store, name, field)
        self._leases = {name: Lease(store, name, 30.0) for name in FIELDS}
        assert all(lease.keep() for lease in self._leases.values())

    def client(self, whose: str = "owner", **settings: Any) -> Client:
        app = build_app(self.store, lambda: self.now, settings=ApiSettings(**settings))
        return Client(app, {"Authorization": f"Bearer {self.first['tokens'][whose]}"})

    def documents(self, collection: str) -> dict[str, Document]:
        return {each["_id"]: each for each in self.store.database[collection].find()}

    def round(self, drop: str | None = None) -> list[RoundCounts]:
        """One round of everything that the first release read last, without the job *drop*."""
        self.now += timedelta(minutes=1)
        counts = []
        for name, field in FIELDS.items():
            settings = ClusterSettings(
                name=name,
                timezone="America/Montreal",
                username_field=field,
                ssh=SshSettings(host="nowhere"),
            )
            for kind in (JOBS, NODES):
                records = self.first["outputs"][name][kind.plural].split("\n\n")
                text = "\n\n".join(each for each in records if not (drop and drop in each))
                rounds = SyncRounds(
                    self.store,
                    settings,
                    kind,
                    volatile_interval=900,
                    bulk_write=self._leases[name].bulk_write,
                    clock=lambda: self.now,
                )
                found = read_lazily([text.encode()], kind.table, cluster=settings)
                counts.append(rounds.take_in(found))
                RoundLog(self.store, name, lambda: self.now).succeeded(
                    kind.plural, 0.1, counts[-1], len(text)
                )
        return counts


def said(slurm: Document) -> Document:
    """A ``slurm`` dict without the spaces behind texts, which the first release dropped."""
    return {key: each.rstrip() if isinstance(each, str) else each for key, each in slurm.items()}


@pytest.fixture
def upgraded(store: Store) -> Upgraded:
    return Upgraded(store)


def ids(client: Client, **filters: str) -> set[str]:
    answer = client.get("jobs/list", **filters)
    assert answer.status == 200, answer.json
    return {job["slurm"]["job_id"] for job in answer.json}


def test_every_document_is_there_and_a_second_start_does_nothing(upgraded: Upgraded) -> None:
    assert upgraded.migrated == 22 + 1 + 9
    after = upgraded.documents("jobs")
    assert after.keys() == upgraded.before.keys()
    for its_id, before in upgraded.before.items():
        now = after[its_id]
        filters = now["cw"].pop("filters")
        kept = {key: before["cw"]["filters"].get(key) for key in ("owner", "names", "finished_at")}
        assert filters | kept == filters
        assert filters["version"] == VERSION
        before["cw"].pop("filters")
        assert now == before

    state = {name: upgraded.documents(name) for name in ("jobs", "nodes", "former_jobs")}
    assert migrate(upgraded.store) == 0
    assert [adopt_username_field(upgraded.store, *each) for each in FIELDS.items()] == [0, 0]
    assert {name: upgraded.documents(name) for name in state} == state


def test_the_next_rounds_mark_nothing_wrongly(upgraded: Upgraded) -> None:
    former = upgraded.documents("former_jobs")
    for _ in range(2):
        for counts in upgraded.round():
            assert (counts.inserted, counts.vanished, counts.set_aside) == (0, 0, 0)
    after = upgraded.documents("jobs")
    assert after.keys() == upgraded.before.keys()
    assert upgraded.documents("former_jobs") == former
    for its_id, before in upgraded.before.items():
        now = after[its_id]
        assert now["user"] == before["user"]
        assert said(before["slurm"]).items() <= said(now["slurm"]).items(), its_id
        for key in ("first_seen", "vanished", "accounting", "history", "mila_email_username"):
            assert now["cw"].get(key) == before["cw"].get(key), (its_id, key)

    present = {each for each, job in after.items() if "vanished" not in job["cw"]}
    upgraded.round(drop="JobId=233892 ")
    after = upgraded.documents("jobs")
    gone = {each for each in present if "vanished" in after[each]["cw"]}
    assert gone == {"mila/233892"}


@pytest.mark.parametrize("rounds", [0, 1])
def test_every_request_finds_what_there_was(upgraded: Upgraded, rounds: int) -> None:
    for _ in range(rounds):
        upgraded.round()
    client = upgraded.client()
    everything = {job["slurm"]["job_id"] for job in upgraded.before.values()}
    assert ids(client) == everything
    theirs = {
        each["slurm"]["job_id"]
        for each in upgraded.before.values()
        if each["cw"]["mila_email_username"] == OWNER
    }
    for name in ("me", OWNER, "milauser12"):
        assert ids(client, user=name) == theirs
    assert ids(upgraded.client(jobs_visible="own")) == theirs
    assert ids(upgraded.client("admin", jobs_visible="own")) == everything
    assert ids(client, gone="true") == {"233883", "820548"}
    assert ids(client, job_state="OUT_OF_MEMORY") == {"820548"}
    assert ids(client, ended_before="2022-01-01T00:00:00Z") >= {"820539"}
    for job in upgraded.before.values():
        slurm = job["slurm"]
        one = {key: slurm[key] for key in ("job_id", "cluster_name")}
        assert said(client.get("jobs/one", **one).json["slurm"]).items() >= said(slurm).items()
    for path, filters in FILTERS.items():
        found: dict[str, set[str]] = {}
        for job in upgraded.documents("jobs").values():
            part, key = path.split(".")
            values = job["slurm"].get(key) if part == "slurm" else job["cw"]["filters"][key]
            for value in [values] if isinstance(values, str) else values or ():
                found.setdefault(value, set()).add(job["slurm"]["job_id"])
        value = max(found, key=lambda each: len(found[each]))
        assert ids(client, **{filters: value.replace(",", "\\,")}) == found[value]
    assert len(client.get("nodes/list").json) == 9
    assert len(client.get("nodes/list", gone="true").json) == 1


def test_accounts_tokens_and_histories_go_on(upgraded: Upgraded) -> None:
    roles = {"owner": "user", "owner, again": "user", "admin": "admin", "service": "service"}
    for whose, role in roles.items():
        found = upgraded.client(whose).get("whoami").json
        assert (found["role"], found["token"]["expires"]) == (role, None)
    client = upgraded.client()
    written = {"loss": 0.25, "tags": ["a", {"b": None}], "größe": 2**40}
    assert client.get("jobs/one", **OWN).json["user"] == written
    answer = client.put("jobs/user_dict_update", **OWN, update_pairs={"loss": 0.125})
    assert answer.json == written | {"loss": 0.125}
    history = client.get("jobs/history", **OWN).json
    assert [step["state"] for step in history["history"]] == ["RUNNING", "COMPLETED"]
    assert client.get("jobs/history", **GONE).json["accounting"]["job_state"] == "FAILED"
    [former] = client.get("jobs/history", **REUSED).json["former_jobs"]
    assert former["slurm"]["submit_time"] == "2021-11-13T17:26:30-05:00"
    assert upgraded.store.quarantine.count_documents({}) == 1

    cursor = client.get("jobs/changes").json["cursor"]
    upgraded.round(drop="JobId=233892 ")
    changes = client.get("jobs/changes", cursor=cursor).json["changed"]
    assert "233892" in {each["slurm"]["job_id"] for each in changes}
    _, token = add_user(upgraded.store, OWNER, token_name="new")
    assert Client(client.app, {"Authorization": f"Bearer {token}"}).get("whoami").status == 200
