"""The demo's clusters: dumps whose jobs live on, at times that the test chooses."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from clockwork.demo.run import DUMPS
from clockwork.demo.simulated_cluster import (
    FINISHED_SECONDS,
    PENDING_SECONDS,
    RUNNING_SECONDS,
    SimulatedCluster,
)
from ingest.documents.fingerprints import FINISHED_STATES
from ingest.programs.squeue_check import read_list
from ingest.reading.records import Record
from ingest.slurm.keys import JOB, NODE, KeyTable
from ingest.slurm.values import duration
from scraper.commands.slurm_commands import list_command
from scraper.commands.slurm_configuration import read_configuration
from tests.support.reading import read_lazily

ZONE = ZoneInfo("America/Montreal")
START = datetime(2026, 7, 1, 12, 0, 0, 345678, tzinfo=timezone.utc)
LIFE = PENDING_SECONDS + RUNNING_SECONDS + FINISHED_SECONDS
STAGES = {"PENDING": 0, "RUNNING": 1} | dict.fromkeys(FINISHED_STATES, 2)
SEAL = "q7Rk2Xa"
FIRST = {"mila": "233874", "beluga": "820432"}

Values = dict[str, str]


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module", params=["mila", "beluga"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cluster(name: str, clock: Clock) -> SimulatedCluster:
    return SimulatedCluster(DUMPS / name, ZONE, clock)


def command(kind: str, time_format: str = f"%FT%T%z{SEAL}") -> str:
    return f"env SLURM_TIME_FORMAT={time_format} scontrol -a show {kind}"


def shown(cluster: SimulatedCluster, table: KeyTable) -> list[Values]:
    """The keys and values of all that *cluster* shows now, every record of it readable."""
    answer = cluster.answer(command(table.kind))
    assert (answer.stderr, answer.exit_status) == (b"", 0)
    records = list(read_lazily(answer.stdout, table, seal=SEAL))
    assert [record for record in records if not isinstance(record, Record)] == []
    return [
        {pair.key: pair.value for pair in record.raw.pairs}
        for record in records
        if isinstance(record, Record)
    ]


def jobs(cluster: SimulatedCluster) -> dict[str, Values]:
    """The jobs that *cluster* shows now, by their ids."""
    found = shown(cluster, JOB)
    by_id = {values["JobId"]: values for values in found}
    assert len(by_id) == len(found)
    return by_id


Film = list[tuple[datetime, dict[str, Values]]]


@pytest.fixture(scope="module")
def film(name: str) -> Film:
    """The jobs every 7.3 seconds, while every one of them lives and dies at least twice."""
    clock = Clock()
    cluster = SimulatedCluster(DUMPS / name, ZONE, clock)
    pictures = []
    while clock.now < START + timedelta(seconds=2.5 * LIFE):
        pictures.append((clock.now, jobs(cluster)))
        clock.now += timedelta(seconds=7.3)
    return pictures


def in_dump(name: str, table: KeyTable) -> list[Values]:
    """The keys and values as they stand in the dump."""
    [dump] = (DUMPS / name).glob(f"{table.kind}s_*.txt")
    return [
        {pair.key: pair.value for pair in record.raw.pairs}
        for record in read_lazily([dump.read_bytes()], table)
        if isinstance(record, Record)
    ]


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")


def stays(values: Values, name: str) -> bool:
    return values["JobId"] == FIRST[name] or "ArrayTaskThrottle" in values


# --- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        "scontrol -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job; id",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job 1,2",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show node 1",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show partition main",
        "sh",
        "",
    ],
)
def test_any_other_command_is_refused(cluster: SimulatedCluster, asked: str) -> None:
    answer = cluster.answer(asked)
    assert answer.exit_status == 126
    assert list(answer.stdout) == []
    assert answer.stderr.startswith(b"simulated login host: refused: ")


def test_squeue_lists_the_jobs_that_scontrol_shows(cluster: SimulatedCluster) -> None:
    answer = cluster.answer(list_command("scontrol"))
    owners = read_list(b"".join(answer.stdout))
    assert owners == {
        job_id: values["UserId"].partition("(")[2].removesuffix(")")
        for job_id, values in jobs(cluster).items()
    }


def test_the_configuration_has_the_purge_time_of_the_simulation(cluster: SimulatedCluster) -> None:
    found = read_configuration(b"".join(cluster.answer(command("config")).stdout), ZONE)
    assert found.purge_seconds == FINISHED_SECONDS
    assert found.private_data == frozenset()


def test_one_job_is_shown_alone(cluster: SimulatedCluster, name: str) -> None:
    whole = b"".join(cluster.answer(command("job")).stdout)
    answer = cluster.answer(command(f"job {FIRST[name]}"))
    assert (answer.stderr, answer.exit_status) == (b"", 0)
    (shown,) = answer.stdout
    assert shown.startswith(f"JobId={FIRST[name]} ".encode())
    assert shown in whole


def test_an_unknown_job_is_answered_as_scontrol_does(cluster: SimulatedCluster) -> None:
    answer = cluster.answer(command("job 1"))
    assert (answer.exit_status, list(answer.stdout)) == (1, [])
    assert answer.stderr == b"slurm_load_jobs error: Invalid job id specified\n"


def test_the_id_of_an_array_shows_its_tasks() -> None:
    cluster = SimulatedCluster(DUMPS / "mila", ZONE)
    (shown,) = cluster.answer(command("job 233884")).stdout
    assert b" ArrayJobId=233884 ArrayTaskId=1 " in shown.splitlines()[0]


def test_times_have_the_format_that_was_asked_for(cluster: SimulatedCluster, name: str) -> None:
    texts = {
        time_format: b"".join(cluster.answer(command("job", time_format)).stdout).decode()
        for time_format in ("%FT%T", "%FT%T%z", f"%FT%T%z{SEAL}")
    }
    plain, offset, sealed = texts.values()
    assert "-0400" not in plain
    assert offset.count("-0400") == sealed.count(f"-0400{SEAL}") > 30
    assert sealed.replace(SEAL, "") == offset
    assert offset.replace("-0400", "") == plain


def test_the_offset_is_that_of_the_season(name: str, clock: Clock) -> None:
    clock.now = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)
    cluster = SimulatedCluster(DUMPS / name, ZONE, clock)
    submitted = jobs(cluster)[FIRST[name]]["SubmitTime"]
    assert submitted.endswith("-0500")


# --- today ----------------------------------------------------------------------------------------


def test_the_newest_time_of_the_dump_is_now(cluster: SimulatedCluster) -> None:
    newest = max(
        moment(values[key])
        for values in jobs(cluster).values()
        for key in ("SubmitTime", "LastSchedEval")
        if values.get(key, "Unknown")[0].isdigit()
    )
    assert newest == START.replace(microsecond=0)


def test_nodes_keep_all_but_their_times(cluster: SimulatedCluster, name: str, clock: Clock) -> None:
    before = shown(cluster, NODE)
    for values, printed in zip(before, in_dump(name, NODE), strict=True):
        different = {key for key, value in printed.items() if values[key] != value}
        assert different <= {"BootTime", "SlurmdStartTime", "LastBusyTime", "Reason"}
    clock.now += timedelta(hours=1)
    assert shown(cluster, NODE) == before


def test_jobs_keep_what_their_owners_chose(film: Film, name: str) -> None:
    chosen = ("UserId", "JobName", "Command", "WorkDir", "StdOut", "TimeLimit", "NumCPUs")
    dump = in_dump(name, JOB)
    for _, now in film:
        for values, printed in zip(now.values(), dump, strict=True):
            assert [values.get(key) for key in chosen] == [printed.get(key) for key in chosen]


# --- lives ----------------------------------------------------------------------------------------


def test_the_first_job_and_whole_arrays_stay_as_they_are(film: Film, name: str) -> None:
    staying = {key: values for key, values in film[0][1].items() if stays(values, name)}
    assert FIRST[name] in staying
    for _, now in film:
        for job_id, before in staying.items():
            different = {key for key, value in now[job_id].items() if value != before[key]}
            assert different <= {"RunTime"}


def test_a_job_only_ever_moves_on(film: Film, name: str) -> None:
    stages: dict[str, list[int]] = {}
    for _, now in film:
        for job_id, values in now.items():
            stages.setdefault(job_id, []).append(STAGES[values["JobState"]])
    assert all(seen == sorted(seen) for seen in stages.values())
    whole_lives = [job_id for job_id, seen in stages.items() if set(seen) == {0, 1, 2}]
    mortal = [values for values in film[0][1].values() if not stays(values, name)]
    assert len(whole_lives) >= len(mortal)


def test_jobs_leave_and_others_come_in_their_place(film: Film, name: str) -> None:
    first, last = film[0][1], film[-1][1]
    assert {len(now) for _, now in film} == {len(first)}
    assert {key for key in first if stays(first[key], name)} == first.keys() & last.keys()


def test_a_job_keeps_its_owner_and_its_submit_time(film: Film) -> None:
    """Else it would count as another job that has its id."""
    known: dict[str, tuple[str, str]] = {}
    for _, now in film:
        for job_id, values in now.items():
            lasting = (values["UserId"], values["SubmitTime"])
            assert known.setdefault(job_id, lasting) == lasting


def test_times_fit_the_state(film: Film, name: str) -> None:
    starts: dict[str, str] = {}
    ends: dict[str, str] = {}
    mortal = [
        (now, job_id, values)
        for now, shown_now in film
        for job_id, values in shown_now.items()
        if not stays(values, name)
    ]
    for now, job_id, values in mortal:
        submitted = moment(values["SubmitTime"])
        assert submitted <= now
        if values["JobState"] == "PENDING":
            assert values["StartTime"] == values["EndTime"] == "Unknown"
            assert values["RunTime"] == "00:00:00"
            continue
        start, end = moment(values["StartTime"]), moment(values["EndTime"])
        assert submitted <= start <= end
        assert starts.setdefault(job_id, values["StartTime"]) == values["StartTime"]
        run_time = timedelta(seconds=duration(values["RunTime"]) or 0)
        if values["JobState"] == "RUNNING":
            assert end - start == timedelta(seconds=duration(values["TimeLimit"]) or 0)
            assert timedelta() <= now - start - run_time <= timedelta(seconds=1)
        else:
            assert end <= now
            assert abs(end - start - run_time) <= timedelta(seconds=1)
            assert ends.setdefault(job_id, values["EndTime"]) == values["EndTime"]


def test_jobs_run_on_nodes_of_their_cluster(film: Film, name: str) -> None:
    places = {values["NodeName"] for values in in_dump(name, NODE)}
    places |= {values["NodeList"] for values in in_dump(name, JOB)} - {"", "(null)"}
    for _, now in film:
        for values in now.values():
            if values["JobState"] == "PENDING":
                assert values["NodeList"] in {"", "(null)"}
                assert "BatchHost" not in values
            else:
                assert values["NodeList"] in places
                assert values.get("BatchHost", values["NodeList"]) == values["NodeList"]


def test_there_are_jobs_in_every_stage_at_any_time(film: Film) -> None:
    for _, now in film:
        assert {STAGES[values["JobState"]] for values in now.values()} == {0, 1, 2}
