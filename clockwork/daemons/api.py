"""``clockwork serve``: run the API from its start to its stop.

SIGHUP reads the configuration again.  New settings hold for the log, for what users may see and how
often they may ask, and for /metrics.  The address, the proxy, the threads and the database are
settled at the start.
"""

import faulthandler
import logging
import queue
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from api.app import build_app
from api.http.request import WsgiApplication
from api.server import Server
from clockwork.daemons.migration import start_migration
from clockwork.daemons.reload import read_again, take
from clockwork.embedded.kept_connections import keep_connections
from clockwork.processes.notify import Watchdog, tell_ready, tell_reloading, tell_stopping
from clockwork.processes.signals import signals
from config import Settings
from ingest.database.changes import Watch
from ingest.database.store import Store

_FIXED = ("mongo", "embedded", "api.host", "api.port", "api.threads", "api.trusted_proxy")

logger = logging.getLogger(__name__)


class ApiDaemon:
    """Serves *store* by the *settings* that were read from *path*.

    Listens from the start. Raises `ServerError` if the address can't be used.
    """

    def __init__(self, path: Path, settings: Settings, store: Store) -> None:
        self._path = path
        self._settings = settings
        self._store = store
        self._address = f"{settings.api.host}:{settings.api.port}"
        self._app = self._build_app()
        self._server = Server(self._answer, settings.api, states=Watch(store).states)
        self._watchdog = Watchdog()
        self._hung_up: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve requests until SIGTERM or SIGINT. To be called in the main thread."""
        faulthandler.enable()  # a watchdog's SIGABRT then shows where every thread is
        with signals(self._stop, lambda: self._hung_up.put(None)):
            start_migration(self._store)
            keep_connections(self._store)
            logger.info("the API listens on http://%s", self._address)
            self._tell_ready()
            self._server.run(self._turned)

    def _stop(self) -> None:
        tell_stopping()
        self._server.stop()

    def _turned(self) -> None:
        """Feed the watchdog and reload, at every turn of the server's loop."""
        self._watchdog.look()
        if not self._hung_up.empty():
            self._hung_up.get()
            self._reload()

    def _reload(self) -> None:
        tell_reloading()
        settings = read_again(self._path)
        if settings is not None:
            take(settings, self._settings, _FIXED)
            self._settings = settings
            self._app = self._build_app()
            logger.info("reloaded")
        self._tell_ready()

    def _tell_ready(self) -> None:
        tell_ready(f"listening on {self._address}")

    def _build_app(self) -> WsgiApplication:
        app: WsgiApplication = build_app(
            self._store, clusters=self._settings.clusters.values(), settings=self._settings.api
        )
        return app

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return self._app(environ, start)
