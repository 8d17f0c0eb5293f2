"""The table of keys and what Slurm's own printing functions print, release by release."""

import re

import pytest

from ingest.documents.long_texts import CUT_KEY
from ingest.slurm.convert import AnyCluster, Converter
from ingest.slurm.keys import (
    JOB,
    NODE,
    OWN_NAMES,
    PARTITION,
    PATTERN,
    RESERVATION,
    KeyTable,
)
from tests.ingest.slurm.releases import RELEASES, lines_of, names_of

EACH_TABLE = pytest.mark.parametrize(
    "table",
    [JOB, NODE, PARTITION, RESERVATION],
    ids=["jobs", "nodes", "partitions", "reservations"],
)
EACH_RELEASE = pytest.mark.parametrize("release", RELEASES)


@EACH_TABLE
@EACH_RELEASE
def test_a_release_prints_the_keys_that_the_table_says(table: KeyTable, release: str) -> None:
    assert sorted(table.printed_by(release)) == sorted(names_of(table, release))


@EACH_TABLE
@EACH_RELEASE
def test_the_keys_of_a_release_stand_in_the_order_of_the_table(
    table: KeyTable, release: str
) -> None:
    printed, expected = table.printed_by(release), names_of(table, release)
    if release == "17.02" and table is JOB:
        # Only -dd prints the script: behind StdOut up to 16.05, at the record's end in 17.02.
        printed.append(printed.pop(printed.index("BatchScript")))
    assert printed == expected


@EACH_TABLE
@EACH_RELEASE
def test_which_keys_can_open_a_line(table: KeyTable, release: str) -> None:
    for line in lines_of(table, release):
        for name in line.openers():
            expected = {"group"} if line.indent > 3 else {"line", "both"}
            assert table.keys[name].place in expected, name
            assert name in table.openers or table.keys[name].place == "group"


@EACH_TABLE
@EACH_RELEASE
def test_which_keys_can_stand_behind_which(table: KeyTable, release: str) -> None:
    for line in lines_of(table, release):
        for name, other in line.pairs():
            first, second = table.keys[name], table.keys[other]
            assert first.lines & second.lines, (name, other)
            assert second.rank > first.rank


@EACH_TABLE
@EACH_RELEASE
def test_every_record_of_every_release_has_the_keys_that_are_always_there(
    table: KeyTable, release: str
) -> None:
    always = {
        name
        for line in lines_of(table, release)
        for name, is_always in line.keys
        if line.condition == "always" and is_always
    }
    assert {key.name for key in table.mandatory} <= always


@EACH_TABLE
def test_every_row_is_printed_by_the_releases_that_it_names(table: KeyTable) -> None:
    for key in table.keys.values():
        printed = [release for release in RELEASES if key.name in names_of(table, release)]
        assert printed
        assert (printed[0], printed[-1]) == key.releases
        assert printed == [
            release for release in RELEASES if key.releases[0] <= release <= key.releases[1]
        ]


@EACH_TABLE
def test_a_place_is_told_no_wider_than_some_release_has_it(table: KeyTable) -> None:
    opens: set[str] = set()
    stands_behind: set[str] = set()
    for release in RELEASES:
        for line in lines_of(table, release):
            opens.update(line.openers())
            stands_behind.update(other for _, other in line.pairs())
    for key in table.keys.values():
        if key.place == "line":
            assert key.name in opens
        elif key.place == "in":
            assert key.name not in opens
        elif key.place == "both":
            assert key.name in opens
            # OverSubscribe stands in the place of 15.08's Shared, before the same keys.
            assert key.name in stands_behind | {"OverSubscribe"}


@EACH_TABLE
def test_names_in_documents_are_those_of_one_key_of_a_release(table: KeyTable) -> None:
    for release in RELEASES:
        keys = [table.keys[name] for name in table.printed_by(release)]
        names = [key.document for key in keys if key.place != "group"]
        assert len(set(names)) == len(names)
        assert not OWN_NAMES & set(names)


def test_no_unknown_key_takes_the_name_of_what_clockwork_adds() -> None:
    """``slurm_cut`` is a list of names; a user's text must not stand for it."""
    assert CUT_KEY in OWN_NAMES
    name, _ = Converter(JOB, AnyCluster()).field("SlurmCut")
    assert name == "slurm_slurm_cut"


@EACH_TABLE
def test_what_the_table_says_of_itself(table: KeyTable) -> None:
    rows = list(table.keys.values())
    assert [key.rank for key in rows] == list(range(len(rows)))
    assert all(re.fullmatch(PATTERN, key.name) for key in rows)
    assert table.first == rows[0].name == table.mandatory[0].name
    assert {key.place for key in rows} <= {"line", "in", "both", "group"}
    assert {key.holds for key in rows} <= {"word", "name", "text", "path"}
    for name, key in table.whole_lines.items():
        assert key.is_text
        assert not any(name in other.lines for other in rows if other is not key)


def test_what_an_ordinary_user_writes_is_told() -> None:
    users = {key.name for key in JOB.keys.values() if key.is_users_text}
    assert users == {
        *("JobName", "MCS_label", "Account", "WCKey", "CrontabSpec", "ClusterFeatures", "Prefer"),
        *("Network", "Command", "SubmitLine", "Comment", "Extra", "BatchScript", "BurstBuffer"),
        *("CpusPerTres", "MemPerTres", "TresBind", "TresFreq", "TresPerJob", "TresPerNode"),
        *("TresPerSocket", "TresPerTask", "MailUser", "ContainerType", "Container", "ContainerID"),
    }
    assert {key.name for key in NODE.keys.values() if key.is_users_text} == {"MCS_label"}
