"""How much is measured: the sizes that the targets speak of, and small ones for a quick look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of records, and how often each thing is measured."""

    jobs: int = 20_000
    """Of the dump that is read and taken in."""
    listed: int = 10_000
    """Jobs of one answer of ``jobs/list``."""
    collection: int = 200_000
    """Jobs, and nodes, of the collection in which one is looked for."""
    paged: int = 100_000
    """Jobs of the list of which pages are read."""
    transferred: int = 50_000
    under_load: int = 20_000
    """Jobs of the first round that is written meanwhile."""
    growth: tuple[int, ...] = (1_000, 10_000, 100_000, 200_000)
    clusters: tuple[int, ...] = (1, 10, 50)
    jobs_per_cluster: int = 1_000
    turns: int = 5
    """How often contenders meet."""
    waiting: int = 1_000
    """Requests that wait for a change at a time."""
    requests: int = 300
    """Of one kind, one after the other."""
    seconds: float = 10.0
    """How long a server is kept busy, or a scraper is watched."""

    @property
    def few_turns(self) -> int:
        """How often contenders meet that take long."""
        return max(2, self.turns - 2)


QUICK = Sizes(
    jobs=200,
    listed=300,
    collection=500,
    paged=500,
    transferred=500,
    under_load=300,
    growth=(100, 400),
    clusters=(1, 3),
    jobs_per_cluster=50,
    turns=2,
    waiting=100,
    requests=30,
    seconds=0.5,
)
