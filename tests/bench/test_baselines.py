"""The baselines and limits do what they claim, on a small dump and a real database."""

import orjson

from bench import baselines, limits, product
from bench.api_client import Wsgi
from bench.dumps import Dump
from ingest.database.store import Store


def test_two_updates_per_job_bring_every_job(store: Store) -> None:
    text = b"".join(product.chunks_of(Dump(20))).decode()
    jobs = baselines.regular_expression_documents(text, product.cluster_settings().zone, "mila")
    for _ in range(2):
        baselines.two_updates_per_job(store.jobs, jobs)
    found = list(store.jobs.find())
    assert sorted(job["slurm"]["job_id"] for job in found) == sorted(job["job_id"] for job in jobs)
    assert all(job["user"] == {} for job in found)


def test_flask_and_the_limit_answer_the_same_jobs(store: Store) -> None:
    product.Rounds(store).take_in(product.chunks_of(Dump(20)), "")
    status, _, body = Wsgi(baselines.flask_app(store.jobs, {})).get("/jobs/list", {})
    assert status == "200 OK"
    ids = {job["slurm"]["job_id"] for job in orjson.loads(body)}
    least = {job["slurm"]["job_id"] for job in orjson.loads(limits.find_and_dump(store.jobs, {}))}
    assert len(ids) == 20
    assert ids == least


def test_bare_writes_change_what_they_should(store: Store) -> None:
    jobs = [{"_id": f"mila/{number}", "slurm": {"restarts": 0}} for number in range(5)]
    limits.insert(store.database["bare"], jobs)
    for job in jobs[:2]:
        job["slurm"] = {"restarts": 1}
    limits.update(store.database["bare"], jobs[:2])
    assert store.database["bare"].count_documents({"slurm.restarts": 1}) == 2


def test_encode_counts_the_bytes_of_bson() -> None:
    assert limits.encode([{}]) == 5
    assert limits.encode([{"a": 1}, {}]) == 12 + 5
