"""No token is in the log of a server or in an error of its, whatever the request."""

import base64
import os
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from config.load import MONGO_URI_VARIABLE
from ingest.accounts.users import add_user, revoke
from ingest.database.store import Store
from tests.api.support.examples import job_document
from tests.api.support.serving import exchange
from tests.clockwork.sites import clockwork
from tests.support.documented import MILA_JOB
from tests.support.ports import LOOPBACK, free_port

EMAIL = "mila12@mila.example"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def port(store: Store, mongo_uri: str, tmp_path: Path, log: Path) -> Iterator[int]:
    """A server that says all that it ever says, with every setting of who may ask."""
    port = free_port()
    path = tmp_path / "clockwork.toml"
    path.write_text(
        f'[mongo]\ndatabase = "{store.database.name}"\n[log]\nlevel = "debug"\nformat = "json"\n'
        f'[api]\nport = {port}\njobs_visible = "own"\nrate_limit = "20/hour"\n'
        'failed_rate_limit = "20/hour"\ncors_origins = ["https://dash.example.org"]\n'
        f'trusted_proxy = "{LOOPBACK}"\n'
    )
    environment = {**os.environ, MONGO_URI_VARIABLE: mongo_uri}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            clockwork("--config", str(path), "serve"), stderr=output, env=environment
        ) as server,
    ):
        try:
            while b"the API listens" not in log.read_bytes():
                assert server.poll() is None
            yield port
        finally:
            server.terminate()


def test_no_token_is_in_the_log_or_in_an_error(port: int, store: Store, log: Path) -> None:
    store.jobs.insert_one(job_document(dict(MILA_JOB)))
    _, token = add_user(store, EMAIL, "milauser12")
    _, revoked = add_user(store, EMAIL, token_name="old")
    revoke(store, EMAIL, "old")
    basic = base64.b64encode(f"{EMAIL}:{token}".encode()).decode()
    secrets = [text.encode() for text in (token[3:], revoked[3:], basic)]
    shown = [
        *(f"Bearer {token}", f"Basic {basic}", f"Bearer {revoked}", f"Digest {token}", token),
        *(f"Bearer {token}\xff", f"Bearer {token}, {token}", f"Basic {token}", f"Basic {basic}x"),
    ]
    jobs, write = "/api/v1/cluster/jobs/list", "/api/v1/cluster/jobs/user_dict_update"
    preflight = {
        "Origin": "https://dash.example.org",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": token,
    }
    json_body = {"Content-Type": "application/json"}
    asked = [
        *(("GET", jobs, b"", {"Authorization": value}) for value in shown),
        *(("GET", jobs, b"", {"Authorization": shown[0]}) for _ in range(20)),
        *(("GET", "/metrics", b"", {"Authorization": shown[2]}) for _ in range(20)),
        ("GET", f"{jobs}?token={token}", b"", {}),
        ("GET", f"/{token}", b"", {}),
        ("OPTIONS", jobs, b"", preflight | {"Authorization": shown[0]}),
        ("PUT", write, f'{{"{token}'.encode(), {**json_body, "Authorization": shown[1]}),
        ("GET", jobs, b"", {"X-Forwarded-For": f"{token}", "Authorization": shown[4]}),
        ("GET", jobs, b"", {"Authorization": shown[0] + "x" * (1 << 17)}),
    ]
    errors, statuses = [], set()
    for method, target, body, headers in asked:
        connection = HTTPConnection(LOOPBACK, port, timeout=300)
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        statuses.add(response.status)
        errors.append(response.read())
        connection.close()
    errors.append(exchange(port, f"NO HTTP\r\nAuthorization: {shown[0]}\r\n\r\n".encode()))

    assert statuses >= {200, 204, 401, 404, 429, 431}
    logged = log.read_bytes()
    assert logged.count(b"jobs/list: 200") >= 2
    for secret in secrets:
        assert secret not in logged
        assert not any(secret in error for error in errors)
