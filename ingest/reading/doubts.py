"""Settle which jobs are in doubt, by asking the cluster for each of them alone.

What scontrol prints about one job contains only the texts of that job's owner.  So two steps settle
an output that leaves boundaries between records in doubt.  squeue's list, which contains no text,
says which jobs there are beside the certain ones.  Then scontrol is asked for each of these jobs
alone, with a new seal.

A round asks for at most `MAX_ASKED` jobs.  The owners take turns, one job each, and the jobs that
have waited longest come first.  So no owner can keep another owner's job from being asked for.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ingest.reading.framing import MAX_IDS, NoAnswer, SealMissing
from ingest.reading.records import Doubt, Inquiry, NotAsked, Record, SetAside

MAX_ASKED = 64
"""Jobs that a round asks for alone."""

_NOT_ASKED = (
    f"the job is in doubt and was not asked for in this round, which asks for at most {MAX_ASKED} "
    "jobs alone"
)


class Unsettled(Exception):
    """Jobs are in doubt that can be neither asked for nor named: nothing may be taken for gone."""

    def __init__(self) -> None:
        super().__init__(
            "a text that a user wrote hides where other users' records begin, and squeue can't be "
            "asked which jobs there are; allow Clockwork's squeue command on the login host"
        )


class Answers(NamedTuple):
    """Reads what scontrol prints about single jobs."""

    read: Callable[[Iterable[bytes], str], Iterator[Record | SetAside]]
    """Takes the chunks of one answer, and its seal."""
    late: Callable[[], Iterator[Record | SetAside]]
    """Gives the records of answers that waited for an unknown key to be vouched for."""


def settle(
    doubts: Sequence[Doubt],
    certain: Iterable[str],
    inquiry: Inquiry,
    answers: Answers,
    turns: "Turns",
) -> Generator[Record | SetAside, None, bool]:
    """Yield the records of the jobs in doubt, and the texts that remain in doubt.

    *certain* are the ids of the records that are not in doubt; *turns* is kept from round to round.
    Returns whether the ids of all jobs are known: see `Unsettled`.
    """
    owners = inquiry.owners()
    if owners is None:
        for doubt in doubts:
            yield SetAside(doubt.text, doubt.reason, tuple(doubt.ids))
        return all(len(doubt.ids) < MAX_IDS for doubt in doubts)
    known = set(certain)
    doubtful = {job_id: uid for job_id, uid in owners.items() if job_id not in known}
    named = {job_id: doubt for doubt in doubts for job_id in doubt.ids}
    order = turns.order(doubtful)
    for job_id in order[:MAX_ASKED]:
        if job_id in known:
            continue  # an answer about an array held this task too
        for item in _asked(job_id, owners, inquiry, answers):
            if isinstance(item, Record):
                if item.id in known:
                    continue
                known.add(item.id)
            yield item
    for item in answers.late():
        job_id = item.id if isinstance(item, Record) else item.ids[0]
        if job_id not in known:
            known.add(job_id)
            yield _checked(item, job_id, owners)
    for job_id in order[MAX_ASKED:]:
        if job_id not in known:
            doubt = named.get(job_id) or doubts[0]
            yield SetAside(doubt.text if job_id in named else b"", _NOT_ASKED, (job_id,))
    return True


def _asked(
    job_id: str, owners: Mapping[str, str], inquiry: Inquiry, answers: Answers
) -> Iterator[Record | SetAside]:
    """What scontrol says of the job *job_id* when it is asked for that job alone."""
    try:
        answer = inquiry.show(job_id)
        if answer is None:
            return
        for item in answers.read(answer.chunks, answer.seal):
            yield _checked(item, job_id, owners)
    except NotAsked as error:
        yield SetAside(b"", str(error), (job_id,))
    except (NoAnswer, SealMissing) as error:
        yield SetAside(b"", f"asked for alone, scontrol gave no record: {error}", (job_id,))


def _checked(item: Record | SetAside, job_id: str, owners: Mapping[str, str]) -> Record | SetAside:
    """*item* of an answer about the job *job_id*, held against the uids of squeue's list."""
    if isinstance(item, SetAside):  # its text may name other users' jobs
        owned = [each for each in item.ids if owners.get(each) == owners.get(job_id)]
        return SetAside(item.text, item.reason, tuple(owned) or (job_id,))
    if item.slurm.get("uid") != owners.get(item.id):
        return SetAside(item.text, "squeue's list gives this job to another user", (item.id,))
    return item


class Turns:
    """Whose turn it is to be asked for, from round to round."""

    def __init__(self) -> None:
        self._round = 0
        self._asked: dict[str, int] = {}
        """The round in which a job was asked for last; jobs that are no longer in doubt leave."""

    def order(self, owners: Mapping[str, str]) -> list[str]:
        """Return the ids of *owners* (uid by id), so that each owner has one before any has two.

        The jobs of an owner, and the owners, that were asked for longest ago come first; the first
        `MAX_ASKED` are noted as asked for.
        """
        self._round += 1
        queues: dict[str, list[tuple[int, str]]] = {}
        for job_id, uid in owners.items():
            queues.setdefault(uid, []).append((self._asked.get(job_id, 0), job_id))
        turns = sorted(
            (turn, asked, job_id)
            for queue in queues.values()
            for turn, (asked, job_id) in enumerate(sorted(queue))
        )
        order = [job_id for _, _, job_id in turns]
        self._asked = {job_id: last for job_id, last in self._asked.items() if job_id in owners}
        self._asked.update(dict.fromkeys(order[:MAX_ASKED], self._round))
        return order
