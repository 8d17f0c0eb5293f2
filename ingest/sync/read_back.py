"""Read back what the database holds, a few hundred documents a round, and compare it.

Between its rounds a scraper trusts its memory of what it wrote.  Documents can still be lost or
changed: by a backup that was restored, by an administrator, by a defect.  The scraper therefore
compares some of them after each round with its memory.  Where they differ, the memory is corrected,
so that the next round writes the document again or marks the record as gone.
"""

import logging

from ingest.sync.held_records import HeldRecords
from ingest.sync.seen_records import SeenRecords

COMPARED_OF_A_ROUND = 200
_IDS_LOGGED = 10
_DUE = float("-inf")
"""Written so long ago that the next round writes volatile values too."""

logger = logging.getLogger(__name__)


class ReadBack:
    """Compares the documents of one cluster and kind with what the scraper remembers."""

    def __init__(self, held: HeldRecords, cluster_name: str, kind: str) -> None:
        self._held = held
        self._where = {"cluster": cluster_name, "kind": kind}
        self._ahead: list[str] = []
        """The ids that this turn has not compared yet."""

    def compare_some(self, seen: SeenRecords) -> int:
        """Compare the next `COMPARED_OF_A_ROUND` records of *seen* and correct *seen*.

        When all records were compared, those that *seen* lacks are looked for as well, and the next
        call starts from the beginning.  Returns how many differed.  Raises pymongo's errors.
        """
        if not self._ahead:
            differ = self._add_missing(seen)
            self._ahead = list(seen)
        else:
            differ = []
        ids, self._ahead = self._ahead[-COMPARED_OF_A_ROUND:], self._ahead[:-COMPARED_OF_A_ROUND]
        held = self._held.of([each for each in ids if seen.get(each) is not None])
        for record_id in ids:
            remembered = seen.get(record_id)
            found = held.get(record_id)
            if remembered is None:  # gone since the turn began
                continue
            if found is None or not found.is_present:
                del seen[record_id]
            elif found.fingerprint != remembered.fingerprint:
                seen[record_id] = found.entry(_DUE)
            else:
                continue
            differ.append(record_id)
        if differ:
            logger.warning(
                "database: %d documents are not what this scraper wrote; the next round corrects "
                "them",
                len(differ),
                extra={**self._where, "ids": differ[:_IDS_LOGGED]},
            )
        return len(differ)

    def _add_missing(self, seen: SeenRecords) -> list[str]:
        """Add the records that the database holds as present and *seen* lacks. Return their ids."""
        missing = sorted(self._held.present_ids().difference(seen))
        for record_id, found in self._held.of(missing).items():
            seen[record_id] = found.entry(_DUE)
        return missing
