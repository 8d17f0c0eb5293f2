"""Senders as a process that can be killed: `python -m tests.clockwork.webhooks.part`."""

import logging
import sys
import threading
from pathlib import Path

from clockwork.webhooks import senders
from config import load_settings
from ingest.database.store import connect

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    path, uri, database = sys.argv[1:]
    senders.POLL_SECONDS = senders.FIRST_PAUSE_SECONDS = 0.05
    senders.Senders(connect(uri, database), load_settings(Path(path), {})).start()
    threading.Event().wait()
