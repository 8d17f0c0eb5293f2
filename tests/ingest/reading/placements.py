"""Forged texts in every place: outputs with one or two attackers' jobs, and the check that no
other user's job suffers.

    >>> check(one_attacker(4711), Reader(JOB, CLUSTER))
    Outcome(...)

The numbers enumerate: release of Slurm, text that carries the forgery, shape of the forgery, whose
id it bears, the attacker's place among the victims, and the last line of the victims' records.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from ingest.reading.doubts import MAX_ASKED
from ingest.reading.reader import MAX_RECORD_BYTES, Reader
from ingest.reading.records import Answer, Record, SetAside, Unchanged
from ingest.slurm.keys import JOB
from tests.ingest.reading.printed_jobs import RELEASES, Job, printed, text_keys
from tests.support.reading import CLUSTER

ALICE, MALLORY = "alice", "mallory"
ATTACKERS = frozenset({ALICE, MALLORY})
NOBODYS = "777777"
"""No job has this id."""
NEXT = "31"
"""The id of a job that is submitted while scontrol prints: squeue lists the job alone."""

BLANKS = ("\n\n", "\n   \n\n", "\n\n\n", "\n                \n")
CHUNK_BYTES = (1 << 20, 1 << 20, 1000, 1000, 64, 64, 7)


@dataclass(frozen=True)
class Placement:
    """An output of scontrol with forged texts in it, and what is true."""

    name: str
    jobs: Sequence[Job]
    """The jobs that scontrol prints, in their order."""
    late: Sequence[Job] = ()
    """Jobs that are there only when squeue is asked."""
    gone: frozenset[str] = frozenset()
    """Ids of jobs that are no longer there when squeue is asked."""
    chunk_bytes: int = 1 << 20
    max_bytes: int = MAX_RECORD_BYTES


# --- the cluster that knows the truth -------------------------------------------------------------


class Site:
    """Prints what scontrol and squeue would print of a placement: an `Inquiry`."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.asked: list[str] = []
        """The ids that were asked for in this round."""
        self._now = [job for job in placement.jobs if job.id not in placement.gone]
        self._now += placement.late
        self._seals = 0

    def output(self) -> tuple[Iterable[bytes], str]:
        """Return what scontrol prints of all jobs, in chunks, and the seal."""
        self.asked = []
        seal = self._new_seal()
        return self._chunks(self.placement.jobs, seal), seal

    def owners(self) -> Mapping[str, str]:
        """Return the uid of every job by id."""
        return {job.id: job.uid for job in self._now}

    def show(self, job_id: str) -> Answer | None:
        """Return what scontrol prints of one job; of an array all tasks."""
        self.asked.append(job_id)
        jobs = [job for job in self._now if job_id in (job.id, job.group)]
        if not jobs:
            return None
        seal = self._new_seal()
        return Answer(self._chunks(jobs, seal), seal)

    def _new_seal(self) -> str:
        self._seals += 1
        return f"q7Rk{self._seals:03}"

    def _chunks(self, jobs: Iterable[Job], seal: str) -> list[bytes]:
        text = "".join(printed(job, seal) for job in jobs).encode("utf-8", "surrogateescape")
        size = self.placement.chunk_bytes
        return [text[start : start + size] for start in range(0, len(text), size)]


@lru_cache(maxsize=4096)
def document(job: Job) -> dict[str, object]:
    """Return the true document of a victim's *job*."""
    seal = "q7Rk2Xa"
    text = printed(job, seal).encode("utf-8", "surrogateescape")
    (record,) = Reader(JOB, CLUSTER).read([text], seal=seal)
    assert isinstance(record, Record), record
    read = {pair.key: pair.value.rstrip(" ") for pair in record.raw.pairs}
    assert {key: read[key] for key in job.texts} == job.texts
    assert (read["JobId"], record.slurm["uid"]) == (job.id, job.uid)
    return record.slurm


# --- the check ------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of the attackers' own records, and what the check cost."""

    right: int = 0
    """Records that were read, if only in part as their owners meant them."""
    aside: int = 0
    asked: int = 0
    """Jobs that were asked for alone."""
    rounds: int = 0

    def add(self, other: "Outcome") -> None:
        """Add the figures of *other*."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def check(placement: Placement, reader: Reader) -> Outcome:
    """Read *placement*, round after round, until every other user's job was read.

    Raises AssertionError where another user's document is wrong, a job is invented, lost, or
    missing for longer than `MAX_ASKED` jobs a round allow.
    """
    site = Site(placement)
    known: dict[bytes, tuple[str, dict[str, object]]] = {}
    outcome = Outcome()
    others = {job.id for job in placement.jobs if job.user not in ATTACKERS} - placement.gone
    others |= {job.id for job in placement.late if job.user not in ATTACKERS}
    in_doubt = set(others)
    for number in range(2 + len(placement.jobs) // (MAX_ASKED // 2)):
        chunks, seal = site.output()
        items = list(
            reader.read(
                chunks,
                seal=seal,
                seen=lambda texts: [known.get(text, ("", {}))[0] or None for text in texts],
                inquiry=site,
            )
        )
        told = _hold(items, placement, site, known)
        if not number:
            _count(outcome, items)
        outcome.rounds += 1
        outcome.asked += len(site.asked)
        assert len(site.asked) <= MAX_ASKED
        in_doubt -= told
        # A job that was submitted meanwhile is read in this round only if there is a doubt.
        if not in_doubt - ({job.id for job in placement.late} if not site.asked else set()):
            return outcome
    raise AssertionError(f"{sorted(in_doubt)} stay missing")


def _hold(
    items: Iterable[Record | SetAside | Unchanged],
    placement: Placement,
    site: Site,
    known: dict[bytes, tuple[str, dict[str, object]]],
) -> set[str]:
    """Hold what was read against the truth; return the ids of the records."""
    jobs = {job.id: job for job in (*placement.jobs, *placement.late)}
    found: list[str] = []
    aside: set[str] = set()
    for item in items:
        if isinstance(item, SetAside):
            assert item.reason
            aside.update(item.ids)
            continue
        if isinstance(item, Unchanged):
            found += item.ids
            said = dict(known.values())
            documents = {job_id: said[job_id] for job_id in item.ids}
        else:
            found.append(item.id)
            documents = {item.id: item.slurm}
            known[item.sealed] = item.id, item.slurm
        for job_id, slurm in documents.items():
            job = jobs.get(job_id)
            assert job is not None, f"job {job_id} was invented"
            assert slurm["uid"] == job.uid, f"job {job_id} was given to another user"
            if job.user not in ATTACKERS:
                assert slurm == document(job), f"job {job_id} was misread"
    assert len(found) == len(set(found)), "a job was read twice"
    assert aside <= jobs.keys(), f"{sorted(aside - jobs.keys())} count as present"
    there = jobs.keys() - placement.gone - {job.id for job in placement.late}
    listed = site.owners().keys() if site.asked else set()
    assert there <= set(found) | aside | listed, "a job was lost"
    unsettled = {job_id for job_id in aside if jobs[job_id].user not in ATTACKERS}
    assert not unsettled or len(site.asked) == MAX_ASKED, f"{sorted(unsettled)} were set aside"
    return set(found)


def _count(outcome: Outcome, items: Iterable[Record | SetAside | Unchanged]) -> None:
    """Count what became of the attackers' jobs in a first round."""
    uids = {Job("", user, "").uid for user in ATTACKERS}
    for item in items:
        if isinstance(item, SetAside):
            outcome.aside += 1
        elif isinstance(item, Record) and item.slurm["uid"] in uids:
            outcome.right += 1


# --- forgeries ------------------------------------------------------------------------------------

_LATE_KEYS = "\n   OOMKillStep=7\n   TresPerNode=gres:gpu:8\n   MailUser=evil MailType=ALL"
_LAST_LINES = (
    "\n   Comment=i steal data\n   StdErr=/evil/err\n   StdIn=/dev/null\n   StdOut=/evil/out"
    "\n   BatchScript=rm -rf /"
)
_KEYS = (
    "\n   FutureKey=1",
    " FutureKey=1",
    "\n   JobState=FAILED Reason=x",
    "\n   UserId=bob(1002) GroupId=bob(1002) MCS_label=N/A",
    "\n   SubmitTime=2026-01-01T00:00:00+0000 EligibleTime=Unknown",
    "\n   SubmitTime=2026-01-01T00:00:00+0000q7Rk999 EligibleTime=Unknown",
    _LATE_KEYS,
)


_OTHER_ENDS = (
    "\r\n\r\n",
    "\r\r",
    "\n\r\n",
    "\n\t\n",
    "\n\x0b\n",
    "\x0c\x0c",
    "\x85\x85",
    "\u2028\u2029",
    "\x1c\x1d\x1e",
    "\n" + " " * 17 + "\n",
)
"""What is no end of a line for scontrol, and no blank line before a record."""


def shapes(key: str, carrier: Job, target: Job, blank: str) -> Iterator[str]:
    """Yield every forgery that *carrier* can hold in its text *key*, bearing *target*'s id."""
    start = f"JobId={target.id} JobName=z"
    own_end = printed(carrier, after=key)
    target = replace(target, batch=True, texts={**target.texts, **carrier.texts})
    head = printed(target, until=key)
    other = replace(target, id=NOBODYS)
    yield f"x{blank}{start}"
    yield f"x{blank}JobId={target.id} "
    yield f"{blank}{start}\n   UserId=bob(1002) GroupId=bob(1002) MCS_label=N/A"
    yield f"x{own_end}{start}"
    yield f"x{blank}{head}x"
    yield f"x{own_end}{head}x"
    yield f"x{own_end}{printed(target, 'q7Rk999')}{start}"
    yield f"x{own_end}{printed(target)}{printed(carrier, until=key)}x"
    yield f"x{own_end}{head}x{own_end}{printed(replace(other, texts=target.texts))}{head}"
    yield f"x{_LATE_KEYS}{blank}{start}"
    yield f"x{_LAST_LINES}{blank}{start}"
    yield f"x\n   FutureKey=written-by-alice{blank}{start}"
    yield f"x{blank}{start}" * 3
    yield f"x{own_end}" + f"{start}\n\n" * 50
    # Lines as Slurm prints them, in places where they are a text.
    lines = [line.strip() for line in printed(target).split("\n") if line.strip()]
    yield "\n".join(("x", *lines))
    yield "\n   ".join(("x", *lines))
    yield f"x\nJobId={target.id}\nJobId={target.id} JobName=z\n   JobId={target.id}\nJobId=5"
    yield "x\n     Nodes=cn-a001 CPU_IDs=0 Mem=1 GRES=\n     Nodes=cn-a002 CPU_IDs=0 Mem=1 GRES="
    number = len(re.findall("(?<=[ \n])[A-Z][^ =]*=", printed(carrier)))
    for hidden in (
        "\n   RunTime=1\n   RunTime=" + "YesSpreadJob=" * number + "Yes",
        "\n   NtasksPerTRES:0 RunTime=5" + "\n   NtasksPerTRES:0 RunTime=5 RunTime=6" * number,
    ):
        yield f"x{hidden}\nz {' '.join(lines[1:])}"
    for keys in _KEYS:
        yield f"x{keys}"
        yield f"x{blank}{start}{keys}"

    # Bytes that other programs take for the end of a line, for a seal, or for an error.
    for end in _OTHER_ENDS:
        yield f"x{own_end}{end}{printed(target)}{start}"
        yield f"x{end}{start}\n   UserId=bob(1002) GroupId=bob(1002) MCS_label=N/A"
    sealed = printed(target).replace("+0000", "+0000" + "\0" * 7)
    yield f"x{own_end}{sealed}{start}"
    yield f"\udcff{blank}\udc80{start}\udcff"
    yield f"x{own_end}{head}x".replace("\n", "\r\n")
    yield f"{blank}No jobs in the system{blank}{start}"
    yield f"x\\{blank}\\{start}\\"
    yield f"{key}=" * 300 + "\n" * 20


SHAPES = 26 + 2 * len(_KEYS) + 2 * len(_OTHER_ENDS)
ROLES = ("own", "partner", "before", "behind", "far", "nobody", "next")
"""Whose id a forgery bears."""


def victims(release: str) -> Iterator[Job]:
    """Yield bob's jobs, each with another last line."""
    yield Job("20", "bob", release)
    yield Job("20", "bob", release, batch=False)
    yield Job("20", "bob", release, {"JobName": "ends in \\", "Command": "/run \udcff = é 漢 \r"})
    yield Job("20", "bob", release, {"Account": "a=b c", "Comment": "a\n\n\nb\rJobId=5 \\"})
    ends = {
        "Comment": "two\nlines  and = signs",
        "Extra": "extra",
        "StdOut": "/a b/JobState=x",
        "BurstBuffer": "#DW swap 1GB\n#DW jobdw",
        "TresBind": "gres/gpu:closest",
        "TresPerNode": "gres/gpu:1",
        "MailUser": "bob",
        "Container": "/a container",
        "SELinuxContext": "system_u:x",
    }
    for key, text in ends.items():
        if key in text_keys(release):
            yield Job("20", "bob", release, {key: text})
            if key != "StdOut":
                yield Job("20", "bob", release, {key: text}, batch=False)


ORDERS = ("AV", "VA", "VAV", "AVV", "VVA", "VAVV")
PAIRED = ("AB", "VABV", "VAVBV", "AVBV", "VAVB", "BVAV", "VBAV", "AVVB", "VAVVBV")


def _jobs(order: str, release: str, end: int) -> list[Job]:
    """The jobs of an output: A is alice's, B the other attacker's, and V are victims'."""
    kinds = list(victims(release))
    users = ("bob", "carol", "dave", "bob")
    jobs: list[Job] = []
    for at, letter in enumerate(order):
        job = replace(kinds[(end + at) % len(kinds)], id=str(10 + at), user=users[at % 4])
        if letter != "V":
            job = Job(job.id, ALICE if letter == "A" else MALLORY, release)
        jobs.append(job)
    return jobs


def _target(role: str, at: int, jobs: Sequence[Job]) -> Job:
    """The job whose id the forgery in the job at place *at* bears."""
    others = [job for number, job in enumerate(jobs) if number != at]
    partner = next((job for job in others if job.user in ATTACKERS), others[0])
    return {
        "own": replace(jobs[at], user="bob"),
        "partner": partner,
        "before": jobs[at - 1],
        "behind": jobs[(at + 1) % len(jobs)],
        "far": others[(at + 2) % len(others)],
        "next": Job(NEXT, "bob", jobs[at].release),
        "nobody": Job(NOBODYS, "bob", jobs[at].release),
    }[role]


def _forged(at: int, jobs: list[Job], key: str, shape: int, role: str, blank: str) -> None:
    """Put a forgery into the job at place *at*."""
    needed = {"Container": "/c"} if key == "ContainerID" else {}
    carrier = replace(jobs[at], texts={**needed, **jobs[at].texts, key: "x"})
    made = shapes(key, carrier, _target(role, at, jobs), blank)
    text = next(islice(made, shape % SHAPES, None))
    jobs[at] = replace(carrier, texts={**carrier.texts, key: text})


_STRIDE = 7919
"""A prime, so that a few thousand numbers in a row meet every release, text, shape and role."""


def one_attacker_count() -> int:
    """Return how many placements `one_attacker` gives before they repeat."""
    return sum(len(text_keys(release)) for release in RELEASES) * (
        SHAPES * len(ROLES) * len(ORDERS) * len(BLANKS)
    )


def one_attacker(number: int) -> Placement:
    """Return the placement *number* of one attacker's job among victims."""
    rest = number * _STRIDE % one_attacker_count()
    carriers = [(release, key) for release in RELEASES for key in text_keys(release)]
    rest, at = divmod(rest, len(carriers))
    release, key = carriers[at]
    rest, shape = divmod(rest, SHAPES)
    rest, role = divmod(rest, len(ROLES))
    rest, order = divmod(rest, len(ORDERS))
    jobs = _jobs(ORDERS[order], release, end=number)
    blank = BLANKS[rest % len(BLANKS)]
    _forged(ORDERS[order].index("A"), jobs, key, shape, ROLES[role], blank)
    return Placement(
        name=f"one attacker, number {number}: {release}, {key}, shape {shape}, "
        f"the id {ROLES[role]}, {ORDERS[order]}",
        jobs=jobs,
        late=[Job(NEXT, "bob", release)] if ROLES[role] == "next" else (),
        gone=frozenset({jobs[-1].id}) if number % 11 == 0 else frozenset(),
        chunk_bytes=CHUNK_BYTES[number % len(CHUNK_BYTES)],
    )


def two_attackers(number: int) -> Placement:
    """Return the placement *number* of two attackers' jobs among victims, drawn by the number."""
    chance = random.Random(number)  # noqa: S311 - nothing is kept secret
    release, order = chance.choice(RELEASES), chance.choice(PAIRED)
    jobs = _jobs(order, release, end=chance.randrange(100))
    said = []
    for at, letter in enumerate(order):
        if letter == "V":
            continue
        for _ in range(chance.choice((1, 1, 2))):
            key, role = chance.choice(text_keys(release)), chance.choice(ROLES)
            shape = chance.randrange(SHAPES)
            _forged(at, jobs, key, shape, role, chance.choice(BLANKS))
            said.append(f"{letter}: {key}, shape {shape}, the id {role}")
    if chance.random() < 0.3:  # one user's two jobs
        jobs = [replace(job, user=ALICE) if job.user == MALLORY else job for job in jobs]
    return Placement(
        name=f"two attackers, number {number}: {release}, {order}, {'; '.join(said)}",
        jobs=jobs,
        late=[Job(NEXT, "bob", release)] if chance.random() < 0.3 else (),
        gone=frozenset({chance.choice(jobs).id}) if chance.random() < 0.1 else frozenset(),
        chunk_bytes=chance.choice(CHUNK_BYTES),
        max_bytes=chance.choice((MAX_RECORD_BYTES, MAX_RECORD_BYTES, 16_000)),
    )
