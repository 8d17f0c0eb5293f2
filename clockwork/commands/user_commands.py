"""``clockwork me``, ``job`` and ``why``: what users ask in a terminal, of the REST API.

The address and the token come from $CLOCKWORK_URL and $CLOCKWORK_TOKEN, or from the file
``~/.config/clockwork.toml``::

    url = "https://clockwork.example.org"
    token = "cw_..."
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clockwork_client import ApiError, Clockwork, Unreachable
from config import OperatorError
from config.load import ConfigurationError, read_toml
from scraper.ssh.errors import printable

USER_FILE = Path(".config") / "clockwork.toml"
"""In the user's home."""
RECENT_SECONDS = 86_400
"""For so long after its end a job stands in `clockwork me`."""
PATIENCE_SECONDS = 20.0
"""For so long a command tries to reach the service."""

_KEYS = ("url", "token")
_OTHERS_MAY = 0o077
_FACTS = (
    *("job_id", "name", "cluster_name", "job_state", "reason", "partition", "account", "nodes"),
    *("submit_time", "start_time", "end_time", "run_time", "time_limit", "exit_code", "tres"),
    *("work_dir", "command", "stdout", "stderr"),
)
"""Keys of ``slurm`` that `clockwork job` prints, in this order."""


@contextmanager
def client(environ: Mapping[str, str], home: Path) -> Iterator[Clockwork]:
    """Give the client of this user.

    Raises ConfigurationError, which says what is missing, and OperatorError if the service refuses
    or does not answer.
    """
    service = _client(environ, home)
    try:
        yield service
    except (ApiError, Unreachable) as error:
        raise OperatorError(str(error)) from error


def _client(environ: Mapping[str, str], home: Path) -> Clockwork:
    path = home / USER_FILE
    given = {key: environ.get(f"CLOCKWORK_{key.upper()}") for key in _KEYS}
    if not all(given.values()) and path.is_file():
        if path.stat().st_mode & _OTHERS_MAY:
            raise ConfigurationError(
                f"{path} holds a token and others may read it: chmod 600 {path}"
            )
        table = read_toml(path)
        unknown = table.keys() - set(_KEYS)
        if unknown:
            raise ConfigurationError(f"{path}: unknown key {min(unknown)}; expected url and token")
        given = {key: given[key] or table.get(key) for key in _KEYS}
    for key in _KEYS:
        if not isinstance(given[key], str) or not given[key]:
            raise ConfigurationError(
                f"no {key} of the service: set CLOCKWORK_{key.upper()}, or write {key} into {path}"
            )
    try:
        return Clockwork(str(given["url"]), str(given["token"]), patience=PATIENCE_SECONDS)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def me(service: Clockwork) -> int:
    """Print who the user is, and a line for each job that is not finished or ended within a day."""
    account = service.get("whoami")
    sys.stdout.write(printable(f"{account['mila_email_username']} ({account['role']})") + "\n")
    fields = ["cluster_name", "job_id", "name", "job_state", "reason", "submit_time", "nodes"]
    asked = {"time": RECENT_SECONDS, "fields": [f"slurm.{each}" for each in fields]}
    jobs = [job["slurm"] for job in service.jobs(user="me", sort="-submit_time", **asked)]
    if not jobs:
        sys.stdout.write("no jobs that wait, run, or ended within a day\n")
        return 0
    head = ["CLUSTER", "JOB", "NAME", "STATE", "REASON", "SUBMITTED", "NODES"]
    rows = [[_shown(slurm.get(each)) for each in fields] for slurm in jobs]
    for line in _table([head, *rows]):
        sys.stdout.write(line + "\n")
    return 0


def job(service: Clockwork, job_id: str, cluster_name: str | None) -> int:
    """Print what is known of a job, a line for each fact. Return 1 if there is no such job."""
    found = service.job(job_id, cluster_name)
    if found is None:
        return _no_job(job_id)
    slurm, cw, user = found["slurm"], found["cw"], found["user"]
    facts = {key: slurm[key] for key in _FACTS if slurm.get(key) is not None}
    facts |= {key: cw[key] for key in ("finished_at", "vanished") if cw.get(key) is not None}
    facts |= {f"user.{key}": value for key, value in user.items()}
    _print_facts(facts)
    return 0


def why(service: Clockwork, job_id: str, cluster_name: str | None) -> int:
    """Print why a job waits. Return 1 if there is no such job."""
    found = service.get("jobs/why", job_id=job_id, cluster_name=cluster_name)
    if not found:
        return _no_job(job_id)
    keys = ("job_state", "reason", "sentence", "remedy")
    _print_facts({key: found[key] for key in keys if found.get(key) is not None})
    return 0


def _no_job(job_id: str) -> int:
    sys.stderr.write(f"clockwork: there is no job {printable(job_id)!r} that you may see\n")
    return 1


def _print_facts(facts: Mapping[str, Any]) -> None:
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        sys.stdout.write(printable(f"{key:{width}}  {_shown(value)}") + "\n")


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        yield printable("  ".join(cells).rstrip())
