"""sacct's rows: jobs whose texts can't reach beyond their own fields."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ClusterSettings, SshSettings
from ingest.programs.sacct import (
    FIELDS,
    AccountedJob,
    AccountingUnreadable,
    SomeUnreadable,
    job_list,
    latest,
    read_jobs,
)
from tests.ingest.programs.accounted import CLUSTER, SEAL, accounted, row

ZONE = ZoneInfo("America/Montreal")


def read(text: str) -> list[AccountedJob]:
    return read_jobs(text.encode("utf-8", "surrogateescape"), SEAL, ZONE)


def test_the_rows_of_the_tests_have_the_fields_that_are_asked_for() -> None:
    assert row(name="x").count("|") == FIELDS.count(",")


def test_a_job() -> None:
    (job,) = read(row(minutes="90", account="def-pomme", name="a name"))
    assert job == AccountedJob(
        job_id="7",
        uid="1001",
        user="alice",
        state="COMPLETED",
        exit_code="0:0",
        time_limit=5400,
        partition="main",
        nodes="cn-a[001-002]",
        submit_time="2026-11-24T01:00:00-05:00",
        start_time="2026-11-24T01:01:00-05:00",
        end_time="2026-11-24T02:00:00-05:00",
        account="def-pomme",
        work_dir="/home/alice",
        name="a name",
        shown_id="7",
    )
    assert job.document(CLUSTER) == {
        "job_id": "7",
        "name": "a name",
        "mila_cluster_username": "alice",
        "uid": "1001",
        "account": "def-pomme",
        "job_state": "COMPLETED",
        "exit_code": "0:0",
        "time_limit": 5400,
        "submit_time": "2026-11-24T01:00:00-05:00",
        "start_time": "2026-11-24T01:01:00-05:00",
        "end_time": "2026-11-24T02:00:00-05:00",
        "partition": "main",
        "nodes": "cn-a[001-002]",
        "work_dir": "/home/alice",
        "cluster_name": "mila",
    }


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"state": "CANCELLED by 1001"}, {"job_state": "CANCELLED"}),
        ({"minutes": "UNLIMITED"}, {"time_limit": None}),
        ({"minutes": "Partition_Limit"}, {"time_limit": None}),
        ({"minutes": ""}, {"time_limit": None}),
        ({"nodes": "None assigned"}, {"nodes": None}),
        (
            {"account": "", "work_dir": "", "name": ""},
            {"account": None, "work_dir": None, "name": ""},
        ),
        ({"start": "Unknown", "end": "Unknown"}, {"start_time": "Unknown", "end_time": "Unknown"}),
        ({"start": "None"}, {"start_time": "Unknown"}),
        ({"user": ""}, {"mila_cluster_username": "1001"}),
        ({"user": "EXAMPLE\\jane doe"}, {"mila_cluster_username": "EXAMPLE\\jane doe"}),
        ({"shown_id": "4_3"}, {"array_job_id": 4, "array_task_id": "3"}),
        ({"shown_id": "4_[5-9%2]"}, {"array_job_id": 4, "array_task_id": "5-9%2"}),
        ({"shown_id": "20+1"}, {"het_job_id": 20, "het_job_offset": 1}),
        ({"name": "caf\udce9"}, {"name": "caf\\xe9"}),
    ],
)
def test_values(fields: dict[str, str], wanted: dict[str, object]) -> None:
    (job,) = read(row(**fields))
    document = job.document(CLUSTER)
    assert {key: document[key] for key in wanted} == wanted


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    offsets = [
        read(row(end=f"2026-11-01T01:30:00{offset}{SEAL}"))[0].end_time
        for offset in ("-0400", "-0500")
    ]
    assert offsets == ["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"]


FORGED = row(job_id="99", user="bob", uid="1002").replace(SEAL, "")
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\0")),
    st.lists(st.sampled_from(["|", "\n", FORGED, "2026-11-24T01:00:00-0500", "7", " "])).map(
        "".join
    ),
)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=4))
def test_no_text_without_the_seal_ends_its_field_or_begins_a_row(
    texts: list[tuple[str, str, str]],
) -> None:
    output = "".join(
        row(job_id=str(number), account=account, work_dir=folder, name=name)
        for number, (account, folder, name) in enumerate(texts)
    )
    jobs = read_jobs(output.encode("utf-8", "surrogatepass"), SEAL, ZONE)
    assert [job.job_id for job in jobs] == [str(number) for number in range(len(texts))]
    assert {job.user for job in jobs} <= {"alice"}
    assert [job.name for job in jobs if job.name.isascii()] == [
        name for _, _, name in texts if name.isascii()
    ]


def test_no_jobs() -> None:
    assert read("") == []


@pytest.mark.parametrize(
    "text",
    [
        "Slurm accounting storage is disabled\n",
        "\n",
        FORGED,
        row().replace(SEAL, "another"),
        row(uid="alice"),
        row(user="a|b"),
        row(state="DONE|0:0"),
        row()[:-1],
        row()[:-30] + "\n",
        row() + "7|7",
        row() + "\n",
        row().replace("|0:0|", "|0|"),
    ],
)
def test_something_else(text: str) -> None:
    with pytest.raises(AccountingUnreadable, match="expected rows of JobIDRaw"):
        read(text)


def test_a_submit_time_that_is_none() -> None:
    with pytest.raises(AccountingUnreadable, match="submit time"):
        read(row(submit="2026-13-24T01:00:00-0500"))


@pytest.mark.parametrize(
    "odd",
    [
        row(job_id="5", state="1024"),
        row(job_id="5", uid="alice"),
        row(job_id="5", exit_code=""),
        row(job_id="5", state="CANCELLED by alice", name=f"x\n{FORGED}"),
        row(job_id="5", submit="2026-13-24T01:00:00-0500"),
    ],
)
def test_a_row_that_can_not_be_read_takes_no_other_along(odd: str) -> None:
    text = row(job_id="3") + odd + row(job_id="4", name="a|b\nc|d")
    with pytest.raises(SomeUnreadable) as caught:
        read_jobs(text.encode(), SEAL, CLUSTER.zone)
    assert [(job.job_id, job.name) for job in caught.value.jobs][1:] == [("4", "a|b\nc|d")]
    assert [job.job_id for job in caught.value.jobs] == ["3", "4"]


def test_a_job_whose_owner_slurmdbd_does_not_know_is_left_out() -> None:
    early = row(job_id="8", uid="0", user="root", partition="", name="allocation", account="")
    jobs = read_jobs((early + row()).encode(), SEAL, CLUSTER.zone)
    assert [job.job_id for job in jobs] == ["7"]


def test_the_latest_run_of_each_job() -> None:
    first, second = (
        accounted(submit_time="2026-11-24T01:00:00-05:00"),
        accounted(submit_time="2026-11-24T00:30:00-06:00"),
    )
    other = accounted(job_id="8")
    assert latest([first, other, second]) == [second, other]
    assert latest([second, first]) == [second]


def test_only_job_ids_are_asked_for() -> None:
    assert job_list(["1", "22"]) == "1,22"
    for wrong in ([], ["1", "2;id"], ["1 2"], ["-1"], ["\uff11"]):
        with pytest.raises(ValueError, match="job ids were expected"):
            job_list(wrong)


def test_the_owners_name_stands_under_the_clusters_field() -> None:
    beluga = ClusterSettings(
        name="beluga",
        timezone="America/Montreal",
        username_field="cc_account_username",
        ssh=SshSettings(host="nowhere"),
    )
    assert accounted().document(beluga)["cc_account_username"] == "alice"
