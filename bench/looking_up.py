"""Measure requests for one job or one node among very many, beside find_one."""

import random
from collections.abc import Callable, Iterator, Sequence

from api import build_app
from bench import collections
from bench.api_client import BASE, Wsgi, requests_a_second
from bench.results import Row, at_most_limit
from bench.servers import api_server, constant_server
from bench.setting import Setting
from bench.timing import Contender, Samples, alternate
from ingest.database.store import Store

CLIENTS = 16


def rows(setting: Setting) -> Iterator[Row]:
    """Measure requests one after the other, then those of 16 clients at the same time."""
    records = setting.sizes.collection
    store = collections.large(setting.databases, records)
    token = collections.token_of_a_user(store)
    client = Wsgi(build_app(store), token)
    dice = random.Random(7)  # noqa: S311 - no secret
    jobs = [str(dice.randint(1, records)) for _ in range(setting.sizes.requests)]
    nodes = [f"cn-{number}" for number in jobs]
    yield _one(setting, store, client, "jobs", "job_id", jobs)
    yield _one(setting, store, client, "nodes", "name", nodes)
    yield from _at_once(setting, store, token, jobs)


def _one(
    setting: Setting, store: Store, client: Wsgi, kind: str, id_key: str, ids: Sequence[str]
) -> Row:
    collection = store.database[kind]

    def ask(record_id: str) -> None:
        arguments = {id_key: record_id, "cluster_name": "mila"}
        _, _, body = client.get(f"{BASE}{kind}/one", arguments)
        assert record_id.encode() in body  # noqa: S101 - an empty answer would be a fast one

    def find(record_id: str) -> None:
        wanted = {f"slurm.{id_key}": record_id, "slurm.cluster_name": "mila"}
        assert collection.find_one(wanted)  # noqa: S101

    times = alternate(
        {"ours": Contender(_each(ask, ids)), "find_one": Contender(_each(find, ids))}, len(ids)
    )
    return Row(
        name=f"{kind}/one among {setting.sizes.collection} {kind}",
        ours=times["ours"],
        limit=times["find_one"],
        limit_is="pymongo's find_one",
        targets=(at_most_limit(2, times["ours"], times["find_one"], "find_one"),),
    )


def _each(call: Callable[[str], None], ids: Sequence[str]) -> Callable[[], None]:
    """A call with the next of *ids* each time."""
    remaining = iter(ids)
    return lambda: call(next(remaining))


def _at_once(setting: Setting, store: Store, token: str, jobs: Sequence[str]) -> Iterator[Row]:
    client = Wsgi(build_app(store), token)
    one = client.get(BASE + "jobs/one", {"job_id": jobs[0], "cluster_name": "mila"})[2]
    etag = client.get(BASE + "jobs/list", {"cluster_name": "mila", "limit": "100"})[1]["etag"]
    page = [f"{BASE}jobs/list?cluster_name=mila&limit=100"]
    rates: dict[str, list[float]] = {"one": [], "polls": [], "constant": []}
    with (
        api_server(setting.databases.uri, store, setting.folder) as port,
        constant_server(len(one), setting.folder) as constant_port,
    ):
        asked = {
            "one": (port, [f"{BASE}jobs/one?job_id={each}&cluster_name=mila" for each in jobs], ""),
            "polls": (port, page, etag),
            "constant": (constant_port, page, ""),
        }
        for _ in range(setting.sizes.few_turns):
            for name, (server, targets, tag) in asked.items():
                seconds = setting.sizes.seconds / 2
                rates[name].append(
                    requests_a_second([server], token, targets, CLIENTS, seconds, tag)
                )
    samples = {name: Samples(tuple(each), "1/s") for name, each in rates.items()}
    yield Row(
        name=f"jobs/one, requests a second of {CLIENTS} clients",
        ours=samples["one"],
        limit=samples["constant"],
        limit_is="the same server answering a constant of the same size",
    )
    yield Row(
        name=f"polls of a page of 100 jobs, answered 304, a second of {CLIENTS} clients",
        ours=samples["polls"],
        limit=samples["constant"],
        limit_is="the same server answering a constant of the size of a job",
    )
