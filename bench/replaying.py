"""Measure time and memory of ``clockwork replay`` with dumps of growing size."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.dumps import Dump, job_dump
from bench.results import Row, Target
from bench.setting import Setting
from bench.timing import Samples, exponent
from config.load import MONGO_URI_VARIABLE

MOST_MEGABYTES = 150
STEEPEST = 1.1
"""The exponent above which time counts as more than linear in the text."""
_POLL_SECONDS = 0.02
_LONGEST_SECONDS = 3600


@dataclass(frozen=True)
class Replay:
    """One run of the program."""

    jobs: int
    text_bytes: int
    seconds: float
    peak_bytes: int
    """Of resident memory."""


def rows(setting: Setting) -> Iterator[Row]:
    """Measure the largest dump and compare it with the smaller ones."""
    replays = [replay(setting, jobs) for jobs in setting.sizes.growth]
    largest = replays[-1]
    grows = exponent([run.text_bytes for run in replays], [run.seconds for run in replays])
    megabytes = largest.text_bytes / 1e6
    name = f"clockwork replay of {largest.jobs} jobs, {megabytes:.0f} MB"
    peak = largest.peak_bytes / 1e6
    yield Row(
        name=f"{name}: peak memory",
        ours=Samples((peak,), "MB"),
        targets=(Target(f"under {MOST_MEGABYTES} MB", peak, MOST_MEGABYTES),),
        beside={
            f"of {run.jobs} jobs": Samples((run.peak_bytes / 1e6,), "MB") for run in replays[:-1]
        },
    )
    yield Row(
        name=f"{name}: time",
        ours=Samples((largest.seconds,)),
        targets=(Target(f"grows with the text to the power of {STEEPEST}", grows, STEEPEST),),
        beside={f"of {run.jobs} jobs": Samples((run.seconds,)) for run in replays[:-1]},
    )


def replay(setting: Setting, jobs: int) -> Replay:
    """Take a dump of so many jobs into an empty database with the command.

    Raises RuntimeError, with what the command said, when it fails.
    """
    dump = setting.folder / f"jobs-{jobs}.txt"
    with dump.open("wb") as file:
        file.writelines(job_dump(Dump(jobs)))
    config = setting.folder / f"replay-{jobs}.toml"
    config.write_text(_configuration(setting.databases.new_store().database.name))
    command = ["clockwork", "--config", str(config), "replay", "--cluster", "mila", "--jobs"]
    environment = {**os.environ, MONGO_URI_VARIABLE: setting.databases.uri}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", *command, str(dump)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak_bytes(process.pid))
            time.sleep(_POLL_SECONDS)
            if time.perf_counter() - started > _LONGEST_SECONDS:
                process.kill()
        seconds = time.perf_counter() - started
        said = process.stderr.read() if process.stderr else ""
    if process.returncode:
        raise RuntimeError(f"clockwork replay ended with status {process.returncode}: {said}")
    size = dump.stat().st_size
    dump.unlink()
    return Replay(jobs, size, seconds, peak)


def _peak_bytes(pid: int) -> int:
    """The most resident memory that the process has had so far; 0 when it is over.

    Not from its resource usage, where what the parent had when it forked counts too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    kibibytes = status.partition("VmHWM:")[2].split()[:1]
    return int(kibibytes[0]) * 1024 if kibibytes else 0


def _configuration(database: str) -> str:
    return (
        f"[mongo]\ndatabase = {json.dumps(database)}\n"
        '[clusters.mila]\ntimezone = "America/Montreal"\n'
        'username_field = "mila_cluster_username"\n'
        '[clusters.mila.ssh]\nhost = "nowhere"\n'
    )
