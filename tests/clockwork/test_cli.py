"""The command line, as an operator uses it: what it prints, how it ends, what it touches."""

import argparse
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest

from clockwork import cli
from clockwork.demo.ssh_server import Answer
from ingest.accounts.access import Accounts
from ingest.accounts.users import add_user, list_users
from ingest.database.store import Store
from tests.api.sign_in.issuer import jwk_set
from tests.clockwork.sites import Site, clockwork, site
from tests.ingest.reading.golden import FOLDER, GOLDEN, kind_of, seal_of
from tests.support.accounts import authenticate
from tests.system.daemons import wait_until

MANUAL = Path(__file__).parents[2] / "docs" / "commands.md"
EMAIL = "alice@example.org"
HEADINGS = (
    "email\tmila_cluster_username\tcc_account_username\tusername\t"
    "role\ttoken\tcreated\tlast used\texpires\tcoordinates\n"
)

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, no settings in the environment, and the log put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOCKWORK_CONFIG", raising=False)
    monkeypatch.delenv("CLOCKWORK_MONGO_URI", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield tmp_path
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def clusters(place: Path) -> Path:
    """A configuration of two clusters that are never asked."""
    path = place / "clockwork.toml"
    path.write_text(
        "".join(
            f'[clusters.{name}]\ntimezone = "America/Montreal"\nusername_field = "{field}"\n'
            f'[clusters.{name}.ssh]\nhost = "nowhere.invalid"\n'
            for name, field in (
                ("mila", "mila_cluster_username"),
                ("beluga", "cc_account_username"),
            )
        )
    )
    return path


@pytest.fixture
def in_store(mongo_uri: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings that make the commands use the test's store; its URI is in the environment."""
    monkeypatch.setenv("CLOCKWORK_MONGO_URI", mongo_uri)
    return f'[mongo]\ndatabase = "{store.database.name}"\n'


@pytest.fixture
def configured(clusters: Path, in_store: str) -> Path:
    """The two clusters, and the test's store."""
    clusters.write_text(in_store + clusters.read_text())
    return clusters


def run(*arguments: str | Path) -> int:
    """The exit status of ``clockwork`` with *arguments*, run in this process."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse
        return int(str(ended.code))


# --- help and manual ------------------------------------------------------------------------------


def commands(
    parser: argparse.ArgumentParser, name: str = "clockwork"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that can be run, with its whole name."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield name, parser
    for group in groups:
        for word, subparser in group.choices.items():
            yield from commands(subparser, f"{name} {word}")


COMMANDS = dict(commands(cli._parser()))


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = name.split()[1:]
    assert run(*words, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: {name}")
    assert all(argument.help for argument in arguments(COMMANDS[name]))
    assert run(*words[:-1], "--help") == 0
    listed = capsys.readouterr().out
    assert re.search(rf"^    {words[-1]} +\S", listed, re.MULTILINE), "no help in the list"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_stands_in_the_manual(name: str) -> None:
    """In a row of the table: ``| `clockwork demo [--port PORT]` | what it does |``."""
    rows = [row for row in MANUAL.read_text().splitlines() if row.startswith(f"| `{name}")]
    row = next((row for row in rows if re.match(rf"\| `{name}[ `]", row)), "")
    assert row, f"{MANUAL} has no row that begins with | `{name}"
    usage, what_it_does = row.split("`", 2)[1:]
    assert len(what_it_does.strip(" |")) > 5
    for argument in arguments(COMMANDS[name]):
        for word in argument.option_strings or [str(argument.metavar)]:
            assert word in usage.split() or f"[{word}" in usage or f"[{word}]" in usage, word


def test_the_manual_names_no_command_that_is_not_there() -> None:
    rows = re.findall(r"^\| `(clockwork [^`]*)`", MANUAL.read_text(), re.MULTILINE)
    named = {" ".join(re.findall(r"^clockwork(?: [a-z]+)+", row)) for row in rows}
    assert named == set(COMMANDS)


def test_the_manual_names_what_all_commands_share() -> None:
    text = MANUAL.read_text()
    for argument in arguments(cli._parser()):
        assert all(option in text for option in argument.option_strings)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    project = (MANUAL.parents[1] / "pyproject.toml").read_text()
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in project


# --- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [(), ("nothing",), ("user",), ("replay",), ("demo", "--port", "0"), ("demo", "--port", "x")],
    ids=" ".join,
)
def test_a_command_that_is_wrong(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert capsys.readouterr().err.startswith("usage: clockwork")


def test_a_configuration_that_is_missing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--config", "no.toml", "check") == 2
    assert "no.toml: no such file (given by --config)" in capsys.readouterr().err
    monkeypatch.setenv("CLOCKWORK_CONFIG", "neither.toml")
    assert run("check") == 2
    assert "neither.toml: no such file (given by $CLOCKWORK_CONFIG)" in capsys.readouterr().err


def test_every_mistake_in_the_configuration_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "wrong.toml").write_text('[api]\nprot = 80\n[log]\nlevel = "\u202eloud"\n')
    assert run("--config", "wrong.toml", "serve") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0] == "clockwork: wrong.toml: api.prot: unknown key; did you mean port?"
    assert lines[1].startswith("clockwork: wrong.toml: log.level: found ")
    assert all(line.isprintable() for line in lines)
    assert [path.name for path in place.iterdir()] == ["wrong.toml"]


@pytest.mark.parametrize("words", [("up",), ("scrape",), ("scrape", "--once")], ids=" ".join)
def test_a_configuration_without_clusters(
    words: tuple[str, ...], place: Path, in_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "clockwork.toml").write_text(in_store)
    assert run(*words) == 2
    assert "names no cluster: add a table [clusters.NAME]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "uri",
    ["mongodb://me:sec/ret@db1/", "mongodb://me:sec:ret@db1/", "mongodb://:ret@:x/", "mongodb://"],
)
def test_a_mongo_uri_that_is_wrong_is_not_shown(
    clusters: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    monkeypatch.setenv("CLOCKWORK_MONGO_URI", uri)
    assert run("user", "list") == 2
    said = capsys.readouterr().err
    assert said.startswith("clockwork: mongo.uri is not a URI that Mongo's clients understand")
    assert "ret" not in said


# --- replay ---------------------------------------------------------------------------------------


def golden(dump: Path) -> tuple[list[Any], list[str], bool]:
    """The documents of *dump*, the reasons of what is set aside, whether it is any answer."""
    items = json.loads(dump.with_suffix(".json").read_text())
    reasons = [item["set aside"] for item in items if "set aside" in item]
    slurm = [item for item in items if "set aside" not in item and "no answer" not in item]
    return slurm, reasons, not any("no answer" in item for item in items)


def options_for(dump: Path) -> tuple[str, ...]:
    """The options of ``replay`` that take *dump* as the cluster that its golden file means."""
    cluster = "beluga" if dump.parent.name == "beluga" else "mila"
    return ("--cluster", cluster, f"--{kind_of(dump).plural}", str(dump))


UNSEALED = [dump for dump in GOLDEN if not seal_of(dump)]


@pytest.mark.parametrize("dump", UNSEALED, ids=lambda dump: str(dump.relative_to(FOLDER)))
def test_a_dry_run_prints_the_documents(
    dump: Path, clusters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm, reasons, is_answer = golden(dump)

    status = run("replay", "--dry-run", *options_for(dump))

    printed = capsys.readouterr()
    documents = [json.loads(line) for line in printed.out.splitlines()]
    assert [document["slurm"] for document in documents] == slurm
    if not is_answer:
        assert status == 1
        assert f"clockwork: {dump}: " in printed.err
        return
    assert status == (3 if reasons else 0)
    first, *others = printed.err.splitlines()
    kept, aside = len(slurm), len(reasons)
    assert first == f"{dump}: {kept + aside} records read, {kept} good, {aside} quarantined"
    assert others == [
        f"{dump}: {reasons.count(reason)} quarantined: {reason}" for reason in sorted(set(reasons))
    ]


def test_the_documents_of_a_dry_run_have_all_their_parts(
    clusters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [jobs], [nodes] = (FOLDER.glob("beluga/jobs_*.txt"), FOLDER.glob("beluga/nodes_*.txt"))
    assert run("replay", "--dry-run", "--cluster", "beluga", "--jobs", jobs, "--nodes", nodes) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    node, job = documents[0], documents[-1]
    assert node["cw"] == {}
    assert job["user"] == {}
    assert job["cw"] == {
        "cc_account_username": job["slurm"]["cc_account_username"],
        "mila_cluster_username": None,
        "mila_email_username": None,
    }


def test_a_dry_run_touches_no_database(
    clusters: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = UNSEALED[0]
    before = set(place.iterdir())
    assert run("replay", "--dry-run", *options_for(dump)) == 0  # an embedded one
    assert set(place.iterdir()) == before
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        monkeypatch.setenv(
            "CLOCKWORK_MONGO_URI", f"mongodb://127.0.0.1:{listener.getsockname()[1]}/"
        )
        assert run("replay", "--dry-run", *options_for(dump)) == 0
        with pytest.raises(BlockingIOError):  # nobody came
            listener.accept()


def test_a_replay_into_a_database(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add_user(store, EMAIL, cc_account_username="ccuser01")
    dumps = [*FOLDER.glob("beluga/jobs_*.txt"), *FOLDER.glob("beluga/nodes_*.txt")]
    jobs, nodes = dumps
    words = ("replay", "--cluster", "beluga", "--jobs", jobs, "--nodes", nodes)

    assert run(*words) == 0

    for dump, collection in zip(dumps, (store.jobs, store.nodes), strict=True):
        expected = {json.dumps(slurm, sort_keys=True) for slurm in golden(dump)[0]}
        found = [document["slurm"] for document in collection.find({})]
        assert {json.dumps(slurm, sort_keys=True) for slurm in found} == expected
    count = len(golden(jobs)[0])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{jobs}: {count} records read, {count} good, 0 quarantined" in printed.err
    own = store.jobs.find_one({"slurm.cc_account_username": "ccuser01"})
    assert own is not None
    assert own["cw"]["mila_email_username"] == EMAIL
    before = list(store.jobs.find({}))
    assert run(*words) == 0
    assert list(store.jobs.find({})) == before


def test_a_replay_that_sets_records_aside(configured: Path, store: Store) -> None:
    dump = FOLDER / "real_22.05" / "jobs_forged.txt"
    slurm, reasons, _ = golden(dump)
    assert reasons
    assert run("replay", "--cluster", "mila", "--jobs", dump) == 3
    assert store.jobs.count_documents({}) == len(slurm)
    assert sorted(each["reason"] for each in store.quarantine.find()) == sorted(reasons)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["into a database", "dry"])
def test_what_can_not_be_replayed(
    configured: Path,
    store: Store,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    dry: tuple[str, ...],
) -> None:
    (place / "letter.txt").write_text("Dear \x1b[31mall,\n")
    (place / "empty.txt").touch()
    good = str(FOLDER / "mila" / "jobs_21.08.txt")
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("no", "--jobs", good), 2, "--cluster no: not in the configuration; it names: mila, bel"),
        (("mila",), 2, "give --jobs FILE or --nodes FILE, or both"),
        (("mila", "--jobs", "no.txt"), 1, "no.txt: can't be read: No such file or directory"),
        (("mila", "--jobs", "."), 1, ".: can't be read: Is a directory"),
        (("mila", "--jobs", "letter.txt"), 1, "letter.txt: no record in the output"),
        (("mila", "--jobs", "empty.txt"), 1, "empty.txt: no record in the output"),
        (("mila", "--nodes", good), 1, f"{good}: no record in the output"),
    ]
    for words, status, message in cases:
        assert run("replay", *dry, "--cluster", *words) == status, words
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"clockwork: {message}" in printed.err
        assert "\x1b" not in printed.err
    assert store.jobs.count_documents({}) == store.nodes.count_documents({}) == 0


def test_a_file_that_is_not_there_keeps_the_other_from_being_written(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes, jobs = (FOLDER / "mila" / f"{kind}_21.08.txt" for kind in ("nodes", "jobs"))
    assert run("replay", "--cluster", "mila", "--nodes", nodes, "--jobs", "no.txt") == 1
    assert "no.txt: can't be read: No such file or directory" in capsys.readouterr().err
    assert store.nodes.count_documents({}) == 0
    run("replay", "--cluster", "mila", "--jobs", jobs)
    assert run("replay", "--cluster", "mila", "--jobs", "no.txt") == 1
    assert "no.txt: can't be read: No such file or directory" in capsys.readouterr().err


def opened_by(process: "subprocess.Popen[bytes]", fifo: Path) -> int:
    """The other end of *fifo*, once *process* has opened it to read."""
    while process.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            threading.Event().wait(0.02)
    raise AssertionError(process.communicate())


def test_ctrl_c(clusters: Path, place: Path) -> None:
    os.mkfifo(place / "fifo")
    with subprocess.Popen(
        clockwork("replay", "--dry-run", "--cluster", "mila", "--jobs", "fifo"),
        stderr=subprocess.PIPE,
    ) as process:
        writer = opened_by(process, place / "fifo")
        # A signal between the opening and the wait for the first byte would be heeded only at that
        # byte: Python looks for signals before it waits, not at the moment when it begins to.
        waiting = psutil.Process(process.pid)
        wait_until(lambda: waiting.status() == psutil.STATUS_SLEEPING, "the command waits")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        os.close(writer)
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_whoever_reads_the_output_may_leave(clusters: Path) -> None:
    with subprocess.Popen(
        clockwork("replay", "--dry-run", *options_for(UNSEALED[0])),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


# --- users ----------------------------------------------------------------------------------------


def test_an_account_from_its_first_token_to_its_last(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "add", EMAIL, "--mila-cluster-username", "alice") == 0
    first, said = capsys.readouterr()
    assert first.count("\n") == 1
    assert first.strip() not in said
    assert f"{EMAIL}" in said

    words = ("--cc-account-username", "alice01", "--username", "al")
    assert run("user", "add", EMAIL, *words) == 0
    second = capsys.readouterr().out
    caller = authenticate(store, second.strip())
    assert caller is not None
    assert caller.token is not None
    user = caller.user
    assert [token.name for token in user.tokens][1:] == [caller.token.name]
    assert user.names == {
        "mila_cluster_username": "alice",
        "cc_account_username": "alice01",
        "mila_email_username": EMAIL,
        "username": "al",
    }

    assert run("user", "list") == 0
    names = [token.name for token in user.tokens]
    made = [f"{token.created:%Y-%m-%dT%H:%M:%SZ}" for token in user.tokens]
    assert capsys.readouterr().out == HEADINGS + "".join(
        f"{EMAIL}\talice\talice01\tal\tuser\t{name}\t{moment}\t-\t-\t-\n"
        for name, moment in zip(names, made, strict=True)
    )

    assert run("user", "revoke", EMAIL, names[0]) == 0
    assert capsys.readouterr() == ("", f"{EMAIL}: 1 token revoked\n")
    assert authenticate(store, first.strip()) is None
    assert authenticate(store, second.strip()) is not None

    assert run("user", "revoke", EMAIL) == 0
    assert authenticate(store, second.strip()) is None
    capsys.readouterr()
    assert run("user", "list") == 0
    line = f"{EMAIL}\talice\talice01\tal\tuser\t-\t-\t-\t-\t-\n"
    assert capsys.readouterr().out == HEADINGS + line
    assert run("user", "revoke", EMAIL) == 0
    assert capsys.readouterr().err == f"{EMAIL}: 0 tokens revoked\n"


def test_an_account_that_is_removed(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    _, token = add_user(store, EMAIL, "alice")
    assert run("user", "remove", EMAIL) == 0
    assert capsys.readouterr() == ("", f"{EMAIL}: removed, with 1 token; the jobs stay\n")
    assert authenticate(store, token) is None
    assert run("user", "list") == 0
    assert capsys.readouterr().out == HEADINGS
    assert run("user", "remove", EMAIL) == 1
    assert f"there is no account '{EMAIL}'" in capsys.readouterr().err


def test_a_second_token_does_not_rename_the_account_in_silence(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add_user(store, EMAIL, "alice")
    words = ("user", "add", EMAIL, "--mila-cluster-username", "alice2")
    assert run(*words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "mila_cluster_username from 'alice' to 'alice2'" in said.err
    assert "Give --rename" in said.err
    [user] = list_users(store)
    assert (user.mila_cluster_username, len(user.tokens)) == ("alice", 1)

    assert run(*words, "--rename") == 0
    [user] = list_users(store)
    assert (user.mila_cluster_username, len(user.tokens)) == ("alice2", 2)


def test_roles_and_names_of_tokens(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "add", "g@example.org", "--role", "service", "--token-name", "grafana") == 0
    token, said = capsys.readouterr()
    assert "role service" in said
    caller = authenticate(store, token.strip())
    assert caller is not None
    assert caller.token is not None
    assert (caller.user.role, caller.token.name) == ("service", "grafana")
    Accounts(store).note_use(caller, datetime(2026, 11, 24, 12, 30, 5, tzinfo=timezone.utc))
    list_users(store)  # over the same connection, so that the write is done

    assert run("user", "add", "g@example.org", "--token-name", "grafana") == 1
    assert "has a token named 'grafana': revoke it first" in capsys.readouterr().err
    assert run("user", "add", "g@example.org", "--role", "root") == 2
    assert "choose from" in capsys.readouterr().err

    assert run("user", "list") == 0
    assert capsys.readouterr().out.endswith("\t2026-11-24T12:30:05Z\t-\t-\n")
    assert run("user", "add", "g@example.org", "--role", "admin", "--token-name", "other") == 0
    [user] = list_users(store)
    assert (user.role, [token.name for token in user.tokens]) == ("admin", ["grafana", "other"])


def test_a_coordinator(configured: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("user", "add", EMAIL, "--coordinates", "rrg-pomme, def-pomme") == 0
    assert "role user, coordinates def-pomme, rrg-pomme." in capsys.readouterr().err
    assert run("user", "list") == 0
    assert capsys.readouterr().out.endswith("\tdef-pomme,rrg-pomme\n")
    assert run("user", "add", EMAIL, "--coordinates", "a b") == 1
    assert "'a b' is no account of Slurm" in capsys.readouterr().err
    assert run("user", "add", EMAIL, "--coordinates", "") == 0
    assert list_users(store)[0].coordinates == ()


def test_a_token_that_expires(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "add", EMAIL, "--expires-in", "30") == 0
    [token] = list_users(store)[0].tokens
    assert token.expires == token.created + timedelta(days=30)
    capsys.readouterr()
    assert run("user", "list") == 0
    assert capsys.readouterr().out.endswith(f"\t-\t{token.expires:%Y-%m-%dT%H:%M:%SZ}\t-\n")
    assert run("user", "add", EMAIL, "--expires-in", "soon") == 2
    for days in ("0", "-1", "3651"):
        assert run("user", "add", EMAIL, "--expires-in", days) == 1
        assert "give 1 to 3650 days" in capsys.readouterr().err
    assert len(list_users(store)[0].tokens) == 1


def test_accounts_that_can_not_be(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add_user(store, EMAIL, "alice")
    cases = [
        (("add", "bob"), "'bob' is not an e-mail address"),
        (("add", "bob@example.org", "--mila-cluster-username", "alice"), "'alice' is already"),
        (("add", "bob@example.org", "--mila-cluster-username", "nobody"), "can't be anyone's"),
        (("revoke", "bob@example.org"), "there is no account 'bob@example.org'"),
        (("revoke", EMAIL, "nothing"), "has no token named 'nothing'"),
    ]
    for words, message in cases:
        assert run("user", *words) == 1, words
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("clockwork: ")
        assert message in printed.err
    assert store.users.count_documents({}) == 1


# --- clusters -------------------------------------------------------------------------------------


@pytest.fixture
def hosts(place: Path, in_store: str) -> Iterator[Site]:
    """Two simulated clusters and the test's store."""
    with ExitStack() as stack:
        yield stack.enter_context(site(place, in_store))


def checked(printed: str) -> dict[str, tuple[str, str]]:
    """The lines of ``check``: what was looked at, how it was and what was found."""
    found = r"(ok|warns|FAILED) +([^:]+): (.*)"
    lines = [re.fullmatch(found, line) for line in printed.splitlines()]
    return {line[2]: (line[1], line[3]) for line in lines if line}


def parts(printed: str, cluster: str) -> dict[str, tuple[str, str]]:
    """The same of one cluster, by the part that was tried."""
    start = f"cluster {cluster}, "
    lines = checked(printed).items()
    return {what.removeprefix(start): found for what, found in lines if what.startswith(start)}


def test_a_check_of_what_is_well(hosts: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0
    printed = capsys.readouterr().out
    times = {name: parts(printed, name)["time zone"][1] for name in ("mila", "beluga")}
    assert checked(printed) == {
        "configuration clockwork.toml": ("ok", "mila, beluga"),
        "database": ("ok", "Mongo, 0 jobs, 0 users"),
        "cluster mila, nodes": ("ok", "11 nodes"),
        "cluster mila, jobs": ("ok", "33 jobs"),
        "cluster mila, time zone": ("ok", times["mila"]),
        "cluster mila, Slurm's configuration": (
            "ok",
            "finished jobs are shown for 90 s (MinJobAge)",
        ),
        "cluster mila, squeue": ("ok", "33 jobs"),
        "cluster mila, partitions": ("ok", "4 partitions, 1 reservations"),
        "cluster beluga, nodes": ("ok", "8 nodes"),
        "cluster beluga, jobs": ("ok", "31 jobs"),
        "cluster beluga, time zone": ("ok", times["beluga"]),
        "cluster beluga, Slurm's configuration": (
            "ok",
            "finished jobs are shown for 90 s (MinJobAge)",
        ),
        "cluster beluga, squeue": ("ok", "31 jobs"),
        "cluster beluga, partitions": ("ok", "6 partitions, 1 reservations"),
    }
    for said in times.values():
        assert re.fullmatch(r"America/Montreal, in which scontrol prints [1-9]\d+ times", said)
    assert printed.splitlines()[-1] == "all is well"


def test_a_check_of_a_login_host_of_the_first_release(
    hosts: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It refuses the commands that read from standard input; the warnings say what to do."""
    monkeypatch.setattr(hosts.hosts["mila"], "shell", lambda _channel, command: command)
    assert run("check") == 0
    printed = capsys.readouterr().out
    found = parts(printed, "mila")
    assert found["nodes"] == ("ok", "11 nodes")
    assert found["jobs"] == ("ok", "33 jobs")
    how, said = found["forced command"]
    assert how == "warns"
    assert "Replace clockwork-forced-command on the login host" in said
    how, said = found["Slurm's configuration"]
    assert how == "warns"
    assert "does not allow `scontrol show config`" in said
    assert "forced command" not in parts(printed, "beluga")
    assert found["partitions"][0] == "warns"
    assert printed.splitlines()[-1] == "all works; warnings: 3"


def test_a_check_with_one_cluster_down(hosts: Site, capsys: pytest.CaptureFixture[str]) -> None:
    hosts.hosts["mila"].stop()
    assert run("check") == 1
    printed = capsys.readouterr().out
    ((part, (how, said)),) = parts(printed, "mila").items()
    assert (part, how) == ("login", "FAILED")
    assert "Connection refused" in said
    assert {how for how, _ in parts(printed, "beluga").values()} == {"ok"}
    assert printed.splitlines()[-1] == "1 of 9 checks failed"


def test_a_check_names_every_failure_on_a_line(
    hosts: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOCKWORK_MONGO_URI", "mongodb://")
    hosts.hosts["mila"].answer = lambda _: Answer(stderr=b"slurm_load_node\n\x1b[2J", exit_status=1)
    hosts.hosts["beluga"].answer = lambda _: Answer([b"Welcome\n"])
    assert run("check") == 1
    printed = capsys.readouterr().out
    assert len(checked(printed)) == printed.count("\n") - 1
    assert "\x1b" not in printed
    assert checked(printed)["database"][0] == "FAILED"
    mila, beluga = parts(printed, "mila"), parts(printed, "beluga")
    for part in ("nodes", "jobs", "Slurm's configuration"):
        assert mila[part][0] == beluga[part][0] == "FAILED"
        assert "slurm_load_node" in mila[part][1]
    assert "no record in the output" in beluga["nodes"][1]
    assert "expected MinJobAge" in beluga["Slurm's configuration"][1]
    assert mila["squeue"][0] == beluga["squeue"][0] == "warns"


def test_a_check_of_the_keys_of_an_issuer(
    place: Path, in_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    jwt = "[api.jwt]\nissuer = 'i'\naudience = 'a'\nkeys_file = 'keys'\n"
    (place / "clockwork.toml").write_text(in_store + jwt)
    for content, how, said in [
        (None, "FAILED", "No such file"),
        (b"{}", "FAILED", "no JWK Set"),
        (jwk_set(), "ok", "2 keys"),
    ]:
        if content is not None:
            (place / "keys").write_bytes(content)
        assert run("check") == 1
        found = checked(capsys.readouterr().out)["keys of the issuer"]
        assert found[0] == how
        assert said in found[1]


def test_a_check_without_clusters(
    place: Path, in_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "clockwork.toml").write_text(in_store)
    assert run("check") == 1
    lines = checked(capsys.readouterr().out)
    assert lines["configuration clockwork.toml"] == (
        "FAILED",
        "no cluster is configured: add a table [clusters.NAME]",
    )


def test_a_check_of_the_embedded_database(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "clockwork.toml").write_text('[embedded]\npath = "data"\n')
    assert run("check") == 1
    assert checked(capsys.readouterr().out)["database"] == ("ok", "embedded, 0 jobs, 0 users")


def test_one_round_of_every_cluster(hosts: Site, store: Store) -> None:
    assert run("scrape", "--once") == 0
    for name, count in (("mila", 33), ("beluga", 31)):
        assert store.jobs.count_documents({"slurm.cluster_name": name}) == count
        assert store.nodes.count_documents({"slurm.cluster_name": name}) > 0


def test_one_round_with_a_cluster_down(
    hosts: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.hosts["mila"].stop()
    assert run("scrape", "--once") == 1
    assert store.jobs.count_documents({"slurm.cluster_name": "mila"}) == 0
    assert store.jobs.count_documents({"slurm.cluster_name": "beluga"}) == 31
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = [event for event in events if event["level"] == "error"]
    assert {(event["cluster"], event["kind"]) for event in failed} == {
        ("mila", "jobs"),
        ("mila", "nodes"),
    }
    assert all("Connection refused" in event["message"] for event in failed)


def test_a_round_that_is_asked_for_comes_at_once(
    hosts: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scraper leaves a failing cluster alone for minutes; the request ends that."""
    host = hosts.hosts["mila"]
    well, host.answer = host.answer, lambda _: Answer(stderr=b"slurmctld is down", exit_status=1)
    path = hosts.path
    path.write_text(path.read_text().replace("jobs_interval = 1\n", "jobs_interval = 50\n"))

    def failed() -> int:
        return store.round_log.count_documents({"cluster_name": "mila", "ok": False})

    with subprocess.Popen(clockwork("scrape"), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: failed() >= 2, "mila has failed twice")
        next_ = "next_attempt"
        wait_until(
            lambda: next_ in (store.clusters.find_one({"_id": "mila/jobs"}) or {}), "the pause"
        )
        assert run("scrape", "--now", "mila") == 1
        assert "mila: the round failed: " in capsys.readouterr().err
        host.answer = well
        assert run("scrape", "--now", "mila") == 0
        assert "mila: the round went well, 33 jobs" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_round_that_nobody_can_make(
    hosts: Site, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("scrape", "--now", "narval") == 2
    assert "--now narval: not in the configuration" in capsys.readouterr().err
    assert run("scrape", "--now", "mila") == 2
    assert (
        "no scraper has ever tried this cluster; start `clockwork scrape` first"
        in capsys.readouterr().err
    )
    assert run("scrape", "--once") == 0
    path = hosts.path
    path.write_text(
        path.read_text().replace("jobs_interval = 1\n", "jobs_interval = 1\nround_timeout = 1\n")
    )
    capsys.readouterr()
    assert run("scrape", "--now", "mila") == 1
    assert "is `clockwork scrape` or `clockwork up` running?" in capsys.readouterr().err


def test_ctrl_c_ends_a_round_of_a_cluster_that_hangs(hosts: Site, store: Store) -> None:
    host = hosts.hosts["mila"]
    asked = threading.Event()

    def hang(_command: str) -> Answer:
        asked.set()
        host.stopping.wait()
        return Answer()

    host.answer = hang
    with subprocess.Popen(clockwork("scrape", "--once"), stderr=subprocess.DEVNULL) as process:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert store.leases.find_one({"_id": "mila"}) is None, "the next scrape would wait for it"


def test_an_api_whose_port_is_taken(
    place: Path, in_store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (place / "clockwork.toml").write_text(f"{in_store}[api]\nport = {port}\n")
        assert run("serve") == 1
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "scrape", "user list", "backup load file"])
def test_a_database_that_a_killed_load_left_is_refused(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    store.database["unfinished_load"].insert_one({"_id": "load"})
    assert run(*command.split()) == 1
    said = capsys.readouterr().err
    assert "does not hold everything yet: `clockwork backup load` is still running, or" in said
    assert "drop the database (of the embedded one, remove the folder)" in said


def test_a_check_names_a_database_that_a_killed_load_left(
    configured: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.database["unfinished_load"].insert_one({"_id": "load"})
    configured.write_text(configured.read_text().partition("[clusters")[0])
    assert run("check") == 1
    assert "FAILED database: the database" in capsys.readouterr().out


def test_a_user_command_loads_no_more_than_it_needs() -> None:
    """Most of a second goes into the imports of a command that does them all."""
    loaded = (
        "import sys, clockwork.cli, clockwork.commands.account_commands;"
        " print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    unwanted = {"api", "paramiko", "apscheduler", "waitress", "scraper.cluster_round"}
    assert unwanted.isdisjoint(done.stdout.split())
