"""Replacements: one for each, none for two, of the same kind and shape."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.anonymise.pseudonyms import GROWTH, Pseudonyms, names_within, runs, skeleton, words
from ingest.slurm import values

SECRET = bytes(range(32))
NODES = {("cn", "-", "a", 3), ("gpu", 2)}
new = Pseudonyms(SECRET, kept_words={"home"}, nodes=NODES, job_ids=[1234, 99999])

ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
any_text = st.lists(
    st.sampled_from([*"aB1=/. \n-_@é", "\udcff", "\x85", "\u2028"]) | st.text(max_size=3),
    max_size=20,
).map("".join)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_two_numbers_become_one(size: int) -> None:
    numbers = [f"{number:0{size}}" for number in range(10**size)]
    found = [new.digits(number) for number in numbers]
    assert sorted(found) == numbers
    pairs = zip(numbers, found, strict=True)
    assert all(one.startswith("0") == other.startswith("0") for one, other in pairs)


@given(st.from_regex(r"[0-9]{1,19}", fullmatch=True))
def test_a_number_stays_one_of_its_kind(digits: str) -> None:
    found = new.digits(digits)
    assert len(found) == len(digits)
    assert type(values.integer(found)) is type(values.integer(digits))
    assert new.digits(digits) == found


@given(any_text)
def test_a_text_keeps_its_shape(text: str) -> None:
    found = new.text(text)
    assert re.sub(r"[A-Za-z0-9]|[^\x00-\x7f\s]", "", found) == re.sub(
        r"[A-Za-z0-9]|[^\x00-\x7f\s]", "", text
    )
    assert len(words(found)) == len(words(text))
    sizes = [len(each.encode("utf-8", "surrogateescape")) for each in (found, text)]
    assert sizes[0] <= GROWTH * (sizes[1] + 1)
    assert not {word for word in words(text) if len(word) > 2} & set(words(found))


@given(any_text, any_text)
def test_a_text_within_another_is_replaced_as_it_is_alone(one: str, other: str) -> None:
    assert new.text(f"{one} = {other}") == f"{new.text(one)} = {new.text(other)}"


@given(st.integers(0, 2**32))
def test_times_are_moved_by_whole_weeks(seconds: int) -> None:
    moment = datetime.fromisoformat("1970-01-01T00:00:00") + timedelta(seconds=seconds)
    for offset in ("", "+0000", "-0330"):
        found = new.text(f"[root@{moment.isoformat()}{offset}]")
        moved = datetime.fromisoformat(re.findall(r"[\d-]{10}T[\d:]{8}", found)[0])
        assert found.endswith(f"{offset}]")
        assert (moment - moved) % timedelta(weeks=1) == timedelta()
        assert timedelta(weeks=52) <= moment - moved < timedelta(weeks=1040)
        assert new.text(moment.isoformat()) == moved.isoformat()


@given(st.integers(10**9, 2**33))
def test_seconds_since_1970_are_moved_as_times_are(seconds: int) -> None:
    moment = datetime.fromisoformat("1970-01-01T00:00:00") + timedelta(seconds=seconds)
    moved = datetime.fromisoformat(new.text(moment.isoformat()))
    assert int(new.seconds(str(seconds))) == seconds - (moment - moved).total_seconds()


@given(st.ip_addresses(v=4).map(str))
def test_an_address_becomes_another(address: str) -> None:
    found = new.text(f"at {address}:22")
    assert ADDRESS.findall(found) == [new.address(address)]
    of_the_host_itself = address.startswith(("127.", "0."))
    assert (new.address(address) == address) == of_the_host_itself
    assert new.address(address).startswith(("127.", "0.")) == of_the_host_itself


@pytest.mark.parametrize("time", ["1899-12-31T03:04:05", "1000-01-02T03:04:05+0100"])
def test_a_time_of_another_century_is_moved_too(time: str) -> None:
    assert new.text(time)[:10] != time[:10]
    assert new.text(time)[10:] == time[10:]
    assert new.text("0001-01-02T03:04:05") != "0001-01-02T03:04:05"


def test_what_is_no_time_and_no_address_is_numbers() -> None:
    for text in ("2021-13-45T00:56:47", "1.2.3.4.5", "300.1.1.1", "2021-11-13"):
        nines = re.sub(r"\d", "9", text).replace("T", new.word("T"))
        assert new.text(text) != text
        assert re.sub(r"\d", "9", new.text(text)) == nines


def test_names_of_nodes_keep_their_numbers_and_others_do_not() -> None:
    node = new.text("cn-a003")
    assert node == f"{new.word('cn')}-{new.word('a')}003"
    assert new.text("/home/x/cn-a003.log") == f"/home/{new.word('x')}/{node}.{new.word('log')}"
    assert new.text("my-cn-a003_7") == f"{new.word('my')}-{node}_{new.digits('7')}"
    for other in ("xcn-a003", "cn-a0031", "cn-a003b", "cn-b003"):
        assert node not in new.text(other)
        assert other[-4:] not in new.text(other)


def test_ids_are_moved_where_they_stand_alone() -> None:
    moved = int(new.job_id("1234")) - 1234
    assert moved >= 100_000
    assert new.text("slurm-1234.out") == f"{new.text('slurm')}-{1234 + moved}.{new.word('out')}"
    assert new.text("99999") == str(99999 + moved)
    for other in ("x1234", "1234x", "1235", "01234", "234"):
        assert str(1234 + moved) not in new.text(other)
    assert [new.job_id(number) for number in ("0", "4294967294")] == ["0", "4294967294"]
    assert new.text("slurm-4_4294967294") == f"{new.text('slurm')}-{new.digits('4')}_4294967294"


def test_what_is_not_utf_8_or_not_ascii_stays_so() -> None:
    assert new.text("Zoë").isascii() is False
    assert new.text("Zo\udce9") == f"{new.word('Zo' + chr(0xDCE9))}"
    with pytest.raises(UnicodeEncodeError):
        new.text("\udce9").encode()


def test_another_secret_gives_others() -> None:
    other = Pseudonyms(b"another secret 1")
    assert other.word("alice") != new.word("alice")
    assert other.job_id("7") != new.job_id("7")


def test_names_are_found_between_signs() -> None:
    assert list(names_within("a-b1", 9)) == ["a", "a-b1", "b1"]
    assert list(names_within("a-b-c", 3)) == ["a", "a-b", "b", "b-c", "c"]
    assert runs("dom\\j.doe@uni") == ["dom", "j.doe", "uni"]
    assert skeleton("cn-a003") == ("cn", "-", "a", 3)
    assert skeleton("1234") is None
    assert skeleton("a b") is None
