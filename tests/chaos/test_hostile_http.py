"""Hostile requests and slow clients, in their short form."""

from tests.api.support.client import Client
from tests.chaos import hostile_http


def test_no_request_is_cut_in_two_ways(client: Client) -> None:
    section = hostile_http.run_requests(client)
    assert not section.problems
    [_, *rows] = section.tables[0]
    assert [name for name, _, _ in rows] == [case.name for case in hostile_http.CASES]
    reached = {name for name, _, seen in rows if seen}
    assert {"a request as the body of another", "TRACE", "two Authorizations"} <= reached
    assert not reached & {"both lengths", "two codings", "a bare line feed", "NUL in a field"}


def test_slow_clients_delay_nobody(client: Client) -> None:
    section = hostile_http.run_slow(client, attackers=30, seconds=4.0)
    assert not section.problems
    assert int(section.value("answers to the other client meanwhile")) > 0
    for kind in ("header", "body", "silence", "answer not taken"):
        assert int(section.value(f"{kind}: connections closed")) > 0
