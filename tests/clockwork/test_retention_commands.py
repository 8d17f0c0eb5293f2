"""``clockwork retain``, ``restore`` and ``user import``, as an operator or cron runs them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.database.leases import Lease
from ingest.database.store import Store
from ingest.retention.retention import LEASE
from tests.ingest.retention.jobs import job, listed

Clockwork = Callable[..., "subprocess.CompletedProcess[str]"]

HEADER = "email,mila_cluster_username,cc_account_username\n"


@pytest.fixture
def clockwork(tmp_path: Path, store: Store, mongo_uri: str) -> Clockwork:
    """Runs ``clockwork`` with words, under [retention] settings, on the test's database."""

    def run(*words: str | Path, retention: str = "") -> "subprocess.CompletedProcess[str]":
        path = tmp_path / "clockwork.toml"
        path.write_text(
            f'[mongo]\nuri = "{mongo_uri}"\ndatabase = "{store.database.name}"\n'
            f'[log]\nlevel = "warning"\n[retention]\n{retention}\n'
        )
        return subprocess.run(
            [sys.executable, "-m", "clockwork", "--config", str(path), *map(str, words)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_retaining_and_restoring(clockwork: Clockwork, store: Store, tmp_path: Path) -> None:
    documents = [job("1"), job("2"), listed("3"), job("4", user={"a": 1})]
    store.jobs.insert_many(documents)

    done = clockwork("retain", retention='after_days = 30\narchive = "old jobs"')

    (path,) = (tmp_path / "old jobs").iterdir()
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"jobs: 2 due, 2 deleted; archived in {path}",
        "former_jobs: 0 due, 0 deleted",
        "set_aside: 0 due, 0 deleted",
    ]
    assert {each["_id"] for each in store.jobs.find()} == {"mila/3", "mila/4"}

    done = clockwork("restore", path)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{path}: 2 documents, 2 put back, 0 were there\n"
    assert sorted(store.jobs.find(), key=lambda each: str(each["_id"])) == documents
    assert "2 documents, 0 put back, 2 were there" in clockwork("restore", path).stderr


def test_deleting_and_what_the_owner_wrote(clockwork: Clockwork, store: Store) -> None:
    store.jobs.insert_many([job("1"), listed("3"), job("4", user={"a": 1})])
    done = clockwork("retain", retention="after_days = 30\ndelete = true\nkeep_annotated = false")
    assert done.returncode == 0
    assert done.stderr.startswith("jobs: 2 due, 2 deleted\n")
    assert {each["_id"] for each in store.jobs.find()} == {"mila/3"}


@pytest.mark.parametrize(
    ("retention", "status", "message"),
    [
        ("", 2, "retention.after_days is 0: everything stays for ever"),
        ("after_days = 30", 2, "retention: found a table, expected archive (a folder) or delete"),
        ('after_days = 30\ndelete = true\narchive = "a"', 2, "or delete = true, not both"),
        ('after_days = 30\narchive = "not/there"', 1, "No such file or directory; nothing was"),
    ],
)
def test_retaining_that_can_not_be(
    clockwork: Clockwork, store: Store, retention: str, status: int, message: str
) -> None:
    store.jobs.insert_one(job("1"))
    done = clockwork("retain", retention=retention)
    assert done.returncode == status
    assert done.stderr.startswith("clockwork: ")
    assert message in done.stderr
    assert store.jobs.count_documents({}) == 1


def test_a_file_that_can_not_be_restored(clockwork: Clockwork, tmp_path: Path) -> None:
    done = clockwork("restore", tmp_path / "jobs-no.gz")
    assert done.returncode == 1
    assert f"clockwork: {tmp_path}/jobs-no.gz: can't be read as an archive" in done.stderr


def test_ctrl_c_leaves_the_lease_to_the_next(
    clockwork: Clockwork, store: Store, tmp_path: Path
) -> None:
    store.jobs.insert_many([job(str(number)) for number in range(1000)])
    settings = f'after_days = 30\narchive = "{tmp_path / "archive"}"'
    clockwork("user", "list", retention=settings)  # writes the configuration
    command = [sys.executable, "-m", "clockwork", "--config", str(tmp_path / "clockwork.toml")]
    with subprocess.Popen([*command, "retain"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(tmp_path.glob("archive/*")):
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert store.leases.find_one({"_id": LEASE}) is None
    assert not list((tmp_path / "archive").glob("*.part"))


def test_retaining_after_a_process_that_died_at_it(clockwork: Clockwork, store: Store) -> None:
    store.jobs.insert_one(job("1"))
    assert Lease(store, LEASE, 5).keep()
    done = clockwork("retain", retention="after_days = 30\ndelete = true\n[scraper]\nlease = 5")
    assert done.returncode == 0
    assert store.jobs.count_documents({}) == 0
    assert store.leases.find_one({"_id": LEASE}) is None


# --- accounts -------------------------------------------------------------------------------------


def test_importing_accounts(clockwork: Clockwork, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text(f"{HEADER}a@example.org,a,\nb@example.org,b,bb\n")
    said = "added\ta@example.org\ta\t-\t-\nadded\tb@example.org\tb\tbb\t-\n"

    done = clockwork("user", "import", path, "--dry-run")
    counts = f"{path}: 2 added, 0 changed, 0 unchanged"
    assert (done.returncode, done.stdout) == (0, said)
    assert done.stderr == f"{counts} (dry run: nothing was written)\n"
    assert store.users.count_documents({}) == 0

    done = clockwork("user", "import", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, f"{counts}\n")

    path.write_text(f"{HEADER}a@example.org,b,\nb@example.org,a,bb\n")
    done = clockwork("user", "import", path)
    assert done.stdout == "changed\ta@example.org\tb\t-\t-\nchanged\tb@example.org\ta\tbb\t-\n"
    done = clockwork("user", "import", path)
    assert (done.stdout, done.stderr) == ("", f"{path}: 0 added, 0 changed, 2 unchanged\n")
    _, *lines = clockwork("user", "list").stdout.splitlines()
    listed = [line.split("\t")[:3] for line in lines]
    assert listed == [["a@example.org", "b", "-"], ["b@example.org", "a", "bb"]]


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["", "dry"])
def test_a_file_of_accounts_that_is_refused(
    clockwork: Clockwork, store: Store, tmp_path: Path, dry_run: tuple[str, ...]
) -> None:
    path = tmp_path / "users.csv"
    path.write_text(f"{HEADER}a@example.org,a,\nb,b,\n\x1b[2J@c,,\n")
    done = clockwork("user", "import", path, *dry_run)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert [line.startswith(f"clockwork: {path}:") for line in lines] == [True] * 3
    assert f"{path}:3: 'b' is not an e-mail address" in lines[0]
    assert f"{path}:4: " in lines[1]
    assert "\x1b" not in done.stderr
    assert store.users.count_documents({}) == 0
