"""Run servers in processes of their own: `clockwork serve`, and one with a constant response.

``python -m bench.servers PORT THREADS BYTES`` is the latter: Clockwork's own server with an
application that answers everything with the same so many bytes.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api import Server
from clockwork.embedded.secantus import free_port
from config import ApiSettings
from config.load import MONGO_URI_VARIABLE
from ingest.database.store import Store

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30
THREADS = ApiSettings().threads


@contextmanager
def api_server(uri: str, store: Store, folder: Path) -> Iterator[int]:
    """Run ``clockwork serve`` with *store*; yield its port."""
    port = free_port()
    config = folder / f"serve-{port}.toml"
    config.write_text(
        f"[mongo]\ndatabase = {json.dumps(store.database.name)}\n[api]\nport = {port}\n"
    )
    arguments = ["clockwork", "--config", str(config), "serve"]
    with _running(arguments, port, folder, {MONGO_URI_VARIABLE: uri}):
        yield port


@contextmanager
def constant_server(answer_bytes: int, folder: Path) -> Iterator[int]:
    """Run the same server with an application that returns *answer_bytes* bytes; yield its port."""
    port = free_port()
    arguments = ["bench.servers", str(port), str(THREADS), str(answer_bytes)]
    with _running(arguments, port, folder, {}):
        yield port


@contextmanager
def _running(
    arguments: list[str], port: int, folder: Path, environment: dict[str, str]
) -> Iterator[None]:
    log = folder / f"server-{port}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            _wait_for(port, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Raises RuntimeError, with what the process said, when nothing listens in time."""
    give_up_at = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"a server did not start: {log.read_text(errors='replace')[-2000:]}")


def _constant(body: bytes) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", fields)
        return [body]

    return app


if __name__ == "__main__":
    _port, _threads, _bytes = (int(argument) for argument in sys.argv[1:])
    Server(_constant(b"x" * _bytes), ApiSettings(port=_port, threads=_threads)).run()
