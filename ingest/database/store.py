"""Define the collections in Mongo and their indexes, and connect to the database.

============  ===================================  =======================================
collection    a document                           unique on
============  ===================================  =======================================
jobs          ``{slurm, cw, user}``                slurm.job_id, slurm.cluster_name
nodes         ``{slurm, cw}``                      slurm.name, slurm.cluster_name
users         a user's names and hashed tokens     each of the names; a token's hash
former_jobs   a job whose id was reused            ``_id``: its job's, its submit time and
                                                   when it was first seen
leases        which daemon scrapes a cluster       see `ingest.database.leases`
lease_beats   that the daemon is alive             see `ingest.database.leases`
set_aside     a record in quarantine               ``_id``: cluster, kind and id
scrapes       how one round went                   nothing; a week is kept
clusters      how a cluster's rounds go            ``_id``: cluster and kind
node_periods  what held for a node for a time      ``_id``: cluster, name and begin
partitions    ``{slurm, cw}``                      ``_id``: cluster and name
reservations  ``{slurm, cw}``                      ``_id``: cluster and name
forecasts     when Slurm said that a job starts    ``_id``: cluster, id and submit time
schedulers    how a slurmctld does                 ``_id``: cluster
coverage      the time whose jobs are all known    ``_id``: cluster
census        counts of jobs and nodes             ``_id``: cluster and kind
marks         whether jobs or nodes have changed   see `ingest.database.change_tokens`
changes       which jobs or nodes have changed     ``_id``: see `ingest.database.changes`
webhooks      how far a webhook has told           ``_id``: the webhook's name; see
                                                   `ingest.webhooks.state`
webhook_told  what a webhook has noticed           ``_id``: see there
webhook_out…  events that wait for a receiver      ``_id``: see `ingest.webhooks.outbox`
volatile_…    run times and the like of jobs, and  ``_id``: cluster and slot, see
              of nodes                             `ingest.documents.volatile_values`
============  ===================================  =======================================

``_id`` of a job is ``<cluster_name>/<job_id>`` and of a node ``<cluster_name>/<name>``, so that
two writers of one record can only ever meet in one document.  The unique indexes begin with the id:
they serve a request that gives no cluster, and are the shard keys of a sharded cluster.  So every
update and delete of a job or a node gives ``_id``, or the whole unique key, by equality.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, get_args

import pymongo
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid

from config.settings import NameField
from ingest.database import embedded_pages
from ingest.database.embedded_quirks import branches

Document = dict[str, Any]

MOST_EMBEDDED_JOBS = 200_000
"""Jobs in the embedded database up to which Clockwork was measured; see docs/scaling.md."""

_FINISHED_AT = ("cw.filters.finished_at", ASCENDING)
_ID = ("_id", ASCENDING)
_SEARCH_FIELDS_VERSION = IndexModel([("cw.filters.version", ASCENDING)])
"""For `ingest.database.migrations`."""

INDEX_SECONDS = 3600.0
"""What new indexes over a large collection may take."""
ROUND_LOG_KEPT_SECONDS = 7 * 86400
"""How long a round stays in the log of rounds, ``scrapes``."""
FORECASTS_KEPT_SECONDS = 28 * 86400
"""How long the forecasts for a job stay in ``forecasts`` after its start."""
CHANGES_KEPT_SECONDS = 86400
"""How long an entry stays in ``changes``."""
TOLD_SECONDS = 8 * 86400
"""How long an event of a job stays in ``webhook_told``."""
NODE_PERIODS_KEPT_SECONDS = 400 * 86400
"""How long a node's period stays in ``node_periods`` after its end."""


def _unique_string(field: str) -> IndexModel:
    # "Greater than the empty string" holds for the other strings and nothing else, so that users
    # without the name don't collide; a query by equality implies it and can use the index.
    return IndexModel(
        [(field, ASCENDING)],
        name=field,
        unique=True,
        partialFilterExpression={field: {"$gt": ""}},
    )


OWN_JOBS_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "jobs": [IndexModel([("cw.filters.owner", ASCENDING), _FINISHED_AT])],
    "former_jobs": [IndexModel([("cw.filters.owner", ASCENDING)])],
}
"""The indexes that are needed only where users see their own jobs alone."""

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "jobs": [
        IndexModel([("slurm.job_id", ASCENDING), ("slurm.cluster_name", ASCENDING)], unique=True),
        IndexModel([("slurm.cluster_name", ASCENDING), _FINISHED_AT, _ID]),
        IndexModel([_FINISHED_AT, _ID]),
        IndexModel([("cw.filters.names", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.filters.states", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.filters.partitions", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.filters.nodes", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.filters.submit_time", ASCENDING), _ID]),
        IndexModel([("slurm.account", ASCENDING), _FINISHED_AT]),
        IndexModel([("slurm.name", ASCENDING), _ID]),
        IndexModel([("slurm.qos", ASCENDING), _FINISHED_AT]),
        IndexModel([("slurm.reason", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.filters.gpus", ASCENDING), _FINISHED_AT]),
        IndexModel([("cw.vanished", ASCENDING), _FINISHED_AT]),
        IndexModel([("slurm.array_job_id", ASCENDING)], sparse=True),
        IndexModel([("slurm.het_job_id", ASCENDING)], sparse=True),
        _SEARCH_FIELDS_VERSION,
    ],
    "nodes": [
        IndexModel([("slurm.name", ASCENDING), ("slurm.cluster_name", ASCENDING)], unique=True),
        IndexModel([("slurm.cluster_name", ASCENDING)]),
        IndexModel([("slurm.name", ASCENDING), _ID]),
        IndexModel([("cw.filters.states", ASCENDING)]),
        IndexModel([("cw.filters.partitions", ASCENDING)]),
        IndexModel([("cw.filters.features", ASCENDING)]),
        IndexModel([("cw.filters.gpus", ASCENDING)]),
        IndexModel([("cw.vanished", ASCENDING)]),
        _SEARCH_FIELDS_VERSION,
    ],
    "users": [
        *map(_unique_string, get_args(NameField)),
        _unique_string("tokens.sha256"),
    ],
    "former_jobs": [
        IndexModel([("slurm.job_id", ASCENDING), ("slurm.cluster_name", ASCENDING)]),
        IndexModel([("cw.filters.names", ASCENDING)]),
        _SEARCH_FIELDS_VERSION,
    ],
    "leases": [],
    "lease_beats": [],
    "set_aside": [IndexModel([("cluster_name", ASCENDING), ("last_seen", ASCENDING)])],
    "scrapes": [IndexModel([("started", ASCENDING)], expireAfterSeconds=ROUND_LOG_KEPT_SECONDS)],
    "clusters": [],
    "node_periods": [
        IndexModel([("cluster_name", ASCENDING), ("until", ASCENDING)]),
        IndexModel([("name", ASCENDING), ("cluster_name", ASCENDING), ("since", ASCENDING)]),
        IndexModel([("until", ASCENDING)], expireAfterSeconds=NODE_PERIODS_KEPT_SECONDS),
    ],
    "partitions": [IndexModel([("slurm.cluster_name", ASCENDING)])],
    "reservations": [IndexModel([("slurm.cluster_name", ASCENDING)])],
    "forecasts": [
        IndexModel([("cluster_name", ASCENDING), ("partition", ASCENDING)]),
        IndexModel([("started", ASCENDING)], expireAfterSeconds=FORECASTS_KEPT_SECONDS),
    ],
    "schedulers": [],
    "coverage": [],
    "census": [],
    "marks": [],
    "changes": [IndexModel([("at", ASCENDING)], expireAfterSeconds=CHANGES_KEPT_SECONDS)],
    "webhooks": [],
    "webhook_told": [IndexModel([("at", ASCENDING)], expireAfterSeconds=TOLD_SECONDS)],
    "webhook_outbox": [],
    "volatile_jobs": [],
    "volatile_nodes": [],
}
"""The indexes of every collection."""


class Store:
    """The service's collections in one Mongo database."""

    def __init__(self, database: Database[Document]) -> None:
        aware = CodecOptions(document_class=dict, tz_aware=True, tzinfo=timezone.utc)
        self.database = database.with_options(codec_options=aware)
        self.jobs: Collection[Document] = self.database["jobs"]
        self.nodes: Collection[Document] = self.database["nodes"]
        self.users: Collection[Document] = self.database["users"]
        self.former_jobs: Collection[Document] = self.database["former_jobs"]
        self.leases: Collection[Document] = self.database["leases"]
        self.lease_beats: Collection[Document] = self.database["lease_beats"]
        self.quarantine: Collection[Document] = self.database["set_aside"]
        self.round_log: Collection[Document] = self.database["scrapes"]
        self.clusters: Collection[Document] = self.database["clusters"]
        self.node_periods: Collection[Document] = self.database["node_periods"]
        self.partitions: Collection[Document] = self.database["partitions"]
        self.reservations: Collection[Document] = self.database["reservations"]
        self.forecasts: Collection[Document] = self.database["forecasts"]
        self.schedulers: Collection[Document] = self.database["schedulers"]
        self.coverage: Collection[Document] = self.database["coverage"]
        self.census: Collection[Document] = self.database["census"]
        self.change_tokens: Collection[Document] = self.database["marks"]
        self.changes: Collection[Document] = self.database["changes"]
        self.webhooks: Collection[Document] = self.database["webhooks"]
        self.webhook_told: Collection[Document] = self.database["webhook_told"]
        self.webhook_outbox: Collection[Document] = self.database["webhook_outbox"]
        self.bounds = embedded_pages.Bounds()

    def too_many_jobs(self) -> str | None:
        """Say so if the embedded database holds more jobs than it serves well; else None.

        Raises pymongo's errors.
        """
        jobs = self.jobs.estimated_document_count() if self.is_embedded else 0
        if jobs <= MOST_EMBEDDED_JOBS:
            return None
        return (
            f"the embedded database holds {jobs} jobs, and is made for up to {MOST_EMBEDDED_JOBS}:"
            " lists and rounds become slow. Set retention.after_days, or take everything into a"
            " MongoDB with `clockwork move --to URI`"
        )

    @cached_property
    def is_embedded(self) -> bool:
        """Whether this is the embedded database. Raises pymongo's errors."""
        return "secantus" in str(self.database.client.server_info()).lower()

    def branches(self, wanted: Document) -> list[Document]:
        """Return the filters to ask for what is *wanted*: each document matches one of them.

        They are several on the embedded database alone.  Raises pymongo's errors.
        """
        return branches(wanted) if "$or" in wanted and self.is_embedded else [wanted]

    def server_time(self) -> datetime:
        """Return the time on the database's host, in UTC. Raises pymongo's errors."""
        # MongoDB knows "hello" from 4.4.2 on only.
        now: datetime = self.database.client.admin.command("isMaster")["localTime"]
        return now.replace(tzinfo=timezone.utc)

    def ensure_indexes(self, *, own_jobs: bool = True) -> None:
        """Create the collections and indexes that are missing, however long that takes.

        *own_jobs* says whether some users may see only their own jobs, see `OWN_JOBS_INDEXES`.
        Raises pymongo's errors.
        """
        self.database.client.admin.command("ping")  # within the limits of a connection, of which
        with pymongo.timeout(INDEX_SECONDS):  # this takes the place
            self._create_collections()
            self._create_indexes(own_jobs=own_jobs)

    def _create_collections(self) -> None:
        # A transaction over several shards can't create a collection.
        for name in {*INDEXES} - {*self.database.list_collection_names()}:
            with suppress(CollectionInvalid):  # another process was faster
                self.database.create_collection(name)

    def _create_indexes(self, *, own_jobs: bool) -> None:
        wanted = [INDEXES, *([OWN_JOBS_INDEXES] if own_jobs else [])]
        wanted += [embedded_pages.INDEXES] if self.is_embedded else []
        for name in INDEXES:
            if indexes := [index for table in wanted for index in table.get(name, ())]:
                self.database[name].create_indexes(indexes)


def connect(uri: str, database: str) -> Store:
    """A store in *database* of the Mongo at *uri*; the connection is made at the first use.

    Writes are acknowledged by a majority and tried again once over a lost connection or a primary
    that steps down; a Mongo that can't be reached raises pymongo's errors after ten seconds, one
    that does not answer after sixty.
    """
    client: MongoClient[Document] = MongoClient(
        uri,
        appname="clockwork",
        retryWrites=True,
        w="majority",
        serverSelectionTimeoutMS=10_000,
        connectTimeoutMS=10_000,
        socketTimeoutMS=60_000,
    )
    return Store(client[database])
