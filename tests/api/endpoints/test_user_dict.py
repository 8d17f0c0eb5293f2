"""``jobs/user_dict_update``."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlencode

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.endpoints.user_dict import MOST_BYTES
from api.lists.fields import LONGEST_KEY
from ingest.accounts.users import add_user
from ingest.database.store import Store
from tests.api.support.client import Answer, Client
from tests.api.support.examples import job_document
from tests.support.documented import BELUGA_JOB, MILA_JOB

PATH = "jobs/user_dict_update"
FORM = "application/x-www-form-urlencoded"


def update(client: Client, pairs: Any, **given: Any) -> Answer:
    return client.put(PATH, job_id="233874", update_pairs=pairs, **given)


def user_dict(store: Store, job_id: str = "233874") -> Any:
    job = store.jobs.find_one({"slurm.job_id": job_id})
    assert job is not None
    return job["user"]


def test_the_example_of_the_manual(client: Client) -> None:
    update(client, {"train_loss": 0.50, "nbr_dinosaurs": 10})

    answer = update(client, {"train_loss": 0.20, "valid_loss": 0.30}, cluster_name="mila")

    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json"
    assert answer.json == {"train_loss": 0.20, "valid_loss": 0.30, "nbr_dinosaurs": 10}
    assert client.get("jobs/one", job_id="233874").json["user"] == answer.json


def test_nothing_but_the_user_dict_changes(client: Client, store: Store) -> None:
    before = store.jobs.find_one({"slurm.job_id": "233874"})

    update(client, {"a": 1})

    assert before is not None
    assert store.jobs.find_one({"slurm.job_id": "233874"}) == before | {"user": {"a": 1}}


def test_keys_are_removed(client: Client, store: Store) -> None:
    update(client, {"a": {"x": 1}, "b,c": [1, 2], "d": None, "e": 4})
    delete = partial(client.put, "jobs/user_props/delete", job_id="233874")

    assert delete(keys=["a", "a", "not there"]).json == {"b,c": [1, 2], "d": None, "e": 4}
    assert delete(keys="b\\,c,d").json == {"e": 4}
    assert client.call("PUT", "jobs/user_props/delete", "job_id=233874&keys=x").json == {"e": 4}
    assert delete(keys=[]).json == {"e": 4}
    for wrong in (None, "", 1, {"e": 1}, [1], ["e", None]):
        assert delete(keys=wrong).status == 400
    assert user_dict(store) == {"e": 4}
    assert delete(keys=["e"]).json == {}


def test_a_value_is_replaced_whole(client: Client) -> None:
    update(client, {"a": {"x": 1, "y": 2}, "b": [1, 2]})

    assert update(client, {"a": {"z": 3}}).json == {"a": {"z": 3}, "b": [1, 2]}


def test_the_same_pairs_again_and_no_pairs(client: Client) -> None:
    assert update(client, {"a": 1}).json == {"a": 1}
    assert update(client, {"a": 1}).json == {"a": 1}
    assert update(client, {}).json == {"a": 1}


def test_numbers_and_truth_are_told_apart(client: Client) -> None:
    for value in (1, True, 1.0, "1", 0, False, 0.0, None):
        assert update(client, {"a": value}).body == b'{"a":' + json.dumps(value).encode() + b"}"


PAIRS = json.dumps({"a": {"b": [1, "é"]}})
BOUNDARY = (
    b'--x\r\nContent-Disposition: form-data; name="job_id"\r\n\r\n233874\r\n'
    b'--x\r\nContent-Disposition: form-data; name="update_pairs"\r\n\r\n'
    + PAIRS.encode()
    + b"\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("query", "body", "content_type"),
    [
        ({"job_id": "233874", "update_pairs": PAIRS}, b"", None),
        ({}, urlencode({"job_id": "233874", "update_pairs": PAIRS}).encode(), FORM),
        ({}, BOUNDARY, "multipart/form-data; boundary=x"),
        ({"job_id": "233874"}, urlencode({"update_pairs": PAIRS}).encode(), FORM + ";charset=x"),
        ({}, f'{{"job_id": "233874", "update_pairs": {PAIRS}}}'.encode(), "application/json"),
        ({}, f'{{"job_id": 233874, "update_pairs": {PAIRS}}}'.encode(), "application/json"),
        ({"job_id": "233874"}, f'{{"update_pairs": {PAIRS}}}'.encode(), "Application/JSON; a=b"),
        (
            {"cluster_name": "mila"},
            json.dumps({"job_id": "233874", "update_pairs": PAIRS}).encode(),
            "application/json",
        ),
        (
            {"job_id": "233874"},
            json.dumps(
                {"job_id": "233874", "cluster_name": None, "update_pairs": json.loads(PAIRS)}
            ).encode(),
            "application/json",
        ),
    ],
)
def test_arguments_may_come_in_the_query_a_form_or_json(
    client: Client, query: dict[str, str], body: bytes, content_type: str | None
) -> None:
    answer = client.call("PUT", PATH, urlencode(query), body, content_type)

    assert (answer.status, answer.json) == (200, json.loads(PAIRS))


@pytest.mark.parametrize(
    ("query", "body", "content_type", "status"),
    [
        ("job_id=1", b"job_id=2&update_pairs={}", FORM, 400),
        ("job_id=233874&job_id=233874&update_pairs={}", b"", None, 400),
        (
            "job_id=233874",
            b'{"update_pairs": {}, "job_id": "233874", "a": 1}',
            "application/json",
            400,
        ),
        ("job_id=233874", b'{"update_pairs": {}, "update_pairs": {}}', "application/json", 400),
        ("job_id=233874", b"[]", "application/json", 400),
        ("job_id=233874", b"\xff", "application/json", 400),
        ("job_id=233874", b"{", "application/json", 400),
        ("job_id=233874", b'{"update_pairs": {}}', FORM, 400),
        ("job_id=233874", b"update_pairs=%ff", FORM, 400),
        ("job_id=233874", b'{"update_pairs": {}}', None, 415),
        ("job_id=233874", b'{"update_pairs": {}}', "text/plain", 415),
        ("job_id=233874", b"--x--", "multipart/form-data", 400),
        ("job_id=233874", b"--x--", "multipart/form-data; boundary=x", 400),
        ("job_id=233874", b"--x\r\n\r\nvalue\r\n--x--", "multipart/form-data; boundary=x", 400),
        ("", b'{"update_pairs": {}}', "application/json", 400),
        ("job_id=233874", b"", None, 400),
        ("job_id=233874", b'{"update_pairs": null}', "application/json", 400),
        ("job_id=233874", b'{"update_pairs": {}, "cluster_name": ["x"]}', "application/json", 400),
        ("", b'{"update_pairs": {}, "job_id": {"$ne": null}}', "application/json", 400),
        ("", b'{"update_pairs": {}, "job_id": true}', "application/json", 400),
    ],
)
def test_malformed_requests(
    client: Client, store: Store, query: str, body: bytes, content_type: str | None, status: int
) -> None:
    answer = client.call("PUT", PATH, query, body, content_type)

    assert answer.status == status
    assert answer.header("Content-Type") == "application/problem+json"
    assert user_dict(store) == {}


@pytest.mark.parametrize(
    "text",
    [
        '"x"', "[]", "1", "null", "", "{", "{'a': 1}", '{"a": NaN}', '{"a": -Infinity}',
        '{"a": 1e999}', '{"a": 9223372036854775808}', '{"a": -9223372036854775809}',
        '{"a": 1' + "0" * 5000 + "}", '{"a": 1, "a": 2}', '{"b": {"a": 1, "a": 1}}',
        '{"a": "\\ud800"}', '{"\\udfff": 1}', '{"": 1}', '{"$set": 1}', '{"a.b": 1}',
        '{"a\\u0000": 1}', '{"__proto__": 1}', '{"a": [{"$ne": 1}]}', '{"a": {"b.c": 1}}',
        '{"a": {"__proto__": {}}}', '{"' + "k" * (LONGEST_KEY + 1) + '": 1}',
        '{"a":' * 33 + "1" + "}" * 33, '{"a":' + "[" * 32 + "]" * 32 + "}",
        '{"a":' + "[" * 200_000 + "]" * 200_000 + "}",
        '{"a": "' + "x" * MOST_BYTES + '"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_string", [True, False])
def test_pairs_that_are_refused(client: Client, store: Store, text: str, as_string: bool) -> None:
    pairs = json.dumps(text) if as_string else text or "null"
    body = f'{{"job_id": "233874", "update_pairs": {pairs}}}'.encode()

    answer = client.call("PUT", PATH, "", body, "application/json")

    if not as_string and text == '"x"':  # a string is read as the JSON that it encodes
        assert "not JSON" in answer.json["detail"]
    assert answer.status == 400
    assert len(answer.json["detail"]) < 500
    assert user_dict(store) == {}


def test_the_largest_of_everything(client: Client) -> None:
    pairs = {
        "k" * LONGEST_KEY: 2**63 - 1,
        "least": -(2**63),
        "é" * (LONGEST_KEY // 2): "\0\U0001f600",
        "deep": json.loads("[" * 31 + "]" * 31),
        "0": {"1": 2},
        "a$b": "$a",
        "user": "user.a",
        " ": 1e308,
    }
    assert update(client, pairs).json == pairs


def test_a_dict_of_just_the_limit(client: Client, store: Store) -> None:
    update(client, {"a": 1, "b": ""})
    room = MOST_BYTES - len(bson.encode({"a": 1, "b": ""}))

    answer = update(client, {"b": "x" * (room + 1)})
    assert answer.status == 400
    assert str(MOST_BYTES) in answer.json["detail"]
    assert user_dict(store) == {"a": 1, "b": ""}

    assert update(client, {"b": "x" * room}).status == 200
    assert len(bson.encode(user_dict(store))) == MOST_BYTES
    assert update(client, {"c": 1}).status == 400
    assert update(client, {"a": 2}).status == 200


def test_a_body_that_is_too_long(client: Client) -> None:
    assert client.call("PUT", PATH, "", b" " * ((1 << 20) + 1), "application/json").status == 413


def test_of_a_job_of_another(client: Client, store: Store) -> None:
    answer = client.put(PATH, job_id="820432", update_pairs={"a": 1})

    assert answer.status == 403
    assert "mila12@mila.example" in answer.json["detail"]
    assert user_dict(store, "820432") == {}


def test_the_name_must_be_that_of_the_field_of_the_cluster(client: Client, store: Store) -> None:
    # The caller is milauser12 on mila; on beluga this is the name of somebody else.
    slurm = {**BELUGA_JOB, "job_id": "1", "cc_account_username": "milauser12"}
    store.jobs.insert_one(job_document(slurm))

    assert client.put(PATH, job_id="1", update_pairs={"a": 1}).status == 403


def test_a_job_of_nobody_is_no_ones(client: Client, store: Store) -> None:
    store.jobs.insert_one(
        job_document({**MILA_JOB, "job_id": "1", "mila_cluster_username": "nobody"})
    )
    store.users.update_one(
        {"mila_email_username": "mila12@mila.example"},
        {"$set": {"mila_cluster_username": "nobody", "cc_account_username": None}},
    )

    assert client.put(PATH, job_id="1", update_pairs={"a": 1}).status == 403


def test_of_a_job_without_a_name_by_a_user_without_names(anyone: Client, store: Store) -> None:
    slurm = {key: value for key, value in MILA_JOB.items() if key != "mila_cluster_username"}
    store.jobs.insert_one(job_document(slurm | {"job_id": "1"}))
    store.jobs.insert_one(job_document({**MILA_JOB, "job_id": "2", "mila_cluster_username": None}))
    _, token = add_user(store, "new@mila.example")
    client = Client(anyone.app, {"Authorization": f"Bearer {token}"})

    for job_id in ("1", "2"):
        assert client.put(PATH, job_id=job_id, update_pairs={"a": 1}).status == 403
        assert client.put(PATH, job_id=job_id, update_pairs={}).status == 403


def test_a_username_that_looks_like_a_field_is_a_plain_string(anyone: Client, store: Store) -> None:
    _, token = add_user(store, "x@mila.example", mila_cluster_username="$slurm.job_id")
    _, other = add_user(store, "y@mila.example", "$slurm.mila_cluster_username")

    for shown in (token, other):
        client = Client(anyone.app, {"Authorization": f"Bearer {shown}"})
        assert update(client, {"a": 1}).status == 403


def test_of_no_job(client: Client) -> None:
    assert client.put(PATH, job_id="1", update_pairs={"a": 1}).status == 404
    assert update(client, {"a": 1}, cluster_name="beluga").status == 404


def test_of_several_jobs(client: Client, store: Store) -> None:
    store.jobs.insert_one(job_document({**MILA_JOB, "cluster_name": "cedar"}))

    answer = update(client, {"a": 1})

    assert answer.status == 500
    assert "cedar, mila" in answer.json["detail"]
    assert [job["user"] for job in store.jobs.find()] == [{}, {}, {}]
    assert update(client, {"a": 1}, cluster_name="cedar").json == {"a": 1}


def test_many_at_once_never_pass_the_limit(client: Client, store: Store) -> None:
    def fill(number: int) -> list[int]:
        return [update(client, {f"{number}-{i}": "x" * 5000}).status for i in range(5)]

    with ThreadPoolExecutor(8) as threads:
        statuses = [status for some in threads.map(fill, range(8)) for status in some]

    written = user_dict(store)
    assert set(statuses) == {200, 400}
    assert statuses.count(200) == len(written) == 13  # 13 times 5,013 bytes, and not 14 times
    assert len(bson.encode(written)) <= MOST_BYTES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=8,
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pairs=st.dictionaries(st.text(), json_values, max_size=4), as_string=st.booleans())
def test_any_object_is_refused_or_read_back_equal(
    client: Client, store: Store, pairs: dict[str, Any], as_string: bool
) -> None:
    before = user_dict(store)

    answer = update(client, json.dumps(pairs) if as_string else pairs)

    if answer.status == 200:
        expected = json.dumps(before | pairs, sort_keys=True)
        assert json.dumps(answer.json, sort_keys=True) == expected
        stored = client.get("jobs/one", job_id="233874").json["user"]
        assert json.dumps(stored, sort_keys=True) == expected
    else:
        assert answer.status == 400
        assert user_dict(store) == before
