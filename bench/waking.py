"""Measure how soon requests that wait for a change have it, and what they cost."""

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence

from api.server import allow_open_files
from bench import collections, product
from bench.api_client import BASE, SECONDS_TO_ANSWER, Http
from bench.dumps import Dump
from bench.results import Row, Target
from bench.servers import api_server
from bench.setting import Setting
from bench.timing import Samples
from ingest.accounts.users import add_user

ACCOUNTS = 301
"""Accounts of the requests that do not all have one token."""
JOBS = 50
_OTHER_FILES = 100
"""Files that may be open beside the connections that wait."""
_WAIT = 60
"""Seconds that a request waits at most."""
_SECONDS_TO_PARK = 1.0
"""What the last requests need at most, when the server has taken all of them."""


def rows(setting: Setting) -> Iterator[Row]:
    """Measure one change that wakes many requests: of one token, and of many."""
    dump = Dump(JOBS, seal="Q7kL2ma")
    store = setting.databases.new_store()
    rounds = product.Rounds(store)
    rounds.take_in(product.chunks_of(dump), dump.seal)
    token = collections.token_of_a_user(store)
    others = [add_user(store, f"reader{number}@mila.example")[1] for number in range(ACCOUNTS - 1)]
    number = 0
    allow_open_files(setting.sizes.waiting + _OTHER_FILES)
    with api_server(setting.databases.uri, store, setting.folder) as port:
        for tokens in ([token], [token, *others]):
            seconds: list[float] = []
            to_wait: list[float] = []
            for _ in range(setting.sizes.few_turns):
                number += 1
                chunks = product.chunks_of(dump.at(number))
                waiting = _Waiting(port, tokens, setting.sizes.waiting)
                began = time.perf_counter()
                counts = rounds.take_in(chunks, dump.seal)
                if not counts.changed:
                    raise RuntimeError("the round changed nothing")
                seconds += [at - began for at in waiting.answered()]
                to_wait.append(waiting.seconds_to_come)
            found = Samples(tuple(seconds))
            last = found.percentile(0.99)
            yield Row(
                name=f"{setting.sizes.waiting} requests that wait for a change, of {len(tokens)}"
                f" token{'s' * (len(tokens) > 1)}: from the start of the round to the response",
                ours=found,
                targets=(Target("p99 under 1 s", last, 1.0),),
                beside={
                    "p99": Samples((last,)),
                    "from the first request until all of them wait": Samples(tuple(to_wait)),
                },
            )


class _Waiting:
    """Requests for changes that are yet to come, each on a connection of its own."""

    def __init__(self, port: int, tokens: Sequence[str], number: int) -> None:
        path = f"{BASE}jobs/changes"
        client = Http(port, tokens[0])
        cursor = json.loads(client.get(path).partition(b"\r\n\r\n")[2])["cursor"]
        client.close()
        began = time.perf_counter()
        self._selector = selectors.DefaultSelector()
        for each in range(number):
            connection = socket.create_connection(("127.0.0.1", port), SECONDS_TO_ANSWER)
            head = (
                f"GET {path}?wait={_WAIT}&cursor={cursor} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {tokens[each % len(tokens)]}\r\n\r\n"
            )
            connection.sendall(head.encode())
            self._selector.register(connection, selectors.EVENT_READ, connection)
        last = Http(port, tokens[0])
        last.get(path)  # the server takes connections and requests in turn
        last.close()
        self.seconds_to_come = time.perf_counter() - began
        time.sleep(_SECONDS_TO_PARK)

    def answered(self) -> list[float]:
        """Return when each was answered. Raises ConnectionError for an answer that is not 200."""
        at: list[float] = []
        while self._selector.get_map():
            ready = self._selector.select(_WAIT)
            now = time.perf_counter()
            if not ready:
                raise ConnectionError("a request that waits was not answered")
            for key, _ in ready:
                connection: socket.socket = key.data
                answer = connection.recv(1 << 16)
                if not answer.startswith(b"HTTP/1.1 200") or b'"changed": []' in answer:
                    raise ConnectionError(f"not answered: {answer[:300]!r}")
                at.append(now)
                self._selector.unregister(connection)
                connection.close()
        self._selector.close()
        return at
