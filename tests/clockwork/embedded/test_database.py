"""The embedded database: the real program, in folders of its own, killed in several ways."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from clockwork.embedded import failures
from clockwork.embedded.database import EmbeddedDatabase, EmbeddedUnavailable
from clockwork.embedded.failures import explained
from clockwork.embedded.folder import EmbeddedError, FolderBusy, FolderRefused
from clockwork.processes.child import ChildFailed
from config import EmbeddedSettings

# Runs the database of the folder that is its first argument, says its URI, and waits for the end
# of its standard input.
HOLDER = """
import sys
from pathlib import Path
from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
with EmbeddedDatabase(EmbeddedSettings(path=Path(sys.argv[1]))) as database:
    database.start()
    print(database.uri, flush=True)
    sys.stdin.read()
"""
WITHOUT_THE_KERNELS_HELP = (
    "import clockwork.processes.child; clockwork.processes.child.with_parent = list\n"
)

Client = MongoClient[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose first start is done, to be used as it is or copied from."""
    path = tmp_path_factory.mktemp("made") / "database"
    with EmbeddedDatabase(EmbeddedSettings(path=path)) as database:
        database.start()
    return path


@contextmanager
def holder(path: Path, before: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that runs the database of *path*, and the URI that it says."""
    with subprocess.Popen(
        [sys.executable, "-c", before + HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def client(uri: str) -> Iterator[Client]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=20_000) as connected:
        yield connected


def settings(path: Path, port: int = 0) -> EmbeddedSettings:
    return EmbeddedSettings(path=path, port=port)


def running(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / "running.json").read_text())
    return values


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


# --- a start, and what it leaves ----------------------------------------------------------------


def test_the_first_start_makes_a_private_database_that_keeps_what_it_is_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "below" / "database"
    with EmbeddedDatabase(settings(path)) as database:
        database.start()
        with client(database.uri) as connected:
            connected.clockwork.jobs.insert_one({"_id": "mila/1"})
            users = list(connected.admin["system.users"].find())
        assert [user["_id"] for user in users] == ["admin.clockwork"]
        assert mode(path) == 0o700
        files = [file for file in path.rglob("*") if file.is_file()]
        assert {mode(file) for file in files} == {0o600}
    assert not (path / "running.json").exists()
    assert not (path / "files.new").exists()
    with EmbeddedDatabase(settings(path)) as database:
        database.start()
        with client(database.uri) as connected:
            assert connected.clockwork.jobs.find_one() == {"_id": "mila/1"}


def test_nobody_reads_or_writes_without_the_password(made: Path) -> None:
    with EmbeddedDatabase(settings(made)) as database:
        database.start()
        address = database.uri.partition("@")[2].partition("/")[0]
        with client(f"mongodb://{address}/") as stranger:
            for attempt in (
                stranger.clockwork.jobs.find_one,
                lambda: stranger.clockwork.jobs.insert_one({}),
                lambda: stranger.admin.command("createUser", "eve", pwd="eve", roles=["root"]),
            ):
                with pytest.raises(OperationFailure, match="requires authentication"):
                    attempt()
        with (
            client(f"mongodb://clockwork:guess@{address}/?authSource=admin") as stranger,
            pytest.raises(OperationFailure, match="authentication failed"),
        ):
            stranger.clockwork.jobs.find_one()


def test_the_password_and_the_services_secrets_are_not_in_the_process_list(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCKWORK_MONGO_URI", "mongodb://secret")
    monkeypatch.setenv("SECANTUS_TEST_FAST_STORAGE", "1")
    with EmbeddedDatabase(settings(made)) as database:
        database.claim()
        process = database.process()
        password = database.uri.partition(":")[2].partition(":")[2].partition("@")[0]
        assert not any(password in argument for argument in process.argv)
        assert process.env is not None
        assert not {name for name in process.env if name.startswith(("CLOCKWORK", "SECANTUS"))}


def test_a_first_start_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "database"
    (path / "files.new").mkdir(parents=True)
    (path / "files.new" / "WiredTiger").write_text("half")
    path.chmod(0o700)
    with EmbeddedDatabase(settings(path)) as database:
        database.start()
    assert not (path / "files.new").exists()


def test_a_given_port_is_used_and_a_taken_one_is_an_error_that_says_so(
    made: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EmbeddedError,
            match=r"(?s)another program has its port.*embedded\.port.*Address already in use",
        ):
            EmbeddedDatabase(settings(made, port)).start()
    with EmbeddedDatabase(settings(made, port)) as database:
        database.start()
        assert f"@127.0.0.1:{port}/" in database.uri


def test_too_little_memory_is_named(made: Path) -> None:
    limit = 280 << 20
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from pathlib import Path\n"
        "from clockwork.embedded.database import EmbeddedDatabase\n"
        "from config.settings import EmbeddedSettings\n"
        f"EmbeddedDatabase(EmbeddedSettings(path=Path({str(made)!r}))).start()\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert f"EmbeddedError: the embedded database in {made} did not start: there is too" in (
        ended.stderr
    )


def test_files_of_another_version_are_named(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    turtle = folder / "files" / "WiredTiger.turtle"
    text = turtle.read_bytes()
    later = re.sub(rb"version=\(major=\d+", b"version=(major=99", text)
    assert later != text
    turtle.write_bytes(later)
    with pytest.raises(EmbeddedError, match=r"(?s)another version of the database.*99"):
        EmbeddedDatabase(settings(folder)).start()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("WT_PANIC\nposix_fallocate: ENOSPC", "the disk is full"),
        ("_wiredtiger.WiredTigerError: Cannot allocate memory", "too little memory"),
        ("database did not start: killed by SIGKILL", "too little memory"),
    ],
)
def test_words_of_the_database_that_are_understood(
    tmp_path: Path, said: str, expected: str
) -> None:
    def fail() -> None:
        with explained(tmp_path):
            (tmp_path / "server.log").write_text(said)
            raise ChildFailed("database did not start: exit status 1")

    with pytest.raises(EmbeddedError) as error:
        fail()
    assert expected in str(error.value)
    assert str(error.value).endswith("database did not start: exit status 1")


def test_what_an_earlier_run_said_explains_nothing(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("No space left on device")
    with pytest.raises(EmbeddedError, match=r"did not start: exit status 1$"), explained(tmp_path):
        raise ChildFailed("exit status 1")


def test_a_full_disk_without_room_for_a_log_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_FULL_BYTES", shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(EmbeddedError, match="the disk is full"), explained(tmp_path):
        raise ChildFailed("exit status 1")


# --- refusals -----------------------------------------------------------------------------------


def test_a_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(FolderRefused, match=rf"mode 0750.*chmod 700 {tmp_path}"):
        EmbeddedDatabase(settings(tmp_path)).start()
    assert not list(tmp_path.iterdir())


def test_a_secret_that_others_can_read_is_refused(made: Path) -> None:
    secret = made / "credentials.json"
    secret.chmod(0o640)
    try:
        with pytest.raises(FolderRefused, match=rf"mode 0640.*chmod 600 {secret}"):
            EmbeddedDatabase(settings(made)).start()
    finally:
        secret.chmod(0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "database"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, -1)
    with pytest.raises(FolderRefused, match="belongs to user id 12345"):
        EmbeddedDatabase(settings(path)).start()


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=r"embedded\.path: .*can't be used as a folder"):
        EmbeddedDatabase(settings(tmp_path / "file")).start()


def test_lost_and_damaged_credentials_are_named(tmp_path: Path, made: Path) -> None:
    path = tmp_path / "database"
    path.mkdir(mode=0o700)
    (path / "files").mkdir()
    with pytest.raises(EmbeddedError, match=r"credentials\.json is missing"):
        EmbeddedDatabase(settings(path)).start()
    secret = path / "credentials.json"
    secret.touch(mode=0o600)
    for damaged in ("{", "[]", "{}"):
        secret.write_text(damaged)
        with pytest.raises(EmbeddedError, match=r"credentials\.json is damaged"):
            EmbeddedDatabase(settings(path)).start()


def test_credentials_that_do_not_belong_to_the_files_are_named(made: Path) -> None:
    secret = made / "credentials.json"
    kept = secret.read_text()
    secret.write_text('{"user": "clockwork", "password": "another"}')
    try:
        with pytest.raises(EmbeddedError, match="refuses the password"):
            EmbeddedDatabase(settings(made)).start()
    finally:
        secret.write_text(kept)


def test_where_it_is_not_installed_the_error_asks_for_a_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "database"
    with pytest.raises(EmbeddedUnavailable, match=r"(?s)mongo\.uri.*CLOCKWORK_MONGO_URI"):
        EmbeddedDatabase(settings(path)).start()
    assert not path.exists()


def test_it_is_found_on_path(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.prefix) / "bin"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with EmbeddedDatabase(settings(made)) as database:
        database.start()


# --- one folder, several processes --------------------------------------------------------------


def test_a_second_holder_is_told_who_the_first_is(made: Path) -> None:
    with (
        holder(made) as (process, _uri),
        pytest.raises(FolderBusy, match=f"in use by process {process.pid};"),
    ):
        EmbeddedDatabase(settings(made)).start()


def test_two_in_one_process_are_kept_apart_too(made: Path) -> None:
    with EmbeddedDatabase(settings(made)) as database:
        database.claim()
        with pytest.raises(FolderBusy, match=f"in use by process {os.getpid()};"):
            EmbeddedDatabase(settings(made)).claim()


def test_another_process_uses_the_running_database_and_leaves_it_running(made: Path) -> None:
    with holder(made) as (_process, uri):
        with EmbeddedDatabase.attach_or_start(settings(made)) as database:
            assert database.uri == uri
            with client(database.uri) as connected:
                connected.clockwork.nodes.insert_one({"_id": "mila/cn-a001"})
        with client(uri) as connected:
            assert connected.clockwork.nodes.find_one() == {"_id": "mila/cn-a001"}


def test_attaching_waits_for_a_database_that_is_still_starting(made: Path) -> None:
    with EmbeddedDatabase(settings(made)) as first:
        first.claim()
        uri = first.uri
        attached: list[str] = []

        def attach() -> None:
            with EmbeddedDatabase.attach_or_start(settings(made)) as second:
                attached.append(second.uri)

        thread = threading.Thread(target=attach)
        thread.start()
        run = first.process()
        assert run.ready is not None
        assert not run.ready()
        assert not attached
        with subprocess.Popen(run.argv, env=run.env) as server:
            assert run.started is not None
            run.started(server.pid)
            thread.join(60)
            server.terminate()
        assert attached == [uri]


def test_several_that_begin_at_once_in_a_new_folder_share_one_database(tmp_path: Path) -> None:
    code = HOLDER.replace("EmbeddedDatabase(Emb", "EmbeddedDatabase.attach_or_start(Emb")
    code = code.replace("    database.start()\n", "")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "database")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        uris = {process.stdout.readline() for process in processes if process.stdout}
        assert len(uris) == 1
        assert uris.pop().startswith("mongodb://clockwork:")
    finally:
        for process in processes:
            process.communicate("")
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_without_a_running_one_it_is_started_for_this_command_alone(made: Path) -> None:
    with EmbeddedDatabase.attach_or_start(settings(made)) as database:
        uri, pid = database.uri, running(made)["pid"]
        os.kill(pid, 0)
        with client(uri) as connected:
            assert connected.admin.command("ping")["ok"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(EmbeddedError, match="not started"):
        _ = database.uri


# --- kill -9 ------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
def test_a_killed_holder_takes_the_database_with_it_and_the_next_start_needs_no_hand(
    made: Path,
) -> None:
    with holder(made) as (process, uri):
        with client(uri) as connected:
            connected.clockwork.kept.insert_one({"_id": 1})
        process.kill()
        process.wait()
        with EmbeddedDatabase(settings(made)) as database:
            database.start()
            with client(database.uri) as connected:
                assert connected.clockwork.kept.find_one() == {"_id": 1}
        with (
            MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=100) as old,
            pytest.raises(ConnectionFailure),
        ):
            old.admin.command("ping")


def test_a_database_that_outlived_its_holder_is_ended_by_the_next_start(made: Path) -> None:
    with holder(made, WITHOUT_THE_KERNELS_HELP) as (process, uri):
        process.kill()
        process.wait()
        with client(uri) as connected:
            assert connected.admin.command("ping")["ok"]  # it does live on
        with EmbeddedDatabase(settings(made)) as database:
            database.start()
            assert database.uri != uri
            with client(database.uri) as connected:
                assert connected.admin.command("ping")["ok"]


def test_a_process_that_has_the_id_of_an_old_database_is_left_alone(made: Path) -> None:
    stale = {"port": 20_000, "pid": os.getpid(), "identity": "an earlier start"}
    (made / "running.json").write_text(json.dumps(stale))
    (made / "running.json").chmod(0o600)
    with EmbeddedDatabase(settings(made)) as database:
        database.start()


def test_acknowledged_writes_survive_kill_9_of_the_database(made: Path) -> None:
    acknowledged: list[int] = []
    with EmbeddedDatabase(settings(made)) as database:
        database.start()
        enough = threading.Event()

        def write(uri: str) -> None:
            with MongoClient[dict[str, Any]](uri, retryWrites=False) as connected:
                jobs = connected.clockwork.durable
                for number in range(0, 1_000_000, 10):
                    batch = range(number, number + 10)
                    try:
                        jobs.insert_many([{"_id": n, "text": "x" * 500} for n in batch])
                        jobs.update_one({"_id": number}, {"$set": {"text": "y"}})
                    except PyMongoError:
                        return
                    acknowledged.extend(batch)
                    if number == 1000:
                        enough.set()

        writer = threading.Thread(target=write, args=(database.uri,))
        writer.start()
        assert enough.wait(60)
        os.kill(running(made)["pid"], signal.SIGKILL)
        writer.join()
    with EmbeddedDatabase(settings(made)) as database:
        database.start()
        with client(database.uri) as connected:
            found = {job["_id"]: job["text"] for job in connected.clockwork.durable.find()}
    assert set(acknowledged) <= set(found)
    assert {found[number] for number in acknowledged[::10]} == {"y"}


# The database and a writer of the same service, under a supervisor, as in `clockwork up`.
SERVICE = """
import sys
from pathlib import Path
from clockwork.processes.child import ProcessSpec
from clockwork.embedded.database import EmbeddedDatabase
from clockwork.processes.supervisor import Supervisor
from config import EmbeddedSettings
with EmbeddedDatabase(EmbeddedSettings(path=Path(sys.argv[1]))) as database:
    database.claim()
    print(database.uri, flush=True)
    status = Supervisor([database.process()]).run()
sys.exit(status)
"""


def test_a_supervised_database_comes_back_at_the_same_address_for_the_same_clients(
    made: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(made)], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        uri = service.stdout.readline().strip()
        try:
            with client(uri) as connected:
                connected.clockwork.back.insert_one({"_id": 1})
                killed = running(made)["pid"]
                os.kill(killed, signal.SIGKILL)
                connected.clockwork.back.insert_one({"_id": 2})
                assert connected.clockwork.back.count_documents({}) == 2
            assert running(made)["pid"] != killed
            with EmbeddedDatabase.attach_or_start(settings(made)) as database:
                assert database.uri == uri
            service.terminate()
            assert service.wait(60) == 0
        finally:
            service.kill()
    assert not (made / "running.json").exists()
