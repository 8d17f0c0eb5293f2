"""Count how often Clockwork logs in to a cluster and calls scontrol, on the cluster's side."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from bench.dumps import Dump
from bench.login_host import Call, LoginHost, login_host
from bench.results import Row, Target
from bench.setting import Setting
from bench.timing import Samples
from config.load import MONGO_URI_VARIABLE

JOBS_INTERVAL, NODES_INTERVAL = 1, 2
_JOBS, _NODES = 1_000, 100
_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30


def rows(setting: Setting) -> Iterator[Row]:
    """Run a scraper for some intervals; return the rows of what the cluster saw."""
    with login_host(setting.folder) as host:
        host.print_from_now_on(Dump(min(_JOBS, setting.sizes.jobs), nodes=_NODES))
        # It ends in the middle between two calls.
        intervals = max(1, round(2 * setting.sizes.seconds / NODES_INTERVAL))
        ended = _scrape(setting, host, "mila", intervals * NODES_INTERVAL + JOBS_INTERVAL / 2)
        calls, sessions, logins = host.calls(), host.sshd.commands_run(), host.sshd.connections()
    for kind, interval in (("job", JOBS_INTERVAL), ("node", NODES_INTERVAL)):
        made = [call for call in calls if call.kind == kind]
        intervals = int((ended - calls[0].began) / interval) + 1
        yield Row(
            name=f"calls of scontrol show {kind} in {intervals} intervals",
            ours=Samples((float(len(made)),), "calls"),
            targets=(Target("one a kind and interval", len(made) / intervals, 1),),
        )
    at_once = _most_at_once(calls)
    yield Row(
        name="calls of scontrol at one time, at most",
        ours=Samples((float(at_once),), "calls"),
        targets=(
            Target("never two at a time", at_once, 1),
            Target("sessions in sshd's log, a call", sessions / len(calls), 1),
        ),
        beside={"logins in sshd's log": Samples((float(logins),), "logins")},
    )


def _scrape(setting: Setting, host: LoginHost, name: str, seconds: float) -> float:
    """Run ``clockwork scrape`` for *seconds* after its first call; return when it stopped."""
    config = setting.folder / "scrape.toml"
    database = setting.databases.new_store().database.name
    tables = host.configuration([name], JOBS_INTERVAL, NODES_INTERVAL)
    config.write_text(f'[mongo]\ndatabase = "{database}"\n{tables}')
    with subprocess.Popen(
        [sys.executable, "-m", "clockwork", "--config", str(config), "scrape"],
        env={**os.environ, MONGO_URI_VARIABLE: setting.databases.uri},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        give_up_at = time.monotonic() + _SECONDS_TO_START
        while not host.calls() and process.poll() is None and time.monotonic() < give_up_at:
            time.sleep(0.05)
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        ended = time.time()
        process.wait(_SECONDS_TO_STOP)
    return ended


def _most_at_once(calls: Sequence[Call]) -> int:
    """Return the largest number of *calls* that ran at the same time."""
    return max(sum(other.began <= call.began < other.ended for other in calls) for call in calls)
