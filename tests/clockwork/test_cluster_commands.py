"""``clockwork cluster`` as an administrator uses it, and what the API shows afterwards."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from api.app import build_app
from clockwork import cli
from config import load_settings
from ingest.accounts.users import add_user
from ingest.clusters.round_log import RoundLog
from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.sync.sync_rounds import RoundCounts
from tests.api.support.client import Client
from tests.api.support.examples import job_document, node_document
from tests.support.documented import MILA_JOB, MILA_NODE
from tests.system.daemons import wait_until

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
NODE = str(MILA_NODE["name"])
MANY_JOBS = 600


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, and the log put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOCKWORK_CONFIG", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield tmp_path
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def configure(place: Path, mongo_uri: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a configuration of these clusters and the test's store."""
    monkeypatch.setenv("CLOCKWORK_MONGO_URI", mongo_uri)

    def write(*names: str) -> None:
        (place / "clockwork.toml").write_text(
            f'[mongo]\ndatabase = "{store.database.name}"\n[scraper]\nlease = 5.0\n'
            + "".join(
                f'[clusters.{name}]\ntimezone = "America/Montreal"\n'
                f'username_field = "mila_cluster_username"\n'
                f'[clusters.{name}.ssh]\nhost = "nowhere.invalid"\n'
                for name in names
            )
        )

    return write


def run(*words: str) -> int:
    """The exit status of ``clockwork cluster`` with *words*, run in this process."""
    return cli.main(["cluster", *words])


def fill(store: Store, name: str, job_ids: range = range(1, 3)) -> None:
    """Give a cluster jobs, a node and a good round of each kind."""
    store.jobs.insert_many(
        job_document({**MILA_JOB, "job_id": str(job_id), "cluster_name": name})
        for job_id in job_ids
    )
    store.nodes.insert_one(node_document({**MILA_NODE, "cluster_name": name}))
    good_rounds(store, name)


def good_rounds(store: Store, name: str) -> None:
    for kind in ("jobs", "nodes"):
        RoundLog(store, name, lambda: NOW).succeeded(kind, 1.0, RoundCounts(read=1), 1)


def client(store: Store, place: Path) -> Client:
    settings = load_settings(place / "clockwork.toml")
    _, token = add_user(store, "a@example.org", "milauser12", role="admin")
    app = build_app(store, clock=lambda: NOW, clusters=settings.clusters.values())
    return Client(app, {"Authorization": f"Bearer {token}"})


def listed(printed: str) -> Mapping[str, list[str]]:
    """The rows of ``cluster list`` by the cluster's name."""
    headings, *rows = [line.split("\t") for line in printed.splitlines()]
    assert headings == ["cluster", "jobs", "nodes", "last good round", "state"]
    return {name: cells for name, *cells in rows}


def everything(store: Store) -> list[Any]:
    names = ("jobs", "nodes", "clusters", "scrapes", "marks")
    return [list(store.database[name].find().sort("_id")) for name in names]


def test_a_list_says_what_to_do(
    configure: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("mila", "new")
    for name in ("mila", "gone", "past"):
        fill(store, name)
    configure("new", "mila")
    assert run("retire", "past", "--yes") == 0
    capsys.readouterr()

    assert run("list") == 0

    rows = listed(capsys.readouterr().out)
    good = "2026-11-24T12:00:00Z"
    assert rows["mila"] == ["2", "1", good, "in the configuration"]
    assert rows["new"] == ["0", "0", "-", "in the configuration"]
    assert rows["gone"][:3] == ["2", "1", good]
    assert "not in the configuration: put it back" in rows["gone"][3]
    assert "`clockwork cluster rename gone NEW`" in rows["gone"][3]
    assert "`clockwork cluster retire gone`" in rows["gone"][3]
    assert rows["past"][3].startswith("retired since 20")
    assert list(rows) == ["gone", "mila", "new", "past"]


def test_a_dry_run_changes_nothing(
    configure: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("mila")
    fill(store, "old")
    before = everything(store)
    for words in (("rename", "old", "new"), ("retire", "old")):
        assert run(*words) == 0
        said = capsys.readouterr().err
        assert "2 jobs, 1 nodes, 0 former jobs, 0 records in quarantine, 2 rounds in the" in said
        assert "Dry run: nothing was changed. Give --yes to do it." in said
    assert everything(store) == before


def test_a_renamed_cluster(
    configure: Any, store: Store, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("new")
    fill(store, "old")
    api = client(store, place)
    body = {"job_id": "1", "cluster_name": "old", "update_pairs": {"loss": 1}}
    assert api.put("jobs/user_dict_update", **body).status == 200

    assert run("rename", "old", "new", "--yes") == 0

    assert "old is new now: 2 jobs, 1 nodes" in capsys.readouterr().err
    assert api.get("jobs/list", cluster_name="old").json == []
    job = api.get("jobs/one", job_id="1").json
    assert (job["slurm"]["cluster_name"], job["user"]) == ("new", {"loss": 1})
    [cluster] = api.get("clusters/list").json
    assert (cluster["name"], cluster["configured"]) == ("new", True)
    assert cluster["unfinished_jobs"] == {"RUNNING": 2}
    assert run("list") == 0
    assert list(listed(capsys.readouterr().out)) == ["new"]


def test_a_rename_tells_what_to_change_in_the_configuration(
    configure: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("old")
    fill(store, "old")
    assert run("rename", "old", "new", "--yes") == 0
    assert "Name it new in the configuration before" in capsys.readouterr().err


def test_a_name_that_has_jobs_already_is_told(
    configure: Any, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("new")
    fill(store, "old")
    fill(store, "new", range(2, 5))
    assert run("rename", "old", "new") == 0
    assert "new has 3 jobs, 1 nodes" in capsys.readouterr().err
    assert run("rename", "old", "new", "--yes") == 0
    assert store.jobs.count_documents({"slurm.cluster_name": "new"}) == 4
    assert store.nodes.count_documents({}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rename", "old", "a/b"), "'a/b' can't name a cluster: expected 1 to 63"),
        (("rename", "old", "old"), "the old and the new name are the same"),
        (("rename", "mila", "beluga"), "mila and beluga are both in the configuration"),
        (("rename", "nothing", "new"), "no cluster 'nothing'; known are: beluga, mila, old"),
        (("retire", "nothing"), "no cluster 'nothing'; known are: beluga, mila, old"),
        (("retire", "mila"), "mila is in the configuration, and its next good round would"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_refused(
    configure: Any,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    configure("mila", "beluga")
    fill(store, "old")
    before = everything(store)
    assert run(*words, "--yes") == 2
    assert message in capsys.readouterr().err
    assert everything(store) == before


@pytest.mark.parametrize("words", [("rename", "old", "new"), ("retire", "old")], ids=" ".join)
def test_a_cluster_that_is_scraped_is_left_alone(
    configure: Any, store: Store, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    configure("mila")
    fill(store, "old")
    before = everything(store)
    with Lease(store, "old", 5.0).holding():
        assert run(*words, "--yes") == 1
    said = capsys.readouterr().err
    assert "clockwork: cluster old is being scraped (another process holds the lease" in said
    assert "Stop the scraper" in said
    assert everything(store) == before


def test_a_retired_cluster_leaves_the_overview_and_keeps_its_jobs(
    configure: Any, store: Store, place: Path
) -> None:
    configure("mila")
    for name in ("mila", "old"):
        fill(store, name)
    fill(store, "past", range(7, 8))

    def names(api: Client) -> list[str]:
        return [each["name"] for each in api.get("clusters/list").json]

    api = client(store, place)
    assert names(api) == ["mila", "old", "past"]
    assert api.get("jobs/one", job_id="1").status == 500
    assert api.get("nodes/one", node_name=NODE).status == 500

    assert run("retire", "old", "--yes") == 0
    assert run("retire", "past", "--yes") == 0

    api = client(store, place)
    assert names(api) == ["mila"]
    assert b'"old"' not in api.get("/metrics").body
    for path, arguments in (
        ("jobs/one", {"job_id": "1"}),
        ("jobs/history", {"job_id": "1"}),
        ("nodes/one", {"node_name": NODE}),
    ):
        answer = api.get(path, **arguments)
        assert answer.status == 200
        found = answer.json.get("slurm", answer.json)
        assert found["cluster_name"] == "mila"
    written = api.put("jobs/user_dict_update", job_id="1", update_pairs={"a": 1})
    assert (written.status, written.json) == (200, {"a": 1})
    past = api.get("jobs/one", job_id="7").json
    assert past["slurm"]["cluster_name"] == "past"
    assert api.get("jobs/one", job_id="1", cluster_name="old").json["user"] == {}
    assert len(api.get("jobs/list", cluster_name="old").json) == 2
    assert len(api.get("nodes/list").json) == 3


def test_what_a_retired_cluster_left_behind_is_gone(
    configure: Any, store: Store, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("mila")
    fill(store, "mila")
    store.jobs.insert_many(
        job_document({**MILA_JOB, "job_id": each, "cluster_name": "old"}, finished_ago=ago)
        for each, ago in (("3", None), ("4", 600))
    )
    ended = store.jobs.find_one({"slurm.job_id": "4"})
    store.nodes.insert_one(node_document({**MILA_NODE, "cluster_name": "old"}))
    names = {"cluster_name": "old", "name": NODE}
    store.node_periods.insert_one({"_id": "old/1", **names, "since": NOW, "until": None})
    api = client(store, place)
    before = datetime.now(timezone.utc) - timedelta(seconds=1)

    assert run("retire", "old") == 0
    assert "1 of the jobs have not finished" in capsys.readouterr().err
    etag = api.get("jobs/list", cluster_name="old").header("ETag")
    assert run("retire", "old", "--yes") == 0

    answer = api.get("jobs/list", cluster_name="old")
    assert answer.header("ETag") != etag
    jobs = {each["slurm"]["job_id"]: each["cw"] for each in answer.json}
    assert all(each["vanished"] is not None for each in jobs.values())
    [node] = api.get("nodes/list", cluster_name="old").json
    assert node["cw"]["vanished"] is not None
    finished = {
        each["slurm"]["job_id"]: each["cw"]["filters"]["finished_at"]
        for each in store.jobs.find({"slurm.cluster_name": "old"})
    }
    assert before <= finished["3"] < before + timedelta(days=1)
    assert ended is not None
    assert finished["4"] == ended["cw"]["finished_at"]
    [period] = store.node_periods.find()
    assert period["until"] >= before
    assert store.jobs.count_documents({"cw.vanished": {"$exists": True}}) == 2  # none of mila


def test_several_retired_clusters_with_one_id_are_still_ambiguous(
    configure: Any, store: Store, place: Path
) -> None:
    configure("mila")
    for name in ("old", "past"):
        fill(store, name)
        assert run("retire", name, "--yes") == 0
    answer = client(store, place).get("jobs/one", job_id="1")
    assert answer.status == 500
    assert "old, past" in answer.json["detail"]


def test_a_retired_cluster_comes_back_with_its_next_good_round(
    configure: Any, store: Store, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("mila")
    fill(store, "old")
    assert run("retire", "old", "--yes") == 0
    assert run("retire", "old", "--yes") == 0
    assert "old is retired since 20" in capsys.readouterr().err
    configure("mila", "old")
    assert run("list") == 0
    state = listed(capsys.readouterr().out)["old"][3]
    assert state.startswith("retired since")
    assert state.endswith("its next good round brings it back")

    RoundLog(store, "old", lambda: NOW).failed("jobs", 1.0, "no route")
    assert store.clusters.find_one({"_id": "old"}) is not None
    good_rounds(store, "old")

    assert run("list") == 0
    assert listed(capsys.readouterr().out)["old"][3] == "in the configuration"
    configure("mila")
    api = client(store, place)
    assert [each["name"] for each in api.get("clusters/list").json] == ["mila", "old"]


def test_a_rename_that_was_killed_goes_on_where_it_was(
    configure: Any, store: Store, mongo_uri: str
) -> None:
    configure("mila")
    fill(store, "old", range(MANY_JOBS))
    command = [str(Path(sys.executable).with_name("clockwork")), "cluster", "rename", "old", "new"]
    with subprocess.Popen([*command, "--yes"], stderr=subprocess.PIPE) as process:
        moved = {"slurm.cluster_name": "new"}
        wait_until(lambda: store.jobs.find_one(moved) is not None, "some jobs have moved")
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert run("rename", "old", "new", "--yes") in (0, 2)  # 2: the killed run had moved all

    assert not list(store.jobs.find({"slurm.cluster_name": "old"}))
    ids = {found["_id"] for found in store.jobs.find({}, {"_id": 1})}
    assert ids == {f"new/{job_id}" for job_id in range(MANY_JOBS)}
    assert {found["_id"] for found in store.clusters.find()} == {"new/jobs", "new/nodes"}
