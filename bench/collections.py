"""Fill stores with jobs and nodes as a scrape leaves them, and with an account."""

from collections.abc import Callable
from itertools import islice

from bench import product
from bench.databases import Databases
from bench.dumps import Dump
from ingest.accounts.users import add_user
from ingest.database.store import Document, Store
from ingest.slurm.kinds import JOBS, NODES

EMAIL = "user000@mila.example"
USERNAME = "user000"
_PATTERNS = 500
"""Documents that come from a round; larger collections repeat them under other ids."""
_BATCH = 5_000


def token_of_a_user(store: Store) -> str:
    """Return a token of the user who has the most jobs of a dump."""
    _, token = add_user(store, EMAIL, USERNAME)
    return token


def with_jobs(databases: Databases, jobs: int, cluster: str = "mila") -> Store:
    """Return a store into which one round has written *jobs* jobs."""
    store = databases.new_store()
    add_round(store, jobs, cluster)
    return store


def add_round(
    store: Store, jobs: int, cluster: str, begins: Callable[[], None] = lambda: None
) -> None:
    """Write *jobs* jobs of *cluster* into *store* in one round; *begins* is called before it."""
    rounds = product.Rounds(store, cluster=product.cluster_settings(cluster))
    chunks = product.chunks_of(Dump(jobs))
    begins()
    rounds.take_in(chunks, "")


def large(databases: Databases, records: int) -> Store:
    """Return a store with *records* jobs (ids ``1`` and up) and as many nodes (``cn-1`` and up)."""
    patterns = databases.new_store()
    dump = Dump(_PATTERNS, nodes=_PATTERNS)
    rounds = product.Rounds(patterns)
    for kind in (JOBS, NODES):
        rounds.take_in(product.chunks_of(dump, kind), "", kind)
    store = databases.new_store()
    for kind, prefix in ((JOBS, ""), (NODES, "cn-")):
        collection = store.database[kind.plural]
        found = list(patterns.database[kind.plural].find())
        documents = (
            _another(found[number % len(found)], kind.id_key, f"{prefix}{number + 1}")
            for number in range(records)
        )
        while batch := list(islice(documents, _BATCH)):
            collection.insert_many(batch, ordered=False)
    return store


def _another(document: Document, id_key: str, record_id: str) -> Document:
    slurm = document["slurm"] | {id_key: record_id}
    return document | {"_id": f"{slurm['cluster_name']}/{record_id}", "slurm": slurm}
