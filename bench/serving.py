"""Measure ``jobs/list`` beside Flask, and beside find and orjson alone."""

from collections.abc import Iterator

from api import build_app
from bench import baselines, collections, limits
from bench.api_client import BASE, Http, Wsgi
from bench.results import Row, Target, at_most_limit
from bench.servers import api_server
from bench.setting import Setting
from bench.timing import Contender, Samples, alternate

CLUSTER = "mila"


def rows(setting: Setting) -> Iterator[Row]:
    """Measure a whole list of jobs, and the same list if the client has it already."""
    store = collections.with_jobs(setting.databases, setting.sizes.listed, CLUSTER)
    token = collections.token_of_a_user(store)
    client = Wsgi(build_app(store), token)
    flask = Wsgi(baselines.flask_app(store.jobs, wanted := {"slurm.cluster_name": CLUSTER}))
    arguments = {"cluster_name": CLUSTER}
    etag = client.get(BASE + "jobs/list", arguments)[1].get("etag", "")
    with api_server(setting.databases.uri, store, setting.folder) as port:
        http = Http(port, token)
        times = alternate(
            {
                "list": Contender(lambda: client.get(BASE + "jobs/list", arguments)),
                "over HTTP": Contender(lambda: http.get(f"{BASE}jobs/list?cluster_name={CLUSTER}")),
                "unchanged": Contender(
                    lambda: client.get(BASE + "jobs/list", arguments, {"If-None-Match": etag})
                ),
                "flask": Contender(lambda: flask.get("/jobs/list", {})),
                "find": Contender(lambda: list(store.jobs.find(wanted))),
                "find in order": Contender(lambda: list(store.jobs.find(wanted).sort("_id"))),
                "find and dump": Contender(lambda: limits.find_and_dump(store.jobs, wanted)),
            },
            2 * setting.sizes.turns,
        )
        http.close()
    ours, find, least = times["list"], times["find"], times["find and dump"]
    yield Row(
        name=f"jobs/list of {setting.sizes.listed} jobs",
        ours=ours,
        baseline=times["flask"],
        baseline_is="Flask, jsonify over a list of dicts",
        limit=least,
        limit_is="pymongo's find and orjson.dumps",
        targets=(
            at_most_limit(1.2, ours, least, "find and orjson"),
            _beyond_find(ours, times["flask"], find),
        ),
        beside={
            "pymongo's find alone": find,
            "pymongo's find in the order of the list": times["find in order"],
            "`clockwork serve` over HTTP": times["over HTTP"],
        },
    )
    unchanged = times["unchanged"]
    yield Row(
        name=f"jobs/list of {setting.sizes.listed} jobs, unchanged, with If-None-Match",
        ours=unchanged,
        baseline=ours,
        baseline_is="the full answer",
        targets=(
            Target(
                "100 times cheaper than the full answer",
                ours.median / unchanged.median,
                100,
                at_least=True,
            ),
        ),
    )


def _beyond_find(ours: Samples, flask: Samples, find: Samples) -> Target:
    found = (ours.median - find.median) / (flask.median - find.median)
    return Target("beyond find at most 0.1 x Flask's beyond find", found, 0.1)
