"""Run the experiments at length and write the report: ``python -m tests.chaos [NAME ...]``.

Without names all of them run.  Each leaves its section in build/chaos, and the report holds the
newest section of each.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from api.app import build_app
from ingest.accounts.users import add_user
from ingest.database.store import Store, connect
from tests.api.support.client import Client
from tests.api.support.examples import NOW, job_document
from tests.chaos import (
    away,
    clocks,
    hostile_http,
    hostile_input,
    killing,
    load,
    login_hosts,
    rights,
)
from tests.chaos.clusters import ChangingCluster
from tests.chaos.report import Section, document
from tests.mongo import secantus
from tests.scraper.home import Home, new_key
from tests.support.documented import MILA_JOB

SECTIONS = Path("build/chaos")
REPORT = Path("docs/chaos.md")


@contextmanager
def _store(folder: Path) -> Iterator[Store]:
    with secantus(folder / "mongo") as uri:
        store = connect(uri, "chaos")
        store.ensure_indexes()
        yield store
        store.database.client.close()


@contextmanager
def _home(folder: Path) -> Iterator[Home]:
    with ExitStack() as hosts, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        kinds = ("ed25519", "ecdsa", "rsa")
        keys = {kind: new_key(kind) for kind in kinds}
        yield Home(folder, keys, {kind: new_key(kind).pkey for kind in kinds}, hosts)


def _filled(store: Store) -> Client:
    """The client of a user, over *store* with a job of theirs."""
    store.jobs.insert_one(job_document(dict(MILA_JOB)))
    _, token = add_user(store, "mila12@mila.example", "milauser12", "ccuser12")
    return Client(build_app(store, clock=lambda: NOW), {"Authorization": f"Bearer {token}"})


def _kills(folder: Path, options: argparse.Namespace) -> Section:
    with killing.scene(folder) as here:
        return killing.kill(here, options.kills, options.seed, writers=6, dashboards=6)


def _away(folder: Path, options: argparse.Namespace) -> Section:
    with secantus(folder / "mongo") as uri:
        port = int(uri.rsplit(":", 1)[1].strip("/"))
        return away.be_away(folder, port, options.away)


def _full_disk(folder: Path, options: argparse.Namespace) -> Section:
    return away.fill_up(folder, options.away)


def _ssh(folder: Path, options: argparse.Namespace) -> Section:
    with _home(folder) as home, _store(folder) as store:
        return login_hosts.run(home, store, options.away)


def _requests(folder: Path, _options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return hostile_http.run_requests(_filled(store))


def _slow(folder: Path, options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return hostile_http.run_slow(_filled(store), attackers=40, seconds=options.away)


def _records(folder: Path, _options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return hostile_input.run_records(store)


def _arguments(folder: Path, _options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return hostile_input.run_arguments(_filled(store), store)


def _tokens(folder: Path, _options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return hostile_input.run_tokens(_filled(store), times=500)


def _rights(folder: Path, _options: argparse.Namespace) -> Section:
    with killing.scene(folder) as here:
        return rights.run(here)


def _clocks(folder: Path, _options: argparse.Namespace) -> Section:
    with _store(folder) as store:
        return clocks.run_injected(store)


def _load(folder: Path, options: argparse.Namespace) -> Section:
    clusters = {f"cluster{number}": ChangingCluster(100) for number in range(10)}
    with killing.scene(folder, clusters, interval=5.0) as here:
        return load.run(here, 60.0 * options.minutes, interval=5.0)


EXPERIMENTS: dict[str, Callable[[Path, argparse.Namespace], Section]] = {
    "kills": _kills,
    "away": _away,
    "full_disk": _full_disk,
    "ssh": _ssh,
    "requests": _requests,
    "slow": _slow,
    "records": _records,
    "arguments": _arguments,
    "tokens": _tokens,
    "rights": _rights,
    "clocks": _clocks,
    "load": _load,
}


def main() -> int:
    """Run the experiments; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the load")
    parser.add_argument("--away", type=float, default=60.0, help="seconds of each other misfortune")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.names) - EXPERIMENTS.keys():
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    SECTIONS.mkdir(parents=True, exist_ok=True)
    broken = False
    for name in options.names or EXPERIMENTS:
        if name == "full_disk" and not away.is_root():
            _say(f"{name}: left out, only root can make a small disk")
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="clockwork-chaos-") as folder:
            section = EXPERIMENTS[name](Path(folder), options)
        (SECTIONS / f"{name}.json").write_text(json.dumps(asdict(section), indent=1))
        _say(f"{name}: {time.monotonic() - began:.0f} s\n{section.markdown()}")
        broken = broken or bool(section.problems)
    saved = [SECTIONS / f"{name}.json" for name in EXPERIMENTS]
    sections = [Section(**json.loads(path.read_text())) for path in saved if path.exists()]
    REPORT.write_text(document(sections, options.seed))
    _say(f"the report is in {REPORT}")
    return 1 if broken else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
