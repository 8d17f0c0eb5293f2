"""Hold every write of the product to the rules of a sharded cluster, as the tests run.

On a sharded cluster mongos sends a write to the shards that the write's filter names.  MongoDB 4.4
refuses

- a write of one document whose filter gives neither ``_id`` nor the whole shard key by equality;
- an upsert, a replacement or a findAndModify whose filter does not give the whole shard key;
- an insert without the shard key, and an update that may change its values;
- in a transaction: to create a collection or an index, to count, and to ask for distinct values;
- commands and operators that later releases brought.

The shard keys are those of docs/scaling.md.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pymongo.monitoring import CommandListener, CommandStartedEvent

from ingest.database.store import INDEXES, Store

SHARD_KEYS = {
    "jobs": ("slurm.job_id", "slurm.cluster_name"),
    "nodes": ("slurm.name", "slurm.cluster_name"),
}

COMMANDS = frozenset(
    {
        *("aggregate", "count", "distinct", "find", "getMore", "killCursors", "listCollections"),
        *("insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop"),
        *("commitTransaction", "abortTransaction", "endSessions", "isMaster", "ping"),
        *("listDatabases", "createUser", "saslStart", "saslContinue", "buildinfo", "buildInfo"),
        *("currentOp", "killOp"),
    }
)
"""What the product may ask: MongoDB 4.4.0 knows all of it."""
NEWER_OPERATORS = frozenset(
    {
        *("$rand", "$sampleRate", "$dateAdd", "$dateDiff", "$dateSubtract", "$dateTrunc"),
        *("$getField", "$setField", "$unsetField", "$setWindowFields", "$documents", "$densify"),
        *("$fill", "$sortArray", "$top", "$topN", "$bottom", "$firstN", "$lastN"),
        *("$maxN", "$minN", "$median", "$percentile", "$tsSecond", "$tsIncrement", "$toUUID"),
        *("$bitAnd", "$bitOr", "$bitXor", "$bitNot", "$locf", "$linearFill"),
    }
)
"""Operators that releases after 4.4.0 brought."""
_NOT_IN_TRANSACTIONS = frozenset({"count", "create", "createIndexes", "distinct", "drop"})

_ROOT = Path(__file__).parent.parent
_PRODUCT = tuple(f"{_ROOT / name}/" for name in ("api", "clockwork", "ingest", "scraper"))
_TESTS = f"{_ROOT / 'tests'}/"

_WRITES = frozenset(
    {
        *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "bulk_write"),
        *("delete_one", "delete_many", "find_one_and_update", "find_one_and_delete"),
        "find_one_and_replace",
    }
)
_COLLECTIONS = frozenset(re.findall(r"self\.(\w+): Collection", inspect.getsource(Store)))
_UNSHARDED = (_COLLECTIONS - SHARD_KEYS.keys()) | {"unfinished"}
"""Names of collections that are not sharded, in the product's code."""


class WriteReader(CommandListener):
    """Collects the commands that mongos, or MongoDB 4.4.0, would refuse."""

    def __init__(self, *, of_tests: bool = False) -> None:
        self._of_tests = of_tests
        self.refused: list[str] = []
        self.shapes: set[str] = set()
        """All writes to sharded collections, each shape once."""
        self.writers: set[str] = set()
        """The functions of the product that wrote: ``ingest/clusters/coverage.py change``."""

    def started(self, event: CommandStartedEvent) -> None:
        """Read a command that is on its way."""
        name, command = event.command_name, event.command
        writer = _sender()
        if writer is None and not self._of_tests:
            return
        if why := why_unknown(name, command):
            self.refused.append(f"{name} {command.get(name)}: {why}")
        if name not in ("insert", "update", "delete", "findAndModify"):
            return
        self.writers.add(str(writer))
        collection = command[name]
        if collection not in SHARD_KEYS:
            return
        for document in command.get("documents", ()):
            if why := why_not_inserted(collection, document):
                self.refused.append(f"insert {collection} {document.get('_id')}: {why}")
        for filter_, update, is_upsert in _writes(command):
            self.shapes.add(f"{name} {collection} {sorted(filter_)}")
            why = why_refused(
                collection,
                filter_,
                update,
                needs_key=is_upsert or name == "findAndModify",
            )
            if why:
                self.refused.append(f"{name} {collection} {filter_}: {why}")

    def succeeded(self, event: Any) -> None:
        """Of no interest."""

    def failed(self, event: Any) -> None:
        """Of no interest."""


def why_unknown(name: str, command: Mapping[str, Any]) -> str | None:
    """Return why MongoDB 4.4.0 would refuse this command on any collection, None if it would not.

    What a write writes is not looked into, apart from its operators.
    """
    if name not in COMMANDS:
        return "a command that MongoDB 4.4.0 may not know: add it to COMMANDS if it does"
    if command.get("autocommit") is False:
        if name in _NOT_IN_TRANSACTIONS:
            return "not in a transaction over several shards"
        collection = command.get("collection" if name == "getMore" else name)
        if isinstance(collection, str) and collection not in INDEXES:
            return "a transaction can't create the collection: add it to INDEXES"
    asked = [command.get(key) for key in ("filter", "query", "pipeline", "projection")]
    for filter_, update, _ in _writes(command):
        pipeline = update if isinstance(update, list) else list(update or ())
        asked += [filter_, pipeline]
    newer = sorted(NEWER_OPERATORS.intersection(_operators(asked)))
    return f"MongoDB 4.4.0 does not know {', '.join(newer)}" if newer else None


def _operators(asked: Any) -> Iterator[str]:
    if isinstance(asked, Mapping):
        for key, value in asked.items():
            if key[:1] == "$":
                yield key
            if key != "$literal":
                yield from _operators(value)
    elif isinstance(asked, list):
        for each in asked:
            yield from _operators(each)
    elif isinstance(asked, str) and asked[:1] == "$":
        yield asked


def why_not_inserted(collection: str, document: Mapping[str, Any]) -> str | None:
    """Return why mongos would not know the shard of *document*, None where it would.

    Some tests give the product documents without a ``slurm`` dict to write: no job or node is such.
    """
    has_key = "slurm" not in document or all(
        _value(document, key) is not None for key in SHARD_KEYS[collection]
    )
    return None if has_key else "the document has no shard key"


def _value(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def why_refused(
    collection: str, filter_: Mapping[str, Any], update: Any, *, needs_key: bool
) -> str | None:
    """Return why mongos would refuse this write, None where it would not.

    *needs_key* says that ``_id`` is not enough.
    """
    keys = SHARD_KEYS.get(collection)
    if keys is None:
        return None
    has_shard_key = _gives(filter_, keys)
    is_replacement = isinstance(update, Mapping) and not any(key[:1] == "$" for key in update)
    if (needs_key or is_replacement) and not has_shard_key:
        return "an upsert, a replacement or a findAndModify has to give the whole shard key"
    if not has_shard_key and not _is_value(filter_.get("_id", {"$exists": True})):
        return "it gives neither _id nor the whole shard key"
    wanted = {key: filter_.get(key) for key in keys}
    for values in _values_set(update, is_replacement=is_replacement):
        if any(value is None or value != wanted[key] for key, value in _new_keys(values, keys)):
            return "it may change the shard key"
    return None


def _values_set(update: Any, *, is_replacement: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the paths that *update* changes in a document that is there, with their values."""
    if is_replacement:
        yield update
    elif update is not None:
        for stage in update if isinstance(update, list) else [update]:
            for operator, values in stage.items():
                if operator != "$setOnInsert" and isinstance(values, Mapping):
                    yield values


def _new_keys(values: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield each shard key that *values* give anew, with its value."""
    for key in keys:
        head, _, rest = key.partition(".")
        if key in values:
            yield key, values[key]
        elif head in values:
            yield key, _value(values[head], rest)


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


def _sender() -> str | None:
    """Return the file and the function of the product that sends the command; None for a test."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_PRODUCT):
            return f"{path.removeprefix(f'{_ROOT}/')} {frame.f_code.co_name}"
        if path.startswith(_TESTS) and path != __file__:
            return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


@cache
def writers_of_product() -> frozenset[str]:
    """The functions of the product that may write to a sharded collection, as `WriteReader` says.

    A call of pymongo's writing methods counts, unless its collection is named in `_UNSHARDED`.
    """
    found: set[str] = set()
    for folder in _PRODUCT:
        for path in Path(folder).rglob("*.py"):
            name = path.relative_to(_ROOT)
            found.update(f"{name} {each}" for each in _writers(ast.parse(path.read_text()), ""))
    return frozenset(found)


def _writers(node: ast.AST, function: str) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        collection = ast.unparse(node.func.value).rpartition(".")[2]
        ours = {"self", "lease", "_lease"}  # our own bulk_write
        if node.func.attr in _WRITES and collection not in _UNSHARDED | ours:
            yield function
    for child in ast.iter_child_nodes(node):
        yield from _writers(child, function)
