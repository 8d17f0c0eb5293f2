"""Clients that were written for Clockwork before this service: they work unchanged.

The facts are those of mila-iqia/clockwork's clockwork_tools, which calls with requests: HTTP Basic
with e-mail and key, the base ``/api/v1/clusters``, ``username`` (earlier ``user``) and
``relative_time``, nodes by ``node_name`` (earlier ``name``), and ``update_pairs`` as JSON within a
form.  The newest client writes with ``jobs/user_props`` and a JSON body.  Whatever is not 200 is an
error to it, whose body it reads as JSON.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest

from api.app import build_app
from api.schema.endpoint import BASE, OLDER_BASE
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.examples import NOW, job_document
from tests.api.support.serving import served
from tests.support.documented import BELUGA_JOB, BELUGA_NODE, MILA_JOB, MILA_NODE
from tests.support.ports import LOOPBACK

EMAIL = "mila12@mila.example"


class ExistingClient:
    """Speaks as clockwork_tools does."""

    def __init__(self, port: int, base: str, email: str, key: str) -> None:
        self._port = port
        self._base = base
        credentials = base64.b64encode(f"{email}:{key}".encode()).decode()
        self._headers = {
            "User-Agent": "python-requests/2.31.0",
            "Accept-Encoding": "gzip, deflate",
            "Accept": "*/*",
            "Connection": "keep-alive",
            "Authorization": f"Basic {credentials}",
        }

    def get(self, endpoint: str, **given: Any) -> Any:
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return self._request("GET", endpoint + (f"?{query}" if query else ""), None, {})

    def put(self, endpoint: str, **given: Any) -> Any:
        form = urlencode({name: value for name, value in given.items() if value is not None})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("PUT", endpoint, form, kind)

    def put_json(self, endpoint: str, **given: Any) -> Any:
        kind = {"Content-type": "application/json"}
        return self._request("PUT", endpoint, json.dumps(given), kind)

    def _request(self, method: str, target: str, body: str | None, kind: dict[str, str]) -> Any:
        connection = HTTPConnection(LOOPBACK, self._port, timeout=300)
        connection.request(method, self._base + target, body, {**self._headers, **kind})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        answer = json.loads(content)
        if response.status != 200:
            raise RuntimeError(f"Server rejected call with code {response.status}. {answer}")
        return answer


@pytest.fixture
def server(filled: Store) -> Iterator[int]:
    finished = {**MILA_JOB, "job_id": "1", "job_state": "COMPLETED"}
    filled.jobs.insert_one(job_document(finished, finished_ago=3600))
    with served(build_app(filled, lambda: NOW)) as port:
        yield port


@pytest.mark.parametrize("base", [OLDER_BASE, BASE])
def test_all_that_such_a_client_calls(server: int, filled: Store, base: str) -> None:
    _, key = add_user(filled, EMAIL, "milauser12")
    client = ExistingClient(server, base, EMAIL, key)

    def ids(**given: Any) -> list[str]:
        return sorted(job["slurm"]["job_id"] for job in client.get("jobs/list", **given))

    assert ids() == ["1", "233874", "820432"]
    assert ids(username="milauser12") == ids(user="milauser12") == ["1", "233874"]
    assert ids(username=EMAIL, relative_time=60) == ["233874"]
    assert ids(relative_time=3600, cluster_name="mila") == ["1", "233874"]
    assert ids(cluster_name="nowhere") == []
    assert client.get("jobs/one", job_id="820432")["slurm"] == BELUGA_JOB
    assert client.get("jobs/one", job_id="233874", cluster_name="mila")["slurm"] == MILA_JOB
    assert client.get("jobs/one", job_id="2") == {}
    assert [node["slurm"] for node in client.get("nodes/list")] == [BELUGA_NODE, MILA_NODE]
    assert client.get("nodes/one", node_name="cn-a002", cluster_name="mila")["slurm"] == MILA_NODE
    assert client.get("nodes/one", name="blg4118")["slurm"] == BELUGA_NODE

    pairs = json.dumps({"train_loss": 0.2, "é": [None, "x & y"]})
    job = {"job_id": "233874", "cluster_name": "mila"}
    assert client.put("jobs/user_dict_update", **job, update_pairs=pairs) == json.loads(pairs)
    assert client.get("jobs/one", **job)["user"] == json.loads(pairs)
    # The newest clients write with a JSON body.
    assert client.get("jobs/user_props/get", **job) == json.loads(pairs)
    changed = client.put_json("jobs/user_props/set", **job, updates={"a": 1, "b": [None]})
    assert changed == {**json.loads(pairs), "a": 1, "b": [None]}
    without = client.put_json("jobs/user_props/delete", **job, keys="é")
    assert without == {"train_loss": 0.2, "a": 1, "b": [None]}
    assert client.put_json("jobs/user_props/delete", **job, keys=["a", "b"]) == {"train_loss": 0.2}
    rtx8000 = {"name": "rtx8000", "vendor": "nvidia", "ram": 48, "cuda_cores": 4608}
    rtx8000 |= {"tensor_cores": 576, "tflops_fp32": 16.3}
    assert client.get("gpu/one", gpu_name="rtx8000") == rtx8000
    assert client.get("gpu/one", gpu_name="rtx") == {}
    assert rtx8000 in client.get("gpu/list")
    assert client.get("nodes/one/gpu", node_name="cn-a002") == {}
    filled.nodes.update_one({"slurm.name": "cn-a002"}, {"$set": {"slurm.gres": "gpu:RTX8000:8"}})
    assert client.get("nodes/one/gpu", node_name="cn-a002", cluster_name="mila") == rtx8000
    for wrong in ({"job_id": "820432", "update_pairs": pairs}, {"update_pairs": "{}"}):
        with pytest.raises(RuntimeError, match=r"code 40[03]\. .*detail"):
            client.put("jobs/user_dict_update", **wrong)
    with pytest.raises(RuntimeError, match="code 401"):
        ExistingClient(server, base, "other@mila.example", key).get("jobs/list")
    with pytest.raises(RuntimeError, match="are one argument"):
        client.get("jobs/list", user="a", username="b")
