"""Hostile requests and slow clients, in their short form."""

from tests.api.support.client import Client
from tests.chaos import hostile_http


def test_no_request_is_cut_in_two_ways(client: Client) -> None:
    section = hostile_http.run_requests(client)
    assert not section.problems


def test_slow_clients_delay_nobody(client: Client) -> None:
    section = hostile_http.run_slow(client, attackers=30, seconds=4.0)
    assert not section.problems
