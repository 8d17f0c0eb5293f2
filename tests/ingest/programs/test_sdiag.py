"""What sdiag prints: a real Slurm's figures, and what is none."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.programs.sdiag import MOST_ROWS, SdiagUnreadable, read_sdiag

DUMP = Path(__file__).parents[3] / "fake_slurm_outputs" / "real_22.05" / "sdiag.txt"


def test_what_a_real_slurm_printed() -> None:
    found = read_sdiag(DUMP.read_bytes())

    assert found["since"] == datetime(2026, 11, 29, 23, 1, 14, tzinfo=timezone.utc)
    assert (found["server_threads"], found["agent_queue"], found["dbd_queue"]) == (3, 0, 0)
    assert found["main"] == {
        "cycles": 3,
        "last_seconds": pytest.approx(22e-6),
        "mean_seconds": pytest.approx(71e-6),
        "max_seconds": pytest.approx(171e-6),
        "queue": 0,
    }
    assert found["backfill"]["queue"] == 5
    assert found["backfill"]["max_seconds"] == pytest.approx(4886e-6)
    first = found["types"][0]
    assert (first["name"], first["count"]) == ("REQUEST_PARTITION_INFO", 21)
    assert first["seconds"] == pytest.approx(0.036472)
    assert [(row["name"], row["count"]) for row in found["users"]] == [("root", 62), ("alice", 10)]
    assert found["requests"]["count"] == 72
    assert found["requests"]["seconds"] == pytest.approx(0.089382)


def test_a_release_with_fewer_figures_and_one_with_many_rows() -> None:
    rows = "".join(
        f"\tTYPE_{number} ( {number}) count:1 ave_time:1 total_time:{number}\n"
        for number in range(100)
    )
    output = f"Server thread count: 7\n\nRemote Procedure Call statistics by message type\n{rows}"
    found = read_sdiag(output.encode())

    assert found["server_threads"] == 7
    assert found["since"] is found["dbd_queue"] is found["main"]["mean_seconds"] is None
    assert len(found["types"]) == MOST_ROWS
    assert found["types"][0]["name"] == "TYPE_99"
    assert found["requests"]["count"] == 100


def test_users_whose_names_hold_spaces() -> None:
    output = (
        b"Server thread count:  3\n\nRemote Procedure Call statistics by user\n"
        b"\tEXAMPLE\\jane doe    (    1105) count:7      ave_time:10     total_time:70\n"
        b"\tbob(x) y            (    1106) count:2      ave_time:10     total_time:20\n"
    )
    found = read_sdiag(output)
    assert [(row["name"], row["count"]) for row in found["users"]] == [
        ("EXAMPLE\\jane doe", 7),
        ("bob(x) y", 2),
    ]


@given(st.binary(max_size=300))
def test_what_is_not_of_sdiag_is_refused(noise: bytes) -> None:
    for output in (noise, b"slurm_load_diag error: " + noise):
        if b"Server thread count" not in output:
            with pytest.raises(SdiagUnreadable):
                read_sdiag(output)
