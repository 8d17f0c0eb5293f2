"""The index of the public dumps and the folder that it describes say the same."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "fake_slurm_outputs" / "public"
COLUMNS = 8
FORMS = {"multi-line", "multi-line, details", "multi-line, `-d`", "`-o`", "error"}
FIRST_KEY = {
    "jobs": "JobId=",
    "nodes": "NodeName=",
    "partitions": "PartitionName=",
    "reservations": "ReservationName=",
}
NO_RECORD = re.compile(r"No (jobs|nodes) in the system$|slurm_load_(jobs|node) error: .")
"""What scontrol prints when it has no record to show."""


def rows() -> list[list[str]]:
    """The rows of the first table of the index, without its head."""
    text = (FOLDER / "INDEX.md").read_text(encoding="utf-8").split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


DUMPS = sorted(FOLDER.glob("*.txt"))
ROWS = {row[0]: row for row in rows()}


def dump_name(dump: Path) -> str:
    return dump.name


def test_every_dump_has_one_row_and_every_row_a_dump() -> None:
    names = [row[0] for row in rows()]
    assert sorted(names) == [dump.name for dump in DUMPS]
    assert len(names) >= 40


def test_the_folder_holds_only_dumps_and_what_must_be_made_of_them() -> None:
    stems = {dump.stem for dump in DUMPS}
    others = {path.name for path in FOLDER.iterdir() if path.suffix != ".txt"}
    assert others <= {"INDEX.md", *(f"{stem}.json" for stem in stems)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_is_full(row: list[str]) -> None:
    assert len(row) == COLUMNS
    name, kind, form, version = row[:4]
    assert all(row)
    assert form in FORMS
    named = re.fullmatch(rf"({'|'.join(FIRST_KEY)})_(\d\d\.(?:\d\d|x))_[a-z0-9_]+\.txt", name)
    assert named is not None
    assert named[1] == kind
    assert re.search(r"printed|inferred|image", version)
    assert version.startswith(named[2].removesuffix("x"))


@pytest.mark.parametrize("dump", DUMPS, ids=dump_name)
def test_a_dump_begins_as_its_name_says(dump: Path) -> None:
    kind, form = ROWS[dump.name][1:3]
    first_line = dump.read_text(encoding="utf-8").split("\n", 1)[0]
    if form == "error":
        assert NO_RECORD.match(first_line)
    else:
        assert first_line.startswith(FIRST_KEY[kind])


@pytest.mark.parametrize("dump", DUMPS, ids=dump_name)
def test_a_dump_has_the_form_that_its_row_says(dump: Path) -> None:
    kind, form = ROWS[dump.name][1:3]
    lines = dump.read_text(encoding="utf-8").splitlines()
    if form == "`-o`":
        assert all(line.startswith(FIRST_KEY[kind]) for line in lines if line.strip())
    elif form != "error":
        assert any(line.startswith("   ") and line.strip() for line in lines)


@pytest.mark.parametrize("dump", DUMPS, ids=dump_name)
def test_a_printed_version_is_the_one_in_the_name(dump: Path) -> None:
    if "printed)" not in ROWS[dump.name][3] or "inferred" in ROWS[dump.name][3]:
        return
    version = dump.name.split("_")[1]
    printed = set(re.findall(r" Version=(\S+)", dump.read_text(encoding="utf-8")))
    assert printed
    assert all(f"{each}.".startswith(f"{version}.") for each in printed)
    assert all(each in ROWS[dump.name][3] for each in printed)


@pytest.mark.parametrize("dump", DUMPS, ids=dump_name)
def test_nobody_is_named(dump: Path) -> None:
    assert not re.search(r"[\w.+-]+@[\w-]+\.(?:ac|ca|ch|com|de|edu|fr|org|net)\b", dump.read_text())
