"""What jobs used: rows of a real Slurm, the arithmetic of seff, and what is no row."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.programs.sacct import AccountingUnreadable
from ingest.programs.sacct_usage import Usage, read_usage

SEAL = "q7Rk2Xa"
ZONE = ZoneInfo("America/Montreal")
DUMP = Path(__file__).parents[3] / "fake_slurm_outputs" / "real_22.05" / "usage_sealed.txt"
SUBMIT = "2026-11-29T23:01:14+0000"


def row(
    job_id: str,
    *,
    cpu_time: str = "00:00:00",
    alloc: str = "cpu=4,mem=2G,node=1",
    total: str = "",
    most: str = "",
    mean: str = "",
    energy: str = "",
) -> str:
    fields = (job_id, "COMPLETED", "100", "4", cpu_time, alloc, total, most, mean, energy)
    return "|".join((*fields, f"{SUBMIT}{SEAL}")) + "\n"


def used(*rows: str) -> Usage:
    [usage] = read_usage("".join(rows).encode(), SEAL, ZONE).values()
    return usage


def test_what_a_real_slurm_printed() -> None:
    found = read_usage(DUMP.read_bytes(), SEAL, ZONE)

    assert sorted(found, key=int) == ["1", "2", "3", "4", "5", "6", "7", "8"]
    first = found["1"]
    assert first.submit_time == "2026-11-29T18:01:14-05:00"
    # By seff: 0.060 s and 0.139 s of 6 s on one CPU; 68268 KiB of the batch step of 500 MiB.
    assert first.document() == {
        "elapsed_seconds": 6,
        "cpus": 1,
        "memory_bytes": 500 << 20,
        "cpu_seconds": 0.199,
        "peak_memory_bytes": 68268 << 10,
        "cpu_efficiency": pytest.approx(0.199 / 6),
        "memory_efficiency": pytest.approx(68268 / 512000),
        "energy_joules": None,
        "gpu_utilization": None,
        "peak_gpu_memory_bytes": None,
    }
    # Two nodes: the batch step of one task peaked higher than the two tasks of the other step.
    assert found["2"].peak_memory_bytes == 10724 << 10
    assert found["2"].cpus == 2
    assert found["6"].state == "CANCELLED"
    assert found["6"].document()["cpu_efficiency"] is None
    assert found["6"].peak_memory_bytes is None


def test_steps_are_folded_and_what_the_site_gathers_is_told() -> None:
    usage = used(
        row("7", energy="1234"),
        row("7.batch", cpu_time="1-00:00:01", total="cpu=1,mem=1024K", mean="gres/gpuutil=0"),
        row(
            "7.0",
            cpu_time="01:40.500",
            total="cpu=1,mem=1.50G",
            most="gres/gpumem=20G",
            mean="gres/gpuutil=87",
        ),
        row("7.extern", total="mem=1G", most="gres/gpumem=1K"),
    )
    assert usage.cpu_seconds == 86401 + 100.5
    assert usage.peak_memory_bytes == 3 << 29
    assert usage.document()["memory_efficiency"] == 0.75
    assert usage.energy_joules == 1234
    assert usage.gpu_utilization == 87.0
    assert usage.peak_gpu_memory_bytes == 20 << 30


def test_what_is_not_gathered_is_null() -> None:
    told = used(row("7", energy="0"), row("7.batch")).document()
    for key in ("peak_memory_bytes", "memory_efficiency", "energy_joules", "gpu_utilization"):
        assert told[key] is None
    assert told["cpu_efficiency"] == 0


@pytest.mark.parametrize(
    "output",
    [
        b"sacct: error: nothing\n",
        row("7").replace(SEAL, "").encode(),
        row("7").replace(SEAL, "Zzzzzzz").encode(),
        row("7.batch").encode(),
        row("7").replace("|4|", "|x|").encode(),
    ],
)
def test_what_is_no_row_is_refused(output: bytes) -> None:
    with pytest.raises(AccountingUnreadable):
        read_usage(output, SEAL, ZONE)


@given(st.binary(max_size=300))
def test_no_text_without_the_seal_is_read(noise: bytes) -> None:
    try:
        assert read_usage(noise, SEAL, ZONE) == {}
    except AccountingUnreadable:
        assert noise.strip(b"\n")
