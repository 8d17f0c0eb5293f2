"""The scraper and the API as processes of their own, for a supervisor."""

import os
import socket
import sys
from pathlib import Path

from api.server import ServerError
from clockwork.processes.child import ProcessSpec
from config import ApiSettings
from config.load import MONGO_URI_VARIABLE

_FINISH_SECONDS = 30.0
"""What a round or an answer in hand has after SIGTERM; both end themselves a little sooner."""
_SIGN_OF_LIFE_SECONDS = 60.0


def scraper_process(config: Path, mongo_uri: str | None = None) -> ProcessSpec:
    """``clockwork scrape``, against *mongo_uri* or the configuration's Mongo."""
    return _process("scraper", "scrape", config, mongo_uri)


def api_process(config: Path, mongo_uri: str | None = None) -> ProcessSpec:
    """``clockwork serve``, likewise."""
    return _process("api", "serve", config, mongo_uri)


def _process(name: str, command: str, config: Path, mongo_uri: str | None) -> ProcessSpec:
    return ProcessSpec(
        name,
        _argv(config, command),
        _environment(mongo_uri),
        notifies_every=_SIGN_OF_LIFE_SECONDS,
        stop_seconds=_FINISH_SECONDS,
    )


def check_port(api: ApiSettings) -> None:
    """Raise ServerError if another program listens where the API will, before anything starts."""
    if listens(api):
        raise ServerError(
            f"another program listens on {api.host}:{api.port} already: stop it, or give the API "
            "another port"
        )


def listens(api: ApiSettings) -> bool:
    """Whether somebody takes connections at the API's address."""
    try:
        socket.create_connection((api.host, api.port), timeout=1).close()
    except OSError:
        return False
    return True


def _argv(config: Path, command: str) -> list[str]:
    return [sys.executable, "-m", "clockwork", "--config", str(config.absolute()), command]


def _environment(mongo_uri: str | None) -> dict[str, str]:
    """This process's environment, and the URI: other users can see a command line."""
    uri = {} if mongo_uri is None else {MONGO_URI_VARIABLE: mongo_uri}
    return {**os.environ, **uri}
