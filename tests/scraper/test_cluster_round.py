"""Rounds of one cluster, over real SSH into a real database, when all is well and when not.

Before every misfortune ten jobs run, as Mongo knows; the output to which it happens shows them
completed.  So the jobs' states tell how much of that output was taken in.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from config import ClusterSettings, ScraperSettings
from config.settings import SshSettings
from ingest.database.store import Store
from ingest.slurm.kinds import JOBS, NODES, Kind
from scraper.cluster_round import OLD_FORCED_COMMAND, ClusterScraper, RoundReport, log_round
from scraper.commands.backoff import LONGEST_SECONDS
from scraper.commands.slurm_commands import show_command
from scraper.ssh.connection import Connection, connect
from scraper.ssh.errors import (
    CommandFailed,
    CommandTimedOut,
    ConnectionLost,
    JobsMissing,
    NotAnswered,
    RoundTooLong,
    ScrapeError,
    TooManyRecords,
    Unreachable,
)
from tests.scraper.home import Home
from tests.scraper.scontrol_host import (
    BANNER,
    CONFIGURATION,
    CUT_IN_CHARACTER,
    CUT_IN_KEY,
    JOB_IDS,
    NONE,
    SLURMCTLD_DOWN,
    TIME,
    LoginHost,
    Misfortune,
    complains_without_end,
    cut_at_once,
    cut_before_the_exit_status,
    cut_between_records,
    fails_after_its_output,
    greets,
    hangs,
    hangs_at_once,
    no_exit_status,
    prints,
    refuses,
    slurmctld_is_down,
)


@pytest.fixture
def host(home: Home) -> LoginHost:
    return home.start(LoginHost(home.host_keys["ed25519"], home.authorized))


@pytest.fixture
def scraper(home: Home, host: LoginHost, store: Store) -> Iterator[ClusterScraper]:
    scraper = new_scraper(home, host.port, store)
    yield scraper
    scraper.close()


def new_scraper(
    home: Home,
    port: int,
    store: Store,
    round_timeout: float = 600.0,
    connect_to: Callable[..., Connection] = connect,
    **ssh: float,
) -> ClusterScraper:
    cluster = ClusterSettings(
        name="mila",
        timezone="America/Montreal",
        username_field="mila_cluster_username",
        ssh=home.settings(port, **ssh),
        round_timeout=round_timeout,
    )
    return ClusterScraper(cluster, ScraperSettings(), store, connect_to)


def jobs(store: Store) -> list[dict[str, Any]]:
    return list(store.jobs.find({}).sort("slurm.job_id", 1))


def completed(store: Store) -> int:
    """How many jobs Mongo shows as completed: always the first ones of the ten."""
    states = [document["slurm"]["job_state"] for document in jobs(store)]
    assert len(states) == len(JOB_IDS)
    assert states == sorted(states)
    return states.count("COMPLETED")


def assert_nothing_is_gone(store: Store) -> None:
    assert all("vanished" not in document["cw"] for document in jobs(store))
    assert all("vanished" not in document["cw"] for document in store.nodes.find({}))


SOME, MOST, NOTHING = range(5, 8), range(7, 11), range(1)
"""How many of the records were taken in: the last ones before a cut may be a part of a longer one.
"""
MISFORTUNES: list[tuple[str, Misfortune, type[ScrapeError], range]] = [
    ("a cut in a key", CUT_IN_KEY, ConnectionLost, SOME),
    ("a cut inside a character", CUT_IN_CHARACTER, ConnectionLost, SOME),
    ("a cut between records", cut_between_records, ConnectionLost, SOME),
    ("a cut before the exit status", cut_before_the_exit_status, ConnectionLost, MOST),
    ("no exit status", no_exit_status, ConnectionLost, MOST),
    ("slurmctld is down", slurmctld_is_down, CommandFailed, NOTHING),
    ("exit status 1 after the output", fails_after_its_output, CommandFailed, MOST),
    ("no output, exit status 0", prints(b""), NotAnswered, NOTHING),
    ("only a banner", prints(BANNER), NotAnswered, NOTHING),
    ("an error message, exit status 0", prints(SLURMCTLD_DOWN), NotAnswered, NOTHING),
]


@pytest.mark.parametrize(
    ("misfortune", "error", "taken_in"),
    [misfortune[1:] for misfortune in MISFORTUNES],
    ids=[misfortune[0] for misfortune in MISFORTUNES],
)
def test_a_misfortune(
    host: LoginHost,
    scraper: ClusterScraper,
    store: Store,
    misfortune: Misfortune,
    error: type[ScrapeError],
    taken_in: range,
) -> None:
    """What had come whole is kept, nothing is gone, and the next round makes up for the rest."""
    scraper.round(JOBS)
    assert completed(store) == 0
    host.state = "COMPLETED"
    host.misfortunes = [misfortune]

    with pytest.raises(error) as caught:
        scraper.round(JOBS)

    assert caught.value.cluster == "mila"
    assert completed(store) in taken_in
    assert_nothing_is_gone(store)

    report = scraper.round(JOBS)
    assert report.counts.read == 10
    assert report.counts.set_aside == report.counts.vanished == 0
    assert completed(store) == 10
    assert_nothing_is_gone(store)


@pytest.mark.parametrize("misfortune", [hangs, hangs_at_once, complains_without_end])
def test_a_command_that_does_not_end(
    home: Home, host: LoginHost, store: Store, misfortune: Misfortune
) -> None:
    scraper = new_scraper(home, host.port, store, command_timeout=1.5)
    scraper.round(JOBS)
    host.state = "COMPLETED"
    host.misfortunes = [misfortune]

    with pytest.raises(CommandTimedOut, match=r"did not end within 1\.5 s"):
        scraper.round(JOBS)

    assert completed(store) in (range(2, 6) if misfortune is hangs else NOTHING)
    assert_nothing_is_gone(store)
    assert len(host.asked) == 2  # a command that hung is not asked again at once
    scraper.round(JOBS)
    assert completed(store) == 10
    scraper.close()


def test_a_round_that_takes_too_long_ends_and_is_not_tried_again_at_once(
    home: Home, host: LoginHost, store: Store
) -> None:
    scraper = new_scraper(home, host.port, store, round_timeout=1.5)
    scraper.round(JOBS)
    host.misfortunes = [hangs_at_once]

    with pytest.raises(RoundTooLong, match=r"longer than round_timeout, 1\.5 s"):
        scraper.round(JOBS)

    assert len(host.asked) == 2
    assert_nothing_is_gone(store)
    scraper.round(JOBS)
    scraper.close()


def test_a_round_whose_time_is_over_while_it_connects_asks_nothing(
    home: Home, host: LoginHost, store: Store
) -> None:
    """Nothing would end the round any more if it went on."""

    def connect_slowly(name: str, settings: SshSettings) -> Connection:
        connection = connect(name, settings)
        time.sleep(1.0)
        return connection

    scraper = new_scraper(home, host.port, store, round_timeout=0.5, connect_to=connect_slowly)

    with pytest.raises(RoundTooLong, match=r"longer than round_timeout, 0\.5 s"):
        scraper.round(JOBS)

    assert host.asked == []
    scraper.close()


def test_a_cluster_that_is_down_and_comes_back(home: Home, store: Store) -> None:
    host = home.start(LoginHost(home.host_keys["ed25519"], home.authorized))
    scraper = new_scraper(home, host.port, store)
    scraper.round(JOBS)
    host.stop()

    with pytest.raises(Unreachable, match="Connection refused"):
        scraper.round(JOBS)

    assert completed(store) == 0
    assert_nothing_is_gone(store)
    again = LoginHost(home.host_keys["ed25519"], home.authorized, host.port)
    again.state = "COMPLETED"
    home.start(again)
    scraper.round(JOBS)
    assert completed(store) == 10
    scraper.close()


def test_a_first_round_that_is_cut_keeps_what_came_whole(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    host.misfortunes = [CUT_IN_KEY]
    with pytest.raises(ConnectionLost):
        scraper.round(JOBS)
    came = [document["slurm"]["job_id"] for document in jobs(store)]
    assert len(came) in SOME
    assert came == JOB_IDS[: len(came)]

    report = scraper.round(JOBS)
    assert report.counts.inserted == 10 - len(came)
    assert [document["slurm"]["job_id"] for document in jobs(store)] == JOB_IDS


def test_nodes_are_as_safe_as_jobs(host: LoginHost, scraper: ClusterScraper, store: Store) -> None:
    scraper.round(NODES)
    host.misfortunes = [prints(b""), slurmctld_is_down, cut_before_the_exit_status]
    for error in (NotAnswered, CommandFailed, ConnectionLost):
        with pytest.raises(error):
            scraper.round(NODES)
        assert_nothing_is_gone(store)
    assert scraper.round(NODES).counts.read == 1


def test_what_slurm_says_of_its_failure_is_told(host: LoginHost, scraper: ClusterScraper) -> None:
    host.misfortunes = [slurmctld_is_down]
    with pytest.raises(CommandFailed, match="Unable to contact slurm controller"):
        scraper.round(JOBS)


def test_a_banner_before_the_output_is_set_aside(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    scraper.round(JOBS)
    host.state = "COMPLETED"
    host.misfortunes = [greets]

    counts = scraper.round(JOBS).counts

    assert counts.set_aside == 1
    assert completed(store) == 10
    assert_nothing_is_gone(store)
    kept = store.quarantine.find_one({})
    assert kept is not None
    assert kept["text"] == BANNER


def test_no_jobs_in_the_system_means_that_all_are_gone(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    scraper.round(JOBS)
    before = jobs(store)
    host.misfortunes = [prints(NONE)]

    report = scraper.round(JOBS)

    assert report.counts.vanished == 10
    assert report.bytes == len(NONE)
    gone = jobs(store)
    assert [document["slurm"] for document in gone] == [document["slurm"] for document in before]
    assert all(document["cw"]["finished_at"] == document["cw"]["vanished"] for document in gone)
    scraper.round(JOBS)
    assert_nothing_is_gone(store)


# --- jobs that are missing ------------------------------------------------------------------------


def hides_jobs(host: LoginHost) -> None:
    """PrivateData=jobs, from now on: no job is listed any more, with exit status 0."""
    host.misfortunes = [prints(NONE)] * 100
    host.seldom["show config"] = CONFIGURATION.replace(b"= none", b"= jobs")


def shows_another_cluster(_host: LoginHost, channel: paramiko.Channel, whole: bytes) -> None:
    channel.sendall(whole.replace(b"JobId=", b"JobId=9"))
    channel.send_exit_status(0)


def failure(scraper: ClusterScraper, store: Store) -> str:
    """What a round of jobs that fails says; nothing is gone."""
    assert not log_round(scraper, JOBS)
    assert_nothing_is_gone(store)
    found = store.clusters.find_one({"_id": "mila/jobs"})
    assert found is not None
    return str(found["last_error"]["error"])


def test_an_empty_list_beside_allocated_cpus_fails_the_round(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    assert log_round(scraper, NODES)
    assert log_round(scraper, JOBS)
    host.misfortunes = [prints(NONE)] * 3
    for _ in range(3):
        said = failure(scraper, store)
        assert "the nodes show 4 allocated CPUs" in said
        assert "PrivateData=jobs" in said
    assert log_round(scraper, JOBS)
    assert_nothing_is_gone(store)


def test_an_empty_list_beside_allocated_cpus_fails_the_first_round_of_all(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    assert log_round(scraper, NODES)
    host.misfortunes = [prints(NONE)]
    with pytest.raises(JobsMissing, match="jobs seem to be hidden"):
        scraper.round(JOBS)


def test_nodes_that_were_read_longer_ago_than_the_purge_time_say_nothing(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    host.seldom["show config"] = CONFIGURATION.replace(b"300", b"30")
    assert log_round(scraper, NODES)
    long_ago = datetime.now(timezone.utc) - timedelta(seconds=31)
    store.clusters.update_one({"_id": "mila/nodes"}, {"$set": {"last_success": long_ago}})
    host.misfortunes = [prints(NONE)]
    assert scraper.round(JOBS).counts.read == 0


def test_an_empty_list_where_private_data_hides_jobs_fails_the_round(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    """Slurm's configuration is read anew for that: it was another one in the first round."""
    assert log_round(scraper, JOBS)
    hides_jobs(host)
    assert "PrivateData of slurm.conf hides jobs" in failure(scraper, store)


def test_a_loss_of_most_jobs_that_nothing_explains_fails_the_round(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    assert log_round(scraper, JOBS)
    host.misfortunes = [shows_another_cluster]
    assert "10 of 10 unfinished jobs are missing at once" in failure(scraper, store)


def test_a_restart_of_slurmctld_explains_a_loss(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    assert log_round(scraper, JOBS)
    later = (datetime.now(timezone.utc) + timedelta(seconds=5)).strftime("%FT%T+0000")
    host.seldom["show config"] = CONFIGURATION.replace(b"2026-11-01T00:00:00+0000", later.encode())
    host.misfortunes = [prints(NONE)]
    assert scraper.round(JOBS).counts.vanished == 10


def test_a_pause_longer_than_the_purge_time_explains_a_loss(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    assert log_round(scraper, JOBS)
    long_ago = datetime.now(timezone.utc) - timedelta(seconds=301)
    store.clusters.update_one({"_id": "mila/jobs"}, {"$set": {"last_success": long_ago}})
    host.misfortunes = [prints(NONE)]
    assert scraper.round(JOBS).counts.vanished == 10


def test_jobs_that_had_finished_leave_without_a_doubt(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    host.state = "COMPLETED"
    assert log_round(scraper, JOBS)
    host.misfortunes = [prints(NONE)]
    assert scraper.round(JOBS).counts.vanished == 10


# --- bounds ---------------------------------------------------------------------------------------


def test_an_output_with_too_many_records_fails_the_round(
    host: LoginHost, scraper: ClusterScraper, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    scraper.round(JOBS)
    monkeypatch.setattr("scraper.cluster_round.MAX_RECORDS", 9)
    for _ in range(2):  # whose records are known, and are read anew
        with pytest.raises(TooManyRecords, match="more than 9 records"):
            scraper.round(JOBS)
        assert_nothing_is_gone(store)
    monkeypatch.setattr("scraper.cluster_round.MAX_RECORDS", 10)
    assert scraper.round(JOBS).counts.read == 10


# --- how long it may be left alone ----------------------------------------------------------------


def test_a_cluster_is_left_alone_for_less_than_half_of_the_purge_time(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    assert scraper.longest_pause == 300 / 2 - 60
    host.seldom["show config"] = CONFIGURATION.replace(b"300", b"7200")
    scraper.round(NODES)
    assert scraper.longest_pause == LONGEST_SECONDS


def test_a_host_that_can_not_be_reached_may_be_left_alone_for_longer(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    scraper.round(JOBS)
    for misfortune, longest in ((slurmctld_is_down, 90.0), (cut_before_the_exit_status, 90.0)):
        host.misfortunes = [misfortune]
        with pytest.raises(ScrapeError):
            scraper.round(JOBS)
        assert scraper.longest_pause == longest
    host.stop()
    with pytest.raises(Unreachable):
        scraper.round(JOBS)
    assert scraper.longest_pause == LONGEST_SECONDS


def test_the_configuration_of_slurm_is_read_once_a_day(
    host: LoginHost, scraper: ClusterScraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    scraper.round(JOBS)
    host.seldom["show config"] = CONFIGURATION.replace(b"300", b"7200")
    scraper.round(JOBS)
    assert scraper.longest_pause == 90.0
    tomorrow = time.monotonic() + 86_400
    # Only the watch's clock: a clock that stands still for all would never end other waits.
    clock = SimpleNamespace(monotonic=lambda: tomorrow)
    monkeypatch.setattr("scraper.watch.slurm_watch.time", clock)
    scraper.round(JOBS)
    assert scraper.longest_pause == LONGEST_SECONDS


def test_a_configuration_that_can_not_be_read_fails_no_round(
    host: LoginHost, scraper: ClusterScraper, caplog: pytest.LogCaptureFixture
) -> None:
    host.seldom["show config"] = b"Welcome\n"
    assert scraper.round(JOBS).counts.read == 10
    assert scraper.longest_pause == 90.0
    assert "Slurm's configuration was not read: " in caplog.text


def test_an_interval_longer_than_the_purge_time_is_warned_of(
    host: LoginHost, scraper: ClusterScraper, caplog: pytest.LogCaptureFixture
) -> None:
    host.seldom["show config"] = CONFIGURATION.replace(b"300", b"60")
    scraper.round(JOBS)
    assert "Lower jobs_interval or raise MinJobAge" in caplog.text
    assert scraper.longest_pause == 0


# --- the seal -------------------------------------------------------------------------------------


def seals(host: LoginHost) -> list[str]:
    found = [re.search("%z([A-Za-z0-9]*) ", command) for command in host.asked]
    return [match[1] for match in found if match]


def test_every_call_has_a_seal_of_its_own(host: LoginHost, scraper: ClusterScraper) -> None:
    for kind in (JOBS, NODES, JOBS):
        scraper.round(kind)
    assert {len(seal) for seal in seals(host)} == {7}
    assert len(set(seals(host))) == 3


def test_a_scontrol_that_ignores_the_format_of_times(
    host: LoginHost,
    scraper: ClusterScraper,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is asked again without a seal, now and from then on, and the log says what is lost."""
    host.knows_time_format = False

    assert scraper.round(JOBS).counts.inserted == 10

    assert jobs(store)[0]["slurm"]["submit_time"] == f"{TIME}-05:00"
    assert [len(seal) for seal in seals(host)] == [7, 0]
    scraper.round(JOBS)
    assert [len(seal) for seal in seals(host)] == [7, 0, 0]
    warnings = [event for event in caplog.records if event.levelno == logging.WARNING]
    assert [event.getMessage().split(":")[0] for event in warnings] == [
        "scontrol ignores SLURM_TIME_FORMAT here"
    ]


def test_without_a_seal_a_cut_output_changes_nothing(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    """Two records with one id can only be told when all of the output is there."""
    host.knows_time_format = False
    scraper.round(JOBS)
    host.state = "COMPLETED"
    host.misfortunes = [cut_before_the_exit_status]
    with pytest.raises(ConnectionLost):
        scraper.round(JOBS)
    assert completed(store) == 0
    assert_nothing_is_gone(store)
    scraper.round(JOBS)
    assert completed(store) == 10


def test_no_command_line_bears_the_seal(host: LoginHost, scraper: ClusterScraper) -> None:
    for kind in (JOBS, NODES):
        scraper.round(kind)
    assert len(host.requested) == len(seals(host)) == 2
    assert not [seal for seal in seals(host) for line in host.requested if seal in line]


def test_a_login_host_of_the_first_release_is_asked_as_before_and_one_warning_tells(
    home: Home, host: LoginHost, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    host.is_of_first_release = True
    scraper = new_scraper(home, host.port, store)
    assert scraper.round(JOBS).counts.inserted == 10
    assert scraper.round(JOBS).counts.read == 10
    assert scraper.round(NODES).counts.inserted == 1
    assert len(host.transports) == 1
    assert len(host.asked) == len(set(seals(host))) == 3
    assert len(host.requested) == 4  # one was refused
    host.transports[0].close()
    assert scraper.round(JOBS).counts.read == 10
    scraper.close()
    warnings = [event for event in caplog.records if event.levelno == logging.WARNING]
    assert [event.getMessage() for event in warnings] == [OLD_FORCED_COMMAND]


def test_a_login_host_that_was_brought_up_to_date_gets_the_seal_on_standard_input_again(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    host.is_of_first_release = True
    scraper.round(JOBS)
    host.is_of_first_release = False
    host.transports[0].close()
    scraper.round(JOBS)
    assert host.requested[-1] == show_command("scontrol", "job")


def test_a_refusal_of_the_old_command_too_fails_the_round(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    host.is_of_first_release = True
    host.misfortunes = [refuses]
    with pytest.raises(CommandFailed, match="does not allow the command") as caught:
        scraper.round(JOBS)
    assert caught.value.is_refusal
    assert len(host.requested) == 2


# --- the connection -------------------------------------------------------------------------------


def test_the_connection_is_kept_between_rounds(host: LoginHost, scraper: ClusterScraper) -> None:
    for kind in (JOBS, NODES, JOBS, NODES):
        scraper.round(kind)
    assert len(host.transports) == 1
    assert len(host.asked) == 4


def test_a_connection_that_ended_between_rounds_is_made_anew(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    scraper.round(JOBS)
    assert scraper._connection is not None
    client = scraper._connection._transports[-1]
    host.transports[0].close()
    client.join(20)  # it has noticed
    scraper.round(JOBS)
    assert len(host.transports) == 2
    assert len(host.asked) == 2


def test_a_kept_connection_that_turns_out_dead_is_replaced_in_the_same_round(
    host: LoginHost, scraper: ClusterScraper, store: Store
) -> None:
    scraper.round(JOBS)
    host.state = "COMPLETED"
    host.misfortunes = [cut_at_once]
    scraper.round(JOBS)
    assert completed(store) == 10
    assert len(host.transports) == 2
    assert len(host.asked) == 3


def test_it_is_replaced_once_and_not_again(host: LoginHost, scraper: ClusterScraper) -> None:
    scraper.round(JOBS)
    host.misfortunes = [cut_at_once, cut_at_once]
    with pytest.raises(ConnectionLost):
        scraper.round(JOBS)
    assert len(host.transports) == 2
    assert len(host.asked) == 3


def test_a_new_connection_that_dies_is_not_replaced(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    host.misfortunes = [cut_at_once]
    with pytest.raises(ConnectionLost):
        scraper.round(JOBS)
    assert len(host.transports) == 1
    assert len(host.asked) == 1


def test_a_command_whose_output_had_begun_is_not_run_again(
    host: LoginHost, scraper: ClusterScraper
) -> None:
    """slurmctld has done its work for it already."""
    scraper.round(JOBS)
    host.misfortunes = [CUT_IN_KEY]
    with pytest.raises(ConnectionLost):
        scraper.round(JOBS)
    assert len(host.asked) == 2


# --- the report -----------------------------------------------------------------------------------


def test_what_a_round_reports(host: LoginHost, scraper: ClusterScraper) -> None:
    report = scraper.round(JOBS)
    assert report.counts.read == report.counts.inserted == 10
    assert report.bytes == len(host.output(host.asked[0]))
    again = scraper.round(JOBS).counts
    assert (again.read, again.inserted, again.changed) == (10, 0, 0)


def test_the_log_of_a_round(
    host: LoginHost, scraper: ClusterScraper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scraper.cluster_round")
    host.misfortunes = [prints(b"\x1b[2Jwelcome")]

    assert not log_round(scraper, JOBS)
    assert log_round(scraper, JOBS)

    failed, went_well = caplog.records
    assert failed.levelname == "ERROR"
    assert failed.getMessage().startswith("round failed: ")
    assert "\x1b" not in failed.getMessage()
    assert vars(failed)["cluster"] == "mila"
    assert went_well.levelname == "INFO"
    said = vars(went_well)
    assert (said["cluster"], said["kind"], said["records"], said["new"]) == ("mila", "jobs", 10, 10)


def test_a_defect_is_logged_with_its_traceback_and_ends_nothing(
    scraper: ClusterScraper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(kind: Kind) -> RoundReport:
        raise ZeroDivisionError

    monkeypatch.setattr(scraper, "round", fail)
    assert not log_round(scraper, JOBS)
    assert caplog.records[0].exc_info is not None


def test_closing_lets_the_connection_go(host: LoginHost, scraper: ClusterScraper) -> None:
    scraper.round(JOBS)
    scraper.close()
    scraper.close()
    host.transports[0].join(20)
    assert not host.transports[0].is_alive()
