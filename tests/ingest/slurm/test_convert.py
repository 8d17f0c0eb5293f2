"""Records to documents: every documented key, what is absent, and everything else."""

import re
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config import ClusterSettings, SshSettings
from config.settings import UsernameField
from ingest.reading.records import Record, SetAside
from ingest.slurm import values
from ingest.slurm.convert import (
    TYPES,
    AnyCluster,
    Converter,
    DocumentError,
    adds_space_to_comments,
    typed_keys,
)
from ingest.slurm.keys import JOB, NODE, Key, KeyTable
from ingest.slurm.kinds import JOBS, NODES, Kind
from tests.ingest.reading.attacks import job
from tests.support import documented as manual
from tests.support.reading import read

BELUGA_JOB = """\
JobId=820432 JobName=somejobname_244745
   UserId=ccuser01(10001) GroupId=ccuser01(10001) MCS_label=N/A
   Priority=900 Nice=0 Account=def-pomme-rrg QOS=normal
   JobState=PENDING Reason=Priority Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:00:00 TimeLimit=03:00:00 TimeMin=N/A
   SubmitTime=2020-02-04T03:22:55 EligibleTime=2020-02-04T03:22:55
   StartTime=Unknown EndTime=Unknown Deadline=N/A
   Partition=fun_partition AllocNode:Sid=login-2:20721
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=
   NumNodes=1-1 NumCPUs=1 NumTasks=N/A CPUs/Task=1 ReqB:S:C:T=0:0:*:*
   MinCPUsNode=1 MinMemoryNode=4G MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00 Reservation=(null)
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/a762/b220/c552
   WorkDir=/a751/b704/c43
   StdErr=/a869/b72/c702.err
   StdIn=/dev/null
   StdOut=/a942/b827/c342.out

"""
MILA_JOB = """\
JobId=233874 JobName=somejobname_942640
   UserId=milauser12(10012) GroupId=milauser12(10012) MCS_label=N/A
   Priority=4294901759 Nice=-5 Account=mila QOS=high
   JobState=RUNNING Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=1-05:11:18 TimeLimit=7-00:00:00 TimeMin=00:10:00
   SubmitTime=2021-11-13T00:56:47 EligibleTime=2021-11-13T00:56:47
   StartTime=2021-11-13T01:16:31 EndTime=2021-11-20T01:16:31 Deadline=N/A
   Partition=fun_partition AllocNode:Sid=login-2:20721
   NodeList=cn-b005
   NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*
   Features=(null) DelayBoot=00:00:00 Reservation=transtech
   Command=/a58/b740/c718
   WorkDir=/a308/b872/c331
   StdErr=/a3/b765/c675.err
   StdIn=/dev/null
   StdOut=/a129/b104/c145.out

"""
BELUGA_NODE = """\
NodeName=blg4118 Arch=x86_64 CoresPerSocket=20\x20
   CPUAlloc=40 CPUEfctv=40 CPUTot=40 CPULoad=38.80
   AvailableFeatures=skylake
   ActiveFeatures=skylake
   Gres=(null)
   NodeAddr=blg4118 NodeHostName=blg4118 Version=24.05.3
   OS=Linux 4.15.0-99-generic #100-Ubuntu SMP Wed Apr 22 20:32:56 UTC 2020\x20
   RealMemory=191000 AllocMem=160000 FreeMem=63666 Sockets=2 Boards=1
   State=ALLOCATED ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A
   Partitions=main,long\x20
   BootTime=2020-01-05T03:30:00 SlurmdStartTime=2020-01-23T03:30:00
   LastBusyTime=2020-02-04T03:25:00 ResumeAfterTime=None
   CfgTRES=cpu=40,mem=191000M,billing=46
   AllocTRES=cpu=40,mem=160000M
   CurrentWatts=n/a AveWatts=0

"""
MILA_NODE = """\
NodeName=cn-a002 Arch=x86_64 CoresPerSocket=16\x20
   AvailableFeatures=broadwell
   Gres=(null)
   NodeAddr=cn-a002 NodeHostName=cn-a002
   RealMemory=128000 AllocMem=122528
   State=ALLOCATED ThreadsPerCore=1
   CfgTRES=cpu=32,mem=125G,billing=32
   AllocTRES=cpu=32,mem=122528M
   Comment=(null)

"""


def cluster(name: str, username_field: UsernameField) -> ClusterSettings:
    return ClusterSettings(
        name=name,
        timezone="America/Montreal",
        username_field=username_field,
        ssh=SshSettings(host="nowhere"),
    )


MILA = cluster("mila", "mila_cluster_username")
BELUGA = cluster("beluga", "cc_account_username")


def item_of(text: str, kind: Kind, of: ClusterSettings = MILA) -> Record | SetAside:
    (item,) = read(text.encode("utf-8", "surrogateescape"), kind, cluster=of)
    assert isinstance(item, (Record, SetAside))
    return item


def job_of(text: str, of: ClusterSettings = MILA) -> dict[str, Any]:
    item = item_of(text, JOBS, of)
    assert isinstance(item, Record), item
    return item.slurm


def node_of(text: str, of: ClusterSettings = MILA) -> dict[str, Any]:
    item = item_of(text, NODES, of)
    assert isinstance(item, Record), item
    return item.slurm


def with_values(changed: dict[str, str]) -> str:
    """The job of mila with other values, by Slurm's keys."""
    text = MILA_JOB
    for key, value in changed.items():
        before, rest = text.split(f"{key}=", 1)
        old = rest.split("\n")[0].split(" ")[0]
        text = f"{before}{key}={value}{rest.removeprefix(old)}"
    return text


def mila_job(**changed: str) -> dict[str, Any]:
    """The job of mila with other values: ``mila_job(NodeList="(null)")``."""
    return job_of(with_values(changed))


def refused(**changed: str) -> str:
    """Why the job of mila with other values is set aside."""
    item = item_of(with_values(changed), JOBS)
    assert isinstance(item, SetAside)
    return item.reason


# --- the documented keys ---------------------------------------------------------------------


def test_a_pending_job_of_beluga_has_the_documented_keys() -> None:
    documented = manual.BELUGA_JOB
    others = {
        "group_id": "ccuser01(10001)",
        "mcs_label": None,
        "priority": 900,
        "nice": 0,
        "qos": "normal",
        "reason": "Priority",
        "dependency": None,
        "requeue": 1,
        "restarts": 0,
        "batch_flag": 1,
        "reboot": 0,
        "run_time": 0,
        "time_min": None,
        "eligible_time": "2020-02-04T03:22:55-05:00",
        "deadline": None,
        "alloc_node_sid": "login-2:20721",
        "req_node_list": None,
        "exc_node_list": None,
        "num_nodes": "1-1",
        "num_cpus": 1,
        "num_tasks": None,
        "cpus_task": 1,
        "req_b_s_c_t": "0:0:*:*",
        "min_cpus_node": 1,
        "min_memory_node": "4G",
        "min_tmp_disk_node": 0,
        "features": None,
        "delay_boot": 0,
        "over_subscribe": "OK",
        "contiguous": 0,
        "licenses": None,
        "network": None,
    }
    assert job_of(BELUGA_JOB, BELUGA) == documented | others


def test_a_running_job_of_mila_has_the_documented_keys() -> None:
    documented = manual.MILA_JOB
    slurm = job_of(MILA_JOB)
    assert {key: slurm[key] for key in documented} == documented
    assert "cc_account_username" not in slurm
    assert slurm["run_time"] == 105078
    assert slurm["time_min"] == 600
    assert slurm["nice"] == -5
    assert slurm["priority"] == 4294901759


def test_a_node_of_beluga_has_the_documented_keys() -> None:
    documented = manual.BELUGA_NODE
    others = {
        "cores_per_socket": 20,
        "cpu_alloc": 40,
        "cpu_efctv": 40,
        "cpu_tot": 40,
        "cpu_load": 38.8,
        "active_features": "skylake",
        "node_host_name": "blg4118",
        "version": "24.05.3",
        "os": "Linux 4.15.0-99-generic #100-Ubuntu SMP Wed Apr 22 20:32:56 UTC 2020",
        "alloc_mem": 160000,
        "free_mem": 63666,
        "sockets": 2,
        "boards": 1,
        "threads_per_core": 1,
        "tmp_disk": 0,
        "weight": 1,
        "owner": None,
        "mcs_label": None,
        "partitions": "main,long",
        "boot_time": "2020-01-05T03:30:00-05:00",
        "slurmd_start_time": "2020-01-23T03:30:00-05:00",
        "last_busy_time": "2020-02-04T03:25:00-05:00",
        "resume_after_time": None,
        "current_watts": None,
        "ave_watts": 0,
    }
    assert node_of(BELUGA_NODE, BELUGA) == documented | others


def test_a_node_of_mila_has_the_documented_keys() -> None:
    documented = manual.MILA_NODE
    slurm = node_of(MILA_NODE)
    assert {key: slurm[key] for key in documented} == documented


def test_a_nodes_reason_is_there_whole() -> None:
    reason = "bad disk=sda [user JobId=3] [root@2026-11-23T20:13:46]"
    text = MILA_NODE.replace("   Comment=(null)\n", f"   Reason={reason}\n   Comment=a=b c\n")
    slurm = node_of(text)
    assert slurm["reason"] == reason
    assert slurm["comment"] == "a=b c"


# --- what is absent ----------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["(null)", "", "N/A", "None", "n/a", "n/s", '"None"'])
def test_every_absent_marker_is_null(marker: str) -> None:
    slurm = mila_job(NodeList=marker, Command=marker, Account=marker, RunTime=marker, Nice=marker)
    assert [slurm[key] for key in ("nodes", "command", "account", "run_time", "nice")] == [None] * 5


def test_a_key_that_was_not_printed_is_absent() -> None:
    text = "".join(line for line in MILA_JOB.splitlines(True) if "Std" not in line)
    slurm = job_of(text.replace("BatchFlag=1", "BatchFlag=0"))
    assert not {"stderr", "stdin", "stdout", "comment", "tres", "alloc_groups"} & slurm.keys()


@pytest.mark.parametrize("marker", ["(null)", "", "N/A"])
def test_resv_name_is_there_only_when_the_job_has_a_reservation(marker: str) -> None:
    assert "resv_name" not in mila_job(Reservation=marker)
    assert mila_job(Reservation="r 1".replace(" ", "_"))["resv_name"] == "r_1"


@pytest.mark.parametrize("name", ["(null)", "", "N/A", "None", " x ", "a b=c"])
def test_a_jobs_name_is_whatever_it_is(name: str) -> None:
    assert mila_job(JobName=name)["name"] == name


@pytest.mark.parametrize("word", ["UNLIMITED", "Partition_Limit", "INVALID", "N/A"])
def test_a_time_limit_that_is_no_duration_is_null(word: str) -> None:
    assert mila_job(TimeLimit=word)["time_limit"] is None


@pytest.mark.parametrize("word", ["Unknown", "None", "(null)", "N/A", ""])
def test_a_time_that_there_is_not_is_unknown_in_the_three_and_null_elsewhere(word: str) -> None:
    slurm = mila_job(StartTime=word, EndTime=word, SubmitTime=word, EligibleTime=word)
    assert [slurm[f"{which}_time"] for which in ("start", "end", "submit")] == ["Unknown"] * 3
    assert slurm["eligible_time"] is None


def test_the_one_space_behind_a_comment_is_no_part_of_it() -> None:
    text = MILA_JOB.replace("   StdErr=", "   Comment=two  words  \n   StdErr=")
    assert job_of(text)["comment"] == "two  words "
    text = MILA_JOB.replace("   StdErr=", "   Comment=(null) \n   StdErr=")
    assert job_of(text)["comment"] is None


# --- other keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("1.50", 1.5),
        ("2021-11-13T00:56:47", "2021-11-13T00:56:47-05:00"),
        ("some words", "some words"),
        ("(null)", None),
        ("00:10:00", "00:10:00"),
    ],
)
def test_a_key_unknown_so_far_is_kept_and_typed_as_it_looks(printed: str, value: object) -> None:
    text = MILA_JOB.replace("   NumNodes=", f"   FutureKey={printed}\n   NumNodes=")
    assert job_of(text)["future_key"] == value
    node = MILA_NODE.replace("   State=", f"   FutureKey={printed}\n   State=")
    assert node_of(node)["future_key"] == value


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("ClusterName", "cluster_name"),
        ("Uid", "uid"),
        ("Name", "name"),
        ("Nodes/", "nodes"),
        ("MilaClusterUsername", "mila_cluster_username"),
        ("CcAccountUsername", "cc_account_username"),
        ("ResvName", "resv_name"),
        ("TimeLimit/", "time_limit"),
        ("AllocGroups", "alloc_groups"),
        ("QOS/", "qos"),
        ("Comment/", "comment"),
    ],
)
def test_a_key_unknown_so_far_never_takes_a_documented_name(key: str, name: str) -> None:
    text = MILA_JOB.replace(" Reservation=transtech", "").replace(
        "   NumNodes=", f"   {key}=forged\n   NumNodes="
    )
    slurm = job_of(text)
    assert slurm[f"slurm_{name}"] == "forged"
    assert slurm.get(name) != "forged"
    node = MILA_NODE.replace("   State=", "   ClusterName=forged\n   CfgTRES/=forged\n   State=")
    assert node_of(node)["slurm_cluster_name"] == "forged"
    assert node_of(node)["cluster_name"] == "mila"
    assert node_of(node)["slurm_cfg_tres"] == "forged"


def test_two_unknown_keys_of_one_name_are_refused() -> None:
    text = MILA_JOB.replace("   NumNodes=", "   FutureKey=1 Future/Key=2\n   NumNodes=")
    item = item_of(text, JOBS)
    assert isinstance(item, SetAside)
    assert item.reason == "Future/Key: another key is called future_key too"


def test_groups_of_nodes_are_a_list() -> None:
    details = (
        "     Nodes=cn-a[1-2] CPU_IDs=0-1 Mem=1000 GRES=\n"
        "     Nodes=cn-a3 CPU_IDs=2 Mem=500 GRES=gpu:1(IDX:0)\n"
    )
    text = MILA_JOB.replace("   Features=", f"{details}   Features=")
    assert job_of(text)["alloc_groups"] == [
        {"nodes": "cn-a[1-2]", "cpu_ids": "0-1", "mem": "1000", "gres": None},
        {"nodes": "cn-a3", "cpu_ids": "2", "mem": "500", "gres": "gpu:1(IDX:0)"},
    ]


def test_a_key_of_groups_without_a_group_is_a_key_like_any_other() -> None:
    text = MILA_JOB.replace("   Features=", "   Mem=1000\n   Features=")
    slurm = job_of(text)
    assert slurm["mem"] == "1000"
    assert "alloc_groups" not in slurm
    node = MILA_NODE.replace("   State=", "   Mem=7\n   State=")
    assert node_of(node)["mem"] == 7


def test_a_key_of_groups_behind_a_group_is_a_part_of_the_group() -> None:
    text = MILA_JOB.replace("   Features=", "     Nodes=a CPU_IDs=0\n   Mem=1000\n   Features=")
    slurm = job_of(text)
    assert slurm["alloc_groups"] == [{"nodes": "a", "cpu_ids": "0", "mem": "1000"}]
    assert "mem" not in slurm


@pytest.mark.parametrize(
    ("key", "printed", "value"),
    [
        ("RunTime", "22", 22),
        ("RunTime", "INVALID", None),
        ("Priority", "007", "007"),
        ("NumNodes", "1-1", "1-1"),
        ("CPUs/Task", "N/A", None),
        ("Deadline", "2021-11-13T05:56:47+0000", "2021-11-13T00:56:47-05:00"),
        ("DelayBoot", "00:01:00", 60),
        ("QOS", "high ", "high"),
        ("Partition", "main  ", "main"),
        ("WorkDir", "/home/a b ", "/home/a b "),
    ],
)
def test_known_keys_are_typed(key: str, printed: str, value: object) -> None:
    text = MILA_JOB
    before, rest = text.split(f"{key}=", 1)
    old = rest.split("\n")[0].split(" ")[0]
    slurm = job_of(f"{before}{key}={printed}{rest.removeprefix(old)}")
    name = {
        "RunTime": "run_time",
        "NumNodes": "num_nodes",
        "CPUs/Task": "cpus_task",
        "DelayBoot": "delay_boot",
        "WorkDir": "work_dir",
    }.get(key, key.lower())
    assert slurm[name] == value


TABLES = [(JOB, "job"), (NODE, "node")]
ROWS = [
    pytest.param(table, key, id=f"{kind} {key.name}")
    for table, kind in TABLES
    for key in table.keys.values()
]
MONTREAL = AnyCluster("mila", ZoneInfo("America/Montreal"))
NO_TIMES = {(JOB, "RunTime"), (NODE, "SuspendTime")}
"""Seconds, though the names say otherwise."""


@pytest.mark.parametrize(("table", "key"), ROWS)
def test_every_key_of_the_table_has_a_name_and_a_reader(table: KeyTable, key: Key) -> None:
    name, convert = Converter(table, MONTREAL).field(key.name)
    assert name == key.document
    for printed in ("(null)", "N/A", "", "12", "some words", "Unknown", "alice(1001)"):
        if key.value == "owner" and printed != "alice(1001)":
            continue
        if key.value in {"time", "time_or_unknown"} and printed[0:1] in {"1", "s", "a"}:
            with pytest.raises(DocumentError):
                convert(printed)
            continue
        value = convert(printed)
        assert key.value == "owner" or type(value) in TYPES[key.value], printed


@pytest.mark.parametrize(("table", "key"), ROWS)
def test_every_value_that_is_a_time_carries_an_offset(table: KeyTable, key: Key) -> None:
    _, convert = Converter(table, MONTREAL).field(key.name)
    if key.value == "owner":
        return
    if key.name.endswith("Time") and (table, key.name) not in NO_TIMES:
        assert key.value in {"time", "time_or_unknown"}
    for printed, offset in (
        ("2021-11-13T00:56:47", "-05:00"),
        ("2021-07-13T00:56:47", "-04:00"),
        ("2021-11-13T05:56:47+0000", "-05:00"),
    ):
        if key.value in {"time", "time_or_unknown"}:
            assert convert(printed) == f"{printed[:10]}T00:56:47{offset}"
        elif key.value == "duration":
            assert convert(printed) is None
        else:
            assert convert(printed) == printed  # a text that looks like a time


@pytest.mark.parametrize(("table", "key"), ROWS)
def test_numbers_are_numbers_where_the_table_says_so(table: KeyTable, key: Key) -> None:
    _, convert = Converter(table, MONTREAL).field(key.name)
    if key.value in {"integer", "duration", "decimal"}:
        assert convert("12") == 12
        assert type(convert("12")) is int
    elif key.value not in {"owner", "time", "time_or_unknown"}:
        assert convert("12") == "12"


def test_the_types_that_documents_can_have_are_told() -> None:
    jobs, nodes = typed_keys(JOB), typed_keys(NODE)
    nothing = type(None)
    assert jobs["submit_time"] == ("SubmitTime", frozenset({str}))
    assert jobs["time_limit"] == ("TimeLimit", frozenset({int, nothing}))
    assert jobs["name"] == ("JobName", frozenset({str}))
    assert nodes["cpu_load"] == ("CPULoad", frozenset({int, float, str, nothing}))
    assert not {"", "uid", "alloc_groups", "cpu_ids"} & jobs.keys()


@settings(deadline=None)
@given(
    st.datetimes(timezones=st.just(timezone.utc)),
    st.sampled_from(["America/Montreal", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"]),
    st.sampled_from(["", "+0000", "-0330", "+1400"]),
    st.lists(st.integers(0, 3599), max_size=4),
)
def test_times_of_one_hour_are_read_as_each_by_itself(
    moment: datetime, zone: str, offset: str, seconds: list[int]
) -> None:
    """Most times are read by looking their hour up."""
    _, convert = Converter(JOB, AnyCluster("mila", ZoneInfo(zone))).field("EligibleTime")
    assume(1900 < moment.year < 9000)
    hour = moment.strftime("%Y-%m-%dT%H")
    for second in [0, *seconds, *seconds]:
        text = f"{hour}:{second // 60:02}:{second % 60:02}{offset}"
        assert convert(text) == values.time(text, ZoneInfo(zone))


@pytest.mark.parametrize("clock", ["01:10:00", "01:59:59", "02:10:00", "02:40:00", "03:00:00"])
def test_the_hours_in_which_the_clock_changes_are_read_right(clock: str) -> None:
    for zone in (ZoneInfo("America/Montreal"), ZoneInfo("Australia/Lord_Howe")):
        _, convert = Converter(JOB, AnyCluster("mila", zone)).field("Deadline")
        for day in ("2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"):
            for text in (f"{day}T{clock[:2]}:00:00", f"{day}T{clock}", f"{day}T{clock}+0000"):
                assert convert(text) == values.time(text, zone), (text, zone)


@pytest.mark.parametrize("text", ["2026-11-23T20:60:00", "2026-11-23T20:13:60", "2026-11-23T20:1x"])
def test_no_time_of_a_known_hour_is_made_up(text: str) -> None:
    _, convert = Converter(JOB, MONTREAL).field("Deadline")
    assert convert("2026-11-23T20:13:41") == "2026-11-23T20:13:41-05:00"
    with pytest.raises(DocumentError):
        convert(text)


@pytest.mark.parametrize(
    ("keys", "space_at_end", "adds"),
    [
        ({"JobId"}, True, True),
        ({"JobId"}, False, True),
        ({"JobId", "SubmitLine"}, False, False),
        ({"JobId", "SubmitLine"}, True, True),
    ],
)
def test_which_slurm_adds_a_space_to_comments(
    keys: set[str], *, space_at_end: bool, adds: bool
) -> None:
    assert adds_space_to_comments(frozenset(keys), space_at_end=space_at_end) is adds


def test_a_comment_of_a_slurm_that_adds_no_space_keeps_its_own() -> None:
    text = MILA_JOB.replace(
        "   WorkDir=/a308/b872/c331\n",
        "   SubmitLine=sbatch x\n   WorkDir=/a308/b872/c331\n   Comment=two  words  \n",
    )
    assert job_of(text)["comment"] == "two  words  "
    assert job_of(text.replace("\n\n", "\n   \n\n"))["comment"] == "two  words "


# --- what can't be -------------------------------------------------------------------------------


def test_a_user_id_of_another_shape_is_refused_by_its_name() -> None:
    assert refused(UserId="alice") == "UserId: expected name(number), found 'alice'"


@pytest.mark.parametrize("key", ["SubmitTime", "EndTime", "EligibleTime", "Deadline"])
def test_a_time_that_is_none_is_refused_by_its_key(key: str) -> None:
    assert refused(**{key: "yesterday"}) == f"{key}: a time was expected, found 'yesterday'"


def test_times_in_seconds_since_1970() -> None:
    """scontrol prints them with ``SLURM_TIME_FORMAT=%s``, as some scripts of other sites do."""
    text = re.sub(r"(Submit|Eligible|End)Time=2\S+", r"\1Time=1636783007", MILA_JOB)
    slurm = job_of(text.replace("StartTime=2021-11-13T01:16:31", "StartTime=1636784191"))
    assert slurm["submit_time"] == slurm["eligible_time"] == "2021-11-13T00:56:47-05:00"
    assert slurm["start_time"] == "2021-11-13T01:16:31-05:00"
    assert slurm["requeue"] == 1


def test_a_message_shows_a_part_of_a_long_value() -> None:
    assert refused(EndTime="x" * 500).endswith(f"found '{'x' * 80}'")
    assert refused(UserId="x" * 500).endswith(f"found '{'x' * 80}'")


def test_bytes_that_are_not_utf_8_can_be_stored() -> None:
    raw = b"JobName=NAME".replace(b"NAME", b"\xff\xfe \x1b[31m\t")
    text = MILA_JOB.replace("JobName=somejobname_942640", raw.decode("utf-8", "surrogateescape"))
    slurm = job_of(text)
    assert slurm["name"] == "\\xff\\xfe \x1b[31m\t"
    assert slurm["time_limit"] == 604800
    assert slurm["dependency"] is None


def test_bytes_that_are_not_utf_8_can_be_stored_in_groups_of_nodes_too() -> None:
    text = MILA_JOB.replace("   Features=", "     Nodes=\udcff CPU_IDs=0\n   Features=")
    assert job_of(text)["alloc_groups"] == [{"nodes": "\\xff", "cpu_ids": "0"}]


def test_the_o_form_gives_the_same_document() -> None:
    text = job("1", "alice(1001)", sealed=False)
    one_line = text.rstrip().replace("\n   ", " ") + "\n"
    assert job_of(one_line) == job_of(text)
