"""Decide which unknown keys behind a user's text are Slurm's: other records vouch for them.

A key without a row in `ingest.slurm.keys` may be a key of a later Slurm, or a part of a user's
text.  Its *place* is a pair: the key before it, and the unknown key.  A place is vouched for

- as soon as records of two users have shown the place, from then on; or
- for one output, if every record of the output that has the key before shows the place.  So the
  dump of a single user can be read too.

In ``-o`` form, texts contain words with ``=`` too often for these rules.  There, a place is vouched
for if every record of the output that has the key before shows the place, and these records belong
to two users.  Behind a text that is neither a name nor a command, two records of one user are
enough.  If every record shows the place, with a value without spaces, but these records are too
few, the place is *contested*: the text alone does not tell, and the records are refused.
"""

from collections import Counter
from dataclasses import dataclass, field

from ingest.reading.parsing import Place, Shown

MAX_SURVEYED = 10_000
"""Places that are counted in one output in ``-o`` form."""
MAX_PLACES_OF_AN_OWNER = 100
"""Places that one user can be the first to show: a user's texts can hold any number of them."""


@dataclass
class Vouching:
    """The places that records of one cluster have shown, and the users whose records they were."""

    _owners: dict[Place, set[str]] = field(default_factory=dict)
    _firsts: Counter[str] = field(default_factory=Counter)
    """How many places each owner was the first to show."""
    shown_by_all: frozenset[Place] = frozenset()
    """Places that every record of the output in hand shows."""
    contested: frozenset[Place] = frozenset()
    """Places that every record shows in the output in hand, which is in ``-o`` form."""

    def note(self, place: Place, owner: str) -> bool:
        """Note that a record of *owner* shows *place*; return whether that vouches for *place*."""
        owners = self._owners.get(place)
        if owners is None:
            if self._firsts[owner] < MAX_PLACES_OF_AN_OWNER:
                self._firsts[owner] += 1
                self._owners[place] = {owner}
            return False
        if len(owners) > 1:
            return False
        owners.add(owner)
        return len(owners) > 1

    def __contains__(self, place: object) -> bool:
        return place in self.shown_by_all or len(self._owners.get(place, ())) > 1  # type: ignore[call-overload]


@dataclass
class Survey:
    """How often the records of one output show the places behind their texts."""

    texts: Counter[str] = field(default_factory=Counter)
    """Records that have a text, by its key."""
    places: Counter[Place] = field(default_factory=Counter)
    words: Counter[Place] = field(default_factory=Counter)
    """Records that show a place with a value without spaces."""
    owners: dict[Place, set[str]] = field(default_factory=dict)
    """Two users at most whose records show a place."""

    def note(self, shown: Shown, owner: str) -> None:
        """Note what one record shows, and its owner."""
        self.texts.update(shown.texts)
        for place in shown.places:
            if place in self.places or len(self.places) < MAX_SURVEYED:
                self.places[place] += 1
                self.words[place] += place in shown.words
                owners = self.owners.setdefault(place, set())
                if len(owners) < 2:
                    owners.add(owner)

    def shown_by_all(self) -> tuple[frozenset[Place], frozenset[Place]]:
        """Return the places that every record shows: those vouched for, and those contested."""
        by_all = {place for place, count in self.places.items() if count == self.texts[place[0]]}
        vouched = {
            place
            for place in by_all
            if len(self.owners[place]) > 1
            or (self.places[place] > 1 and place[0] not in {"JobName", "Command", "SubmitLine"})
        }
        contested = {place for place in by_all if self.words[place] == self.places[place]}
        return frozenset(vouched), frozenset(contested - vouched)


class EveryPlace:
    """All places: to see what a record would say if its unknown keys were Slurm's own."""

    def __contains__(self, place: object) -> bool:
        return True
