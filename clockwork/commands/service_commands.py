"""What each command of ``clockwork`` does, given its settings and its store.

Results go to standard output, all else to standard error through the log.
"""

import logging
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymongo.errors import PyMongoError

from api.sign_in.key_ring import fetch_keys
from api.sign_in.keys import KeysUnusable
from clockwork.commands.console import CommandError, say
from clockwork.commands.webhook_commands import try_webhook
from clockwork.daemons.api import ApiDaemon
from clockwork.daemons.reload import require_clusters
from clockwork.daemons.scraper import ScrapeDaemon
from clockwork.embedded.database import EmbeddedDatabase
from clockwork.processes.specs import api_process, check_port, scraper_process
from clockwork.processes.supervisor import Supervisor
from clockwork.webhooks.senders import webhooks_of
from config import ClusterSettings, ConfigurationError, OperatorError, Settings
from config.settings import JwtSettings
from ingest.anonymise.rewrite import Report, anonymise
from ingest.clusters.round_log import request_round
from ingest.database.store import Store
from ingest.reading.reader import NoAnswer
from ingest.retention.retention import restore, run_retention
from ingest.slurm.kinds import JOBS, NODES
from scraper.cluster_round import ClusterScraper, log_round
from scraper.ssh.errors import printable
from scraper.trial import Finding, try_cluster

SOME_IN_QUARANTINE = 3
"""Exit status of ``replay`` when records are in quarantine, and of ``anonymise``."""
_CHUNK = 1 << 20
_MARKS = {"ok": "ok    ", "warning": "warns ", "failed": "FAILED"}
"""What a line of ``check`` begins with."""

_SECONDS_TO_HEED = 1.0
"""How late Ctrl-C may be heeded while a command waits."""

logger = logging.getLogger(__name__)

StoreOf = Callable[[Settings], AbstractContextManager[Store]]


class FileError(OperatorError):
    """A captured output can't be taken in; the message is for the operator."""


def up(path: Path, settings: Settings) -> int:
    """Database (embedded unless there is a URI), scraper and API, until a signal to stop."""
    require_clusters(settings)
    check_port(settings.api)
    processes = [scraper_process(path), api_process(path)]
    if settings.mongo.uri is not None:
        return Supervisor(processes).run()
    with EmbeddedDatabase(settings.embedded) as database:
        database.claim()
        return Supervisor(
            [
                database.process(),
                scraper_process(path, database.uri),
                api_process(path, database.uri),
            ]
        ).run()


def scrape(path: Path, settings: Settings, store: Store) -> int:
    """Scrape every cluster on its intervals until SIGTERM or SIGINT; the rounds in hand finish."""
    require_clusters(settings)
    ScrapeDaemon(path, settings, store).run()
    return 0


def scrape_once(settings: Settings, store: Store) -> int:
    """One round of nodes and jobs of every cluster, side by side; 0 only if all answered."""
    require_clusters(settings)
    results: list[bool] = []
    interrupted = threading.Event()

    def one(scraper: ClusterScraper) -> None:
        if not scraper.lease.acquire():
            logger.error(
                "another daemon scrapes this cluster", extra={"cluster": scraper.cluster.name}
            )
            results.append(False)
            return
        for kind in (NODES, JOBS):
            # No comprehension: a round's failure must not keep the next from running.
            if not interrupted.is_set():
                results.append(log_round(scraper, kind))  # noqa: PERF401
        scraper.close()

    scrapers = _scrapers(settings, store)
    threads = [  # daemons, so that Ctrl-C need not wait for a cluster that hangs
        threading.Thread(target=one, args=(scraper,), daemon=True) for scraper in scrapers
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # A signal that comes just before a wait begins is heeded only when that ends.
                thread.join(_SECONDS_TO_HEED)
    except KeyboardInterrupt:
        interrupted.set()
        for scraper in scrapers:
            scraper.lease.release()  # or the next scrape would wait until it runs out
        raise
    return 0 if results and all(results) else 1


def scrape_now(settings: Settings, store: Store, cluster_name: str) -> int:
    """Ask the daemon that scrapes a cluster for a round now, and wait for it; 0 if it went well.

    In a pause after failures the daemon ends the pause, so that the round begins at once.  Without
    a pause the next round comes within ``jobs_interval``.
    """
    cluster = named_cluster(settings, cluster_name, "--now")
    before = _last_attempt(store, cluster_name)
    if not request_round(store, cluster_name):
        raise CommandError(
            f"--now {cluster_name}: no scraper has ever tried this cluster; "
            "start `clockwork scrape` first"
        )
    say(f"{cluster_name}: waiting for the next round of its jobs")
    gives_up = time.monotonic() + cluster.jobs_interval + cluster.round_timeout
    while (after := _last_attempt(store, cluster_name)) == before:
        if time.monotonic() > gives_up:
            say(f"{cluster_name}: no round began; is `clockwork scrape` or `clockwork up` running?")
            return 1
        time.sleep(_SECONDS_TO_HEED)
    if after["ok"]:
        say(f"{cluster_name}: the round went well, {after['last_figures']['records']} jobs")
        return 0
    say(f"{cluster_name}: the round failed: {after['last_error']['error']}")
    return 1


def _last_attempt(store: Store, cluster_name: str) -> dict[str, Any]:
    """How the last round of a cluster's jobs went; empty where there was none."""
    fields = ("last_attempt", "ok", "last_figures", "last_error")
    return (
        store.clusters.find_one(
            {"_id": f"{cluster_name}/jobs"}, {"_id": False, **dict.fromkeys(fields, True)}
        )
        or {}
    )


def serve_api(path: Path, settings: Settings, store: Store) -> int:
    """The REST API until SIGTERM or SIGINT."""
    ApiDaemon(path, settings, store).run()
    return 0


def _scrapers(settings: Settings, store: Store) -> list[ClusterScraper]:
    return [
        ClusterScraper(cluster, settings.scraper, store) for cluster in settings.clusters.values()
    ]


def named_cluster(settings: Settings, name: str, option: str) -> ClusterSettings:
    """Return the cluster that *option* names. Raises CommandError."""
    if name not in settings.clusters:
        known = ", ".join(settings.clusters) or "none"
        raise CommandError(f"{option} {name}: not in the configuration; it names: {known}")
    return settings.clusters[name]


# --- captured outputs -----------------------------------------------------------------------------


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name *path* in the error for a file that is no output of scontrol. Raises FileError."""
    try:
        yield
    except NoAnswer as error:
        raise FileError(f"{path}: {error}") from error


def require_readable(path: Path) -> None:
    """Raise FileError if *path* is not there, is a folder, or may not be read."""
    try:
        if path.is_file() or not path.exists() or path.is_dir():  # a pipe is opened once only
            path.open("rb").close()
    except OSError as error:
        raise FileError(f"{path}: can't be read: {error.strerror}") from error


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of *path*, and show progress on a terminal. Raises FileError."""
    try:
        size = path.stat().st_size
        done = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                done += len(chunk)
                if sys.stderr.isatty() and size > _CHUNK:
                    sys.stderr.write(f"\r{path}: {done * 100 // size} %")
    except OSError as error:
        raise FileError(f"{path}: can't be read: {error.strerror}") from error
    if sys.stderr.isatty() and size > _CHUNK:
        sys.stderr.write("\n")


# --- anonymise ------------------------------------------------------------------------------------


def anonymise_dump(file: str) -> int:
    """A captured output of scontrol, ``-`` for standard input, rewritten on standard output."""
    read = iter(lambda: sys.stdin.buffer.read(_CHUNK), b"") if file == "-" else chunks(Path(file))
    report = Report()
    with naming(Path(file)):
        for text in anonymise(read, secrets.token_bytes(32), report):
            sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    left_out = report.left_out.total()
    lines = f" ({report.lines_left_out} lines)" if left_out else ""
    say(f"{file}: {report.records} records rewritten, {left_out} left out{lines}")
    for reason, count in sorted(report.left_out.items()):
        say(f"{file}: {count} left out: {reason}")
    for key in sorted(report.new_keys):
        say(f"{file}: {key}: a key unknown so far, and left as it is: is it one of Slurm's?")
    return SOME_IN_QUARANTINE if left_out else 0


# --- retention ------------------------------------------------------------------------------------


def retain(settings: Settings, store: Store) -> int:
    """Take what is older than the configuration allows out of the database, now."""
    if not settings.retention.after_days:
        raise CommandError("retention.after_days is 0: everything stays for ever")
    for departure in run_retention(store, settings.retention, settings.scraper.lease):
        changed = departure.found - departure.deleted
        say(
            f"{departure.collection}: {departure.found} due, {departure.deleted} deleted"
            + (f", {changed} changed meanwhile and stay" if changed else "")
            + (f"; archived in {departure.archive}" if departure.archive else "")
        )
    return 0


def restore_archive(store: Store, path: Path) -> int:
    """Put the documents of an archive file back where nothing is in their place."""
    held, restored = restore(store, path)
    say(f"{path}: {held} documents, {restored} put back, {held - restored} were there")
    return 0


# --- check ----------------------------------------------------------------------------------------


def check(path: Path, settings: Settings, store_of: StoreOf, *, offline: bool) -> int:
    """Print a line for each part of the configuration, the database and every cluster.

    The last line says whether all is well.  Returns 1 if any part fails; a warning is no failure.
    With *offline* only the configuration is looked at.
    """
    levels: Counter[str] = Counter()
    for finding in _findings(path, settings, store_of, offline=offline):
        levels[finding.level] += 1
        _say_result(f"{_MARKS[finding.level]} {finding.part}: {printable(finding.text)}")
    if levels["failed"]:
        _say_result(f"{levels['failed']} of {levels.total()} checks failed")
    elif levels["warning"]:
        _say_result(f"all works; warnings: {levels['warning']}")
    else:
        _say_result("all is well")
    return 1 if levels["failed"] else 0


def _say_result(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _findings(
    path: Path, settings: Settings, store_of: StoreOf, *, offline: bool
) -> Iterator[Finding]:
    part = f"configuration {path}"
    if settings.clusters:
        yield Finding(part, "ok", ", ".join(settings.clusters))
    else:
        yield Finding(part, "failed", "no cluster is configured: add a table [clusters.NAME]")
    webhooks = []
    try:
        webhooks = webhooks_of(settings, secrets=not offline)
    except ConfigurationError as error:
        yield Finding(part, "failed", str(error))
    if offline:
        return
    yield _check_database(settings, store_of)
    if settings.api.jwt is not None:
        yield _check_keys(settings.api.jwt)
    yield from map(try_webhook, webhooks)
    for cluster in settings.clusters.values():
        for finding in try_cluster(cluster):
            yield replace(finding, part=f"cluster {cluster.name}, {finding.part}")


def _check_keys(settings: JwtSettings) -> Finding:
    try:
        return Finding("keys of the issuer", "ok", f"{len(fetch_keys(settings))} keys")
    except KeysUnusable as error:
        return Finding("keys of the issuer", "failed", str(error))


def _check_database(settings: Settings, store_of: StoreOf) -> Finding:
    try:
        with store_of(settings) as store:
            store.database.client.admin.command("ping")
            kind = "embedded" if settings.mongo.uri is None else "Mongo"
            jobs, users = (each.estimated_document_count() for each in (store.jobs, store.users))
            if warning := store.too_many_jobs():
                return Finding("database", "warning", warning)
            return Finding("database", "ok", f"{kind}, {jobs} jobs, {users} users")
    except (OperatorError, PyMongoError) as error:
        return Finding("database", "failed", str(error))
