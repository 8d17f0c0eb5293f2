"""Who may see and do what: real answers, the endpoints' declarations, and docs/accounts.md."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bottle
import pytest

from api.app import ENDPOINTS, build_app
from api.schema.endpoint import BASE, OLDER_BASE
from config import ApiSettings
from config.settings import JobsVisible
from ingest.accounts.users import EMAIL_FIELD, add_user, revoke
from ingest.clusters.coverage import Coverage, CoverageLedger
from ingest.clusters.round_log import RoundLog
from ingest.database.store import Store
from tests.api.support.client import Answer, Client
from tests.api.support.clusters import CLUSTERS
from tests.api.support.examples import NOW, job_document
from tests.support.accounts import update_accounts
from tests.support.documented import BELUGA_JOB, MILA_JOB

MANUAL = Path(__file__).parents[3] / "docs" / "accounts.md"
PAGE_FILES = "/page/"
VISIBLE: tuple[JobsVisible, ...] = ("all", "own")

ITS_ID, OWNER = str(MILA_JOB["job_id"]), str(MILA_JOB["mila_cluster_username"])
OTHERS_ID, OTHER = str(BELUGA_JOB["job_id"]), str(BELUGA_JOB["cc_account_username"])
BEFORE = {"before": 1}
"""The user dict of every job."""
OPERATORS_ERROR = "cw@login.example port 22: unknown host key"
"""Why nothing of a cluster could be read: for admins only."""
SPARE = {
    who: NOW + timedelta(days=days)
    for days, who in enumerate(("owner", "other", "coordinator", "admin", "service"))
}
"""When the token "spare" of each account was made: it tells whose it is."""
ACCOUNT = str(MILA_JOB["account"])
OWNED = {"owner": {ITS_ID}, "other": {OTHERS_ID}, "coordinator": {ITS_ID}}
"""The jobs that each sees where not all are seen."""

Table = dict[str, dict[str, str]]
"""What a request gets, by the request and then by who makes it."""


# --- what is declared and written -----------------------------------------------------------------


def declared_table(jobs_visible: JobsVisible) -> Table:
    """What the endpoints say of themselves; all files of the page are one row."""
    rows = {
        f"{each.method} {path}": each.rights(jobs_visible)
        for each in ENDPOINTS
        for path in each.paths
    }
    everyone = next(iter(rows.values()))
    return {**rows, "GET /": dict.fromkeys(everyone, "the same")}


def written_table(jobs_visible: JobsVisible) -> str:
    """The table as the manual has it."""
    table = declared_table(jobs_visible)
    head = ["request", *next(iter(table.values()))]
    rows = [head, ["---"] * len(head)]
    rows += [[f"`{request}`", *row.values()] for request, row in table.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@pytest.mark.parametrize("jobs_visible", VISIBLE)
def test_the_manual_shows_what_the_endpoints_declare(jobs_visible: JobsVisible) -> None:
    section = MANUAL.read_text().split(f'With `jobs_visible = "{jobs_visible}"`:\n\n')[1]

    assert section.split("\n\n")[0] == written_table(jobs_visible)


# --- the real answers -----------------------------------------------------------------------------


def _of_jobs(who: str, answer: Answer) -> str:
    ids = {job["slurm"]["job_id"] for job in answer.json}
    if ids == {ITS_ID, OTHERS_ID}:
        return "all jobs"
    return f"{_whose(who)} jobs" if ids == OWNED[who] else f"jobs {ids}"


def _whose(who: str) -> str:
    return "the account's" if who == "coordinator" else "own"


def _of_one_job(_who: str, answer: Answer) -> str:
    return "the job" if answer.json.get("slurm") == MILA_JOB else json.dumps(answer.json)


def _written(who: str, answer: Answer) -> str:
    return "written" if answer.json == {**BEFORE, "by": who} else "?"


def _removed(_who: str, answer: Answer) -> str:
    return "written" if answer.json == {} else "?"


def _user_dict(_who: str, answer: Answer) -> str:
    return "the user dict" if answer.json == BEFORE else json.dumps(answer.json)


def _models(_who: str, answer: Answer) -> str:
    return "all models" if len(answer.json) > 1 else "?"


def _model(_who: str, answer: Answer) -> str:
    return "the model" if answer.json.get("name") == "rtx8000" else "?"


def _of_nodes(_who: str, answer: Answer) -> str:
    return "all nodes" if len(answer.json) == 2 else "?"


def _of_one_node(_who: str, answer: Answer) -> str:
    return "the node" if answer.json["slurm"]["name"] == "cn-a002" else "?"


def _of_partitions(_who: str, answer: Answer) -> str:
    return "all partitions" if len(answer.json) == 2 else "?"


def _waits(_who: str, answer: Answer) -> str:
    return "all waits" if answer.json == [] else json.dumps(answer.json)


def _of_reservations(_who: str, answer: Answer) -> str:
    return "all reservations" if len(answer.json) == 2 else "?"


def _history(_who: str, answer: Answer) -> str:
    return "the history" if answer.json.get("job_id") == ITS_ID else json.dumps(answer.json)


def _why(_who: str, answer: Answer) -> str:
    return "the answer" if answer.json.get("job_id") == ITS_ID else json.dumps(answer.json)


def _node_history(_who: str, answer: Answer) -> str:
    return "the history" if answer.json.get("name") == "cn-a002" else json.dumps(answer.json)


def _counts(who: str, answer: Answer) -> str:
    counted = {each["name"] for each in answer.json if each["unfinished_jobs"]}
    if counted == {"mila", "beluga"}:
        return "all counts"
    own = {"mila"} if OWNED[who] == {ITS_ID} else {"beluga"}
    return f"{_whose(who)} counts" if counted == own else f"counts of {counted}"


def _figures(_who: str, answer: Answer) -> str:
    return "all figures" if answer.body.startswith(b"# HELP clockwork_") else "?"


def _account(who: str, answer: Answer) -> str:
    return "the account" if answer.json["mila_email_username"].startswith(f"{who}@") else "?"


def _own_tokens(who: str, answer: Answer) -> str:
    spare = [each["created"] for each in answer.json if each["name"] == "spare"]
    return "own tokens" if spare == [SPARE[who].isoformat().replace("+00:00", "Z")] else "?"


def _new_token(_who: str, answer: Answer) -> str:
    return "a new token" if answer.json["token"].startswith("cw_") else "?"


def _revoked(_who: str, answer: Answer) -> str:
    return "revoked" if answer.json == {"revoked": "spare"} else "?"


READINGS: dict[str, tuple[str, Callable[[str, Answer], str]]] = {
    "GET jobs/list": ("", _of_jobs),
    "GET jobs/one": (f"job_id={ITS_ID}", _of_one_job),
    "PUT jobs/user_dict_update": (f"job_id={ITS_ID}&update_pairs=%s", _written),
    "GET jobs/user_props/get": (f"job_id={ITS_ID}", _user_dict),
    "PUT jobs/user_props/set": (f"job_id={ITS_ID}&updates=%s", _written),
    "PUT jobs/user_props/delete": (f"job_id={ITS_ID}&keys=before", _removed),
    "GET nodes/list": ("", _of_nodes),
    "GET nodes/one": ("name=cn-a002", _of_one_node),
    "GET node/one": ("name=cn-a002", _of_one_node),
    "GET nodes/one/gpu": ("name=cn-a002", _model),
    "GET gpu/list": ("", _models),
    "GET gpu/one": ("gpu_name=rtx8000", _model),
    "GET jobs/history": (f"job_id={ITS_ID}", _history),
    "GET jobs/why": (f"job_id={ITS_ID}", _why),
    "GET nodes/history": ("name=cn-a002", _node_history),
    "GET partitions/list": ("", _of_partitions),
    "GET partitions/waits": ("", _waits),
    "GET reservations/list": ("", _of_reservations),
    "GET clusters/list": ("", _counts),
    "GET whoami": ("", _account),
    "GET tokens/list": ("", _own_tokens),
    "POST tokens/create": ("name=new", _new_token),
    "POST tokens/revoke": ("name=spare", _revoked),
    "GET /metrics": ("", _figures),
}
"""The query for a request, and what its 200 amounts to; without a line here, the status counts."""


def row_of(method: str, path: str) -> str:
    for base in (BASE, OLDER_BASE):
        path = path.removeprefix(base)
    if path.startswith(PAGE_FILES):
        path = "/"
    return f"{method} {path}"


def routes(app: Any) -> Iterator[tuple[str, str]]:
    assert isinstance(app, bottle.Bottle)
    for route in app.routes:
        yield route.method, route.rule


@pytest.fixture
def callers(filled: Store) -> dict[str, dict[str, str]]:
    """The header fields of everyone who may come, by who they are; of mila, all rounds failed."""
    for kind in ("jobs", "nodes"):
        RoundLog(filled, "mila").failed(kind, 1.0, OPERATORS_ERROR)
    covered = Coverage(0).without_accounting(OPERATORS_ERROR)
    CoverageLedger(filled, "mila").change(0, lambda _: covered)
    filled.nodes.update_one({"slurm.name": "cn-a002"}, {"$set": {"slurm.gres": "gpu:rtx8000:8"}})
    people = {
        "owner": ("owner@mila.example", OWNER, None, "user"),
        "other": ("other@mila.example", OTHER, OTHER, "user"),
        "coordinator": ("coordinator@mila.example", "milauser98", None, "user"),
        "admin": ("admin@mila.example", None, None, "admin"),
        "service": ("service@mila.example", "milauser99", "ccuser99", "service"),
    }
    tokens = {
        who: add_user(filled, email, mila, cc, role=role)[1]
        for who, (email, mila, cc, role) in people.items()
    }
    add_user(filled, "coordinator@mila.example", coordinates=[ACCOUNT])
    tokens["revoked"] = add_user(filled, "owner@mila.example", token_name="old")[1]
    revoke(filled, "owner@mila.example", "old")
    tokens["wrong"] = "cw_" + "A" * 43
    shown = {who: {"Authorization": f"Bearer {token}"} for who, token in tokens.items()}
    return {**shown, "no token": {}}


@pytest.mark.parametrize("jobs_visible", VISIBLE)
def test_every_address_for_everyone(
    filled: Store, callers: dict[str, dict[str, str]], jobs_visible: JobsVisible
) -> None:
    settings = ApiSettings(jobs_visible=jobs_visible)
    app = build_app(filled, lambda: NOW, CLUSTERS, settings)
    table = declared_table(jobs_visible)

    def as_at_first() -> None:
        filled.jobs.update_many({}, {"$set": {"user": BEFORE}})
        for each, created in SPARE.items():
            pulled = {"tokens": {"name": {"$in": ["new", "spare"]}}}
            account = {EMAIL_FIELD: f"{each}@mila.example"}
            update_accounts(filled, {"$pull": pulled}, account)
            entry = {"name": "spare", "sha256": each, "created": created, "last_used": None}
            update_accounts(filled, {"$push": {"tokens": entry}}, account)

    def got(who: str, method: str, path: str) -> str:
        row = table[row_of(method, path)]
        query, reading = READINGS.get(row_of(method, path), ("", lambda who, _: row[who]))
        query = query.replace("%s", f'{{"by":"{who}"}}')
        answer = Client(app, callers[who]).call(method, path, query)
        what = reading(who, answer) if answer.status == 200 else str(answer.status)
        assert OPERATORS_ERROR.encode() not in answer.body or who == "admin", (who, method, path)
        changed = filled.jobs.count_documents({"user": {"$ne": BEFORE}})
        assert changed == (what == "written"), (who, method, path)
        if method != "GET":
            as_at_first()
        return what

    as_at_first()
    asked = list(routes(app))
    assert {row_of(*route) for route in asked} == table.keys() >= READINGS.keys()
    of_page = sum(path.startswith(PAGE_FILES) for _, path in asked)
    assert len(asked) == sum(len(each.routes) for each in ENDPOINTS) + 1 + of_page
    for method, path in asked:
        row = {who: got(who, method, path) for who in callers}
        assert row == table[row_of(method, path)], (method, path)


def test_to_a_user_who_sees_their_own_the_others_are_not_there(
    filled: Store, callers: dict[str, dict[str, str]]
) -> None:
    """What is asked of a job that is another's is answered as for one that never was."""
    app = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    owner = Client(app, callers["owner"])
    pairs = "update_pairs={}"
    for method, path, query in [
        ("GET", "jobs/one", "job_id=820432"),
        ("GET", "jobs/one", "job_id=820432&cluster_name=beluga"),
        ("PUT", "jobs/user_dict_update", f"job_id=820432&{pairs}"),
        ("PUT", "jobs/user_dict_update", f"job_id=820432&cluster_name=beluga&{pairs}"),
        ("GET", "jobs/history", "job_id=820432"),
        ("GET", "jobs/why", "job_id=820432"),
        ("GET", "jobs/list", "user=ccuser01"),
        ("GET", "jobs/list", "cluster_name=beluga"),
        ("GET", "jobs/list", "user=ccuser01&time=3600&cluster_name=beluga"),
    ]:
        hidden = owner.call(method, path, query)
        filled.jobs.delete_one({"slurm.job_id": "820432"})
        absent = owner.call(method, path, query)
        filled.jobs.insert_one(job_document(dict(BELUGA_JOB)))
        assert hidden == absent, (path, query)


def test_an_id_that_others_have_too_is_the_own_job_s(
    filled: Store, callers: dict[str, dict[str, str]]
) -> None:
    filled.jobs.insert_one(job_document({**BELUGA_JOB, "job_id": ITS_ID}))
    everyones = Client(build_app(filled, lambda: NOW), callers["owner"])
    assert everyones.get("jobs/one", job_id=ITS_ID).status == 500
    owners = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    owner = Client(owners, callers["owner"])

    assert owner.get("jobs/one", job_id=ITS_ID).json["slurm"] == MILA_JOB
    assert owner.put("jobs/user_dict_update", job_id=ITS_ID, update_pairs={"a": 1}).json == {"a": 1}
    assert Client(owners, callers["admin"]).get("jobs/one", job_id=ITS_ID).status == 500


def test_who_has_both_usernames_sees_both_clusters_jobs(filled: Store) -> None:
    _, token = add_user(filled, "both@mila.example", "milauser12", "ccuser01")
    # A name of one cluster is nobody's name on the other.
    filled.jobs.insert_one(job_document({**BELUGA_JOB, "job_id": "1", "cc_account_username": "x"}))
    app = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    client = Client(app, {"Authorization": f"Bearer {token}"})

    assert _of_jobs("both", client.get("jobs/list")) == "all jobs"
    finished = job_document({**MILA_JOB, "job_id": "2"}, finished_ago=60)
    filled.jobs.insert_one(finished)
    recent = client.get("jobs/list", time="30", user="milauser12", cluster_name="mila")
    assert [job["slurm"]["job_id"] for job in recent.json] == [ITS_ID]


def test_whoever_bears_no_name_sees_no_job(filled: Store) -> None:
    _, token = add_user(filled, "new@mila.example")
    app = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    client = Client(app, {"Authorization": f"Bearer {token}"})

    assert client.get("jobs/list").json == []
    assert client.get("jobs/one", job_id=ITS_ID).json == {}


def test_a_role_that_this_version_does_not_know_may_do_the_least(filled: Store) -> None:
    _, token = add_user(filled, "owner@mila.example", OWNER)
    update_accounts(filled, {"$set": {"role": "auditor"}})
    app = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    client = Client(app, {"Authorization": f"Bearer {token}"})

    assert len(client.get("jobs/list").json) == 1
    refused = client.put("jobs/user_dict_update", job_id=ITS_ID, update_pairs={"a": 1})
    assert refused.status == 403
    assert "'auditor'" in refused.json["detail"]


def test_a_role_that_changes_holds_from_the_next_request(filled: Store) -> None:
    email = "owner@mila.example"
    _, token = add_user(filled, email, OWNER, role="admin")
    app = build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own"))
    client = Client(app, {"Authorization": f"Bearer {token}"})

    assert len(client.get("jobs/list").json) == 2
    add_user(filled, email, role="user")
    assert len(client.get("jobs/list").json) == 1
    add_user(filled, email, role="service")
    assert len(client.get("jobs/list").json) == 2
    assert client.put("jobs/user_dict_update", job_id=ITS_ID, update_pairs={}).status == 403


def test_the_manual_names_every_role() -> None:
    from ingest.accounts.users import ROLES

    named = re.findall(r"^\| `(\w+)` \|", MANUAL.read_text(), re.MULTILINE)
    assert tuple(named) == ROLES
