"""`clockwork me` and `clockwork job`, against the real API."""

from pathlib import Path

import pytest

from api.app import build_app
from clockwork import cli
from clockwork.commands.user_commands import client
from config import ConfigurationError
from ingest.accounts.users import add_user
from ingest.database.changes import Watch
from ingest.database.store import Store
from tests.api.support.serving import served
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, one
from tests.support.ports import LOOPBACK, free_port


def test_me_and_a_job(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, token = add_user(store, "alice@mila.example", "alice")
    with served(build_app(store), None, Watch(store).states) as port:
        monkeypatch.setenv("CLOCKWORK_URL", f"http://{LOOPBACK}:{port}")
        monkeypatch.setenv("CLOCKWORK_TOKEN", token)
        assert cli.main(["me"]) == 0
        assert capsys.readouterr().out == (
            "alice@mila.example (user)\nno jobs that wait, run, or ended within a day\n"
        )
        Rounds(store, Clock()).take(one("1", name="evil\x1b[2J"), one("2", owner="bob(1002)"))
        assert cli.main(["me"]) == 0
        _, head, *rows = capsys.readouterr().out.splitlines()
        assert head.split()[:4] == ["CLUSTER", "JOB", "NAME", "STATE"]
        assert [row.split()[:4] for row in rows] == [["mila", "1", "evil\\x1b[2J", "RUNNING"]]
        assert cli.main(["job", "2", "--cluster", "mila"]) == 0
        assert "job_state     RUNNING\n" in capsys.readouterr().out
        assert cli.main(["job", "3"]) == 1
        assert "no job '3'" in capsys.readouterr().err
        assert cli.main(["why", "1", "--cluster", "mila"]) == 0
        assert capsys.readouterr().out.startswith("job_state")
        assert cli.main(["why", "3"]) == 1
        assert "no job '3'" in capsys.readouterr().err
        monkeypatch.setenv("CLOCKWORK_TOKEN", "cw_wrong")
        assert cli.main(["me"]) == 1
        assert "401" in capsys.readouterr().err


def test_where_the_address_and_the_token_come_from(tmp_path: Path) -> None:
    path = tmp_path / ".config" / "clockwork.toml"
    with pytest.raises(ConfigurationError, match="no url of the service"):
        entered({}, tmp_path)
    path.parent.mkdir()
    path.write_text('url = "https://clockwork.example.org"\ntoken = "cw_x"\n')
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        entered({}, tmp_path)
    path.chmod(0o600)
    entered({}, tmp_path)
    entered({"CLOCKWORK_URL": "http://other"}, tmp_path)
    with pytest.raises(ConfigurationError, match="no address of a service"):
        entered({"CLOCKWORK_URL": "other"}, tmp_path)
    path.write_text('uri = "https://clockwork.example.org"\n')
    with pytest.raises(ConfigurationError, match="unknown key uri"):
        entered({}, tmp_path)


@pytest.mark.parametrize(
    ("url", "token"), [("http://host", "cw_secret\n"), ("http://host:99999", "cw_secret")]
)
def test_an_address_or_a_token_that_is_none_is_a_mistake_in_words(
    url: str,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CLOCKWORK_URL", url)
    monkeypatch.setenv("CLOCKWORK_TOKEN", token)
    assert cli.main(["me"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("clockwork: ")
    assert "secret" not in said


def entered(environ: dict[str, str], home: Path) -> None:
    with client(environ, home):
        pass


def test_a_service_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOCKWORK_URL", f"http://{LOOPBACK}:{free_port()}")
    monkeypatch.setenv("CLOCKWORK_TOKEN", "cw_token")
    monkeypatch.setattr("clockwork.commands.user_commands.PATIENCE_SECONDS", 0.1)
    assert cli.main(["me"]) == 1
    assert "clockwork: " in capsys.readouterr().err
