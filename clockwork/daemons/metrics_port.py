"""Serve /metrics from the scraper, for a host without the API."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.app import build_metrics_app
from api.server import Server
from config import ApiSettings, Settings
from ingest.database.store import Store

_THREADS = 2

logger = logging.getLogger(__name__)


@contextmanager
def metrics_port(settings: Settings, store: Store) -> Iterator[None]:
    """Serve /metrics on ``scraper.metrics_port`` of 127.0.0.1 until the end of the ``with``.

    Serves nothing for port 0.  Raises ServerError if the port can't be used.
    """
    port = settings.scraper.metrics_port
    if not port:
        yield
        return
    app = build_metrics_app(store, settings.clusters.values())
    here = ApiSettings(host="127.0.0.1", port=port, threads=_THREADS)
    server = Server(app, here, key="scraper.metrics_port")
    thread = threading.Thread(target=server.run, name="metrics")
    thread.start()
    logger.info("metrics are on http://%s:%d/metrics", here.host, port)
    try:
        yield
    finally:
        server.stop()
        thread.join()
