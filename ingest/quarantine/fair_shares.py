"""Keep what fits into a number of bytes, so that no owner pushes out what another owner has.

When the limit is passed, the owner who holds the most bytes loses entries.  So an owner who holds
less than an equal share never loses one, whatever the others add.
"""

import heapq
from typing import NamedTuple


class _Entry(NamedTuple):
    owner: str
    size: int
    rank: tuple[bool, int]


class FairShares:
    """Entries by key, each with an owner and a size in bytes; at most *limit* bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._entries: dict[str, _Entry] = {}
        self._bytes: dict[str, int] = {}
        """Of each owner."""
        self._heaps: dict[str, list[tuple[tuple[bool, int], str]]] = {}
        """The ranks and keys of each owner; those of entries that are gone stay for a while."""
        self._added = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: str, owner: str, size: int, *, matters: bool = False) -> list[str]:
        """Add an entry, or replace the entry of this *key*. Return the keys that had to leave.

        Of an owner's entries, those that do not matter leave first, and then the oldest.
        """
        self._remove(key)
        self._added += 1
        entry = _Entry(owner, size, (matters, self._added))
        self._entries[key] = entry
        self._total += size
        self._bytes[owner] = self._bytes.get(owner, 0) + size
        heapq.heappush(self._heaps.setdefault(owner, []), (entry.rank, key))
        left = []
        while self._total > self._limit:
            left.append(self._evict())
        return left

    def _evict(self) -> str:
        heap = self._heaps[max(self._bytes, key=self._bytes.__getitem__)]
        while True:
            rank, key = heapq.heappop(heap)
            entry = self._entries.get(key)
            if entry is not None and entry.rank == rank:
                self._remove(key)
                return key

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._total -= entry.size
        self._bytes[entry.owner] -= entry.size
        if not self._bytes[entry.owner]:
            del self._bytes[entry.owner], self._heaps[entry.owner]
