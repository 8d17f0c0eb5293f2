"""Browsers are told to believe the Content-Type of every response."""

from api.app import ENDPOINTS, build_app
from api.page_files import FOLDER, address
from config import ApiSettings
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import NOW

ORIGIN = "https://dash.example.org"


def test_every_response_says_that_its_type_is_to_be_believed(filled: Store) -> None:
    app = build_app(filled, lambda: NOW, settings=ApiSettings(cors_origins=(ORIGIN,)))
    _, token = add_user(filled, "a@mila.example", role="admin")
    shown = {"Authorization": f"Bearer {token}"}
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    answers = [
        Client(app, headers).call(each.method, path, query)
        for each in ENDPOINTS
        for path in each.routes
        for headers in (shown, {})
        for query in ("", "no_such_argument=1")
    ]
    answers += [
        Client(app).get(path) for path in ("/", address(FOLDER / "page.js"), "/nowhere", "/\xff")
    ]
    answers += [Client(app).call("DELETE", "jobs/list"), Client(app, asked).call("OPTIONS", "/")]
    tag = str(Client(app, shown).get("nodes/list").header("ETag"))
    answers.append(Client(app, {**shown, "If-None-Match": tag}).get("nodes/list"))

    assert {each.status for each in answers} == {200, 204, 304, 400, 401, 404, 405}
    for each in answers:
        found = [value for name, value in each.headers if name.lower() == "x-content-type-options"]
        assert found == ["nosniff"]
