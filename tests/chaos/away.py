"""Take the database away: refuse connections, fall silent, or fill its disk."""

import json
import os
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.chaos.clients import Clients
from tests.chaos.killing import Scene, scene
from tests.chaos.report import Section

MOST_CPU = 0.5
"""Of one processor, for the scraper or the API while the database is away."""
MOST_LINES = 5.0
"""Lines a second in the log meanwhile."""


class Relay:
    """Pass bytes to and from the database at *target*, unless it is away."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: socketserver.ThreadingTCPServer | None = None
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self.port = 0
        self.come_back()

    def come_back(self) -> None:
        """Accept connections, and let bytes flow."""
        self._flowing.set()
        if self._server is None:
            relay = self

            class Accepted(socketserver.BaseRequestHandler):
                def handle(self) -> None:
                    relay._serve(self.request)

            class Listener(socketserver.ThreadingTCPServer):
                allow_reuse_address = True
                daemon_threads = True
                block_on_close = False

            self._server = Listener(("127.0.0.1", self.port), Accepted)
            self.port = int(self._server.server_address[1])
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def refuse(self) -> None:
        """Refuse connections, and end those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def fall_silent(self) -> None:
        """Leave connections open, and pass nothing on."""
        self._flowing.clear()

    def close(self) -> None:
        """End everything."""
        self.refuse()
        self._flowing.set()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as database:
            self._open |= {client, database}
            back = threading.Thread(target=self._pump, args=(database, client), daemon=True)
            back.start()
            self._pump(client, database)
            back.join()
            self._open -= {client, database}

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                self._flowing.wait()
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _processor(here: Scene) -> dict[str, float]:
    """Processor seconds of the service's own processes so far."""
    seconds = {}
    for name, process in here.up.processes().items():
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds[name] = times.user + times.system
    return seconds


def _lines(path: Path, start: int = 0) -> list[str]:
    return path.read_text(errors="replace").splitlines()[start:]


def be_away(folder: Path, database_port: int, seconds: float) -> Section:
    """Take the database away twice for *seconds*: refuse connections, then be silent."""
    section = Section(
        "A database that is away",
        "`clockwork up` reaches its MongoDB through a relay. Writers and dashboards use the "
        f"API. The relay refuses all connections for {seconds:g} s, and later passes nothing on "
        "for the same time.",
    )
    relay = Relay(database_port)
    section.tables.append(
        [
            (
                "away",
                "processor, of one",
                "log lines a second",
                "answers meanwhile",
                "works again after",
            )
        ]
    )
    try:
        uri = f"mongodb://127.0.0.1:{relay.port}/?directConnection=true"
        with scene(folder, uri=uri) as here:
            here.new_versions()
            for how in (relay.refuse, relay.fall_silent):
                section.tables[0].append(
                    _away(here, relay, how.__name__, seconds, section.problems)
                )
    finally:
        relay.close()
    return section


def _away(
    here: Scene, relay: Relay, how: str, seconds: float, problems: list[str]
) -> tuple[str, ...]:
    clients = here.clients(seed=2, pause=0.5)
    with clients.working(2, 4):
        logged, before = len(_lines(here.up.log)), _processor(here)
        getattr(relay, how)()
        threading.Event().wait(seconds)
        used = {name: spent - before.get(name, 0.0) for name, spent in _processor(here).items()}
        new_lines = _lines(here.up.log, logged)
        relay.come_back()
        began = time.monotonic()
        here.new_versions()
        back = time.monotonic() - began
    problems += [f"{how}: {problem}" for problem in here.look(clients)]
    busiest = max(used, key=lambda name: used[name])
    share = used[busiest] / seconds
    rate = len(new_lines) / seconds
    if share > MOST_CPU:
        problems.append(f"{how}: the {busiest} used {share:.0%} of a processor")
    if rate > MOST_LINES:
        problems.append(f"{how}: {rate:.1f} lines a second in the log: {new_lines[-3:]}")
    return (
        how.replace("_", " "),
        f"{busiest} {share:.0%}",
        f"{rate:.1f}",
        _answers(clients),
        f"{back:.1f} s",
    )


def _answers(clients: Clients) -> str:
    said = [f"{name}: {count}" for name, count in sorted(clients.answers.items())]
    return "; ".join([*said, *(f"{text!r}" for text in clients.details)])


# --- a full disk ----------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of *size* bytes in *folder*. Needs root."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(folder: Path, seconds: float, size: int = 256 << 20) -> Section:
    """Fill the disk of the embedded database for *seconds*."""
    section = Section(
        "A full disk",
        f"The embedded database of `clockwork up` is on a disk of {size >> 20} MiB. The disk is "
        f"filled to its last byte for {seconds:g} s, while writers and scrapes continue.",
    )
    with small_disk(folder / "disk", size) as disk, scene(folder, database="disk/data") as here:
        here.new_versions()
        clients = here.clients(seed=3, pause=0.05, padding=900)
        with clients.working(3, 3):
            threading.Event().wait(2.0)
            logged, before = len(_lines(here.up.log)), _processor(here)
            acknowledged = clients.acknowledged_count
            _fill(disk / "filler")
            ends_at = time.monotonic() + seconds
            while time.monotonic() < ends_at:
                _fill(disk / "filler")
                threading.Event().wait(0.5)
            used = {name: spent - before.get(name, 0.0) for name, spent in _processor(here).items()}
            while_full = clients.acknowledged_count - acknowledged
            (disk / "filler").unlink()
            began = time.monotonic()
            here.new_versions()
            section.figure("everything works again after", f"{time.monotonic() - began:.1f} s")
        section.problems += here.look(clients)
        lines = _lines(here.up.log, logged)
    section.figure("updates acknowledged while the disk was full", while_full)
    section.figure("acknowledged in total, none of them lost", clients.acknowledged_count)
    section.figure("answers", _answers(clients))
    section.figure("log lines", len(lines))
    section.figure("what the log says", _first_messages(lines))
    busiest = max(used, key=lambda name: used[name])
    section.figure("busiest process", f"{busiest}, {used[busiest] / seconds:.0%} of a processor")
    return section


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * (1 << 16))
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")


def _first_messages(lines: list[str]) -> str:
    found: list[str] = []
    for line in lines:
        with suppress(ValueError):
            message = str(json.loads(line).get("message", "")).partition(", full error")[0][:160]
            if message[:30] not in [known[:30] for known in found]:
                found.append(message)
    return " / ".join(found[:6])


def is_root() -> bool:
    """Return whether this process may mount a disk."""
    return os.geteuid() == 0
