"""What a receiver is told, and that it is told everything, whatever fails or is killed."""

import base64
import copy
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest

from api.endpoints.jobs import JOBS
from api.endpoints.nodes import NODES
from clockwork.webhooks.call import CallFailed
from config import ConfigurationError
from config.webhooks import JobFilterName, NodeFilterName
from ingest.database.leases import LeaseLost
from ingest.webhooks.state import read_state
from tests.clockwork.webhooks.receiver import status
from tests.clockwork.webhooks.world import World
from tests.clockwork.webhooks.writing import END, NOW, job_document, node_document, put
from tests.support.ports import LOOPBACK

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
LATER = datetime.fromisoformat(END)


def openssl_hmac(text: bytes) -> str:
    """The HMAC-SHA256 of *text* with `KEY`, by another program."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}"]
    made = subprocess.run([*command, "-binary"], input=text, stdout=subprocess.PIPE, check=True)
    return base64.b64encode(made.stdout).decode()


def test_exactly_this_is_sent(world: World) -> None:
    sender = world.sender(secret=SECRET, events=("started", "ended"))
    put(world.store, job_document("7", "RUNNING"))  # it began before the webhook did
    assert not sender.send()
    world.now = LATER
    put(world.store, job_document("7", comment="<b>"), job_document("8", "PENDING"))
    assert sender.send()
    put(world.store, job_document("7", comment="later"))
    assert not sender.send()

    [call] = world.receiver.calls
    [event] = call.json["events"]
    assert call.path == "/hook?team=1"
    assert call.json["webhook"] == "ops"
    assert event.pop("job") == {
        "slurm": job_document("7", comment="<b>")["slurm"],
        "cw": {
            "mila_cluster_username": "alice",
            "finished_at": "2026-11-24T12:30:00Z",
            "first_seen": "2026-11-24T12:00:00Z",
            "last_changed": "2026-11-24T12:00:00Z",
        },
        "user": {},
    }
    assert len(event.pop("id")) == 32
    assert event == {
        "event": "ended",
        "at": "2026-11-24T12:30:00Z",
        "text": "mila: job 7 of alice ended: COMPLETED",
    }
    fields = call.headers
    assert fields["Host"] == f"{LOOPBACK}:{world.receiver.port}"
    assert fields["Content-Type"] == "application/json"
    assert fields["webhook-timestamp"] == str(int(LATER.timestamp()))
    signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + call.body
    assert fields["webhook-signature"] == f"v1,{openssl_hmac(signed)}"


def test_slack_gets_one_text_without_what_users_chose(world: World) -> None:
    sender = world.sender("nodes", ("down", "drained"), format="slack")
    put(world.store, *(node_document(f"cn-{each:02}", "IDLE+DRAIN") for each in range(30)))
    sender.send()
    [call] = world.receiver.calls
    assert "webhook-signature" not in call.headers
    assert [*call.json] == ["text"]
    first, *_, last = call.json["text"].splitlines()
    assert first == "mila: node cn-00 drained (IDLE+DRAIN): disk &lt;full&gt;"
    assert last == "and 10 more"


def test_a_node_from_down_to_service(world: World) -> None:
    put(world.store, node_document("old", "DOWN"), node_document("cn", "IDLE"))
    events = ("down", "drained", "in_service")
    world.sender("nodes", events)
    for state in ("MIXED", "DOWN*", "DOWN+DRAIN", "IDLE+DRAIN", "IDLE", "IDLE+POWERED_DOWN"):
        put(world.store, node_document("cn", state), node_document("old", "DOWN", changed=state))
        world.sender("nodes", events).send()  # a new one each time: all is in the database
    put(world.store, node_document("cn", "DOWN", vanished=NOW))
    world.sender("nodes", events).send()
    assert world.told() == [("down", "cn"), ("drained", "cn"), ("in_service", "cn")]
    assert len({each["id"] for each in world.receiver.events}) == 3


def test_only_what_the_webhook_asks_for(world: World) -> None:
    sender = world.sender(filter={"user": "alice", "job_state": "FAILED,TIMEOUT"})
    put(
        world.store,
        job_document("1"),
        job_document("2", "FAILED"),
        job_document("3", "TIMEOUT"),
    )
    bob = job_document("4", "FAILED")
    bob["cw"]["filters"]["names"] = ["bob"]
    put(world.store, bob)
    sender.send()
    assert world.told() == [("ended", "2"), ("ended", "3")]


def test_a_requeued_job_ends_twice(world: World) -> None:
    sender = world.sender(events=("started", "ended"))
    again = "2026-11-24T12:10:00+00:00"
    for state, more in (("NODE_FAIL", {}), ("RUNNING", {"start_time": again}), ("FAILED", {})):
        count = {} if state == "NODE_FAIL" else {"restarts": 1, "submit_time": again}
        put(world.store, job_document("1", state, **{**count, **more}))
        sender.send()
    assert world.told() == [("ended", "1"), ("started", "1"), ("ended", "1")]
    assert len({each["id"] for each in world.receiver.events}) == 3


@pytest.mark.parametrize("is_back", [True, False], ids=["the job came back", "sacct told it"])
def test_a_job_that_was_gone_tells_its_true_end_too(world: World, is_back: bool) -> None:
    sender = world.sender(events=("started", "ended"))
    start = {"start_time": "2026-11-24T12:10:00+00:00"}
    gone = job_document("1", "RUNNING", **start)
    gone["cw"] |= {"vanished": NOW, "finished_at": NOW}
    accounted = copy.deepcopy(gone)
    accounted["cw"]["accounting"] = {"job_state": "FAILED", "end_time": END}
    ended = job_document("1", "FAILED", **start)
    running = job_document("1", "RUNNING", **start)
    for each in (running, gone, running, ended) if is_back else (running, gone, accounted):
        put(world.store, each)
        sender.send()
    put(world.store, {**(ended if is_back else accounted), "user": {"a": 1}})
    sender.send()
    assert [each["text"] for each in world.receiver.events] == [
        "mila: job 1 of alice started",
        "mila: job 1 of alice ended: unknown",
        "mila: job 1 of alice ended: FAILED",
    ]
    assert len({each["id"] for each in world.receiver.events}) == 3


def test_many_events_come_in_several_calls(world: World) -> None:
    sender = world.sender()
    put(world.store, *(job_document(str(each)) for each in range(150)))
    put(world.store, *(job_document(str(each), comment="x" * 400_000) for each in range(150, 155)))
    while sender.send():
        pass
    sizes = [len(call.json["events"]) for call in world.receiver.calls]
    assert sizes[0] == 100
    assert max(len(call.body) for call in world.receiver.calls) < 1 << 21
    assert sum(sizes) == len({each["id"] for each in world.receiver.events}) == 155


def test_what_failed_is_told_again_with_the_same_ids(world: World) -> None:
    sender = world.sender()
    world.receiver.answers = [status(503, Retry_After="7"), status(200)]
    put(world.store, job_document("1"))
    with pytest.raises(CallFailed, match="answered 503: ok") as failed:
        sender.send()
    assert failed.value.retry_after == 7
    sender.note_failure(failed.value)
    put(world.store, job_document("2"))
    sender.send()
    state = read_state(world.store, "ops")
    assert state is not None
    assert (state.delivered, state.failed, state.last_success) == (2, 1, NOW)
    assert world.told() == [("ended", "1"), ("ended", "1"), ("ended", "2")]
    assert len({each["id"] for each in world.receiver.events}) == 2


def test_a_receiver_that_is_away_for_days(world: World, caplog: pytest.LogCaptureFixture) -> None:
    sender = world.sender()
    put(world.store, job_document("1"))
    world.now = LATER + timedelta(days=1, seconds=1)
    recent = (world.now - timedelta(hours=1)).isoformat()
    put(world.store, job_document("2", end_time=recent))
    world.store.changes.delete_many({})  # as the feed does after a day
    assert sender.send()
    assert not sender.send()
    assert world.told() == [("ended", "2")]
    assert "are no longer known: all jobs are looked through" in caplog.text
    assert "dropped 1 events that are more than a day old" in caplog.text
    put(world.store, job_document("1", comment="late"))
    sender.send()
    put(world.store, job_document("1", comment="later"))
    sender.send()
    state = read_state(world.store, "ops")
    assert state is not None
    assert (state.delivered, state.dropped) == (1, 1)  # and is not dropped again


def test_who_lost_the_lease_notes_nothing(world: World) -> None:
    sender = world.sender()
    put(world.store, job_document("1"))
    world.store.leases.update_one({"_id": "/webhooks/ops"}, {"$set": {"holder": "another"}})
    with pytest.raises(LeaseLost):
        sender.send()
    state = read_state(world.store, "ops")
    assert state is not None
    assert state.delivered == 0


def test_another_kind_begins_anew(world: World) -> None:
    world.sender()
    put(world.store, node_document("cn", "DOWN"))
    assert not world.sender("nodes", ("down",)).send()
    put(world.store, node_document("cn", "DOWN+DRAIN"), node_document("other", "DOWN"))
    world.sender("nodes", ("down",)).send()
    assert world.told() == [("down", "other")]


def test_filters_are_those_of_the_lists() -> None:
    for kind, names in ((JOBS, JobFilterName), (NODES, NodeFilterName)):
        assert {*get_args(names)} <= {each.name for each in kind.filters}


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"job_id": "4711,4_3"}, "job_id: 4_3 is a name .* write the JobId, such as 4711"),
        ({"job_id": "4_[1-8]"}, r"job_id: 4_\[1-8\] is a name .* or array_job_id for all"),
        ({"job_id": "26+1"}, r"job_id: 26\+1 is a name .* write the JobId"),
        ({"user": "me"}, "user: me is the user who asks .* write the name of a user"),
    ],
)
def test_a_filter_that_would_never_match_is_refused(
    world: World, chosen: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^webhooks\.targets\.ops\.filter: {says}"):
        world.sender("jobs", ("ended",), filter=chosen)


def test_a_filter_by_ids_and_cluster(world: World) -> None:
    sender = world.sender(filter={"job_id": "1,3", "cluster_name": "mila", "user": "alice"})
    put(world.store, *map(job_document, "123"))
    sender.send()
    assert world.told() == [("ended", "1"), ("ended", "3")]


def test_a_kill_in_the_middle_loses_nothing(world: World, mongo_uri: str, tmp_path: Path) -> None:
    path = tmp_path / "clockwork.toml"
    path.write_text(
        f"[scraper]\nlease = 5\n[webhooks]\nallowed_hosts = ['{LOOPBACK}']\n"
        f"[webhooks.targets.ops]\nurl = '{world.receiver.url}'\nkind = 'jobs'\n"
        "events = ['ended']\n"
    )
    words = ["-m", "tests.clockwork.webhooks.part", str(path), mongo_uri, world.store.database.name]
    world.sender()
    world.release()
    soon = datetime.now(timezone.utc).isoformat()

    def hang(_request: object) -> None:
        world.receiver.ended.wait(60)

    world.receiver.answers = [status(200), hang, status(500), status(200)]
    with ExitStack() as ending:

        def start() -> subprocess.Popen[bytes]:
            process = ending.enter_context(subprocess.Popen([sys.executable, *words]))
            ending.callback(process.kill)
            return process

        first = start()
        for each in range(3):
            put(world.store, job_document(str(each), end_time=soon))
            assert world.receiver.came.acquire(timeout=300)
            if each == 1:
                first.kill()
                start()
        while {id for _, id in world.told()} != {"0", "1", "2"}:
            assert world.receiver.came.acquire(timeout=300)
    ids = {each["job"]["slurm"]["job_id"]: each["id"] for each in world.receiver.events}
    told = {(each["job"]["slurm"]["job_id"], each["id"]) for each in world.receiver.events}
    assert told == {*ids.items()}
