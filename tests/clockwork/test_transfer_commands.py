"""``clockwork backup`` and ``move`` as an operator uses them on an embedded database."""

import uuid
from pathlib import Path

import pytest

from clockwork.cli import main
from clockwork.embedded.database import EmbeddedDatabase
from config import EmbeddedSettings
from ingest.database.store import connect
from tests.mongo import leave


def test_from_the_embedded_database_to_a_backup_and_to_a_mongodb(
    tmp_path: Path,
    mongo_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One database folder serves all steps: each start of it takes seconds."""
    name = f"clockwork_test_{uuid.uuid4().hex[:12]}"
    config = tmp_path / "clockwork.toml"
    config.write_text(
        f'[embedded]\npath = "database"\n[mongo]\ndatabase = "{name}"\n[log]\nlevel = "warning"\n'
    )
    backup = tmp_path / "all.backup"

    def run(*words: str | Path) -> tuple[int, str]:
        status = main(["--config", str(config), *map(str, words)])
        return status, capsys.readouterr().err

    with EmbeddedDatabase(EmbeddedSettings(path=tmp_path / "database")) as service:
        service.start()
        assert run("user", "add", "a@example.org")[0] == 0
        # Beside the running service: the account, and the change token of the accounts.
        status, said = run("backup", "make", backup)
        assert (status, said.splitlines()[-1]) == (0, f"documents in {backup}: 2")
        assert run("backup", "load", backup) == (
            1,
            f"clockwork: the database {name} holds users already, and a backup is loaded into an "
            "empty one: name another database, or drop this one\n",
        )
        monkeypatch.setattr("sys.stdin", (tmp_path / "uri").open("w+"))
        assert run("move", "--to", mongo_uri)[0] == 1, "the service runs"

    (tmp_path / "uri").write_text(f"{mongo_uri}\n")
    with (tmp_path / "uri").open() as uri:
        monkeypatch.setattr("sys.stdin", uri)
        status, said = run("move", "--to", "-")
    assert status == 0
    assert "users: 1, digest " in said
    assert "documents the same in both databases: 2" in said
    assert "now name the MongoDB in the configuration" in said
    store = connect(mongo_uri, name)
    assert [each["mila_email_username"] for each in store.users.find()] == ["a@example.org"]
    leave(store)

    config.write_text(config.read_text().replace("[mongo]", f'[mongo]\nuri = "{mongo_uri}"'))
    assert run("move", "--to", mongo_uri) == (
        2,
        "clockwork: the configuration names a MongoDB already, and `move` takes everything out of "
        "the embedded database: leave out mongo.uri and mongo.uri_file until the move is done\n",
    )
