"""``whoami``."""

from api.app import build_app
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import NOW

EMAIL = "alice@mila.example"


def test_an_account_sees_itself(filled: Store) -> None:
    add_user(filled, EMAIL, "milauser12", token_name="laptop")
    user, token = add_user(filled, EMAIL, token_name="server")
    shown = {"Authorization": f"Bearer {token}"}
    client = Client(build_app(filled, lambda: NOW), shown)

    found = client.get("whoami").json

    created = user.tokens[1].created.isoformat().replace("+00:00", "Z")
    assert found == {
        "mila_email_username": EMAIL,
        "mila_cluster_username": "milauser12",
        "cc_account_username": None,
        "role": "user",
        "sees": "all",
        "token": {"name": "server", "created": created, "last_used": None, "expires": None},
    }
    assert client.get("whoami").json["token"]["last_used"] == NOW.isoformat().replace("+00:00", "Z")
    own = Client(build_app(filled, lambda: NOW, settings=ApiSettings(jobs_visible="own")), shown)
    assert own.get("whoami").json == client.get("whoami").json | {"sees": "own"}
    add_user(filled, EMAIL, role="admin")
    assert own.get("whoami").json == client.get("whoami").json
