"""Which forgery each defence stops: the table of docs/forged_records.md, made and checked here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.programs.squeue_check import hold_against
from ingest.reading.doubts import MAX_ASKED, Unsettled
from ingest.reading.reader import Reader
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm.keys import JOB
from tests.ingest.reading import forged_nodes
from tests.ingest.reading.attacks import (
    CARRIER,
    FOOLED,
    LISTED,
    OTHER,
    OWN_ASIDE,
    OWN_MISREAD,
    RIGHT,
    VICTIM,
    Attack,
    Cluster,
    attacks,
    outcome,
    output,
)
from tests.ingest.reading.placements import (
    ALICE,
    MALLORY,
    Outcome,
    Placement,
    check,
    one_attacker,
    two_attackers,
)
from tests.ingest.reading.printed_jobs import RELEASES, Job, printed, text_keys
from tests.support.reading import CLUSTER, SEAL, read

DOCUMENT = Path(__file__).parents[3] / "docs" / "forged_records.md"
ATTACKS = list(attacks())
PLACEMENTS = 1000
"""Of each kind; ``make fuzz`` tries many more."""
SERIES = 10
slow = settings(deadline=None, suppress_health_check=list(HealthCheck))

Items = list[Record | SetAside | Unchanged]


def scraped(attack: Attack, place: int = 1) -> Items:
    """What a scrape reads: with a seal, and jobs in doubt asked for alone."""
    text = output(attack, sealed=True, one_line=False, place=place)
    return read(text, seal=SEAL, inquiry=Cluster(attack))


def replayed(attack: Attack, *, one_line: bool, place: int = 1) -> Items:
    """What is read of a dump, which has no seal."""
    return read(output(attack, sealed=False, one_line=one_line, place=place))


def with_list(attack: Attack, place: int = 1) -> Items:
    """The same held against squeue's list."""
    plain = replayed(attack, one_line=False, place=place)
    return list(hold_against(plain, LISTED, lambda: LISTED))


def rows() -> Iterator[str]:
    yield "| forgery | carried by | dump, `-o` | dump | dump and squeue | scrape |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for attack in ATTACKS:
        outcomes = [
            outcome(attack, replayed(attack, one_line=True)),
            outcome(attack, replayed(attack, one_line=False)),
            outcome(attack, with_list(attack)),
            outcome(attack, scraped(attack)),
        ]
        yield f"| {attack.name} | {attack.field} | {' | '.join(outcomes)} |"


def test_the_table_in_the_documentation_is_what_happens() -> None:
    assert "\n".join(rows()) in DOCUMENT.read_text()


def ids(found: Items) -> set[str]:
    """The ids of the records, and of the jobs that were set aside."""
    return {
        job_id
        for item in found
        for job_id in ((item.id,) if isinstance(item, Record) else item.ids)
    }


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_scrape_reads_every_other_job_right(attack: Attack, place: int) -> None:
    found = scraped(attack, place)
    assert outcome(attack, found) in {RIGHT, OWN_ASIDE, OWN_MISREAD}
    assert ids(found) == LISTED.keys()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_without_squeue_nobody_is_fooled_and_no_job_is_taken_for_gone(
    attack: Attack, place: int
) -> None:
    text = output(attack, sealed=True, one_line=False, place=place)
    found = read(text, seal=SEAL)
    assert outcome(attack, found) != FOOLED
    assert LISTED.keys() <= ids(found)


class NoSqueue(Cluster):
    """A login host that does not allow squeue."""

    def owners(self) -> None:  # type: ignore[override]
        """Return None: squeue can't be asked."""
        return


def test_a_doubt_that_names_too_many_ids_ends_the_round() -> None:
    parts = "".join(f"\n\nJobId={number} JobName=y" for number in range(100, 1200))
    attack = Attack("many ids", "command", parts)
    text = output(replace(attack, field="name"), sealed=True, one_line=False, place=1)
    with pytest.raises(Unsettled):
        read(text, seal=SEAL, inquiry=NoSqueue(attack))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_job_that_is_gone_is_not_kept_by_a_text(attack: Attack) -> None:
    text = output(attack, sealed=True, one_line=False)
    victims = text.index(f"\nJobId={VICTIM} JobName=train\n".encode(), len(attack.text))
    without = text[: victims + 1] + text[text.rindex(b"JobId=21 ") :]
    listed = {CARRIER: "1001", OTHER: "1003"}
    found = read(without, seal=SEAL, inquiry=Cluster(attack, listed))
    assert ids(found) == listed.keys()


def test_nothing_is_asked_for_where_nothing_is_in_doubt() -> None:
    plain = Attack("none", "comment", "hello")
    cluster = Cluster(plain)
    found = read(output(plain, sealed=True, one_line=False), seal=SEAL, inquiry=cluster)
    assert (len(found), cluster.asked) == (3, [])


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_with_squeues_list_no_job_is_invented(attack: Attack, place: int) -> None:
    found = with_list(attack, place)
    assert {item.id for item in found if isinstance(item, Record)} <= LISTED.keys()


def test_what_the_list_contradicts_names_the_job_before_it() -> None:
    seamless = next(attack for attack in ATTACKS if attack.name == "a seamless record")
    (aside,) = (item for item in with_list(seamless) if isinstance(item, SetAside))
    assert aside.ids == ("77",)
    assert f"behind that of job {CARRIER}" in aside.reason


# --- every placement ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("series", range(SERIES))
@pytest.mark.parametrize("make", [one_attacker, two_attackers])
def test_no_placement_harms_another_user(make: Callable[[int], Placement], series: int) -> None:
    outcome = Outcome()
    readers: dict[tuple[str, int], Reader] = {}
    for number in range(series, PLACEMENTS, SERIES):
        placement = make(number)
        kept = (placement.jobs[0].release, placement.max_bytes)
        reader = readers.setdefault(kept, Reader(JOB, CLUSTER, placement.max_bytes))
        try:
            outcome.add(check(placement, reader))
        except Exception as error:
            raise AssertionError(f"{placement.name}: {error}") from error
    assert outcome.asked
    assert outcome.right
    assert outcome.aside


_PIECES = st.sampled_from(
    [
        *("\n", "\n\n", "\n   ", "\n   \n\n", " ", "   ", "x", "=", "(null)", "\r", "\t", "é"),
        *("JobId=", "JobName=z", "JobId=10 ", "JobId=11 ", "JobId=12 ", "JobId=13 ", "JobId=77 "),
        *("UserId=bob(1002)", "\n   UserId=bob(1002)", "JobState=FAILED", "\n   WorkDir=/x"),
        *("SubmitTime=2026-11-23T20:13:41+0000", "q7Rk001", "\n   StdOut=/o", "\n   Power="),
        *("\n   RunTime=YesSpreadJob=Yes", "\n   RunTime=1", "\n   FutureKey=1", "Nodes=a"),
        *("\n   TresPerNode=gres:gpu:8", "\n   MailUser=evil MailType=ALL", "\n     Nodes=a"),
    ]
)
_FORGED_TEXTS = st.lists(_PIECES, min_size=1, max_size=12).map("".join)


@st.composite
def _placements(draw: st.DrawFn) -> Placement:
    release = draw(st.sampled_from(RELEASES))
    jobs = []
    for at, letter in enumerate(draw(st.sampled_from(["VAV", "VABV", "VAVBV", "AV", "VA"]))):
        texts = {}
        if letter != "V":
            keys = st.sampled_from(text_keys(release))
            texts = draw(st.dictionaries(keys, _FORGED_TEXTS, min_size=1, max_size=3))
        user = {"A": ALICE, "B": MALLORY}.get(letter, "bob")
        if not texts and draw(st.booleans()):
            texts = {"MailUser": "bob"} if "MailUser" in text_keys(release) else {}
        jobs.append(Job(str(10 + at), user, release, texts, batch=draw(st.booleans())))
    chunk_bytes = draw(st.sampled_from([1 << 20, 1000, 13]))
    return Placement(f"{[job.texts for job in jobs]}", jobs, chunk_bytes=chunk_bytes)


@slow
@given(_placements())
def test_no_text_harms_another_user(placement: Placement) -> None:
    check(placement, Reader(JOB, CLUSTER))


@pytest.mark.parametrize("count", [1, 2])
def test_a_thousand_beginnings_in_every_text_harm_nobody(count: int) -> None:
    start = "\n\nJobId={} JobName=z"
    for release in RELEASES:
        jobs = [Job(str(10 + at), "bob" if at % 2 else ALICE, release) for at in range(5)]
        for at in range(0, 2 * count, 2):
            texts = {
                key: "x" + "".join(start.format(10 + number % 7) for number in range(1000))
                for key in ("JobName", "Command", "StdOut")
            }
            jobs[at] = replace(jobs[at], texts=texts)
        check(Placement(release, jobs, chunk_bytes=1000), Reader(JOB, CLUSTER))


def crowd(owners: int, jobs_each: int, attackers: int) -> Placement:
    """Victims' jobs, all in doubt: an attacker's job with a forged name stands behind each."""
    jobs = []
    names = [f"30{owner:02}" for owner in range(owners)]
    for number in range(owners * jobs_each):
        victim = Job(str(1000 + 2 * number), names[number % owners], "22.05")
        attacker = ALICE if number % attackers else MALLORY
        forged = {"JobName": f"a\n\nJobId={victim.id} JobName=b"}
        jobs += [victim, Job(str(1001 + 2 * number), attacker, "22.05", forged)]
    return Placement("a crowd", jobs)


@pytest.mark.parametrize(("owners", "jobs_each"), [(1, 100), (5, 40), (80, 2)])
def test_no_owner_keeps_another_owners_job_out_for_long(owners: int, jobs_each: int) -> None:
    outcome = check(crowd(owners, jobs_each, attackers=2), Reader(JOB, CLUSTER))
    assert outcome.asked > MAX_ASKED
    # The two attackers take their turns too.
    assert outcome.rounds <= 1 + (owners + 2) * jobs_each / MAX_ASKED + 1


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Comment", "x\nJobId=77\nJobId=78"),
        ("Comment", "x\n   JobId=77\n   JobId=78"),
        ("JobName", "x\n   RunTime=1\n   RunTime=YesSpreadJob=Yes\nz UserId=bob(1002)"),
        ("JobName", "x\n   NtasksPerTRES:0 RunTime=5\n   NtasksPerTRES:0 RunTime=5 RunTime=6"),
        ("Comment", "x\n   Gres=(null) Reservation= Reservation="),
    ],
)
def test_a_line_in_a_text_is_never_taken_for_slurms_own(key: str, text: str) -> None:
    job = Job("10", ALICE, "22.05", {key: text})
    found = read(printed(job, SEAL).encode() * 2, seal=SEAL)
    for item in found:
        assert isinstance(item, Record | SetAside)
        if isinstance(item, Record):
            values = {pair.key: pair.value.rstrip(" ") for pair in item.raw.pairs}
            assert (values[key], item.slurm["uid"]) == (text, "1001")


# --- nodes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", forged_nodes.HELD, ids=lambda holder: holder.state)
def test_no_label_harms_another_node(holder: forged_nodes.Node) -> None:
    for number, placement in enumerate(forged_nodes.placements(holder)):
        if number % 29 == 0:
            forged_nodes.check(placement)


@pytest.mark.parametrize(
    "label",
    [
        "x\n   BootTime=2021-01-01T00:00:00 SlurmdStartTime=y\n\nNodeName=evil State=IDLE",
        "x\n\nNodeName=evil CoresPerSocket=1\n   RealMemory=1\n   State=X\n   BootTime=2021-01-01",
    ],
)
def test_no_label_makes_the_reader_give_up_the_seal(label: str) -> None:
    for holder in (*forged_nodes.HELD, forged_nodes.POWERING_UP):
        nodes = [replace(holder, name="a", label=label), forged_nodes.Node("b")]
        forged_nodes.read(forged_nodes.NodePlacement(nodes, "a", 1 << 20))


def test_a_cloud_node_with_a_label_keeps_the_next_one_from_being_read_while_it_boots() -> None:
    powering = replace(forged_nodes.POWERING_UP, name="a", label="x")
    nodes = [powering, forged_nodes.Node("b"), forged_nodes.Node("c")]
    records, aside = forged_nodes.read(forged_nodes.NodePlacement(nodes, "a", 1 << 20))
    assert (set(records), aside) == ({"c"}, {"a", "b"})
