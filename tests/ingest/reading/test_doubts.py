"""Jobs in doubt: which are asked for, in which order, and what remains."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import pytest

from ingest.reading import doubts
from ingest.reading.doubts import MAX_ASKED, Answers, Turns, settle
from ingest.reading.framing import MAX_IDS
from ingest.reading.records import Answer, Doubt, Record, SetAside


class Owners:
    """A cluster whose list of jobs is known, and that answers nothing about a job."""

    def __init__(self, owners: Mapping[str, str] | None) -> None:
        self._owners = owners
        self.asked: list[str] = []

    def owners(self) -> Mapping[str, str] | None:
        return self._owners

    def show(self, job_id: str) -> Answer | None:
        self.asked.append(job_id)
        return None


def no_answer(_chunks: Iterable[bytes], _seal: str) -> Iterator[Record | SetAside]:
    raise AssertionError


def settled(
    found: list[Doubt], cluster: Owners, turns: Turns | None = None, certain: Iterable[str] = ()
) -> list[Record | SetAside]:
    answers = Answers(no_answer, partial(iter, ()))
    return list(settle(found, certain, cluster, answers, turns or Turns()))


def doubt(*ids: str) -> Doubt:
    return Doubt(b"text", dict.fromkeys(ids), "why")


def test_without_a_list_what_is_in_doubt_is_set_aside() -> None:
    assert settled([doubt("1", "2"), doubt("3")], Owners(None)) == [
        SetAside(b"text", "why", ("1", "2")),
        SetAside(b"text", "why", ("3",)),
    ]


@pytest.mark.parametrize(("number", "known"), [(MAX_IDS - 1, True), (MAX_IDS, False)])
def test_jobs_of_which_not_even_the_ids_are_known_are_told(number: int, *, known: bool) -> None:
    many = doubt(*map(str, range(number)))
    answers = Answers(no_answer, partial(iter, ()))
    steps = settle([doubt("x"), many], [], Owners(None), answers, Turns())
    assert isinstance(next(steps), SetAside)
    assert isinstance(next(steps), SetAside)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value is known


def test_all_jobs_but_the_certain_ones_are_asked_for() -> None:
    cluster = Owners({"1": "1001", "2": "1002", "3": "1003"})
    assert settled([doubt("1", "9")], cluster, certain=["2"]) == []
    assert cluster.asked == ["1", "3"]


def test_no_more_than_so_many_jobs_are_asked_for_and_the_others_are_told() -> None:
    jobs = {str(number): "1001" for number in range(1, MAX_ASKED + 3)}
    cluster = Owners(jobs)
    turns = Turns()
    found = settled([doubt("1", str(MAX_ASKED + 1))], cluster, turns)
    assert len(cluster.asked) == MAX_ASKED
    assert all(isinstance(item, SetAside) and "not asked for" in item.reason for item in found)
    late = {name for item in found if isinstance(item, SetAside) for name in item.ids}
    assert late == jobs.keys() - set(cluster.asked)
    again = Owners(jobs)
    settled([doubt("1")], again, turns)
    assert late <= set(again.asked)


def test_the_text_of_a_doubt_stands_with_the_ids_that_it_names() -> None:
    jobs = {str(number): "1001" for number in range(1, MAX_ASKED + 3)}
    turns = Turns()
    order = Turns().order(jobs)
    named, other = order[-1], order[-2]
    found = settled([doubt(named)], Owners(jobs), turns)
    by_id = {item.ids: item.text for item in found if isinstance(item, SetAside)}
    assert by_id == {(named,): b"text", (other,): b""}


def test_each_owner_has_one_turn_before_any_has_two() -> None:
    owners = {str(number): "1666" for number in range(100)} | {"200": "1001", "300": "1002"}
    order = Turns().order(owners)
    assert {"200", "300"} <= set(order[:3])
    assert len(order) == 102


def test_who_was_asked_for_longest_ago_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "MAX_ASKED", 1)
    turns = Turns()
    owners = {"1": "1001", "2": "1001", "3": "1001"}
    firsts = [turns.order(owners)[0] for _ in range(6)]
    assert sorted(firsts[:3]) == ["1", "2", "3"]
    assert firsts[3:] == firsts[:3]


def test_a_job_that_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "MAX_ASKED", 1)
    turns = Turns()
    assert turns.order({"1": "1001", "2": "1001"})[0] == "1"
    turns.order({"2": "1001"})
    assert turns.order({"1": "1001", "2": "1001"})[0] == "1"
