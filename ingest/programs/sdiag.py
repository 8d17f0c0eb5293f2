"""Read what ``sdiag`` prints of slurmctld's work since its last reset, which comes once a day.

    >>> read_sdiag(output)["server_threads"]
    3

Times become seconds; sdiag prints microseconds.  A figure that a release does not print is None.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

MOST_ROWS = 30
"""Types of requests, and users, that are kept: those that took most time."""

_FIGURE = re.compile(r"\s*([A-Za-z][^:]*?)\s*:\s*(\d+)\s*")
_RPC = re.compile(r"\s+(\S.*?)\s+\(\s*(\d+)\)\s+count:(\d+)\s+ave_time:\d+\s+total_time:(\d+)\s*")
_SINCE = re.compile(r"Data since .*\((\d+)\)")
_SECTIONS = (
    ("Main schedule statistics", "main"),
    ("Backfilling stats", "backfill"),
    ("Remote Procedure Call statistics by message type", "types"),
    ("Remote Procedure Call statistics by user", "users"),
    ("Pending RPC statistics", "pending"),
)
_MICRO = 1e-6


class SdiagUnreadable(ValueError):
    """sdiag printed something else than its figures."""


def read_sdiag(output: bytes) -> dict[str, Any]:
    """Return the figures. Raises `SdiagUnreadable`."""
    text = output.decode("utf-8", "backslashreplace")
    figures: dict[str, dict[str, int]] = {"": {}, "main": {}, "backfill": {}, "pending": {}}
    rows: dict[str, list[dict[str, Any]]] = {"types": [], "users": []}
    section = ""
    for line in text.split("\n"):
        section = next((name for start, name in _SECTIONS if line.startswith(start)), section)
        rpc, figure = _RPC.fullmatch(line), _FIGURE.fullmatch(line)
        if section in rows and rpc is not None:
            seconds = int(rpc[4]) * _MICRO
            rows[section].append({"name": rpc[1], "count": int(rpc[3]), "seconds": seconds})
        elif section in figures and figure is not None:
            figures[section].setdefault(figure[1], int(figure[2]))
    if "Server thread count" not in figures[""]:
        raise SdiagUnreadable(f"expected the figures of sdiag, found {text[:200]!r}")
    since = _SINCE.search(text)
    return {
        "since": None if since is None else datetime.fromtimestamp(int(since[1]), timezone.utc),
        "server_threads": figures[""]["Server thread count"],
        "agent_queue": figures[""].get("Agent queue size"),
        "dbd_queue": figures[""].get("DBD Agent queue size"),
        "main": _cycles(figures["main"]),
        "backfill": _cycles(figures["backfill"]),
        "requests": {
            "count": sum(row["count"] for row in rows["types"]),
            "seconds": sum(row["seconds"] for row in rows["types"]),
        },
        "types": _busiest(rows["types"]),
        "users": _busiest(rows["users"]),
    }


def _cycles(figures: Mapping[str, int]) -> dict[str, Any]:
    def seconds(name: str) -> float | None:
        return figures[name] * _MICRO if name in figures else None

    return {
        "cycles": figures.get("Total cycles"),
        "last_seconds": seconds("Last cycle"),
        "mean_seconds": seconds("Mean cycle"),
        "max_seconds": seconds("Max cycle"),
        "queue": figures.get("Last queue length"),
    }


def _busiest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row["seconds"], row["name"]))[:MOST_ROWS]
