"""The generated dumps: what a round shows, what the next one changes, and that nothing is lost."""

import pytest

from bench import baselines, limits, product
from bench.dumps import Dump
from ingest.documents.fingerprints import VOLATILE
from ingest.reading.records import Record
from ingest.slurm.convert import SlurmDict
from ingest.slurm.kinds import JOBS, NODES, Kind

SEAL = "abcDEF1"


def documents(dump: Dump, kind: Kind = JOBS) -> list[SlurmDict]:
    """All of the dump's documents; none may be set aside."""
    found = list(product.read(product.chunks_of(dump, kind), dump.seal, kind))
    return [item.slurm for item in found if isinstance(item, Record)]


def stable(slurm: SlurmDict) -> SlurmDict:
    return {key: value for key, value in slurm.items() if key not in VOLATILE}


@pytest.mark.parametrize("seal", ["", SEAL])
def test_the_reader_and_both_baselines_find_every_job(seal: str) -> None:
    dump = Dump(300, seal=seal)
    chunks = product.chunks_of(dump)
    text = b"".join(chunks).decode()
    jobs = documents(dump)
    assert len({job["job_id"] for job in jobs}) == 300
    assert len(list(baselines.naive_split(text))) == 300
    assert len(limits.split_and_hash(chunks)) == 300
    theirs = baselines.regular_expression_documents(text, product.cluster_settings().zone, "mila")
    for key in ("job_id", "name", "uid", "job_state", "nodes", "command", "time_limit", "run_time"):
        assert [job[key] for job in theirs] == [job[key] for job in jobs], key


def test_it_is_a_mix_as_a_cluster_has_it() -> None:
    jobs = documents(Dump(500))
    states = {job["job_state"] for job in jobs}
    assert {"PENDING", "RUNNING", "COMPLETED", "FAILED"} <= states
    assert any("array_task_id" in job for job in jobs)
    assert any("comment" in job for job in jobs)
    assert any(" " in job["name"] for job in jobs)
    assert len({job["uid"] for job in jobs}) > 50


def test_a_record_is_as_long_as_real_ones() -> None:
    size = sum(map(len, product.chunks_of(Dump(200))))
    assert 1_000 < size / 200 < 2_000


def test_the_next_round_changes_as_many_jobs_as_it_should() -> None:
    dump = Dump(500, seal=SEAL)
    before, after = documents(dump), documents(dump.at(1))
    changed = [new for old, new in zip(before, after, strict=True) if stable(old) != stable(new)]
    assert len(changed) == dump.changes == 10
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(moved) > 400
    still = Dump(500, seal=SEAL, percent=0, moving=False)
    assert documents(still.at(1)) == before


def test_a_dump_is_the_same_every_time_and_another_seed_is_another_cluster() -> None:
    assert product.chunks_of(Dump(50)) == product.chunks_of(Dump(50))
    assert product.chunks_of(Dump(50)) != product.chunks_of(Dump(50, seed=1))


def test_nodes() -> None:
    nodes = documents(Dump(0, nodes=60, seal=SEAL), NODES)
    assert len({node["name"] for node in nodes}) == 60
    assert any("reason" in node for node in nodes)
