"""``jobs/why``: a job that waits, what stands in its way, and who may know it."""

from datetime import timedelta
from typing import Any

import pytest

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from ingest.reasons.english import explain
from ingest.reasons.french import explain_in_french
from tests.api.support.client import Client
from tests.api.support.clusters import CLUSTERS
from tests.api.support.examples import NOW, TRANSTECH, job_document, listed_document, node_document
from tests.support.documented import MILA_JOB, MILA_NODE
from tests.support.reasons import KNOWN_REASONS

PENDING: dict[str, Any] = {
    **MILA_JOB,
    "job_id": "500",
    "job_state": "PENDING",
    "reason": "Dependency",
    "dependency": "afterok:233874(unfulfilled),afterany:600_2(unfulfilled),singleton(unfulfilled)",
    "partition": "main",
    "priority": 100,
    "time_limit": 7200,
    "submit_time": (NOW - timedelta(hours=1)).isoformat(),
    "start_time": (NOW + timedelta(hours=2)).isoformat(),
    "num_cpus": 4,
}
del PENDING["resv_name"]
OTHERS = {"mila_cluster_username": "somebody", "uid": "77"}


def why(client: Client, **arguments: str) -> Any:
    answer = client.get("jobs/why", **{"job_id": "500", "cluster_name": "mila", **arguments})
    assert answer.status == 200
    return answer.json


def fill(store: Store) -> None:
    task = {**PENDING, **OTHERS, "job_id": "602", "array_job_id": 600, "array_task_id": "2"}
    ahead = {**PENDING, **OTHERS, "job_id": "501", "priority": 101}
    elsewhere = {**PENDING, **OTHERS, "job_id": "502", "partition": "long", "priority": 999}
    jobs = [PENDING, {**task, "job_state": "RUNNING", "partition": "x"}, ahead, elsewhere]
    store.jobs.insert_many(map(job_document, jobs))
    nodes = [("cn-a002", "IDLE+DRAIN", "bad disk"), ("cn-a003", "IDLE", None)]
    store.nodes.delete_many({})
    for name, state, reason in nodes:
        slurm = {**MILA_NODE, "name": name, "state": state, "reason": reason, "partitions": "main"}
        store.nodes.insert_one(node_document(slurm))


def test_a_job_that_waits_is_explained(client: Client, filled: Store) -> None:
    fill(filled)
    later = {**TRANSTECH, "name": "later", "start_time": (NOW + timedelta(hours=3)).isoformat()}
    others = {**TRANSTECH, "name": "others", "nodes": "cn-b001"}
    past = {**TRANSTECH, "name": "past", "end_time": (NOW - timedelta(hours=1)).isoformat()}
    for slurm in (later, others, past):
        filled.reservations.insert_one(listed_document({**slurm, "cluster_name": "mila"}))

    told = why(client)

    assert told["sentence"] == "The job waits for another job."
    assert why(client, language="fr")["sentence"] == "La tâche attend une autre tâche."
    assert told["remedy"]
    assert told["waited"] == 3600
    assert told["dependencies"] == [
        {
            "type": "afterok",
            "job_id": "233874",
            "array_task_id": None,
            "job_states": ["RUNNING"],
            "fulfilled": "unfulfilled",
        },
        {
            "type": "afterany",
            "job_id": "600",
            "array_task_id": "2",
            "job_states": ["RUNNING"],
            "fulfilled": "unfulfilled",
        },
        {
            "type": "singleton",
            "job_id": None,
            "array_task_id": None,
            "job_states": [],
            "fulfilled": "unfulfilled",
        },
    ]
    assert [each["name"] for each in told["reservations"]] == ["transtech"]
    assert told["nodes"] == {
        "total": 2,
        "unavailable": 1,
        "named": [{"name": "cn-a002", "state": "IDLE+DRAIN", "reason": "bad disk"}],
    }
    assert told["places"] == [{"partition": "main", "ahead": 1, "pending": 2}]
    assert told["forecast"] == {
        "start_time": PENDING["start_time"],
        "count": 0,
        "half_within": None,
        "most_within": None,
    }
    assert told["waits"] == []


@pytest.mark.parametrize(("tasks", "states"), [("1-8%2", ["PENDING"]), ("3,5-9", [])])
def test_a_task_that_waits_with_others_is_found(
    client: Client, filled: Store, tasks: str, states: list[str]
) -> None:
    fill(filled)
    filled.jobs.update_one({"slurm.job_id": "602"}, {"$set": {"slurm.array_task_id": tasks}})
    waiting = {"slurm.job_state": "PENDING"}
    filled.jobs.update_one({"slurm.job_id": "602"}, {"$set": waiting})

    [_, of_task, _] = why(client)["dependencies"]

    assert (of_task["array_task_id"], of_task["job_states"]) == ("2", states)


def test_a_time_limit_beyond_all_calendars_is_none(client: Client, filled: Store) -> None:
    fill(filled)
    longest = {"slurm.time_limit": 257_698_037_640}  # 2982616-00:00:00, which Slurm takes
    assert filled.jobs.update_many({}, {"$set": longest}).modified_count

    assert why(client)["sentence"] == "The job waits for another job."


def test_waits_of_like_jobs_and_errors_of_forecasts(client: Client, filled: Store) -> None:
    fill(filled)

    def began(number: int, hours: float, **changes: Any) -> dict[str, Any]:
        start = NOW - timedelta(days=2, minutes=number)
        times = {
            "submit_time": (start - timedelta(hours=hours)).isoformat(),
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(hours=1)).isoformat(),
        }
        job = {**PENDING, **OTHERS, **times, "job_id": str(number), "job_state": "COMPLETED"}
        return job_document({**job, **changes}, finished_ago=86400)

    # Jobs that waited for less than this one, jobs of another size, and a cancelled job.
    filled.jobs.insert_many(began(1000 + number, 0.5) for number in range(50))
    filled.jobs.insert_many(began(1100 + number, 2 + number / 100) for number in range(40))
    filled.jobs.insert_many(began(1200 + number, 9, num_cpus=64) for number in range(40))
    started = (NOW - timedelta(days=2, minutes=1300)).isoformat()
    filled.jobs.insert_one(began(1300, 500, job_state="CANCELLED", end_time=started))
    filled.forecasts.insert_many(
        {
            "_id": f"mila/{number}/x",
            "cluster_name": "mila",
            "partition": "main",
            "started": NOW,
            "forecasts": [{"made": NOW, "start": NOW - timedelta(minutes=number)}],
        }
        for number in range(40)
    )

    told = why(client)

    [waits] = told["waits"]
    assert (waits["of"], waits["partition"], waits["count"]) == ("2 to 8 CPUs", "main", 40)
    assert 2 * 3600 <= waits["low"] <= waits["median"] <= waits["high"] < 2.4 * 3600
    assert told["forecast"]["count"] == 40
    [of_main] = client.get("partitions/waits", cluster_name="mila").json
    assert (of_main["partition"], of_main["count"]) == ("main", 100)
    assert 0.5 * 3600 <= of_main["low"] <= of_main["median"] <= of_main["high"] <= 9 * 3600
    assert told["forecast"]["half_within"] == 20 * 60
    assert told["forecast"]["most_within"] == 32 * 60
    filled.jobs.delete_many({"slurm.job_id": {"$gte": "1100", "$lt": "1111"}})
    assert why(client)["waits"][0]["of"] == "all sizes"


def test_lists_have_the_same_words_in_both_languages(client: Client, filled: Store) -> None:
    reasons = {str(number): reason for number, reason in enumerate(KNOWN_REASONS, 700)}
    jobs = [{**PENDING, "job_id": job_id, "reason": reason} for job_id, reason in reasons.items()]
    filled.jobs.insert_many([job_document(job) for job in jobs])

    asked = "slurm.job_id,cw.why,cw.why_fr"
    listed = client.get("jobs/list", fields=asked, partition="main", limit="1000").json
    words = {job["slurm"]["job_id"]: job["cw"] for job in listed}
    for job_id, reason in reasons.items():
        told = {"why": explain(reason).sentence, "why_fr": explain_in_french(reason).sentence}
        assert words[job_id] == told
    for job_id in list(reasons)[:3]:
        assert why(client, job_id=job_id)["sentence"] == words[job_id]["why"]
        in_french = why(client, job_id=job_id, language="fr")
        assert in_french["sentence"] == words[job_id]["why_fr"]
    one = client.get("jobs/one", job_id="233874", fields="cw.why").json
    assert one == {"cw": {"why": None}}  # it does not wait


def test_a_job_that_does_not_wait_and_none(client: Client) -> None:
    told = why(client, job_id="233874")
    assert told["job_state"] == "RUNNING"
    assert told["sentence"] is told["waits"] is None
    assert why(client, job_id="1") == {}


def test_who_sees_only_their_own_jobs_learns_nothing_else_of_others(filled: Store) -> None:
    fill(filled)
    app = build_app(filled, lambda: NOW, CLUSTERS, ApiSettings(jobs_visible="own"))
    _, token = add_user(filled, "mila12@mila.example", "milauser12")
    owner = Client(app, {"Authorization": f"Bearer {token}"})
    text = owner.get("jobs/why", job_id="500", cluster_name="mila").body.decode()
    assert "afterany" in text
    for others in ("somebody", "501", "502", "602"):
        assert others not in text
    assert owner.get("jobs/why", job_id="501", cluster_name="mila").json == {}
