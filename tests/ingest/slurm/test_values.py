"""Values as scontrol prints them, and what they mean."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.slurm import values

MONTREAL = ZoneInfo("America/Montreal")


@given(st.integers(0, 200), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_its_hours_minutes_and_seconds(
    hours: int, minutes: int, seconds: int
) -> None:
    whole = hours * 3600 + minutes * 60 + seconds
    assert values.duration(f"{hours:02}:{minutes:02}:{seconds:02}") == whole
    days = f"{hours // 24}-{hours % 24:02}:{minutes:02}:{seconds:02}"
    assert values.duration(days) == whole


@pytest.mark.parametrize(
    ("printed", "seconds"),
    [
        ("22", 22),
        ("10:00", 600),
        ("12:00:00", 43200),
        ("7-00:00:00", 604800),
        ("00:00:00", 0),
        ("1-05:11:18", 105078),
        ("UNLIMITED", None),
        ("Partition_Limit", None),
        ("INVALID", None),
        ("N/A", None),
        ("", None),
        ("1:2:3:4", None),
        (" 22 ", 22),
        ("22\n", None),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("-5", None),
        ("٣", None),
        ("9" * 30, None),
    ],
)
def test_duration(printed: str, seconds: int | None) -> None:
    assert values.duration(printed) == seconds


@pytest.mark.parametrize(
    ("printed", "iso"),
    [
        ("2021-11-13T00:56:47", "2021-11-13T00:56:47-05:00"),
        ("2021-07-13T00:56:47", "2021-07-13T00:56:47-04:00"),
        ("2021-11-13T05:56:47+0000", "2021-11-13T00:56:47-05:00"),
        ("2021-11-07T01:30:00", "2021-11-07T01:30:00-04:00"),  # the first of two
        ("2021-11-07T01:30:00-0400", "2021-11-07T01:30:00-04:00"),
        ("2021-11-07T01:30:00-0500", "2021-11-07T01:30:00-05:00"),  # the second
        ("2021-03-14T02:30:00", "2021-03-14T02:30:00-05:00"),  # an hour that there was not
        ("2024-02-29T12:00:00", "2024-02-29T12:00:00-05:00"),
        ("1970-01-01T00:00:00", "1970-01-01T00:00:00-05:00"),
        ("2106-02-07T06:28:15", "2106-02-07T06:28:15-05:00"),
        ("2021-11-13T05:26:47+0530", "2021-11-12T18:56:47-05:00"),
        ("Unknown", None),
        ("None", None),
        ('"None"', None),
        ("2021-02-29T00:00:00", None),
        ("2021-11-13T24:00:00", None),
        ("0001-01-01T00:00:00+2300", None),
        ("2021-11-13T00:56:47+9900", None),
        ("2021-11-13", None),
        ("2021-11-13T05:56:47+0\u0663\u06630", None),
    ],
)
def test_time(printed: str, iso: str | None) -> None:
    assert values.time(printed, MONTREAL) == iso


@pytest.mark.parametrize(
    ("printed", "iso"),
    [
        ("1675460418", "2023-02-03T16:40:18-05:00"),
        (" 1675460418", "2023-02-03T16:40:18-05:00"),
        ("1636266600", "2021-11-07T01:30:00-05:00"),  # the second of two
        ("100000000", "1973-03-03T04:46:40-05:00"),
        ("99999999999", "5138-11-16T04:46:39-05:00"),
        ("2021", None),
        ("0675460418", None),
        ("-1675460418", None),
        ("1675460418.5", None),
        ("Unknown", None),
        ("", None),
    ],
)
def test_seconds_since_1970(printed: str, iso: str | None) -> None:
    assert values.epoch_time(printed, MONTREAL) == iso


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("0", 0),
        ("-5", -5),
        ("4294901759", 4294901759),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("007", "007"),
        ("1-1", "1-1"),
        ("N/A", None),
        ("n/s", None),
        ("12 ", 12),
        ("12\n", "12\n"),
        ("x", "x"),
        ("-1\u0663", "-1\u0663"),
        ("", None),
    ],
)
def test_integer(printed: str, value: int | str | None) -> None:
    assert values.integer(printed) == value


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("127.44", 127.44),
        ("-0.50", -0.5),
        ("3", 3),
        ("N/A", None),
        *[("999999999999999.5", 999999999999999.5), ("0.111111111111111", 0.111111111111111)],
        *((text, text) for text in ("9999999999999999.5", "0.1111111111111111", "1.2.3")),
        *((text, text) for text in ("1.", ".5", "1,5", "\u0663.\u0663")),
    ],
)
def test_decimal(printed: str, value: float | str | None) -> None:
    assert values.decimal(printed) == value
    assert isinstance(values.decimal(printed), type(value))


@pytest.mark.parametrize(
    ("printed", "user"),
    [
        ("alice(1001)", ("alice", "1001")),
        ("j.doe-x(1001)", ("j.doe-x", "1001")),
        ("1001(1001)", ("1001", "1001")),
        ("a(b)(7)", ("a(b)", "7")),
        ("alice", None),
        ("(1001)", None),
        ("a\nb(7)", ("a\nb", "7")),
        ("alice(\u0663)", None),
    ],
)
def test_user(printed: str, user: tuple[str, str] | None) -> None:
    assert values.user(printed) == user


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("CPUs/Task", "cpus_task"),
        ("AllocNode:Sid", "alloc_node_sid"),
        ("ReqB:S:C:T", "req_b_s_c_t"),
        ("QOS", "qos"),
        ("MCS_label", "mcs_label"),
        ("MinCPUsNode", "min_cpus_node"),
        ("NtasksPerTRES", "ntasks_per_tres"),
        ("OOMKillStep", "oom_kill_step"),
        ("CPULoad", "cpu_load"),
        ("CPU_IDs", "cpu_ids"),
        ("JOB_GRES", "job_gres"),
        ("RestrictedCoresPerGPU", "restricted_cores_per_gpu"),
        ("BootTime", "boot_time"),
    ],
)
def test_snake_case(key: str, name: str) -> None:
    assert values.snake_case(key) == name


@given(st.binary())
def test_any_bytes_become_text_that_can_be_stored(raw: bytes) -> None:
    stored = values.storable(raw.decode("utf-8", "surrogateescape"))
    assert stored.encode().decode() == stored


@given(st.text())
def test_no_text_is_more_than_the_functions_can_take(text: str) -> None:
    for function in (values.duration, values.integer, values.decimal, values.user, values.optional):
        function(text)
    values.time(text, MONTREAL)


def test_nothing_but_spaces_is_taken_off() -> None:
    assert values.optional(" XN/AX ") == "XN/AX"
    assert values.optional("\nN/A") == "\nN/A"
    assert values.integer("X1X") == "X1X"
    for ends in ("X", "\n"):
        assert values.decimal(f"{ends}1.5{ends}") == f"{ends}1.5{ends}"
        assert values.duration(f"{ends}22{ends}") is None
        assert values.time(f"{ends}2021-11-13T00:56:47{ends}", MONTREAL) is None
        assert values.user(f"{ends}alice(1){ends}") is None
        assert not values.is_no_time(f"{ends}N/A{ends}")
    assert values.time(" 2021-11-13T00:56:47 ", MONTREAL) == "2021-11-13T00:56:47-05:00"
    assert values.user(" alice(1) ") == ("alice", "1")
    assert values.is_no_time(" Unknown ")


@pytest.mark.parametrize(
    ("tasks", "count"),
    [(None, 1), ("3", 1), ("1-10", 10), ("1-10:3,15%2", 5), ("1,2,...", 2), (7, 1), ("x", 1)],
)
def test_tasks_of_an_array(tasks: object, count: int) -> None:
    assert values.tasks_in(tasks) == count
