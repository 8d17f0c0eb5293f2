"""A writer, or an API, as a process that can be killed: `python -m tests.api.feed.part`."""

import secrets
import sys
import time

from api.app import build_app
from api.server import Server
from config import ApiSettings
from ingest.database.changes import Watch
from ingest.database.store import Store, connect
from ingest.retention.retention import delete_unchanged
from tests.ingest.sync.outputs import Clock
from tests.ingest.sync.sealed_outputs import Rounds, one

JOBS = 40
STATES = ("PENDING", "RUNNING", "COMPLETED")
OWNERS = ("alice(1001)", "bob(1002)")


def write(store: Store) -> None:
    """Write rounds for ever: jobs come, change, get other owners, vanish and are deleted."""
    rounds, dice = Rounds(store, Clock()), secrets.SystemRandom()
    while True:
        time.sleep(0.05)  # more rounds would only cost processor time
        ids = dice.sample(range(JOBS), dice.randrange(JOBS))
        owner, state = dice.choice(OWNERS), dice.choice(STATES)
        rounds.take(*(one(str(each), owner=owner, state=state) for each in ids))
        gone = list(store.jobs.find({"cw.vanished": {"$ne": None}}, limit=5))
        delete_unchanged(store, store.jobs, gone)


if __name__ == "__main__":
    part, uri, database, *port = sys.argv[1:]
    ours = connect(uri, database)
    if part == "write":
        write(ours)
    Server(build_app(ours), ApiSettings(port=int(port[0])), states=Watch(ours).states).run()
