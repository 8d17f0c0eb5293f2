"""What lists can be asked for beside the seed's arguments: filters, fields, order, pages, lines."""

import json
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from ingest.database.store import Store
from tests.api.support.client import Answer, Client, following
from tests.api.support.examples import NOW, job_document, node_document
from tests.support.documented import MILA_JOB, MILA_NODE


def insert_job(store: Store, job_id: str, finished_ago: float | None = None, **slurm: Any) -> None:
    store.jobs.insert_one(job_document({**MILA_JOB, "job_id": job_id, **slurm}, finished_ago))


def insert_node(store: Store, name: str, **slurm: Any) -> None:
    store.nodes.insert_one(node_document({**MILA_NODE, "name": name, **slurm}))


def listed(client: Client, path: str = "jobs/list", **arguments: str) -> list[str]:
    """The ids or names of what a list answers, in its order."""
    answer = client.get(path, **arguments)
    assert answer.status == 200, answer.body
    key = "job_id" if path.startswith("jobs") else "name"
    return [each["slurm"][key] for each in answer.json]


def pages(client: Client, path: str = "jobs/list", **arguments: str) -> list[list[Any]]:
    answer: Answer | None = client.get(path, **arguments)
    found = []
    while answer is not None:
        assert answer.status == 200, answer.body
        found.append(answer.json)
        answer = following(client, path, answer)
    return found


# --- filters --------------------------------------------------------------------------------------


@pytest.fixture
def jobs(store: Store, client: Client) -> Client:
    store.jobs.delete_many({})
    insert_job(store, "1", job_state="RUNNING", partition="main", nodes="cn-a[001-008]")
    insert_job(store, "2", job_state="PENDING", partition="long,main", nodes=None, account="other")
    insert_job(store, "3", job_state="COMPLETING", nodes="cn-a003,cn-b1", name="a,b\\c")
    insert_job(store, "4", 60, job_state="COMPLETED+COMPLETING", array_job_id=4, nodes="cn-a00")
    insert_job(store, "5", 90, job_state="FAILED", array_job_id=4, name="a", account=None)
    insert_job(store, "6", job_state="RUNNING", array_job_id=6, cluster_name="cedar")
    insert_found_otherwise(store)
    return client


def insert_found_otherwise(store: Store) -> None:
    """Jobs that the other filters leave out."""
    out: dict[str, Any] = {"partition": None, "account": None, "job_state": None, "nodes": None}
    task: dict[str, Any] = {"array_job_id": 40, "array_task_id": "1"}
    insert_job(store, "7", **out, **task, qos="high", tres_per_node="gres:gpu:A100:2")
    insert_job(
        store, "8", **out, qos="high", het_job_id=26, het_job_offset=1, tres="gres/gpu:rtx8000=1"
    )
    insert_job(store, "9", **out, array_job_id=40, array_task_id="3-8,11%2", reason="Resources")
    store.jobs.update_many(
        {"slurm.qos": "high"}, {"$push": {"cw.filters.names": "mila12@mila.example"}}
    )
    written = {"7": {"epoch": 10, "tag": "10", "best": True}, "8": {"x y": "a,b", "epoch": 9}}
    for job_id, user in written.items():
        store.jobs.update_one({"_id": f"mila/{job_id}"}, {"$set": {"user": user}})
    store.jobs.update_one({"_id": "mila/8"}, {"$set": {"cw.vanished": NOW}})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"job_state": "RUNNING"}, ["6", "1"]),
        ({"job_state": "running,Failed"}, ["6", "1", "5"]),
        ({"job_state": "COMPLETING"}, ["3", "4"]),
        ({"job_state": "COMPLETED"}, ["4"]),
        ({"job_state": "COMPLETED+COMPLETING"}, ["4"]),
        ({"job_state": "RUN"}, []),
        ({"partition": "main"}, ["1", "2"]),
        ({"partition": "long"}, ["2"]),
        ({"partition": "long,fun_partition"}, ["6", "2", "3", "4", "5"]),
        ({"account": "other"}, ["2"]),
        ({"name": "a"}, ["5"]),
        ({"name": r"a\,b\\c"}, ["3"]),
        ({"name": r"a\,b\\c,a"}, ["3", "5"]),
        ({"node": "cn-a003"}, ["1", "3"]),
        ({"node": "cn-a008,cn-b1"}, ["1", "3"]),
        ({"node": "cn-a[001-008]"}, []),
        ({"array_job_id": "4"}, ["4", "5"]),
        ({"array_job_id": "4,6"}, ["6", "4", "5"]),
        ({"array_job_id": "5"}, []),
        ({"array_job_id": "4,6", "job_state": "RUNNING,FAILED", "cluster_name": "mila"}, ["5"]),
        ({"node": "cn-a003", "partition": "main", "user": "milauser12", "time": "0"}, ["1"]),
        ({"job_state": "COMPLETED,FAILED", "time": "60"}, ["4"]),
        ({"job_id": "1,5,99"}, ["1", "5"]),
        ({"job_id": "40_1,26+1"}, ["7", "8"]),
        ({"job_id": "40_3"}, ["9"]),
        ({"job_id": r"40_[3-8\,11],40_[1-2],nonsense,4_"}, ["9"]),
        ({"job_id": "40_9,40_12,26+0,27+1"}, []),
        ({"job_id": "40_11", "cluster_name": "cedar"}, []),
        ({"reason": "Resources,Priority"}, ["9"]),
        ({"qos": "high"}, ["7", "8"]),
        ({"user": "me", "qos": "high"}, ["7", "8"]),
        ({"gpu": "A100"}, ["7"]),
        ({"gpu": "a100,rtx8000"}, ["7", "8"]),
        ({"gone": "true"}, ["8"]),
        ({"gone": "false", "qos": "high"}, ["7"]),
        ({"user.epoch": "10", "user": "me"}, ["7"]),
        ({"user.epoch": "10", "user.tag": "10", "name": "somejobname_942640"}, ["7"]),
        ({"user.best": "true", "user": "me"}, ["7"]),
        ({"user.best": "true", "job_id": "40_99"}, []),
        ({"user.best": "1", "user": "me"}, []),
        ({"user.best": "[" * 5000, "user": "me"}, []),
        ({"user.epoch": "1e999", "user": "me"}, []),
        ({"user.x y": "a,b", "user": "me"}, ["8"]),
        ({"ended_since": "2021-11-14T11:59:00Z"}, ["4"]),
        (
            {"ended_since": "2021-11-14T06:58:30-05:00", "ended_before": "9999-12-31T00:00:00Z"},
            ["4", "5"],
        ),
        ({"ended_before": "2021-11-14T11:59:00Z"}, ["5"]),
    ],
)
def test_filters_of_jobs(jobs: Client, arguments: dict[str, str], expected: list[str]) -> None:
    assert listed(jobs, **arguments) == expected
    assert jobs.get("jobs/list", count="true", **arguments).json == {"count": len(expected)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"state": "DRAIN"}, ["n2", "n3"]),
        ({"state": "idle"}, ["n1", "n2"]),
        ({"state": "IDLE+DRAIN"}, ["n2"]),
        ({"state": "DOWN,IDLE"}, ["n1", "n2", "n3"]),
        ({"partition": "main"}, ["n1", "n2"]),
        ({"feature": "avx512"}, ["n1"]),
        ({"feature": "avx512,broadwell", "partition": "long"}, ["n1"]),
        ({"name": "n1,n3"}, ["n1", "n3"]),
        ({"name": "n3", "cluster_name": "beluga"}, []),
        ({"gpu": "rtx8000"}, ["n2"]),
        ({"gone": "true"}, ["n3"]),
        ({"gone": "false", "partition": "main"}, ["n1", "n2"]),
    ],
)
def test_filters_of_nodes(
    client: Client, store: Store, arguments: dict[str, str], expected: list[str]
) -> None:
    insert_node(store, "n1", state="IDLE", partitions="main,long", features="skylake,avx512")
    insert_node(
        store, "n2", state="IDLE+DRAIN", partitions="main", features=None, gres="gpu:RTX8000:4(S:0)"
    )
    insert_node(store, "n3", state="DOWN*+DRAIN")
    store.nodes.update_one({"_id": "mila/n3"}, {"$set": {"cw.vanished": NOW}})

    assert listed(client, "nodes/list", **arguments) == expected
    assert client.get("nodes/list", count="true", **arguments).json == {"count": len(expected)}


def test_filters_never_leave_the_api(jobs: Client) -> None:
    for path in ("jobs/list", "nodes/list"):
        for arguments in ({}, {"limit": "1"}, {"limit": "1", "sort": "name"}, {"fields": "cw"}):
            assert b"filters" not in jobs.get(path, **arguments).body
    assert b"filters" not in jobs.get("jobs/one", job_id="1").body
    assert b"filters" not in jobs.get("nodes/one", name="cn-a002").body


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("jobs/list", {"job_state": ""}, "job_state"),
        ("jobs/list", {"job_state": "RUNNING,"}, "job_state"),
        ("jobs/list", {"node": ",a"}, "node"),
        ("jobs/list", {"name": "a\\b"}, "name"),
        ("jobs/list", {"name": "a\\"}, "name"),
        ("jobs/list", {"account": ",".join(f"a{n}" for n in range(101))}, "account"),
        ("jobs/list", {"array_job_id": "1_2"}, "array_job_id"),
        ("jobs/list", {"array_job_id": "-1"}, "array_job_id"),
        ("jobs/list", {"array_job_id": "9" * 19}, "array_job_id"),
        ("jobs/list", {"limit": "0"}, "limit"),
        ("jobs/list", {"limit": "1001"}, "limit"),
        ("jobs/list", {"limit": "ten"}, "limit"),
        ("jobs/list", {"sort": "priority"}, "submit_time, finished_at, name"),
        ("jobs/list", {"sort": "--name"}, "unknown key"),
        ("jobs/list", {"sort": "_id"}, "unknown key"),
        ("jobs/list", {"sort": "slurm.name"}, "unknown key"),
        ("jobs/list", {"format": "xml"}, "ndjson"),
        ("jobs/list", {"user.epoch": "1"}, "user.KEY needs another filter"),
        ("jobs/list", {"user.": "1", "name": "a"}, "names no key"),
        ("jobs/list", {"user.$where": "1", "name": "a"}, "names no key"),
        ("jobs/list", {"user.a.b": "1", "name": "a"}, "names no key"),
        ("jobs/list", {"user.a": "", "name": "a"}, "user.a is empty"),
        ("nodes/list", {"user.a": "1"}, "'user.a'"),
        ("jobs/list", {"ended_since": "2021-11-14"}, "%2B"),
        ("jobs/list", {"ended_since": "2021-02-30T00:00:00Z"}, "%2B"),
        ("jobs/list", {"ended_before": "0001-01-01T00:00:00+23:00"}, "%2B"),
        ("jobs/list", {"ended_since": "2021-11-14T00:00:00Z", "time": "1"}, "ended_since"),
        ("jobs/list", {"gone": "no"}, "true"),
        ("jobs/list", {"count": "yes"}, "count"),
        ("jobs/list", {"count": "true", "limit": "1"}, "limit"),
        ("jobs/list", {"count": "true", "fields": "slurm"}, "fields"),
        ("jobs/list", {"cursor": "W10"}, "limit"),
        ("jobs/list", {"state": "IDLE"}, "'state'"),
        ("nodes/list", {"job_state": "IDLE"}, "'job_state'"),
        ("nodes/list", {"sort": "submit_time"}, "name"),
    ],
)
def test_arguments_that_are_refused(
    client: Client, path: str, query: dict[str, str], named: str
) -> None:
    answer = client.get(path, **query)

    assert answer.status == 400
    assert named in answer.json["detail"]
    assert len(answer.json["detail"]) < 500


def test_operators_in_filters_are_plain_text(jobs: Client) -> None:
    for argument in ("job_state", "partition", "account", "name", "node"):
        for text in ('{"$ne": null}', "$ne", '["RUNNING"]', ".*", "null"):
            assert jobs.get("jobs/list", **{argument: text.replace(",", "\\,")}).json == []


# --- fields ---------------------------------------------------------------------------------------


def test_fields(client: Client, store: Store) -> None:
    store.jobs.update_one({"_id": "mila/233874"}, {"$set": {"user": {"é ä": 1, "b": [2]}}})

    def fields(text: str) -> Any:
        answer = client.get("jobs/list", cluster_name="mila", fields=text)
        assert answer.status == 200, answer.body
        return answer.json[0]

    ids = {"job_id": "233874", "job_state": "RUNNING"}
    assert fields("slurm.job_id,slurm.job_state") == {"slurm": ids}
    assert fields("slurm") == {"slurm": MILA_JOB}
    assert fields("slurm.job_id,slurm") == {"slurm": MILA_JOB}
    assert fields("user.é ä,cw.finished_at") == {"user": {"é ä": 1}, "cw": {"finished_at": None}}
    assert fields("user") == {"user": {"é ä": 1, "b": [2]}}
    assert fields("slurm.unknown_yet,user.c") == {"slurm": {}, "user": {}}
    whole = client.get("jobs/one", job_id="233874").json
    assert fields("cw") == {"cw": whole["cw"]}
    assert fields("cw,user,slurm") == whole
    node = client.get("nodes/list", cluster_name="mila", fields="slurm.name,cw.first_seen").json
    assert node == [{"slurm": {"name": "cn-a002"}, "cw": {"first_seen": "2021-11-14T12:00:00Z"}}]


def test_history_comes_when_it_is_asked_for(client: Client, store: Store) -> None:
    store.jobs.update_many({}, {"$set": {"cw.history": [{"state": "PENDING", "seen": NOW}]}})

    assert "history" not in client.get("jobs/list").json[0]["cw"]
    answer = client.get("jobs/list", cluster_name="mila", fields="cw.history").json
    seen = "2021-11-14T12:00:00Z"
    assert answer == [{"cw": {"history": [{"state": "PENDING", "seen": seen}]}}]


def test_where_a_job_is_from_that_no_scrape_showed(client: Client, store: Store) -> None:
    store.jobs.update_one({"slurm.cluster_name": "mila"}, {"$set": {"cw.source": "sacct"}})

    assert client.get("jobs/list", fields="cw.source").json == [
        {"cw": {}},
        {"cw": {"source": "sacct"}},
    ]
    assert client.get("jobs/list", cluster_name="mila").json[0]["cw"]["source"] == "sacct"


@pytest.mark.parametrize(
    "text",
    [
        "_id", "slurm._id.x", "cw.filters", "cw.filters.names", "cw.unknown", "$where", "slurm.$ne",
        "slurm.", ".slurm", ".", "slurm..job_id", "slurm.job_id.x", "slurm.Job", "user.", "user.$a",
        "user.a.b", "user.a\0", "password", "users", "slurm,", "job_id", "slurm.job id",
        "user." + "k" * 1025, ",".join(f"slurm.k{n}" for n in range(51)),
    ],
)  # fmt: skip
def test_fields_that_are_none(client: Client, text: str) -> None:
    answer = client.get("jobs/list", fields=text)

    assert answer.status == 400
    assert len(answer.json["detail"]) < 500


def test_nodes_have_no_user_field(client: Client) -> None:
    for text in ("user", "cw.finished_at", "cw.history"):
        assert client.get("nodes/list", fields=text).status == 400


# --- order and pages ------------------------------------------------------------------------------


def moment(hours: float) -> str:
    return (datetime(2026, 11, 1, tzinfo=timezone.utc) + timedelta(hours=hours)).isoformat()


@pytest.fixture
def many(store: Store, client: Client) -> Client:
    """27 jobs, several with each value of every sort key, some without a submit time."""
    store.jobs.delete_many({})
    for number in range(27):
        insert_job(
            store,
            f"{number:02}",
            None if number % 5 == 0 else float(number // 3),
            name="abc"[number % 3] * (number % 2 + 1),
            submit_time="Unknown" if number % 7 == 0 else moment(number // 4),
        )
    return client


@pytest.mark.parametrize("limit", [1, 2, 9, 26, 27, 28, 1000])
@pytest.mark.parametrize(
    "sort", ["", "name", "-name", "submit_time", "-submit_time", "-finished_at"]
)
def test_pages_hold_the_whole_list_in_its_order(many: Client, sort: str, limit: int) -> None:
    order = {"sort": sort} if sort else {}
    whole = many.get("jobs/list", **order).json

    found = pages(many, limit=str(limit), **order)

    assert [job for page in found for job in page] == whole
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit


def test_orders(many: Client) -> None:
    def values(sort: str, part: str, key: str) -> list[Any]:
        return [job[part].get(key) for job in many.get("jobs/list", sort=sort).json]

    names = values("name", "slurm", "name")
    assert names == sorted(names)
    assert values("-name", "slurm", "name") == names[::-1]
    ends = values("finished_at", "cw", "finished_at")
    assert ends == sorted(ends, key=lambda end: end or "9")
    submits = values("submit_time", "slurm", "submit_time")
    assert submits == sorted(submits, key=lambda submit: "" if submit == "Unknown" else submit)
    ids = listed(many, sort="-submit_time")
    assert ids == listed(many, sort="submit_time")[::-1]


def test_times_are_sorted_as_moments(client: Client, store: Store) -> None:
    store.jobs.delete_many({})
    insert_job(store, "1", submit_time="2021-11-07T01:30:00-04:00")
    insert_job(store, "2", submit_time="2021-11-07T01:10:00-05:00")

    assert listed(client, sort="submit_time") == ["1", "2"]


def test_pages_with_filters_and_fields(many: Client) -> None:
    whole = listed(many, name="aa,c", sort="-submit_time")

    found = pages(
        many, name="aa,c", sort="-submit_time", limit="2", fields="slurm.job_id", time="99999"
    )

    assert [job for page in found for job in page] == [{"slurm": {"job_id": id_}} for id_ in whole]
    by_name = pages(many, name="aa,c", sort="name", limit="2")
    assert [job for page in by_name for job in page] == many.get(
        "jobs/list", name="aa,c", sort="name"
    ).json


@pytest.mark.parametrize("sort", ["", "name", "-name", "submit_time", "-submit_time"])
def test_pages_are_stable_while_jobs_change(many: Client, store: Store, sort: str) -> None:
    chance = Random(sort)  # noqa: S311
    order = {"sort": sort} if sort else {}
    staying = set(listed(many))
    found: list[str] = []
    answer: Answer | None = many.get("jobs/list", limit="3", **order)
    while answer is not None:
        found += [job["slurm"]["job_id"] for job in answer.json]
        gone = chance.choice(sorted(staying))
        staying.discard(gone)
        store.jobs.delete_one({"slurm.job_id": gone})
        insert_job(store, f"{chance.randrange(27):02}-{len(found)}", name=chance.choice("abc"))
        store.jobs.update_many({}, {"$set": {"slurm.job_state": f"S{len(found)}"}})
        answer = following(many, "jobs/list", answer)
        assert len(found) < 200

    assert len(found) == len(set(found))
    assert staying <= set(found)


def test_nodes_in_order_and_in_pages(client: Client, store: Store) -> None:
    for number in range(5):
        insert_node(store, f"n{number}", cluster_name="z")
        insert_node(store, f"n{number}", cluster_name="a")

    whole = client.get("nodes/list", sort="-name").json
    assert [node["slurm"]["name"] for node in whole[:3]] == ["n4", "n4", "n3"]
    assert [
        node for page in pages(client, "nodes/list", sort="-name", limit="3") for node in page
    ] == whole


def a_cursor(client: Client, **arguments: str) -> str:
    link = client.get("jobs/list", limit="1", **arguments).header("Link")
    assert link is not None
    return dict(parse_qsl(link.partition("?")[2].partition(">")[0]))["cursor"]


def test_cursors_that_are_refused(many: Client) -> None:
    good = a_cursor(many, sort="name")
    assert many.get("jobs/list", limit="1", sort="name", cursor=good).status == 200
    bad = [
        good[:-1],
        good + "A",
        "x",
        "é",
        "W10",
        "bnVsbA",
        "e30",
        "WzFd",
        "A" * 20000,
        "=",
        good * 2,
    ]
    bad += ["Wyotb2lkIiwgeyIkbmUiOiAxfSwgImEiXQ", "WyJzbHVybS5uYW1lIix7IiRuZSI6MX0sImEiXQ"]
    bad += ["WyJzbHVybS5uYW1lIiwiYSIsMV0", a_cursor(many), a_cursor(many, sort="-name")]
    for cursor in bad:
        answer = many.get("jobs/list", limit="1", sort="name", cursor=cursor)
        assert answer.status == 400, cursor
        assert "cursor" in answer.json["detail"]


# --- lines and counts -----------------------------------------------------------------------------


def test_lines(many: Client, store: Store) -> None:
    store.jobs.update_one({"slurm.job_id": "03"}, {"$set": {"user": {"text": "a\nb\u2028"}}})
    whole = many.get("jobs/list").json

    answer = many.get("jobs/list", format="ndjson")

    assert answer.header("Content-Type") == "application/x-ndjson"
    assert answer.body.endswith(b"\n")
    assert [json.loads(line) for line in answer.body.splitlines()] == whole
    page = many.get("jobs/list", format="ndjson", limit="2", fields="slurm.job_id")
    assert page.body == b'{"slurm":{"job_id":"00"}}\n{"slurm":{"job_id":"01"}}\n'
    second = following(many, "jobs/list", page)
    assert second is not None
    assert second.body.startswith(b'{"slurm":{"job_id":"02"}}\n')


def test_nothing(client: Client) -> None:
    assert client.get("jobs/list", name="none", format="ndjson").body == b""
    assert client.get("jobs/list", name="none", limit="3").body == b"[]"
    assert client.get("jobs/list", name="none", count="true").body == b'{"count":0}'


def test_counts(many: Client) -> None:
    assert many.get("jobs/list", count="true").json == {"count": 27}
    assert many.get("jobs/list", count="false", limit="1").status == 200
    assert many.get("nodes/list", count="true", cluster_name="mila").json == {"count": 1}


def test_the_next_page_keeps_every_argument(many: Client) -> None:
    given = {"user": "milauser12", "name": "a,aa", "limit": "1", "sort": "-name", "time": "9"}
    answer = many.call("GET", "jobs/list", urlencode(given))
    link = answer.header("Link")
    assert link is not None
    kept = dict(parse_qsl(link.partition("?")[2].partition(">")[0]))
    assert kept.pop("cursor")
    assert kept == given
