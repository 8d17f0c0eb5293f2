"""Lists as CSV."""

import csv
import io

import pytest

from api.lists.csv_stream import csv_lines
from ingest.database.store import Store
from tests.api.support.client import Client
from tests.api.support.examples import job_document
from tests.support.documented import BELUGA_JOB, MILA_JOB


def test_a_list_as_csv(client: Client, store: Store) -> None:
    name = 'a "b",\r\nc'
    store.jobs.insert_one(job_document({**MILA_JOB, "job_id": "1", "name": name, "nodes": None}))

    answer = client.get("jobs/list", format="csv", fields="slurm.job_id,slurm.name,slurm.nodes")

    assert answer.header("Content-Type") == "text/csv; charset=utf-8"
    assert answer.header("Content-Disposition") == 'attachment; filename="jobs.csv"'
    assert answer.body.decode() == (
        '"slurm.job_id","slurm.name","slurm.nodes"\r\n'
        f'"820432","{BELUGA_JOB["name"]}",""\r\n'
        '"1","a ""b"",\r\nc",""\r\n'
        f'"233874","{MILA_JOB["name"]}","cn-b005"\r\n'
    )


def test_without_fields_it_has_the_usual_columns(client: Client) -> None:
    for path, usual in (("jobs/list", "slurm.job_id"), ("nodes/list", "slurm.name")):
        head, *rows = csv.reader(io.StringIO(client.get(path, format="csv").body.decode()))
        assert head[0] == usual
        assert len(rows) == 2
        assert {len(row) for row in rows} == {len(head)}
    first = client.get("nodes/list", format="csv", limit="1")
    assert first.body.count(b"\r\n") == 2
    assert first.header("Link") is not None
    assert client.get("jobs/list", format="csv", user="nobody").body.count(b"\r\n") == 1


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", '"\'=1+1"'),
        ("+1", '"\'+1"'),
        ("-1", '"\'-1"'),
        ("@SUM(A1)", '"\'@SUM(A1)"'),
        ("\t=1", "\"'\t'=1\""),
        ("\r=1", "\"'\r'=1\""),
        ("a=1", '"a=1"'),
        ("x;=1+1;", '"x;\'=1+1;"'),
        ("x\n-1", '"x\n\'-1"'),
        ("a;b\tc\nd", '"a;b\tc\nd"'),
        (-1.5, "-1.5"),
        (True, '"true"'),
        (None, '""'),
        ({"a": [1, "é"]}, '"{""a"":[1,""é""]}"'),
    ],
)
def test_cells(value: object, cell: str) -> None:
    written = csv_lines([[{"user": {"=k": value}}]], dict, [("user", "=k")])

    assert b"".join(written).decode() == f'"user.=k"\r\n{cell}\r\n'
