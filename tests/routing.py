"""Hold every write of the product to the rules of a sharded cluster, as the tests run.

On a sharded cluster mongos sends a write to the shards that the write's filter names.  It refuses a
write of one document whose filter gives neither ``_id`` nor the whole shard key by equality, and
any transaction that creates a collection.  The shard keys are those of docs/scaling.md.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pymongo.monitoring import CommandListener, CommandStartedEvent

SHARD_KEYS = {
    "jobs": ("slurm.job_id", "slurm.cluster_name"),
    "nodes": ("slurm.name", "slurm.cluster_name"),
}

_ROOT = Path(__file__).parent.parent
_PRODUCT = tuple(str(_ROOT / name) for name in ("api", "clockwork", "ingest", "scraper"))
_TESTS = str(_ROOT / "tests")


class WriteReader(CommandListener):
    """Collects the writes that mongos would refuse."""

    def __init__(self, *, of_tests: bool = False) -> None:
        self._of_tests = of_tests
        self.refused: list[str] = []
        self.shapes: set[str] = set()
        """All writes to sharded collections, each shape once."""

    def started(self, event: CommandStartedEvent) -> None:
        """Read a command that is on its way."""
        if event.command_name not in ("update", "delete", "findAndModify"):
            return
        if not (self._of_tests or _is_products()):
            return
        collection = event.command[event.command_name]
        for filter_, update, is_upsert in _writes(event.command):
            if collection in SHARD_KEYS:
                self.shapes.add(f"{event.command_name} {collection} {sorted(filter_)}")
            why = why_refused(collection, filter_, update, is_upsert=is_upsert)
            if why:
                self.refused.append(f"{event.command_name} {collection} {filter_}: {why}")

    def succeeded(self, event: Any) -> None:
        """Of no interest."""

    def failed(self, event: Any) -> None:
        """Of no interest."""


def why_refused(
    collection: str, filter_: Mapping[str, Any], update: Any, *, is_upsert: bool
) -> str | None:
    """Return why mongos would refuse this write, None where it would not."""
    keys = SHARD_KEYS.get(collection)
    if keys is None:
        return None
    has_shard_key = _gives(filter_, keys)
    is_replacement = isinstance(update, Mapping) and not any(key[:1] == "$" for key in update)
    if (is_upsert or is_replacement) and not has_shard_key:
        return "an upsert or a replacement has to give the whole shard key"
    if not has_shard_key and not _is_value(filter_.get("_id", {"$exists": True})):
        return "it gives neither _id nor the whole shard key"
    return None


def _gives(filter_: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    if any(key.partition(".")[0] in filter_ for key in keys):
        return False  # two conditions on one value: mongos finds no shard key in them
    return all(key in filter_ and _is_value(filter_[key]) for key in keys)


def _is_value(condition: Any) -> bool:
    if isinstance(condition, Mapping) and any(key[:1] == "$" for key in condition):
        return set(condition) == {"$eq"}
    return True


def _writes(command: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any, bool]]:
    """Yield the filter, the update (None to delete) and whether it is an upsert, of each write."""
    for update in command.get("updates", ()):
        yield update["q"], update["u"], update.get("upsert", False)
    for delete in command.get("deletes", ()):
        yield delete["q"], None, False
    if "query" in command:
        yield command["query"], command.get("update"), command.get("upsert", False)


def _is_products() -> bool:
    """Return whether the product's code, and not a test's, sends the command."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_PRODUCT):
            return True
        if path.startswith(_TESTS) and path != __file__:
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False
