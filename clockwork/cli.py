"""Read the command line, and call the function that does what it asks for.

Each command imports what it needs itself, so that the short ones start fast.

Exit status: 0 done; 1 it failed, as the message says; 2 the command or the configuration is
wrong; 3 ``replay`` or ``anonymise`` met records that it could not read; 130 interrupted.  The
commands ``up``, ``scrape`` and ``serve`` run until a signal stops them, and end with 0.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from pymongo.errors import InvalidURI, PyMongoError

from clockwork.commands.console import CommandError
from clockwork.embedded.database import EmbeddedDatabase
from clockwork.logs import set_up_logging
from config import (
    ConfigurationError,
    LogSettings,
    OperatorError,
    Settings,
    find_settings_file,
    load_settings,
)
from ingest.accounts.users import ROLES
from ingest.database.store import Store, connect
from ingest.transfer.unfinished import require_whole
from scraper.ssh.errors import printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except (ConfigurationError, CommandError) as error:
        _complain(str(error))
        return 2
    except OperatorError as error:
        _complain(str(error))
        return 1
    except PyMongoError as error:
        _complain(f"Mongo: {error}")
        return 1
    except BrokenPipeError:  # whoever read standard output has left: `clockwork ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _complain(message: str) -> None:
    for line in message.splitlines():
        sys.stderr.write(f"clockwork: {printable(line)}\n")


# --- what the commands share --------------------------------------------------------------------


def _settings(options: argparse.Namespace, *, secrets: bool = True) -> tuple[Path, Settings]:
    path = find_settings_file(options.config, os.environ)
    settings = load_settings(path, secrets=secrets)
    set_up_logging(settings.log)
    return path, settings


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """The store of *settings*: the Mongo of the URI, else the embedded database."""
    if settings.mongo.uri is not None:
        yield _ready(settings.mongo.uri.get_secret_value(), settings)
        return
    with EmbeddedDatabase.attach_or_start(settings.embedded) as database:
        yield _ready(database.uri, settings)


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[tuple[Settings, Store]]:
    """The settings and the store of a command that needs no more than these."""
    _, settings = _settings(options)
    with _store(settings) as store:
        yield settings, store


def _ready(uri: str, settings: Settings) -> Store:
    store = _connected(uri, settings)
    require_whole(store)
    store.ensure_indexes(own_jobs=settings.api.jobs_visible == "own")
    return store


def _connected(uri: str, settings: Settings) -> Store:
    try:
        return connect(uri, settings.mongo.database)
    except (InvalidURI, ValueError):  # whose messages can quote a part of the password
        raise ConfigurationError(
            "mongo.uri is not a URI that Mongo's clients understand: expected mongodb://USER:"
            "PASSWORD@HOST:PORT/?OPTIONS, with / : ? # @ and % of the password written %2F, %3A ..."
        ) from None


# --- commands -----------------------------------------------------------------------------------


def _up(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    path, settings = _settings(options)
    return service_commands.up(path, settings)


def _demo(options: argparse.Namespace) -> int:
    from clockwork.demo.run import run_demo

    set_up_logging(LogSettings(level="warning"))
    return run_demo(options.port)


def _scrape(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    path, settings = _settings(options)
    with _store(settings) as store:
        if options.once:
            return service_commands.scrape_once(settings, store)
        if options.now is not None:
            return service_commands.scrape_now(settings, store, options.now)
        return service_commands.scrape(path, settings, store)


def _serve(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    path, settings = _settings(options)
    with _store(settings) as store:
        return service_commands.serve_api(path, settings, store)


def _replay(options: argparse.Namespace) -> int:
    from clockwork.commands import replay

    _, settings = _settings(options)
    files = {"jobs": options.jobs, "nodes": options.nodes}
    if options.dry_run:
        return replay.replay_dry(settings, options.cluster, files)
    with _store(settings) as store:
        return replay.replay(
            settings,
            options.cluster,
            files,
            store,
            is_complete=options.complete,
            force=options.force,
        )


def _anonymise(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    return service_commands.anonymise_dump(options.file)


def _me(_options: argparse.Namespace) -> int:
    from clockwork.commands import user_commands

    with user_commands.client(os.environ, Path.home()) as service:
        return user_commands.me(service)


def _job(options: argparse.Namespace) -> int:
    from clockwork.commands import user_commands

    with user_commands.client(os.environ, Path.home()) as service:
        return user_commands.job(service, options.job_id, options.cluster)


def _why(options: argparse.Namespace) -> int:
    from clockwork.commands import user_commands

    with user_commands.client(os.environ, Path.home()) as service:
        return user_commands.why(service, options.job_id, options.cluster)


def _retain(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    with _opened(options) as (settings, store):
        return service_commands.retain(settings, store)


def _restore(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    with _opened(options) as (_, store):
        return service_commands.restore_archive(store, options.file)


def _backup_make(options: argparse.Namespace) -> int:
    from clockwork.commands import transfer_commands

    with _opened(options) as (_, store):
        return transfer_commands.backup_make(store, options.file)


def _backup_load(options: argparse.Namespace) -> int:
    from clockwork.commands import transfer_commands

    with _opened(options) as (_, store):
        return transfer_commands.backup_load(store, options.file)


def _move(options: argparse.Namespace) -> int:
    from clockwork.commands import transfer_commands

    _, settings = _settings(options)
    if settings.mongo.uri is not None:
        raise ConfigurationError(
            "the configuration names a MongoDB already, and `move` takes everything out of the "
            "embedded database: leave out mongo.uri and mongo.uri_file until the move is done"
        )
    uri = sys.stdin.readline().strip() if options.to == "-" else options.to
    # Not `_store`: nothing may write to the embedded database until it has been moved.
    with EmbeddedDatabase(settings.embedded) as database:
        database.start()
        source = _ready(database.uri, settings)
        return transfer_commands.move_to(source, _connected(uri, settings))


def _check(options: argparse.Namespace) -> int:
    from clockwork.commands import service_commands

    path, settings = _settings(options, secrets=not options.offline)
    return service_commands.check(path, settings, _store, offline=options.offline)


def _user_add(options: argparse.Namespace) -> int:
    from clockwork.commands import account_commands

    with _opened(options) as (_, store):
        return account_commands.user_add(
            store,
            options.email,
            options.mila_cluster_username,
            options.cc_account_username,
            options.username,
            options.token_name,
            options.role,
            rename=options.rename,
            days=options.expires_in,
            coordinates=options.coordinates,
        )


def _user_import(options: argparse.Namespace) -> int:
    from clockwork.commands import account_commands

    with _opened(options) as (_, store):
        return account_commands.user_import(store, options.file, dry_run=options.dry_run)


def _user_list(options: argparse.Namespace) -> int:
    from clockwork.commands import account_commands

    with _opened(options) as (_, store):
        return account_commands.user_list(store)


def _user_revoke(options: argparse.Namespace) -> int:
    from clockwork.commands import account_commands

    with _opened(options) as (_, store):
        return account_commands.user_revoke(store, options.email, options.token_name)


def _user_remove(options: argparse.Namespace) -> int:
    from clockwork.commands import account_commands

    with _opened(options) as (_, store):
        return account_commands.user_remove(store, options.email)


def _cluster_list(options: argparse.Namespace) -> int:
    from clockwork.commands import cluster_commands

    with _opened(options) as (settings, store):
        return cluster_commands.cluster_list(settings, store)


def _cluster_rename(options: argparse.Namespace) -> int:
    from clockwork.commands import cluster_commands

    with _opened(options) as (settings, store):
        return cluster_commands.cluster_rename(
            settings, store, options.old, options.new, yes=options.yes
        )


def _cluster_retire(options: argparse.Namespace) -> int:
    from clockwork.commands import cluster_commands

    with _opened(options) as (settings, store):
        return cluster_commands.cluster_retire(settings, store, options.name, yes=options.yes)


def _webhook_list(options: argparse.Namespace) -> int:
    from clockwork.commands import webhook_commands

    with _opened(options) as (settings, store):
        return webhook_commands.webhook_list(settings, store)


def _webhook_test(options: argparse.Namespace) -> int:
    from clockwork.commands import webhook_commands

    _, settings = _settings(options)
    return webhook_commands.webhook_test(settings, options.name)


def _webhook_forget(options: argparse.Namespace) -> int:
    from clockwork.commands import webhook_commands

    with _opened(options) as (settings, store):
        return webhook_commands.webhook_forget(settings, store, options.name)


# --- the parser ---------------------------------------------------------------------------------


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535, found {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clockwork",
        description="Show what the jobs of Slurm clusters are doing: read the clusters over SSH, "
        "keep their jobs and nodes in MongoDB, and serve them as a REST API and a web page.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration file (default: $CLOCKWORK_CONFIG, then ./clockwork.toml, then "
        "/etc/clockwork/clockwork.toml)",
    )
    parser.add_argument(
        "--version", action="version", version=f"clockwork {version('clockwork-slurm')}"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help_: str
    ) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=help_, description=help_)
        added.set_defaults(run=run)
        return added

    command("up", _up, "Run the database, the scraper and the API together, in the foreground.")
    demo = command(
        "demo", _demo, "Run everything with two simulated clusters, and remove the data at the end."
    )
    demo.add_argument("--port", type=_port, default=8080, help="port of the API (default: 8080)")
    scrape = command("scrape", _scrape, "Run the scraper.")
    how = scrape.add_mutually_exclusive_group()
    how.add_argument(
        "--once",
        action="store_true",
        help="scrape every cluster once, then end; exit status 0 only if all rounds were good",
    )
    how.add_argument(
        "--now",
        metavar="CLUSTER",
        help="wait for the next round of this cluster by the scraper that is running; if the "
        "scraper pauses after failures, end the pause",
    )
    command("serve", _serve, "Run the REST API.")
    replayed = command(
        "replay",
        _replay,
        "Write captured outputs of scontrol into the database, as a scrape would. No scraper may "
        "scrape the cluster at the same time.",
    )
    replayed.add_argument(
        "--cluster", required=True, metavar="NAME", help="the cluster that printed them"
    )
    replayed.add_argument("--jobs", type=Path, metavar="FILE", help="output of `scontrol show job`")
    replayed.add_argument(
        "--nodes", type=Path, metavar="FILE", help="output of `scontrol show node`"
    )
    replayed.add_argument(
        "--complete",
        action="store_true",
        help="the files contain all jobs or nodes of the cluster: mark the others as gone",
    )
    replayed.add_argument(
        "--force",
        action="store_true",
        help="write even if the files seem to come from another cluster or another time",
    )
    replayed.add_argument(
        "--dry-run",
        action="store_true",
        help="print the documents as NDJSON, and do not use the database",
    )
    anonymised = command(
        "anonymise",
        _anonymise,
        "Print a captured output of scontrol with all names, texts, times and ids replaced, so "
        "that you can publish it. Read the result before you publish it.",
    )
    anonymised.add_argument(
        "file",
        metavar="FILE",
        help="output of `scontrol show job` or `scontrol show node`; - is standard input",
    )
    command("me", _me, "For users: print your account and your jobs.")
    for name, run, help_ in (
        ("job", _job, "For users: print what is known of a job."),
        ("why", _why, "For users: print why a job waits."),
    ):
        of_job = command(name, run, help_)
        of_job.add_argument("job_id", metavar="ID", help="the id of the job")
        of_job.add_argument(
            "--cluster", metavar="NAME", help="needed if several clusters have the id"
        )
    command("retain", _retain, "Remove old jobs from the database now, as [retention] says.")
    restored = command("restore", _restore, "Put the jobs of an archive file back.")
    restored.add_argument("file", type=Path, metavar="FILE", help="such as jobs-….ndjson.gz")
    backup = command("backup", lambda _: 2, "Back up the whole database, or load a backup.")
    _add_backup_commands(backup)
    moved = command(
        "move",
        _move,
        "Copy everything from the embedded database into a MongoDB, and compare both. No service "
        "may run at the same time. After an interruption, run the same command again.",
    )
    moved.add_argument(
        "--to",
        required=True,
        metavar="URI",
        help="the URI of the MongoDB; - reads it from standard input, where no other user sees it",
    )
    check = command("check", _check, "Test the configuration, the database and every cluster.")
    check.add_argument("--offline", action="store_true", help="test only the configuration file")
    _add_account_commands(command("user", lambda _: 2, "Manage accounts and their tokens."))
    _add_cluster_commands(
        command("cluster", lambda _: 2, "Manage clusters that were renamed or no longer exist.")
    )
    _add_webhook_commands(command("webhook", lambda _: 2, "Watch and test the webhooks."))
    return parser


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")] if text else []


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_: str,
) -> argparse.ArgumentParser:
    added = actions.add_parser(name, help=help_, description=help_)
    added.set_defaults(run=run)
    return added


def _add_account_commands(user: argparse.ArgumentParser) -> None:
    actions = user.add_subparsers(metavar="ACTION", required=True)
    add = _action(
        actions, "add", _user_add, "Add an account, or a token to an account, and print the token."
    )
    add.add_argument("email", metavar="EMAIL", help="the e-mail address of the account")
    add.add_argument(
        "--mila-cluster-username", metavar="U", help="the user's name on Mila's cluster"
    )
    add.add_argument(
        "--cc-account-username", metavar="U", help="the user's name on Compute Canada's clusters"
    )
    add.add_argument(
        "--username",
        metavar="U",
        help='the user\'s name on clusters with username_field "username"',
    )
    add.add_argument(
        "--role",
        choices=ROLES,
        help="user: writes the user dicts of its own jobs; admin: also sees all jobs, even if "
        "users see only their own; service, for dashboards: sees all jobs and writes no user dict "
        "(default for a new account: user)",
    )
    add.add_argument(
        "--coordinates",
        type=_names,
        metavar="ACCOUNT,...",
        help="Slurm accounts whose jobs the user sees, even if users see only their own; this "
        "replaces the earlier list, and '' removes it",
    )
    add.add_argument(
        "--token-name", metavar="NAME", help="the name of the token (default: a new name)"
    )
    add.add_argument(
        "--expires-in",
        type=int,
        metavar="DAYS",
        help="for how many days the token works (default: it never expires)",
    )
    add.add_argument(
        "--rename",
        action="store_true",
        help="replace a username of the account: the jobs of the new name then belong to the "
        "account, and the jobs of the old name no longer do",
    )
    importing = _action(
        actions, "import", _user_import, "Add and change the accounts that a CSV file lists."
    )
    importing.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a CSV file with the columns email, mila_cluster_username, cc_account_username, and "
        "optionally username",
    )
    importing.add_argument(
        "--dry-run", action="store_true", help="print what would change, and write nothing"
    )
    _action(
        actions, "list", _user_list, "Print headings, and a line for each token of each account."
    )
    revoke = _action(
        actions, "revoke", _user_revoke, "Revoke one token of an account, or all of them."
    )
    revoke.add_argument("email", metavar="EMAIL", help="the e-mail address of the account")
    revoke.add_argument(
        "token_name", nargs="?", metavar="TOKEN_NAME", help="revoke only this token"
    )
    remove = _action(
        actions, "remove", _user_remove, "Remove an account and its tokens; its jobs stay."
    )
    remove.add_argument("email", metavar="EMAIL", help="the e-mail address of the account")


def _add_backup_commands(backup: argparse.ArgumentParser) -> None:
    actions = backup.add_subparsers(metavar="ACTION", required=True)
    make = _action(actions, "make", _backup_make, "Write a backup; the services can run meanwhile.")
    make.add_argument("file", type=Path, metavar="FILE", help="the new file")
    load = _action(actions, "load", _backup_load, "Load a backup into an empty database.")
    load.add_argument("file", type=Path, metavar="FILE", help="a file that `backup make` wrote")


def _add_webhook_commands(webhook: argparse.ArgumentParser) -> None:
    actions = webhook.add_subparsers(metavar="ACTION", required=True)
    _action(actions, "list", _webhook_list, "Print headings, and a line for each webhook.")
    trying = _action(actions, "test", _webhook_test, "Call a webhook once, without events.")
    forgetting = _action(
        actions,
        "forget",
        _webhook_forget,
        "Delete what the database keeps of a webhook that is no longer configured.",
    )
    for action in (trying, forgetting):
        action.add_argument("name", metavar="NAME", help="the name of the webhook")


def _add_cluster_commands(cluster: argparse.ArgumentParser) -> None:
    actions = cluster.add_subparsers(metavar="ACTION", required=True)
    _action(actions, "list", _cluster_list, "Print each cluster, and what to do about it.")
    rename = _action(
        actions, "rename", _cluster_rename, "Give a cluster a new name in the whole database."
    )
    rename.add_argument("old", metavar="OLD", help="the name in the database")
    rename.add_argument("new", metavar="NEW", help="the name in the configuration")
    retire = _action(
        actions,
        "retire",
        _cluster_retire,
        "Remove a cluster that no longer exists from the overview; its jobs stay.",
    )
    retire.add_argument("name", metavar="NAME", help="the name of the cluster")
    for action in (rename, retire):
        action.add_argument(
            "--yes", action="store_true", help="do it; without --yes, only print what would happen"
        )
