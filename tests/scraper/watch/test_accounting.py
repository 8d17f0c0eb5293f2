"""What sacct is asked after a round, over real SSH into a real database."""

import logging
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from clockwork.demo.ssh_server import Answer
from config import ClusterSettings, ScraperSettings
from ingest.clusters.coverage import coverage_of
from ingest.database.store import Store
from ingest.programs.sacct import ENDED_STATES, FIELDS
from ingest.slurm.kinds import JOBS
from ingest.sync.sync_rounds import SyncRounds
from scraper.cluster_round import ClusterScraper
from scraper.commands.backoff import Backoff
from scraper.ssh.connection import Connection, connect
from scraper.watch.accounting import (
    CALLS_A_ROUND,
    MARGIN_SECONDS,
    SECOND_LOOK_SECONDS,
    TRIES,
    Accounting,
)
from tests.api.support.examples import job_document
from tests.ingest.programs.accounted import row
from tests.ingest.reading.attacks import job
from tests.scraper.home import Home
from tests.scraper.scontrol_host import CONFIGURATION
from tests.support.documented import MILA_JOB
from tests.support.reading import SEAL

ALICE = "alice(1001)"
PURGE_SECONDS = 300.0
SUBMIT = "2026-11-23T20:13:41+0000"
END = "2026-11-23T23:14:00+0000"
ENDED_AT = datetime(2026, 11, 23, 23, 14, tzinfo=timezone.utc).timestamp()


def ended(job_id: str, seal: str, **fields: str) -> str:
    """A row of a job of alice's that `tests.ingest.reading.attacks.job` prints, at its end."""
    fields = {"state": "TIMEOUT", "exit_code": "0:15", "submit": SUBMIT, **fields}
    return row(job_id=job_id, shown_id=job_id, end=f"{END}{seal}", seal=seal, **fields)


class Cluster:
    """What scontrol and sacct print, and what sacct was asked."""

    def __init__(self) -> None:
        self.present: list[str] = []
        self.accounted: dict[str, dict[str, str]] = {}
        """By job id, the fields of what sacct knows of jobs that ended at `END`."""
        self.used: list[str] = []
        """Ids of jobs of which sacct knows what they used."""
        self.by_window = False
        """Whether sacct tells of these jobs only if it is asked about the time of `END`."""
        self.fails: Answer | None = None
        self.asked: list[str] = []

    def answer(self, command: str) -> Answer:
        seal = re.search("SLURM_TIME_FORMAT=%FT%T%z([A-Za-z0-9]*) ", command)
        assert seal is not None
        if "show config" in command:
            return Answer([CONFIGURATION])
        if "sacct" not in command:
            text = "".join(job(each, ALICE, sealed=True) for each in self.present)
            return Answer([(text or "No jobs in the system\n").replace(SEAL, seal[1]).encode()])
        self.asked.append(command)
        if "TRESUsageInTot" in command and self.fails is None:
            used = (
                f"{each}|TIMEOUT|60|2|00:30|cpu=2,mem=1G||||0|{SUBMIT}{seal[1]}\n{each}.batch|"
                f"|60|2|00:30||mem=256M||||{SUBMIT}{seal[1]}\n"
                for each in self.used
            )
            return Answer(["".join(used).encode()])
        if self.fails is not None:
            return self.fails
        wanted = self.accounted
        if ids := re.search(" -j ([0-9,]+)", command):
            wanted = {each: wanted[each] for each in ids[1].split(",") if each in wanted}
        window = re.search(r"-S uts(\d+) -E uts(\d+)", command)
        if self.by_window and window and not int(window[1]) <= ENDED_AT < int(window[2]):
            wanted = {}
        rows = [ended(each, seal[1], **fields) for each, fields in wanted.items()]
        return Answer(["".join(rows).encode()])

    def windows(self) -> list[tuple[int, int]]:
        """The windows that were asked for, without their margins."""
        found = [re.search(r"-S uts(\d+) -E uts(\d+)", command) for command in self.asked]
        return [
            (int(each[1]) + MARGIN_SECONDS, int(each[2]) - MARGIN_SECONDS) for each in found if each
        ]

    def ids(self) -> list[str]:
        """The lists of ids that were asked for."""
        found = [re.search(r"-j ([0-9,]+)", command) for command in self.asked]
        return [each[1] for each in found if each]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


class Scraper:
    """What keeps the cluster's coverage, with a clock that goes on when a test says so."""

    def __init__(
        self, settings: ClusterSettings, connection: Connection, store: Store, *, ahead: float = 0
    ) -> None:
        self.purge_seconds = PURGE_SECONDS
        self.now = float(int(time.time())) + ahead
        self._connection = connection
        write = SyncRounds(store, settings, JOBS, volatile_interval=900).bulk_write
        self.accounting = Accounting(settings, store, write, clock=lambda: self.now)

    def round(self, *unseen_ends: str, after: float = 0) -> None:
        """A good round of jobs, so many seconds *after* the one before."""
        self.now += after
        self.accounting.after_round(self._connection, self.now, unseen_ends, self.purge_seconds)


@pytest.fixture
def settings(home: Home, cluster: Cluster) -> ClusterSettings:
    port = home.answering(cluster.answer).port
    return home.cluster(port, scontrol="/opt/slurm/bin/scontrol", sacct=True)


@pytest.fixture
def connection(settings: ClusterSettings) -> Iterator[Connection]:
    with connect("mila", settings.ssh) as connection:
        yield connection


@pytest.fixture
def scraper(settings: ClusterSettings, connection: Connection, store: Store) -> Scraper:
    return Scraper(settings, connection, store)


@pytest.fixture
def later(scraper: Scraper, cluster: Cluster) -> Scraper:
    """The scraper after its first round, which covered a day, and the second look at that day."""
    scraper.round()
    scraper.round(after=SECOND_LOOK_SECONDS)
    cluster.asked.clear()
    return scraper


def coverage(store: Store) -> dict[str, Any]:
    found = coverage_of(store, "mila")
    assert found is not None
    return found


def time_format(command: str) -> str:
    found = re.search("SLURM_TIME_FORMAT=([^ ]+)", command)
    assert found is not None
    return found[1]


def test_the_first_round_looks_a_day_back(cluster: Cluster, scraper: Scraper, store: Store) -> None:
    cluster.accounted = {"5": {"name": "before"}}
    scraper.round()
    now = int(scraper.now)
    day = [(now - hours * 3600, now - (hours - 6) * 3600) for hours in (6, 12, 18, 24)]
    assert cluster.windows() == day
    start, end = now - 6 * 3600 - MARGIN_SECONDS, now + MARGIN_SECONDS
    assert cluster.asked[0] == (
        f"env SLURM_TIME_FORMAT={time_format(cluster.asked[0])} /opt/slurm/bin/sacct "
        f"-n -P -X -D -a --local -o {FIELDS} -S uts{start} -E uts{end} -s {ENDED_STATES}"
    )
    found = store.jobs.find_one({})
    assert found is not None
    assert (found["slurm"]["name"], found["cw"]["source"]) == ("before", "sacct")
    assert coverage(store)["missing"] == []
    assert coverage(store)["accounting"] is True


def test_every_call_has_a_seal_of_its_own(cluster: Cluster, scraper: Scraper) -> None:
    scraper.round()
    formats = {time_format(command) for command in cluster.asked}
    assert len(formats) == len(cluster.asked) == 4
    assert all(re.fullmatch("%FT%T%z[A-Za-z0-9]{7}", each) for each in formats)


def test_rounds_within_the_purge_time_ask_nothing(
    cluster: Cluster, later: Scraper, store: Store
) -> None:
    for _ in range(3):
        later.round(after=PURGE_SECONDS - 2)
    assert cluster.asked == []
    assert coverage(store)["missing_seconds"] == 0


def test_a_longer_gap_is_asked_about_and_once_more_a_minute_later(
    cluster: Cluster, later: Scraper, store: Store
) -> None:
    start = int(later.now)
    later.round(after=1000)
    assert cluster.windows() == [(start, start + 1000)]
    cluster.asked.clear()
    later.round(after=SECOND_LOOK_SECONDS - 1)
    assert cluster.asked == []
    cluster.accounted = {"5": {"name": "told late"}}
    later.round(after=1)
    assert cluster.windows() == [(start, start + 1000)]
    assert store.jobs.count_documents({"slurm.name": "told late"}) == 1
    cluster.asked.clear()
    later.round(after=SECOND_LOOK_SECONDS)
    assert cluster.asked == []


def test_the_purge_time_is_the_clusters(cluster: Cluster, later: Scraper) -> None:
    later.purge_seconds = 2
    start = int(later.now)
    later.round(after=5)
    later.round(after=5)
    assert cluster.windows() == [(start, start + 5), (start + 5, start + 10)]


def test_a_long_gap_is_asked_about_in_rounds_the_newest_time_first(
    cluster: Cluster, later: Scraper, store: Store
) -> None:
    start = int(later.now)
    later.round(after=3 * 86400)
    assert len(cluster.windows()) == CALLS_A_ROUND
    assert cluster.windows()[0][1] == start + 3 * 86400
    assert coverage(store)["missing_seconds"] == 2 * 86400
    later.round(after=1)
    later.round(after=1)
    assert coverage(store)["missing_seconds"] == 0


def test_a_scraper_that_was_killed_goes_on_where_it_was(
    cluster: Cluster,
    later: Scraper,
    settings: ClusterSettings,
    connection: Connection,
    store: Store,
) -> None:
    later.round(after=3 * 86400)
    cluster.asked.clear()
    ahead = later.now - time.time() + 10
    Scraper(settings, connection, store, ahead=ahead).round()
    assert len(cluster.windows()) == CALLS_A_ROUND
    assert coverage(store)["missing_seconds"] == 86400


def test_covered_time_is_asked_about_once_a_day(cluster: Cluster, later: Scraper) -> None:
    for _ in range(86400 // 270 - 1):
        later.round(after=270)
    assert cluster.asked == []
    later.round(after=270)
    now = int(later.now)
    assert max(end for _, end in cluster.windows()) == now
    assert min(start for start, _ in cluster.windows()) == now - 86400
    cluster.asked.clear()
    later.round(after=270)
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(stderr=b"sacct: error: slurmdbd is down\n", exit_status=1), "slurmdbd is down"),
        (Answer([b"Slurm accounting storage is disabled\n"]), "expected rows of JobIDRaw"),
        (Answer(stderr=b"refused\n", exit_status=126), "clockwork-forced-command"),
    ],
)
def test_a_sacct_that_does_not_tell_is_told_once_and_asked_again(
    cluster: Cluster,
    later: Scraper,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    said: str,
) -> None:
    cluster.fails = answer
    later.round(after=1000)
    later.round(after=10)
    later.round(after=10)
    assert len(cluster.asked) == 2, "a pause after the second failure"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert said in record.message
    assert "jobs stay unknown that end while the cluster is not scraped for 300 s" in record.message
    found = coverage(store)
    assert (found["missing_seconds"], found["accounting"]) == (1000, False)
    assert said in found["accounting_error"]


def test_a_sacct_that_tells_again(
    cluster: Cluster, later: Scraper, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.fails = Answer(exit_status=1)
    later.round(after=1000)
    cluster.fails = None
    caplog.set_level(logging.INFO, "scraper.watch.accounting")
    later.round(after=10)
    assert [record.message for record in caplog.records][-1] == "sacct answers again"
    found = coverage(store)
    assert (found["missing_seconds"], found["accounting"]) == (0, True)
    assert found["accounting_error"] is None


def test_without_sacct_the_log_says_once_what_that_costs(
    cluster: Cluster,
    settings: ClusterSettings,
    connection: Connection,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "scraper.watch.accounting")
    scraper = Scraper(settings.model_copy(update={"sacct": False}), connection, store)
    scraper.round()
    scraper.round(after=10)
    scraper.round("1", after=1000)
    (record,) = caplog.records
    assert record.message.startswith("without sacct = true, jobs stay unknown that end while")
    assert cluster.asked == []
    found = coverage(store)
    assert (found["missing_seconds"], found["accounting"]) == (1000, None)


def test_a_sacct_that_hides_jobs_covers_nothing(
    cluster: Cluster, later: Scraper, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    start = int(later.now)
    finished = datetime.fromtimestamp(time.time() - 3600, timezone.utc)
    later.round(after=PURGE_SECONDS)  # the round before: nothing hidden is known of yet
    cluster.asked.clear()
    caplog.clear()
    store.jobs.insert_one(
        {
            "slurm": {"job_id": "9", "cluster_name": "mila", "job_state": "COMPLETED"},
            "cw": {"filters": {"finished_at": finished}},
        }
    )
    store.coverage.update_one({}, {"$set": {"covered": [[start - 86400, start - 7200]]}})
    later.round(after=10)
    assert "PrivateData" in caplog.text
    assert coverage(store)["missing_seconds"] > 7200


# --- single jobs -------------------------------------------------------------------------------


def new_scraper(settings: ClusterSettings, store: Store) -> ClusterScraper:
    return ClusterScraper(settings, ScraperSettings(), store)


@pytest.fixture
def whole(settings: ClusterSettings, store: Store) -> Iterator[ClusterScraper]:
    """A whole scraper, which takes in what scontrol prints."""
    scraper = new_scraper(settings, store)
    yield scraper
    scraper.close()


def vanish(cluster: Cluster, scraper: ClusterScraper) -> None:
    cluster.present = ["1", "2"]
    scraper.round(JOBS)
    cluster.present = ["2"]
    scraper.round(JOBS)


def test_the_end_of_a_job_that_vanished_unseen(
    cluster: Cluster, whole: ClusterScraper, store: Store
) -> None:
    cluster.present = ["1", "2"]
    whole.round(JOBS)
    cluster.accounted = {"1": {}}
    cluster.present = ["2"]
    whole.round(JOBS)
    found = store.jobs.find_one({"slurm.job_id": "1"})
    assert found is not None
    assert found["slurm"]["job_state"] == "RUNNING"
    assert found["cw"]["accounting"] == {
        "job_state": "TIMEOUT",
        "exit_code": "0:15",
        "submit_time": "2026-11-23T15:13:41-05:00",
        "start_time": "2026-11-24T01:01:00-05:00",
        "end_time": "2026-11-23T18:14:00-05:00",
    }
    assert found["cw"]["finished_at"] == datetime(2026, 11, 23, 23, 14, tzinfo=timezone.utc)
    assert cluster.ids() == ["1"]
    whole.round(JOBS)
    assert cluster.ids() == ["1"]


def test_an_end_of_an_earlier_job_with_the_id_is_passed_over(
    cluster: Cluster, whole: ClusterScraper, store: Store
) -> None:
    cluster.accounted = {"1": {"submit": "2020-01-01T00:00:00+0000"}}
    vanish(cluster, whole)
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 0


def test_an_end_that_sacct_cannot_tell_yet_is_asked_for_again(
    cluster: Cluster, whole: ClusterScraper, store: Store
) -> None:
    vanish(cluster, whole)
    assert cluster.ids() == ["1"]
    cluster.accounted = {"1": {}}
    whole.round(JOBS)
    assert cluster.ids() == ["1", "1"]
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 1


def test_an_end_that_nobody_knows_is_asked_for_a_few_times(
    cluster: Cluster, whole: ClusterScraper
) -> None:
    vanish(cluster, whole)
    for _ in range(TRIES + 2):
        whole.round(JOBS)
    assert cluster.ids() == ["1"] * TRIES


def test_a_row_that_can_not_be_read_keeps_no_other_job_out(
    cluster: Cluster,
    later: Scraper,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "seconds_left", lambda _self: 0.0)
    cluster.accounted = {"5": {"state": "1024"}, "6": {}}
    later.round("5", after=3600)
    assert store.jobs.find_one({"slurm.job_id": "6"}) is not None
    assert coverage(store)["missing_seconds"] == 3600
    [warning] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "1024" in warning
    for _ in range(TRIES + 1):
        later.round(after=600)
    assert len(cluster.ids()) == TRIES
    cluster.accounted = {"5": {}}
    later.round(after=600)
    assert coverage(store)["missing"] == []


def test_what_a_job_used_that_ended_in_a_long_outage_is_asked(
    cluster: Cluster, settings: ClusterSettings, connection: Connection, store: Store
) -> None:
    measured = settings.model_copy(update={"usage": True})
    scraper = Scraper(measured, connection, store)
    cluster.accounted, cluster.used, cluster.by_window = {"77": {}}, ["77"], True
    scraper.now = ENDED_AT - 10 * 3600
    scraper.round()
    scraper.round(after=60)
    scraper.now = ENDED_AT + 30 * 3600
    for _ in range(4):
        scraper.round(after=60)
    found = store.jobs.find_one({"slurm.job_id": "77"})
    assert found is not None
    assert found["cw"]["usage"]["elapsed_seconds"] == 60


def test_another_scraper_knows_which_ends_are_owed(
    cluster: Cluster, whole: ClusterScraper, settings: ClusterSettings, store: Store
) -> None:
    vanish(cluster, whole)
    whole.close()
    cluster.accounted = {"1": {}}
    another = new_scraper(settings, store)
    another.round(JOBS)
    another.close()
    assert store.jobs.count_documents({"cw.accounting": {"$exists": True}}) == 1


def test_a_sacct_that_fails_fails_no_round(
    cluster: Cluster, whole: ClusterScraper, store: Store
) -> None:
    cluster.fails = Answer(stderr=b"sacct: error: slurmdbd is down\n", exit_status=1)
    vanish(cluster, whole)
    assert store.jobs.count_documents({"cw.vanished": {"$ne": None}}) == 1


# --- what jobs used -------------------------------------------------------------------------------


def usage_asked(cluster: Cluster) -> list[str]:
    found = (re.search(r"TRESUsageInTot.* -j ([0-9,]+)", command) for command in cluster.asked)
    return [each[1] for each in found if each]


def test_what_ended_jobs_used_is_asked_once(
    cluster: Cluster, settings: ClusterSettings, connection: Connection, store: Store
) -> None:
    measured = settings.model_copy(update={"usage": True})
    scraper = Scraper(measured, connection, store)
    submit = datetime.fromisoformat(SUBMIT).isoformat()
    for number, ago in ((1, 60.0), (2, 60.0), (3, 7200.0), (4, 5.0), (5, None)):
        slurm = {**MILA_JOB, "job_id": str(number), "job_state": "TIMEOUT", "submit_time": submit}
        document = job_document(slurm)
        if ago is not None:
            ended = datetime.fromtimestamp(scraper.now - ago, timezone.utc)
            document["cw"]["finished_at"] = document["cw"]["filters"]["finished_at"] = ended
        store.jobs.insert_one(document)
    store.jobs.update_one(
        {"_id": "mila/2", "slurm.job_id": "2", "slurm.cluster_name": "mila"},
        {"$set": {"slurm.submit_time": "2026-11-20T20:13:41+00:00"}},
    )
    cluster.used = ["1", "2"]
    cluster.accounted = {str(number): {} for number in range(1, 5)}

    scraper.round()
    assert sorted(usage_asked(cluster)[0].split(",")) == ["1", "2", "3"]
    found = {job["slurm"]["job_id"]: job["cw"] for job in store.jobs.find()}
    assert found["1"]["usage"]["cpu_efficiency"] == 30 / 120
    assert found["1"]["usage"]["memory_efficiency"] == 0.25
    assert found["3"]["usage"] is None  # sacct tells nothing, an hour after the end
    assert "usage" not in found["2"]  # sacct tells of another run
    assert not {"usage"} & (found["4"].keys() | found["5"].keys())

    cluster.used = ["4"]
    scraper.round(after=60)
    assert sorted(usage_asked(cluster)[1].split(",")) == ["2", "4"]
    settled = store.jobs.find_one({"slurm.job_id": "4"})
    assert settled is not None
    assert settled["cw"]["usage"]["elapsed_seconds"] == 60


def test_without_the_setting_nothing_is_asked(cluster: Cluster, scraper: Scraper) -> None:
    scraper.round()
    assert usage_asked(cluster) == []
