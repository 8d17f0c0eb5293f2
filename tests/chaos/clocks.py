"""Try clocks that jump, hours that occur twice, leap days and the limits of calendars."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from api.app import build_app
from config import ClusterSettings
from config.settings import SshSettings
from ingest.accounts.users import add_user
from ingest.database.leases import Lease
from ingest.database.store import Document, Store
from ingest.slurm.keys import JOB
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from tests.api.support.client import Client
from tests.chaos.report import Section
from tests.ingest.reading.attacks import job
from tests.support.reading import SEAL, read_lazily

MOMENTS = {
    "the beginning of 1970": "1970-01-01T00:00:01+0000",
    "the end of 32 bits": "2038-01-19T03:14:08+0000",
    "the end of unsigned 32 bits": "2106-02-07T06:28:16+0000",
    "a leap day": "2028-02-29T23:59:59-0500",
    "a day that 2100 has not": "2100-02-28T23:59:59-0500",
    "the hour that comes twice, first": "2026-11-01T01:30:00-0400",
    "the hour that comes twice, again": "2026-11-01T01:30:00-0500",
    "the hour that is left out": "2026-03-08T03:00:00-0400",
}
_PRINTED = "2026-11-23T20:13:41+0000"
_VOLATILE = 900.0


class Clock:
    """A clock that tests set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def run_injected(store: Store) -> Section:
    """Try rounds, leases, histories and the API at every moment and after every jump."""
    section = Section(
        "Clocks",
        "In each round, the jobs have one of the times below, and the clock of Clockwork shows "
        "the same time. Then the time filter of the API is tried. After that, the clock jumps "
        "back and forth between rounds. Leases and limits use a clock that cannot be set.",
    )
    rows: list[tuple[str, ...]] = [("moment", "printed by Slurm", "in the document", "finished at")]
    finished: dict[str, datetime] = {}
    for number, (name, text) in enumerate(MOMENTS.items()):
        now = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
        document = _at(store, str(number), text, now + timedelta(hours=1))
        finished[name] = document["cw"]["finished_at"]
        rows.append((name, text, document["slurm"]["end_time"], str(finished[name])))
        if datetime.fromisoformat(document["slurm"]["end_time"]) != now or finished[name] != now:
            section.problems.append(f"{name}: {document}")
        section.problems += [f"{name}: {problem}" for problem in _listed(store, str(number), now)]
    first, again = (finished[name] for name in MOMENTS if "comes twice" in name)
    if again - first != timedelta(hours=1):
        section.problems.append("the hour that comes twice is one hour")
    section.problems += _jumps(store)
    section.tables.append(list(rows))
    return section


def _output(job_id: str, text: str, state: str, priority: int) -> bytes:
    record = job(job_id, "alice(1001)", sealed=True, state=state).replace(
        "Priority=10", f"Priority={priority}"
    )
    return record.replace(_PRINTED, text).encode()


def _intake(store: Store, clock: Clock) -> SyncRounds:
    cluster = ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=SshSettings(host="login"),
    )
    return SyncRounds(store, cluster, JOBS, volatile_interval=_VOLATILE, clock=clock)


def _take_in(intake: SyncRounds, output: bytes) -> None:
    intake.take_in(read_lazily([output], JOB, seal=SEAL))


def _at(store: Store, job_id: str, text: str, now: datetime) -> Document:
    store.jobs.delete_many({})
    _take_in(_intake(store, Clock(now)), _output(job_id, text, "COMPLETED", 1))
    document = store.jobs.find_one({"slurm.job_id": job_id})
    assert document is not None
    return document


def _listed(store: Store, job_id: str, ended: datetime) -> Iterator[str]:
    """What is wrong with the lists of an API whose clock shows an hour after *ended*."""
    store.users.delete_many({})
    _, token = add_user(store, "alice@mila.example", "alice")
    app = build_app(store, clock=lambda: (ended + timedelta(hours=1)).astimezone(timezone.utc))
    client = Client(app, {"Authorization": f"Bearer {token}"})
    for seconds, expected in ((3599, 0), (3601, 1), (10**17, 1)):
        answer = client.get("jobs/list", time=str(seconds))
        if answer.status != 200 or len(answer.json) != expected:
            yield f"time={seconds} lists {answer.body[:100]!r}, expected {expected} jobs"


def _jumps(store: Store) -> Iterator[str]:
    """What is wrong after jumps of the clock: history, volatile values, leases."""
    clock = Clock(datetime(2026, 11, 24, 12, tzinfo=timezone.utc))
    store.jobs.delete_many({})
    intake = _intake(store, clock)
    jumps = (0.0, 3600.0, -86400.0 * 365, 86400.0 * 365 * 80, -86400.0 * 365 * 60)
    states = ("PENDING", "RUNNING", "SUSPENDED", "RUNNING", "COMPLETED")
    for priority, (jump, state) in enumerate(zip(jumps, states, strict=True)):
        clock.now += timedelta(seconds=jump)
        _take_in(intake, _output("1", _PRINTED, state, priority))
    document = store.jobs.find_one({}) or {}
    shown = tuple(step["state"] for step in document["cw"]["history"])
    if shown != states:
        yield f"the history is {shown}"
    for jump in (-86400.0 * 400, 86400.0 * 400):
        clock.now += timedelta(seconds=jump)
        _take_in(intake, _output("1", _PRINTED, "COMPLETED", int(jump)))
        document = store.jobs.find_one({}) or {}
        if document["slurm"]["priority"] != int(jump):
            yield f"after a jump of {jump} s what changes all the time is not written"
    if "vanished" in document["cw"]:
        yield "a jump marked a job as gone"
    lease = Lease(store, "clocks", 30.0)
    if not lease.keep() or Lease(store, "clocks", 30.0).keep():
        yield "a lease is held twice"
