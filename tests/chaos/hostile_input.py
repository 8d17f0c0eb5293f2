"""Send hostile records from a cluster, and hostile arguments, bodies and tokens from a client."""

import base64
import hashlib
import json
import resource
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import quote

import bson

from api.app import ENDPOINTS
from api.endpoints.account import create_token
from api.schema.arguments import names_of
from api.schema.endpoint import Endpoint
from config import ClusterSettings
from config.settings import SshSettings
from ingest.database.store import Store
from ingest.reading import records
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.client import Answer, Client
from tests.chaos.report import Section
from tests.ingest.reading.attacks import job
from tests.support.reading import SEAL, AskedCluster, read_lazily

# --- records --------------------------------------------------------------------------------------

Chunks = Callable[[], Iterable[bytes]]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Output:
    """An output of scontrol whose jobs 1 and 3 are harmless and whose job 2 is hostile."""

    name: str
    middle: Chunks
    kept: bool = False
    """Whether the hostile job is a job like any other, with what it holds."""


def _record(job_id: str, **texts: str) -> bytes:
    text = job(job_id, "alice(1001)", sealed=True, **texts)
    return text.encode("utf-8", "surrogateescape")


def _comment(text: str) -> Chunks:
    return lambda: [_record("2", comment=text)]


def _giant(size: int) -> Iterator[bytes]:
    head, tail = _record("2", comment="@").split(b"@")
    yield head
    for _ in range(size // _CHUNK):
        yield b"x" * _CHUNK
    yield tail


def _keys(count: int) -> Iterator[bytes]:
    head, tail = _record("2", stdout="@").split(b"@")
    yield head + b"/o"
    for start in range(0, count, 10_000):
        yield b"".join(b"\n   Key%d=%d" % (n, n) for n in range(start, min(start + 10_000, count)))
    yield tail


OUTPUTS = (
    Output("a line of 100 MB", lambda: _giant(100 << 20)),
    Output("a million keys", lambda: _keys(1_000_000)),
    Output("10,000 keys", lambda: _keys(10_000), kept=True),
    Output("900,000 letters", _comment("x" * 900_000), kept=True),
    Output("300,000 equals signs", _comment("=" * 300_000), kept=True),
    Output("100,000 words with equals signs", _comment("a=b " * 100_000), kept=True),
    Output("bytes that are not UTF-8", _comment("\udcff\udcfe\udc80"), kept=True),
    Output("NUL", _comment("a\0b"), kept=True),
    Output("terminal escapes", _comment("\x1b[2J\x1b]0;owned\x07\x9b31m"), kept=True),
    Output("marks that turn the writing round", _comment("\u202e\u2066abc"), kept=True),
    Output("carriage returns", _comment("a\rJobId=9 JobName=x\r"), kept=True),
    Output("Mongo's operators as words", _comment('{"$gt": ""} $where=1 a.b=2 _id=3'), kept=True),
    Output("script", _comment("<script>alert(1)</script>"), kept=True),
)
FORGED_KEYS = ("$where", "a.b", "__proto__", "_id", "$", ".", "constructor", "a\0b", "é")
"""Names of keys that no Slurm prints."""


def run_records(store: Store) -> Section:
    """Read every output; check that its harmless jobs are in the database."""
    section = Section(
        "Hostile records",
        "Each output of scontrol has three jobs. The second job contains what a user or a "
        "broken slurmctld could put there. The output goes through the reader into the "
        "database. The other two jobs must always be read, with their values.",
    )
    rows: list[tuple[str, ...]] = [("the second job holds", "size", "it is", "seconds", "MiB more")]
    outputs = [
        *OUTPUTS,
        *(
            Output(f"the key {key!r}", _comment(f"x\n   {key}=1 JobState=FAILED"))
            for key in FORGED_KEYS
        ),
    ]
    for output in outputs:
        store.jobs.delete_many({})
        began, before = time.monotonic(), _peak()
        size = _take_in(store, output)
        seconds, grown = time.monotonic() - began, _peak() - before
        jobs = {found["slurm"]["job_id"]: found["slurm"] for found in store.jobs.find({})}
        rows.append(
            (
                output.name,
                f"{size:,}",
                "kept" if "2" in jobs else "in quarantine",
                f"{seconds:.1f}",
                f"{grown >> 20}",
            )
        )
        if {"1", "3"} - jobs.keys() or set(jobs) - {"1", "2", "3"}:
            section.problems.append(f"{output.name}: the jobs are {sorted(jobs)}")
        if output.kept and "2" not in jobs:
            section.problems.append(f"{output.name}: it went into quarantine")
        for slurm in jobs.values():
            if slurm["job_state"] != "RUNNING" or not all(map(_harmless, slurm)):
                section.problems.append(f"{output.name}: {slurm}"[:300])
        if grown > 64 << 20:
            section.problems.append(f"{output.name}: {grown >> 20} MiB of memory")
    section.figure("outputs", len(outputs))
    section.tables.append(list(rows))
    return section


def _take_in(store: Store, output: Output) -> int:
    size = 0

    def chunks() -> Iterator[bytes]:
        nonlocal size
        for chunk in chain([_record("1")], output.middle(), [_record("3")]):
            size += len(chunk)
            yield chunk

    cluster = ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=SshSettings(host="login"),
    )
    intake = SyncRounds(store, cluster, JOBS, volatile_interval=900.0)
    intake.take_in(read_lazily(chunks(), JOB, seal=SEAL, inquiry=_Cluster(output)))
    intake = SyncRounds(store, cluster, JOBS, volatile_interval=900.0)
    intake.take_in(read_lazily(chunks(), JOB, seal=SEAL, inquiry=_Cluster(output)))
    return size


class _Cluster(AskedCluster):
    """Prints the three jobs of an output alone, too."""

    def __init__(self, output: Output) -> None:
        super().__init__(owners=dict.fromkeys("123", "1001"))
        self._output = output

    def show(self, job_id: str) -> records.Answer:
        return records.Answer(self._output.middle() if job_id == "2" else [_record(job_id)], SEAL)


def _harmless(key: str) -> bool:
    return not (key.startswith("$") or "." in key or "\0" in key or key in {"_id", "__proto__"})


def _peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


# --- arguments ------------------------------------------------------------------------------------


def feed_cursor(numbers: str) -> str:
    """Return a text that is like a cursor of a feed, with this JSON for its numbers."""
    text = f'["jobs",null,"",{numbers},""]'
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).rstrip(b"=").decode()


def page_cursor(value: float) -> str:
    """Return a text that is like a cursor of a page in the order of times, behind this one."""
    text = json.dumps(["-slurm.submit_time", value, "mila/1"])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


VALUES: tuple[object, ...] = (
    *(
        "$gt",
        '{"$gt": ""}',
        '{"$ne": null}',
        "$where",
        "$user",
        "$$ROOT",
        "a.b",
        "_id",
        "__proto__",
    ),
    *("' || '1'=='1", "1; return true", "mila/233874", "*", ".*", "^", "(?=)", "\\", "%00", "\0"),
    *("\x1b[2J", "\u202e", "\ufeff", "\ud7ff", "é" * 5000, "x" * 30_000, "-1", "1e9", "٣", " 1 "),
    *("null", "true", "[]", "{}", "NaN", "9" * 400, "0x10", "1_000", "+5", "../../etc/passwd"),
    *(
        "[" * 5000,
        '{"a":' * 1000,
        "1e999",
        "-Infinity",
        "²",
        "\uff12",
        "0" * 5000,
        "1\n",
        "1,,2",
        ",",
    ),
    *map(str, (2**63, 2**64 - 1, 2**64, -(2**63) - 1, 253402300800, -62135596801, 2**31, 2**32)),
    *("4_99999999999999999999", "4_[1-99999999999]", "4_[0-4294967295]", "99999999999999999999+1"),
    *(
        "0001-01-01",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-02-30",
        "24:00",
    ),
    *(
        "now-99999999999days",
        "cn[001-999999999]",
        "cn[1-2][1-99999]",
        "cn[",
        "]",
        "a[1-2,",
        "x,x,x",
    ),
    *map(
        feed_cursor, ('{"mila":{"s":Infinity}}', '{"mila":{"s":-1}}', '{"a/b":{"/":1}}', "[" * 9999)
    ),
    *map(page_cursor, (2**63, 2**64 - 1, -(2**63), 1e308, -62135596800001, 253402300800000)),
)
OBJECTS: tuple[object, ...] = (
    *({"$gt": ""}, {"$ne": None}, {"$regex": ".*"}, {"$where": "1"}, ["$gt"], [[]], {}, [], True),
    *(1.5, -1, 1 << 70, None, {"a": {"$set": 1}}, "\ud800", {"": 1}),
)
KEYS = (
    *("$set", "$inc", "$where", "a.b", "a.$.b", "", "\0", "a\0b", "__proto__", "$", "."),
    *("x" * 1025, "$\u200b", ".a", "a."),
)
KEPT_KEYS = ("_id", "constructor", "prototype", "user", "slurm", "a$b", "\x1b[2J", "<b>", "é" * 500)
"""Keys that are just names inside a user dict."""


def run_arguments(client: Client, store: Store, step: int = 1) -> Section:
    """Send every hostile value in every argument; check that nothing changes and nothing leaks.

    With a *step*, only each so many-th of the values, beginning with another one for each argument.
    """
    section = Section(
        "Hostile arguments",
        "Every hostile value is sent in every argument of every endpoint: in the query, in a "
        "form, in a JSON body, and as the name of an argument. Hostile keys are sent at every "
        "depth of update_pairs. No request may cause a server error, select other jobs than a "
        "plain string would, or change a document that it should not.",
    )
    statuses: Counter[str] = Counter()
    tried = 0
    before = _digest(store)
    for endpoint, answer, what in _requests(client, step):
        tried += 1
        statuses[f"{endpoint.paths[0]}: {answer.status}"] += 1
        if answer.status >= 500:
            section.problems.append(f"{what}: {answer.status} {answer.body[:200]!r}")
        if answer.status == 200 and not _selects_nothing(what, json.loads(answer.body)):
            section.problems.append(f"{what}: answered {answer.body[:200]!r}")
        if b"Traceback" in answer.body or b"pymongo" in answer.body:
            section.problems.append(f"{what}: the answer tells of the program")
    if _digest(store) != before:
        section.problems.append("a document has changed")
    section.figure("requests", tried)
    rows = [("endpoint: status", "times"), *((key, str(n)) for key, n in sorted(statuses.items()))]
    section.tables.append(list(rows))
    _user_dicts(client, store, section)
    _bodies(client, store, section)
    return section


def _selects_nothing(what: str, answered: Any) -> bool:
    is_a_number = what == "count=true" and answered.keys() == {"count"}  # as was asked for
    no_changes = (
        isinstance(answered, dict) and answered.get("changed") == answered.get("gone") == []
    )
    return answered in ([], {}, {"count": 0}) or is_a_number or no_changes


def _requests(client: Client, step: int) -> Iterator[tuple[Endpoint, Answer, str]]:
    offset = 0
    for endpoint in ENDPOINTS:
        # A new token may have any name of printable ASCII; tests/api/endpoints/test_account.py.
        if endpoint.tag == "service" or endpoint is create_token:
            continue
        path, known = endpoint.shown[0], names_of(endpoint.arguments)
        required = {"job_id": "0", "node_name": "none", "update_pairs": "{}"}
        for name in (
            *known,
            "x",
            "user[$ne]",
            "$where",
            "user.$gt",
            "_id",
            "__proto__",
        ):
            offset += 1
            for value in VALUES[offset % step :: step]:
                given = {key: required[key] for key in known if key in required}
                given |= {name: str(value)}
                if name == "update_pairs":
                    given["job_id"] = "0"
                query = "&".join(f"{quote(k)}={quote(v)}" for k, v in given.items())
                yield endpoint, client.call(endpoint.method, path, query), f"{query[:80]}"
                if endpoint.body:
                    form = ("application/x-www-form-urlencoded", query.encode())
                    body = ("application/json", json.dumps(given).encode())
                    for kind, content in (form, body):
                        answer = client.call(endpoint.method, path, "", content, kind)
                        yield endpoint, answer, f"{kind} {content[:80]!r}"
            for value in OBJECTS[offset % step :: step] if endpoint.body else ():
                given_objects = {"job_id": "0", "update_pairs": {}} | {name: value}
                content = json.dumps(given_objects).encode()
                answer = client.call(endpoint.method, path, "", content, "application/json")
                yield endpoint, answer, f"JSON {content[:80]!r}"


def _user_dicts(client: Client, store: Store, section: Section) -> None:
    """Keys of a user dict: refused, or kept as they are."""
    job_of_mine = {"job_id": "233874", "cluster_name": "mila"}
    for key in KEYS:
        for pairs in ({key: 1}, {"a": {key: 1}}, {"a": [{"b": {key: [1]}}]}):
            answer = client.put("jobs/user_dict_update", **job_of_mine, update_pairs=pairs)
            if answer.status != 400:
                section.problems.append(f"the key {key[:40]!r}: {answer.status}")
    for key in KEPT_KEYS:
        named = {key: {"value": key}}
        answer = client.put("jobs/user_dict_update", **job_of_mine, update_pairs=named)
        if answer.status != 200 or answer.json.get(key) != {"value": key}:
            section.problems.append(f"the key {key!r}: {answer.status}")
    job = store.jobs.find_one({"slurm.job_id": "233874"}) or {"user": {}}
    if set(job["user"]) != set(KEPT_KEYS):
        section.problems.append(f"the user dict has the keys {sorted(job['user'])}")
    section.figure("keys of user dicts refused, at three depths", len(KEYS))
    section.figure("keys of user dicts kept as names", len(KEPT_KEYS))


BODIES: tuple[tuple[str, bytes], ...] = (
    ("100,000 open brackets", b"[" * 100_000),
    ("100,000 levels", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    (
        "levels in update_pairs",
        b'{"job_id":"1","update_pairs":' + b'{"a":' * 9000 + b"1" + b"}" * 9001,
    ),
    ("a number of 500,000 digits", b'{"job_id":"1","update_pairs":{"a":' + b"9" * 500_000 + b"}}"),
    ("a number of 2^64", b'{"job_id":"1","update_pairs":{"a":18446744073709551616}}'),
    ("1e400", b'{"job_id":"1","update_pairs":{"a":1e400}}'),
    ("NaN", b'{"job_id":"1","update_pairs":{"a":NaN}}'),
    ("a key twice", b'{"job_id":"1","job_id":"2","update_pairs":{}}'),
    ("a byte order mark", b'\xef\xbb\xbf{"job_id":"1","update_pairs":{}}'),
    ("UTF-16", '{"job_id":"1","update_pairs":{}}'.encode("utf-16")),
    ("bytes that are not UTF-8", b'{"job_id":"\xff","update_pairs":{}}'),
    ("half a surrogate pair", b'{"job_id":"1","update_pairs":{"a":"\\ud800"}}'),
    ("a million elements", b'{"job_id":"1","update_pairs":{"a":[' + b"1," * 450_000 + b"1]}}"),
    (
        "100,000 keys",
        b'{"job_id":"1","update_pairs":{'
        + b",".join(b'"k%d":1' % n for n in range(80_000))
        + b"}}",
    ),
    ("a list", b"[]"),
    ("nothing", b""),
    ("more than 1 MiB", b" " * ((1 << 20) + 1)),
)


def _bodies(client: Client, store: Store, section: Section) -> None:
    rows: list[tuple[str, ...]] = [("body", "status", "seconds")]
    before = _digest(store)
    for name, body in BODIES:
        began = time.monotonic()
        answer = client.call("PUT", "jobs/user_dict_update", "", body, "application/json")
        rows.append((name, str(answer.status), f"{time.monotonic() - began:.2f}"))
        if not 400 <= answer.status < 500:
            section.problems.append(f"{name}: {answer.status} {answer.body[:200]!r}")
    if _digest(store) != before:
        section.problems.append("a body has changed a document")
    section.tables.append(list(rows))


def _digest(store: Store) -> str:
    documents = [bson.encode(each) for each in store.jobs.find({}).sort("_id", 1)]
    # When a token was last used is noted by reading too.
    users = store.users.find({}, {"tokens.last_used": 0}).sort("_id", 1)
    documents += [bson.encode(each) for each in users]
    return hashlib.sha256(b"".join(documents)).hexdigest()


# --- tokens ---------------------------------------------------------------------------------------


TOKEN_PREFIX = "cw_"
"""What every token begins with; the secret comes behind it."""


def run_tokens(client: Client, times: int) -> Section:
    """Send wrong tokens; check that all are refused, and compare how long that takes."""
    token = client.headers["Authorization"].removeprefix("Bearer ")
    shapes = {
        "wrong in the first letter": _other(token, len(TOKEN_PREFIX)),
        "of another kind": _other(token, 0),
        "wrong in the last letter": _other(token, -1),
        "wrong in the middle": _other(token, len(token) // 2),
        "without its last letter": token[:-1],
        "with a letter more": token + "A",
        "in capitals": token.upper(),
        "empty": "",
        "10,000 letters": "A" * 10_000,
        "an object": '{"$gt": ""}',
        "its own hash": hashlib.sha256(token.encode()).hexdigest(),
        "Latin letters": "é" * len(token),
        "a list of two": f"{token}, {token}",
    }
    section = Section(
        "Wrong tokens",
        f"Each wrong token is sent {times} times, in turns, in one process without a network, so "
        "that small differences show. The API looks up the hash of a token, so the time cannot "
        "show how much of a token is right. A text that cannot be a token is refused before the "
        "database is asked. This shows only the shape of tokens, which is documented.",
    )
    taken: dict[str, list[float]] = {name: [] for name in shapes}
    for _ in range(times):
        for name, shape in shapes.items():
            began = time.perf_counter()
            answer = Client(client.app, {"Authorization": f"Bearer {shape}"}).get("nodes/list")
            taken[name].append(time.perf_counter() - began)
            if answer.status != 401:
                section.problems.append(f"{name}: {answer.status}")
    middle = {name: statistics.median(each) * 1e6 for name, each in taken.items()}
    rows = [("token", "median, in us", "half of all within, in us")]
    for name, each in taken.items():
        low, _, high = statistics.quantiles(each, n=4) if times > 1 else (0.0, 0.0, 0.0)
        rows.append((name, f"{middle[name]:.0f}", f"{low * 1e6:.0f} to {high * 1e6:.0f}"))
    section.tables.append(list(rows))
    section.figure(
        "wrong in the last letter, against wrong in the first",
        f"{middle['wrong in the last letter'] / middle['wrong in the first letter'] - 1:+.1%}",
    )
    for scheme in ("Basic", "basic", "Digest", "", "Bearer\t"):
        for credentials in ("", "x", "=", base64.b64encode(b"a").decode(), "\xff" * 50):
            answer = Client(client.app, {"Authorization": f"{scheme} {credentials}"}).get(
                "nodes/list"
            )
            if answer.status != 401:
                section.problems.append(f"{scheme} {credentials}: {answer.status}")
    return section


def _other(token: str, position: int) -> str:
    letters = list(token)
    letters[position] = "A" if letters[position] != "A" else "B"
    return "".join(letters)
