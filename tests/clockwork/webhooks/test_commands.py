"""The commands about webhooks, what `check` says of them, and the metrics."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.endpoints.metrics import Metrics
from api.stats.census import ClusterStats
from clockwork import cli
from clockwork.webhooks.call import CallFailed
from tests.clockwork.webhooks.receiver import status
from tests.clockwork.webhooks.world import World
from tests.clockwork.webhooks.writing import job_document, put
from tests.support.ports import LOOPBACK

CLUSTER = """
[clusters.mila]
timezone = "America/Montreal"
username_field = "mila_cluster_username"
[clusters.mila.ssh]
host = "nowhere.invalid"
"""


@pytest.fixture(autouse=True)
def log_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def configured(world: World, path: Path, mongo_uri: str, more: str = "") -> Path:
    file = path / "clockwork.toml"
    file.write_text(
        f"[mongo]\nuri = '{mongo_uri}'\ndatabase = '{world.store.database.name}'\n"
        f"[webhooks]\nallowed_hosts = ['{LOOPBACK}']\n"
        f"[webhooks.targets.ops]\nurl = '{world.receiver.url}'\nkind = 'jobs'\n"
        f"events = ['ended']\n{more}"
    )
    file.chmod(0o600)
    return file


def test_the_commands(
    world: World, tmp_path: Path, mongo_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str]:
        ended = cli.main(["--config", str(path), "webhook", *words])
        said = capsys.readouterr()
        text = said.out or said.err.splitlines(keepends=True)[-1]
        return ended, re.sub(r"\d{4}-\S+Z|^clockwork: ", "", text)

    path = configured(world, tmp_path, mongo_uri)
    head = "webhook\tdelivered\tfailed\tdropped\tseconds behind\tlast success\tlast error\n"
    assert run("list") == (0, head + "ops\t-\t-\t-\t-\t-\t-\n")
    assert run("test", "ops") == (0, "ops: the receiver answered 200\n")
    assert world.receiver.calls[0].json == {"webhook": "ops", "events": []}
    world.receiver.answers = [status(404, b"nobody")]
    assert run("test", "ops") == (1, "ops: answered 404: nobody\n")
    ended, text = run("test", "other")
    assert (ended, text) == (2, "other: not in the configuration; it names: ops\n")

    sender = world.sender()
    put(world.store, job_document("1"))
    with pytest.raises(CallFailed) as error:
        sender.send()
    sender.note_failure(error.value)
    _, text = run("list")
    assert re.fullmatch(r"ops\t0\t1\t0\t\d+\t-\tanswered 404: nobody\n", text.removeprefix(head))
    world.receiver.answers = [status(200)]
    sender.send()
    assert run("list") == (0, head + "ops\t1\t1\t0\t0\t\t-\n")
    assert run("forget", "ops")[0] == 2
    path.write_text(path.read_text().replace("targets.ops", "targets.others"))
    assert run("forget", "ops") == (0, "ops: forgotten\n")
    assert run("forget", "ops")[0] == 2
    assert world.store.webhook_told.count_documents({}) == 0


def test_check(
    world: World, tmp_path: Path, mongo_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(world, tmp_path, mongo_uri, f"filter = {{ job_state = ',' }}\n{CLUSTER}")
    cli.main(["--config", str(path), "check", "--offline"])
    said = capsys.readouterr().out
    assert "webhooks.targets.ops.filter: job_state must be a value" in said
    assert cli.main(["--config", str(path), "scrape"]) == 2


def test_the_metrics(world: World) -> None:
    def figures() -> dict[str, float]:
        stats = ClusterStats(world.store, (), lambda: world.now)
        text = Metrics(stats).text().decode()
        found = re.findall(r"^clockwork_webhook_(\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    assert figures() == {}
    sender = world.sender()
    put(world.store, job_document("1"))
    [entry] = world.store.changes.find()
    world.now = entry["at"]
    assert figures()['seconds_behind{webhook="ops"}'] == 0
    world.store.changes.update_one({}, {"$set": {"at": world.now.replace(year=2025)}})
    assert figures()['seconds_behind{webhook="ops"}'] > 300 * 86400
    world.store.changes.delete_many({})
    assert figures()['seconds_behind{webhook="ops"}'] == 86400
    put(world.store, job_document("1", end_time=world.now.isoformat()))
    sender.send()
    assert figures() == {
        'events_total{result="delivered",webhook="ops"}': 1,
        'events_total{result="dropped",webhook="ops"}': 0,
        'failed_calls_total{webhook="ops"}': 0,
        'seconds_behind{webhook="ops"}': 0,
    }
