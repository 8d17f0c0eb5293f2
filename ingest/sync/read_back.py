"""Read back what the database holds, a few hundred documents a round, and compare it.

Between its rounds a scraper trusts its memory of what it wrote.  Documents can still be lost or
changed: by a backup that was restored, by an administrator, by a defect.  The scraper therefore
compares some of them in each round with its memory, while the cluster sends its output.  Where they
differ, the memory is corrected at the end of the round, so that the next round writes the document
again or marks the record as gone.
"""

import logging

from ingest.documents.fingerprints import Fingerprint
from ingest.sync.held_records import Held, HeldRecords
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
        self._differ: dict[str, tuple[Fingerprint | None, Held | None]] = {}
        """What is remembered of records, and what the database holds instead."""

    def compare_some(self, seen: SeenRecords) -> None:
        """Compare the next `COMPARED_OF_A_ROUND` records with *seen*, which holds what was written.

        When all records were compared, those that *seen* lacks are looked for as well, and the next
        call starts from the beginning.  Raises pymongo's errors.
        """
        self._differ = {}
        if not self._ahead:
            missing = sorted(self._held.present_ids().difference(seen))
            self._differ = {each: (None, held) for each, held in self._held.of(missing).items()}
            self._ahead = list(seen)
        ids, self._ahead = self._ahead[-COMPARED_OF_A_ROUND:], self._ahead[:-COMPARED_OF_A_ROUND]
        present = {each: entry.fingerprint for each in ids if (entry := seen.get(each))}
        held = self._held.of(list(present))
        for record_id, remembered in present.items():
            found = held.get(record_id)
            if found is None or found.fingerprint != remembered or not found.is_present:
                self._differ[record_id] = remembered, found

    def correct(self, seen: SeenRecords) -> None:
        """Correct *seen* where records differed, unless they were written since, or are gone."""
        differ = []
        for record_id, (before, found) in self._differ.items():
            now = seen.get(record_id)
            if (now and now.fingerprint) != before:
                continue
            differ.append(record_id)
            if found is None or not found.is_present:
                del seen[record_id]
            else:
                seen[record_id] = found.entry(_DUE)
        if differ:
            logger.warning(
                "database: %d documents are not what this scraper wrote; the next round corrects "
                "them",
                len(differ),
                extra={**self._where, "ids": differ[:_IDS_LOGGED]},
            )
