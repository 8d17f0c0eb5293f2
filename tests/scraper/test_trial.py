"""What a trial of a cluster finds, over real SSH, when one thing or another is not well."""

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import SimulatedCluster
from clockwork.demo.ssh_server import Answer
from ingest.programs import sacct_usage
from scraper.trial import Finding, try_cluster
from scraper.watch.partitions import NOT_ALLOWED
from tests.scraper.home import Home

SIMULATED = SimulatedCluster(DUMPS / "mila", ZoneInfo("America/Montreal"))
NO_JOBS = Answer([b"No jobs in the system\n"])
REFUSED = Answer(stderr=b"refused\n", exit_status=126)
CONFIGURATION = b"MinJobAge               = %d sec\nPrivateData             = %s\n"

Trial = Callable[..., dict[str, Finding]]


@pytest.fixture
def trial(home: Home) -> Trial:
    """Try a cluster whose login host gives *answers* to commands with these words in them."""

    def trial(answers: dict[str, Answer] | None = None, **settings: object) -> dict[str, Finding]:
        def answer(command: str) -> Answer:
            special = [each for words, each in (answers or {}).items() if words in command]
            return special[0] if special else SIMULATED.answer(command)

        cluster = home.cluster(home.answering(answer).port, **settings)
        findings = list(try_cluster(cluster))
        parts = {finding.part: finding for finding in findings}
        assert len(parts) == len(findings)
        return parts

    return trial


def test_all_is_well(trial: Trial) -> None:
    found = trial()
    assert {finding.level for finding in found.values()} == {"ok"}
    assert list(found) == [
        "nodes",
        "jobs",
        "time zone",
        "Slurm's configuration",
        "partitions",
        "squeue",
    ]


def test_jobs_that_private_data_hides(trial: Trial) -> None:
    found = trial({"show job": NO_JOBS, "show config": Answer([CONFIGURATION % (300, b"jobs")])})
    assert found["jobs"].level == "failed"
    assert re.match(
        r"scontrol lists no job, yet the nodes show [1-9]\d* allocated CPUs", found["jobs"].text
    )
    assert "level Operator" in found["jobs"].text
    assert found["PrivateData"].level == "warning"
    assert found["PrivateData"].text.startswith("slurm.conf hides jobs from ordinary users")


def test_no_jobs_on_idle_nodes_are_believed(trial: Trial) -> None:
    nodes = b"".join(SIMULATED.answer("env SLURM_TIME_FORMAT=%FT%T scontrol -a show node").stdout)
    idle = re.sub(rb"CPUAlloc=\d+", b"CPUAlloc=0", nodes)
    found = trial({"show job": NO_JOBS, "show node": Answer([idle])})
    assert found["jobs"] == Finding("jobs", "ok", "0 jobs")


def test_nodes_that_private_data_hides(trial: Trial) -> None:
    denied = b"slurm_load_node error: Access/permission denied\n"
    found = trial({"show node": Answer(stderr=denied, exit_status=1)})
    assert found["nodes"].level == "failed"
    assert "slurm.conf probably has PrivateData" in found["nodes"].text
    assert found["jobs"].level == "ok"


@pytest.mark.parametrize("name", ["Asia/Tokyo", "UTC"])
def test_a_wrong_time_zone(trial: Trial, name: str) -> None:
    found = trial(timezone=name)["time zone"]
    assert found.level == "failed"
    assert re.match(r"scontrol prints \S+-0[45]00, which is \S+\+0[09]00 in " + name, found.text)


def test_a_zone_with_the_same_offset_will_do(trial: Trial) -> None:
    assert trial(timezone="America/Toronto")["time zone"].level == "ok"


def test_a_scontrol_that_ignores_the_format_of_times(trial: Trial) -> None:
    plain = {
        f"show {kind}": Answer(
            [*SIMULATED.answer(f"env SLURM_TIME_FORMAT=%FT%T scontrol -a show {kind}").stdout]
        )
        for kind in ("job", "node")
    }
    found = trial(plain)
    assert (found["jobs"].level, found["nodes"].level) == ("ok", "ok")
    assert found["time zone"].level == "warning"
    assert found["time zone"].text.startswith("scontrol ignores SLURM_TIME_FORMAT")


@pytest.mark.parametrize(
    ("interval", "purge", "level"), [(60, 300, "ok"), (60, 60, "warning"), (600, 300, "warning")]
)
def test_an_interval_that_misses_the_end_of_jobs(
    trial: Trial, interval: float, purge: int, level: str
) -> None:
    answers = {"show config": Answer([CONFIGURATION % (purge, b"none")])}
    found = trial(answers, jobs_interval=interval)
    assert found["Slurm's configuration"].level == level
    assert ("Lower jobs_interval" in found["Slurm's configuration"].text) == (level == "warning")
    assert "PrivateData" not in found


def test_a_login_host_that_does_not_allow_the_configuration(trial: Trial) -> None:
    found = trial({"show config": REFUSED})
    assert found["Slurm's configuration"].level == "warning"
    assert "Replace clockwork-forced-command" in found["Slurm's configuration"].text
    assert found["nodes"].level == "ok"


def test_a_login_host_that_does_not_allow_partitions(trial: Trial) -> None:
    for words in ("show partition", "show reservation"):
        assert trial({words: REFUSED})["partitions"] == Finding(
            "partitions", "warning", NOT_ALLOWED
        )
    assert trial({"show reservation": Answer([b"x"])})["partitions"].level == "failed"
    assert "1 reservations" in trial()["partitions"].text


@pytest.mark.parametrize(("second_list", "level"), [(True, "failed"), (False, "warning")])
@pytest.mark.parametrize("answer", [REFUSED, Answer([b"Welcome\n"])])
def test_a_squeue_that_does_not_answer(
    trial: Trial, second_list: bool, level: str, answer: Answer
) -> None:
    assert trial({"squeue": answer}, second_list=second_list)["squeue"].level == level


def test_a_sacct_without_accounting(trial: Trial) -> None:
    disabled = Answer(stderr=b"Slurm accounting storage is disabled\n", exit_status=1)
    found = trial({"sacct": disabled}, sacct=True)["sacct"]
    assert found.level == "failed"
    assert "Slurm accounting storage is disabled" in found.text
    assert trial({"sacct": Answer([b"something\n"])}, sacct=True)["sacct"].level == "failed"
    assert trial({"sacct": Answer()}, sacct=True)["sacct"] == Finding("sacct", "ok", "it answers")
    assert "sacct" not in trial({"sacct": disabled})


def test_sacct_answers_all_that_rounds_ask(trial: Trial) -> None:
    """Single jobs, jobs that ended in a time, and what jobs used; each with its own command."""
    options = {"sacct": True, "usage": True}
    for words, part in [(" -j ", "sacct"), (" -S uts", "sacct"), (sacct_usage.FIELDS, "usage")]:
        found = trial({words: REFUSED, "sacct": Answer()}, **options)
        assert found[part].level == "failed", words
        assert "refused" in found[part].text
    found = trial({"sacct": Answer()}, **options)
    assert found["usage"] == Finding("usage", "ok", "sacct tells what jobs used")
    found = trial({sacct_usage.FIELDS: Answer([b"something\n"]), "sacct": Answer()}, **options)
    assert (found["sacct"].level, found["usage"].level) == ("ok", "failed")
    assert "found 'something" in found["usage"].text
    assert "usage" not in trial({"sacct": Answer()}, sacct=True)


def test_sdiag(trial: Trial) -> None:
    printed = (DUMPS / "real_22.05" / "sdiag.txt").read_bytes()
    found = trial({"sdiag": Answer([printed])}, sdiag=True)["sdiag"]
    assert found.level == "ok"
    assert re.fullmatch(r"slurmctld has \d+ busy threads", found.text)
    denied = Answer(stderr=b"slurm_get_statistics: Access denied\n", exit_status=1)
    found = trial({"sdiag": denied}, sdiag=True)["sdiag"]
    assert found.level == "failed"
    assert "Access denied" in found.text
    assert trial({"sdiag": Answer([b"Welcome\n"])}, sdiag=True)["sdiag"].level == "failed"
    assert "sdiag" not in trial({"sdiag": denied})


def test_a_part_that_breaks_the_connection_leaves_the_others_theirs(home: Home) -> None:
    def answer(command: str) -> Answer:
        if "show job" in command:
            host.stopping.wait(60)
        return SIMULATED.answer(command)

    host = home.answering(answer)
    cluster = home.cluster(host.port, ssh=home.settings(host.port, command_timeout=2.0))
    found = {finding.part: finding for finding in try_cluster(cluster)}
    host.stopping.set()
    assert found["jobs"].level == "failed"
    assert "did not end within 2 s" in found["jobs"].text
    assert {found[part].level for part in ("nodes", "time zone", "squeue")} == {"ok"}
