"""The API under its real server, over a database that real scrapes' text has been taken into."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from api.app import build_app
from api.schema.endpoint import BASE
from api.server import Server
from clockwork.demo.run import DUMPS
from config import load_settings
from config.settings import ApiSettings, ClusterSettings
from ingest.accounts.users import add_user
from ingest.clusters.coverage import Coverage, CoverageLedger
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store, connect
from ingest.reading.parsing import RawPairs
from ingest.reading.records import Record
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS, NODES, Kind
from ingest.sync.sync_rounds import RoundCounts, SyncRounds
from tests.api.support.examples import node_document
from tests.mongo import leave
from tests.page.faults import Faults
from tests.support.layouts import printed
from tests.support.ports import LOOPBACK, free_port
from tests.support.reading import read_lazily

SETTINGS = DUMPS.parent / "clockwork.example.toml"
EMAIL = "demo.user@mila.quebec"
TOKENS_OWNER_JOB = "233874"
"""A job on mila of the user who has the token."""
STARTED_JOB = "233883"
"""A job on mila that the first scrape showed waiting and the second running."""

UNCOUNTED_NODE = "blg-uncounted"
"""A node on beluga with four GPUs of unknown use."""

SWEEP = 120
"""How many jobs are called ``sweep`` beside those of the dumps."""

BREAKS_OUT = "</bdi><img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
ESCAPES = "\x1b[31mred\x1b]0;title\x07"
TURNS_ROUND = "invoice\u202efdp.exe"
TERMS = "a,b\\c"
HOSTILE_NAMES = {
    "900001": BREAKS_OUT,
    "900002": ESCAPES,
    "900003": TURNS_ROUND,
    "900004": "x" * 600,
    "900005": "&lt;b&gt; &amp; {{7*7}} ${7*7} javascript:alert(1)",
    "900006": TERMS,
    "900007": "נסיון עם שם ארוך",
    "900008": "__proto__",
}
"""Names of jobs on mila, by their ids."""


@dataclass
class Site:
    """Where the page is, who may see it, and what stands behind it."""

    url: str
    token: str
    store: Store
    faults: Faults
    base: str = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.url.rstrip("/") + BASE

    def ask(self, path: str, **arguments: str) -> Any:
        """What the API answers to a GET, as JSON."""
        return self.call("GET", path, urlencode(arguments))

    def call(self, method: str, path: str, query: str = "", body: Any = None) -> Any:
        """What the API answers, as JSON."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = Request(f"{self.base}{path}?{query}", content, headers, method=method)  # noqa: S310
        with urlopen(request, timeout=300) as answer:  # noqa: S310 - our own server
            return json.load(answer)

    def new_token(self, name: str) -> str:
        """A further token for the same user."""
        return add_user(self.store, EMAIL, token_name=name)[1]

    def token_of(self, email: str, role: str = "user") -> str:
        """A token of another account."""
        return add_user(self.store, email, role=role)[1]

    def fail(self, cluster: str, error: str, hours: float) -> None:
        """Let a cluster's rounds fail with *error*; the last good ones were *hours* ago."""
        before = datetime.now(timezone.utc) - timedelta(hours=hours)
        for kind in ("jobs", "nodes"):
            RoundLog(self.store, cluster, lambda: before).succeeded(kind, 1.0, RoundCounts(), 1)
            RoundLog(self.store, cluster).failed(kind, 1.0, error)

    def mend(self, cluster: str) -> None:
        """Let a cluster's rounds go well again."""
        for kind in ("jobs", "nodes"):
            RoundLog(self.store, cluster).succeeded(kind, 1.0, RoundCounts(), 1)


@contextmanager
def running_site(mongo_uri: str, *others: str) -> Iterator[Site]:
    """The site, on a free port of loopback; its database is left afterwards.

    *others* are names of clusters that are configured beside those of the example.
    """
    store = connect(mongo_uri, f"clockwork_page_{uuid.uuid4().hex[:12]}")
    store.ensure_indexes()
    _, token = add_user(store, EMAIL, "milauser12", "ccuser01")
    clusters = load_settings(SETTINGS, {}).clusters
    fill(store, clusters)
    settings = ApiSettings(port=free_port())
    # So long that nothing is overdue, however slow the machine is.
    seldom = {"jobs_interval": 3600.0, "nodes_interval": 3600.0}
    configured = [each.model_copy(update=seldom) for each in clusters.values()]
    configured += [clusters["mila"].model_copy(update={"name": name}) for name in others]
    faults = Faults(build_app(store, clusters=configured))
    server = Server(faults, settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    site = Site(f"http://{LOOPBACK}:{settings.port}/", token, store, faults)
    try:
        write_user_dict(site)
        yield site
    finally:
        server.stop()
        thread.join()
        leave(store)


def fill(store: Store, clusters: dict[str, ClusterSettings]) -> None:
    """A round of each cluster's jobs and nodes, and a second one of mila's jobs."""
    dumped = [each for path in sorted((DUMPS / "mila").glob("jobs_*.txt")) for each in _read(path)]
    jobs = dumped + _made_jobs(dumped[0])
    before = "".join(
        printed(raw, {"JobState": "PENDING"} if _id(raw) == STARTED_JOB else {}) for raw in jobs
    )
    intake = SyncRounds(store, clusters["mila"], JOBS, volatile_interval=60)
    for output in (before, "".join(printed(raw, {}) for raw in jobs)):
        _round(store, intake, clusters["mila"], output)
    for name, kind in (("mila", NODES), ("beluga", JOBS), ("beluga", NODES)):
        intake = SyncRounds(store, clusters[name], kind, volatile_interval=60)
        [path] = (DUMPS / name).glob(f"{kind.plural}_*.txt")
        _round(store, intake, clusters[name], path.read_text(), kind)
    _cover(store)
    _add_gpus_of_unknown_use(store)


def _add_gpus_of_unknown_use(store: Store) -> None:
    """On beluga, a node whose GPUs Slurm does not count, and a job that does not tell how many it
    holds."""
    slurm = {"name": UNCOUNTED_NODE, "state": "MIXED", "cfg_tres": "cpu=2", "alloc_tres": "cpu=1"}
    slurm |= {"cluster_name": "beluga", "gres": "gpu:v100:4"}
    store.nodes.insert_one(node_document(slurm))
    running = {"slurm.cluster_name": "beluga", "slurm.job_state": "RUNNING", "cw.vanished": None}
    changed = store.jobs.update_one(running, {"$set": {"slurm.tres_per_socket": "gpu:1"}})
    assert changed.matched_count


def _cover(store: Store) -> None:
    """The time whose jobs of mila are all known: the last of five missing intervals ends at 900."""
    mila = Coverage(since=0)
    for window in ((100, 200), (300, 400), (500, 600), (700, 800)):
        mila = mila.with_window(window)
    mila = mila.after_round(900, 901, 300).without_accounting("kept from users")
    CoverageLedger(store, "mila").change(0, lambda _: mila)


def _round(
    store: Store, intake: SyncRounds, cluster: ClusterSettings, output: str, kind: Kind = JOBS
) -> None:
    content = output.encode("utf-8", "surrogateescape")
    counts = intake.take_in(read_lazily([content], kind.table, cluster=cluster))
    RoundLog(store, cluster.name).succeeded(kind.plural, 1.5, counts, len(content))


def _read(path: Path) -> list[RawPairs]:
    records = read_lazily([path.read_bytes()], JOB)
    return [record.raw for record in records if isinstance(record, Record)]


def _id(raw: RawPairs) -> str:
    return raw.pairs[0].value


def _made_jobs(like: RawPairs) -> list[RawPairs]:
    """A sweep of waiting jobs, and those with hostile names."""
    names = {str(800000 + number): "sweep" for number in range(SWEEP)} | HOSTILE_NAMES
    made = []
    for job_id, name in names.items():
        values = {"JobId": job_id, "JobName": name, "Partition": "long", "JobState": "PENDING"}
        values["SubmitTime"] = f"2021-11-14T0{int(job_id) % 10}:00:{int(job_id) % 60:02d}"
        pairs = [pair._replace(value=values.get(pair.key, pair.value)) for pair in like.pairs]
        made.append(RawPairs(tuple(pairs), like.end))
    return made


def write_user_dict(site: Site) -> None:
    """What the owner of a job may have written to it, through the API."""
    pairs = {
        "train_loss": 0.25,
        "samples": 9007199254740993,
        "note": BREAKS_OUT,
        "<script>hacked=1</script>": TURNS_ROUND,
        "nested": {"lines": "one\ntwo\u202e", "list": [1, None, True]},
    }
    where = urlencode({"job_id": TOKENS_OWNER_JOB, "cluster_name": "mila"})
    site.call("PUT", "jobs/user_dict_update", where, {"update_pairs": pairs})
