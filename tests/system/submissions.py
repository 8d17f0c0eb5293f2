"""Jobs that users submit, and what the API must say of each: what was asked for, not what we read.

What a user chose (names, paths, arguments, limits) is known from the call of sbatch. What Slurm
decides (states, nodes, times, ids) is asked of squeue, in fields that hold no text of a user's.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.system.daemons import wait_until
from tests.system.real_slurm import ALICE, BOB, SLEEP
from tests.system.service import Site

CONTRACT_KEYS = frozenset(
    {
        *("job_id", "name", "mila_cluster_username", "cc_account_username", "uid", "account"),
        *("job_state", "exit_code", "time_limit", "submit_time", "start_time", "end_time"),
        *("partition", "nodes", "resv_name", "command", "work_dir"),
        *("stderr", "stdin", "stdout", "cluster_name"),
    }
)

AWKWARD = {
    "spaces": ("  two  spaces", "  two  spaces"),
    "pairs": ("JobId=1 JobState=FAILED UserId=root(0)",) * 2,
    "quotes": ('it\'s "quoted" `id` $HOME \\n %j',) * 2,
    "unicode": ("entraînement 学習 🦕 \u202egnol",) * 2,
    "newlines": ("one\nJobState=FAILED\n   indented\n\nJobState=x",) * 2,
    "escapes": ("\x1b[31mred\x1b[0m\ttab\rreturn\x07",) * 2,
    "not utf-8": (os.fsdecode(b"caf\xe9 \xff\xfe"), "caf\\xe9 \\xff\\xfe"),
}
"""Texts as a user types them, and as the API shows them."""


@dataclass(frozen=True)
class Submitted:
    """A job of a cluster, and what its user asked for."""

    job_id: str
    user: str
    wanted: Mapping[str, Any]
    """Values of its ``slurm`` dict, documented keys and others; None where there is none."""


@dataclass(frozen=True)
class Order:
    """How a batch job is submitted, the state that it comes to, and the values it must have.

    In options and values, ``@work@`` stands for the cluster's folder and ``@id@`` for the job's id.
    """

    options: Sequence[str] = ()
    args: Sequence[str] = ()
    user: str = ALICE
    script: str = SLEEP
    script_name: str = "train.sh"
    state: str = "PENDING"
    wanted: Mapping[str, Any] = field(default_factory=dict)


def held(*options: str, **keys: Any) -> Order:
    """A job that its user holds."""
    return Order(("--hold", *options), **keys)


def orders() -> dict[str, Order]:
    """Jobs of every kind that is one call of sbatch, by a word on what they are."""
    in_folder = "@work@/a folder=1/"
    found = {
        "GPUs": Order(
            options=(
                *("--gres=gpu:rtx8000:2", "--time=1-02:03:00", "--account=def-pomme"),
                *("--partition=long", "--mem=8G", "--cpus-per-task=4"),
            ),
            args=("600", "--lr=0.1", "JobState=FAILED"),
            state="RUNNING",
            wanted={
                "command": "@work@/train.sh 600 --lr=0.1 JobState=FAILED",
                "account": "def-pomme",
                "partition": "long",
                "time_limit": 93780,
                "tres_per_node": "gres:gpu:rtx8000:2",
                "min_memory_node": "8G",
                "cpus_task": 4,
            },
        ),
        "reserved": Order(
            ("--reservation=transtech", "--time=10"),
            state="RUNNING",
            wanted={"resv_name": "transtech", "time_limit": 600},
        ),
        "completed": Order(script="#!/bin/sh\n", script_name="quick.sh", state="COMPLETED"),
        "failed": Order(
            script="#!/bin/sh\nexit 3\n",
            script_name="broken.sh",
            state="FAILED",
            wanted={"exit_code": "3:0"},
        ),
        "held": held(),
        "unlimited": held("--time=UNLIMITED", wanted={"time_limit": None}),
        "bob's": held(user=BOB),
        "paths": Order(
            (
                *("--hold", "--chdir=@work@/a folder=1", "--input=/dev/zero x"),
                *("--output=@work@/a folder=1/out put=%j.txt", "--error=@work@/StdOut=x/%j"),
            ),
            script_name="my train=1.sh",
            wanted={
                "name": "my train=1.sh",
                "command": "@work@/my train=1.sh",
                "work_dir": in_folder.removesuffix("/"),
                "stdin": "/dev/zero x",
                "stdout": in_folder + "out put=@id@.txt",
                "stderr": "@work@/StdOut=x/@id@",
            },
        ),
    }
    for title, (typed, shown) in AWKWARD.items():
        found[f"name: {title}"] = held(f"--job-name={typed}", wanted={"name": shown})
        found[f"comment: {title}"] = held(f"--comment={typed}", wanted={"comment": shown})
        found[f"argument: {title}"] = held(
            args=(typed,), wanted={"command": f"@work@/train.sh {shown}"}
        )
    return found


def submit(site: Site, order: Order) -> Submitted:
    """Submit a job; it may not have come to its state yet."""
    work = str(site.cluster.work)
    script = site.cluster.work / order.script_name
    script.write_text(order.script)
    script.chmod(0o755)
    options = [option.replace("@work@", work) for option in order.options]
    done = site.cluster.run(
        *("sbatch", "--parsable", "--time=60", *options, str(script), *order.args), user=order.user
    )
    job_id = done.stdout.decode().strip()
    wanted = {
        "name": order.script_name,
        "command": " ".join((str(script), *order.args)),
        **_streams(site, f"slurm-{job_id}.out"),
        **order.wanted,
    }
    return Submitted(
        job_id,
        order.user,
        {
            key: value.replace("@work@", work).replace("@id@", job_id)
            if isinstance(value, str)
            else value
            for key, value in wanted.items()
        },
    )


def submit_array(site: Site) -> dict[str, Submitted]:
    """An array of which two tasks run: its pending rest, and each task."""
    order = Order(("--array=4-9%2", "--job-name=an array"), wanted={"name": "an array"})
    rest = submit(site, order)
    # The controller gives the tasks that it starts ids of their own.
    wait_until(lambda: len(_tasks(site, rest.job_id)) == 2, "two tasks of the array run")
    common = {**rest.wanted, "array_job_id": int(rest.job_id)}
    found = {
        # The file's name is what Slurm prints for the rest: its task id is "none".
        "array: rest": Submitted(
            rest.job_id,
            ALICE,
            {
                **common,
                "array_task_id": "6-9%2",
                **_streams(site, f"slurm-{rest.job_id}_4294967294.out"),
            },
        )
    }
    for task_id, job_id in _tasks(site, rest.job_id).items():
        streams = _streams(site, f"slurm-{rest.job_id}_{task_id}.out")
        wanted = {**common, "array_task_id": task_id, **streams}
        found[f"array: task {task_id}"] = Submitted(job_id, ALICE, wanted)
    return found


def _tasks(site: Site, array_id: str) -> dict[str, str]:
    """The running tasks of an array: task id to job id."""
    listed = site.cluster.run("squeue", "-h", "-t", "RUNNING", "-o", "%F %K %A").stdout.decode()
    rows = [line.split() for line in listed.splitlines()]
    return {task_id: job_id for array, task_id, job_id in rows if array == array_id}


def submit_heterogeneous(site: Site) -> dict[str, Submitted]:
    """A job of two components, whose ids follow one another."""
    components = ("--hold", "--job-name=the first", ":", "--job-name=the second", "--ntasks=2")
    first = submit(site, Order(components, wanted={"name": "the first"}))
    second_id = str(int(first.job_id) + 1)
    common = {**first.wanted, "het_job_id": int(first.job_id)}
    streams = _streams(site, f"slurm-{second_id}.out")
    return {
        "heterogeneous: first": Submitted(first.job_id, ALICE, {**common, "het_job_offset": 0}),
        "heterogeneous: second": Submitted(
            second_id,
            ALICE,
            {
                **common,
                "name": "the second",
                "het_job_offset": 1,
                **streams,
            },
        ),
    }


def submit_interactive(site: Site) -> Submitted:
    """An allocation that salloc leaves behind: it has no script and no output."""
    asked = ("--no-shell", "--job-name=by salloc", "--time=30", "--gpus=1")
    said = site.cluster.run("salloc", *asked, user=BOB).stderr.decode()
    job_id = said.split("Granted job allocation ")[1].split()[0]
    wanted = {"name": "by salloc", "command": None, "time_limit": 1800, "work_dir": _work(site)}
    return Submitted(job_id, BOB, wanted)


def _work(site: Site) -> str:
    return str(site.cluster.work)


def _streams(site: Site, file_name: str) -> dict[str, str]:
    path = f"{_work(site)}/{file_name}"
    return {"work_dir": _work(site), "stdin": "/dev/null", "stdout": path, "stderr": path}


# --- what squeue says ------------------------------------------------------------------------


class Fact(NamedTuple):
    """One job as squeue lists it. Times are seconds since 1970; nodes are empty for none."""

    user: str
    uid: str
    state: str
    nodes: str
    submit: str
    start: str
    end: str


def facts(site: Site) -> dict[str, Fact]:
    """All jobs that the controller knows, by id."""
    listed = site.cluster.run(
        *("squeue", "-h", "-a", "-t", "all", "-o", "%A|%u|%U|%T|%N|%V|%S|%e"),
        env={"SLURM_TIME_FORMAT": "%s"},
    ).stdout.decode()
    rows = [line.split("|") for line in listed.splitlines()]
    return {job_id: Fact(*rest) for job_id, *rest in rows}


def expected(site: Site, job: Submitted, fact: Fact) -> dict[str, Any]:
    """The documented part of the job's ``slurm`` dict, and the other keys of ``wanted``."""
    assert fact.user == job.user
    return {
        "job_id": job.job_id,
        site.username_field: fact.user,
        "uid": fact.uid,
        "account": None,
        "job_state": fact.state,
        "exit_code": "0:0",
        "time_limit": 3600,
        "submit_time": _time(site, fact.submit),
        "start_time": _time(site, fact.start),
        "end_time": _time(site, fact.end),
        "partition": "main",
        "nodes": fact.nodes or None,
        "cluster_name": site.name,
        **job.wanted,
    }


def _time(site: Site, seconds: str) -> str:
    if not seconds.isdigit():  # "N/A" or "NONE"
        return "Unknown"
    return datetime.fromtimestamp(int(seconds), ZoneInfo(site.timezone)).isoformat()


def shown(slurm: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of a ``slurm`` dict is to be compared: all documented keys, and those of *wanted*."""
    return {key: slurm[key] for key in slurm if key in CONTRACT_KEYS or key in wanted}
