"""One record's text to raw pairs: what each place that looks like a key is taken for."""

from collections.abc import Container

import pytest

from ingest.reading.parsing import (
    MAX_TOKENS,
    Decision,
    Form,
    Place,
    RawPairs,
    Unreadable,
    decide,
    raw_pairs,
    shown_by,
    tokens_of,
)
from ingest.slurm.keys import JOB, NODE, KeyTable
from tests.ingest.reading.attacks import job
from tests.support.reading import SEAL

ALICE = "alice(1001)"
NUL = "\0" * len(SEAL)
"""What stands for the seal in the texts that are parsed."""


def decided(text: str, form: Form, vouched: Container[Place] = frozenset()) -> Decision:
    lines, _ = form.split_record(text)
    shape = []
    for number, line in enumerate(lines):
        words, found = form.split_line(line, first=number == 0)
        shape.append(form.shape_of(words, found))
    return decide(tokens_of(tuple(shape), form.table), form, vouched)


def read(
    text: str,
    table: KeyTable = JOB,
    *,
    one_line: bool = False,
    sealed: bool = False,
    vouched: Container[Place] = frozenset(),
) -> RawPairs:
    form = Form(table, multi_line=not one_line, sealed=sealed)
    return raw_pairs(text, form, decided(text, form, vouched))


def values(
    text: str,
    *,
    one_line: bool = False,
    sealed: bool = False,
    vouched: Container[Place] = frozenset(),
) -> dict[str, str]:
    raw = read(text, one_line=one_line, sealed=sealed, vouched=vouched)
    assert raw.text() == text.replace("\0", "")
    return {pair.key: pair.value for pair in raw.pairs}


def sealed_job(job_id: str, **texts: str) -> str:
    return job(job_id, ALICE, sealed=True, **texts).replace(SEAL, NUL)


def refusal(
    text: str,
    *,
    one_line: bool = False,
    sealed: bool = False,
    vouched: Container[Place] = frozenset(),
) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(text, one_line=one_line, sealed=sealed, vouched=vouched)
    return caught.value


def one_line(text: str) -> str:
    return text.rstrip().replace("\n   ", " ") + "\n"


@pytest.mark.parametrize(
    "name",
    [
        *("a b", "a=b", "a Future=1", "JobId=1 JobState=FAILED", "UserId=root(0)", '"q"', " ", ""),
        "x\ny",
    ],
)
def test_a_name_can_be_anything(name: str) -> None:
    assert values(job("1", ALICE, sealed=False, name=name))["JobName"] == name


def test_a_command_is_the_script_and_all_its_arguments() -> None:
    command = "/home/a/s.sh 600 --lr=0.1 Foo=Bar JobState=FAILED Nice=3"
    text = job("1", ALICE, sealed=False, command=command)
    assert values(text)["Command"] == command
    assert values(one_line(text), one_line=True)["Command"] == command


def test_lines_that_a_user_wrote_belong_to_their_value() -> None:
    comment = "two\nlines   JobState=RUNNING Reason=x\n\nJobId=99 JobName=evil"
    assert values(job("1", ALICE, sealed=False, comment=comment))["Comment"] == comment


@pytest.mark.parametrize(
    ("indent", "key"), [*((n, "StdErr") for n in (2, 4, 5, 6)), (4, "Nodes"), (7, "Nodes")]
)
def test_a_line_that_is_indented_as_scontrol_never_does_is_text(indent: int, key: str) -> None:
    comment = f"x\n{' ' * indent}{key}=y"
    assert values(job("1", ALICE, sealed=False, comment=comment))["Comment"] == comment


def test_a_key_that_could_stand_in_two_places_is_refused_by_its_name() -> None:
    error = refusal(job("1", ALICE, sealed=False, comment="x\n   StdErr=/forged"))
    assert "StdErr could stand in more than one place" in str(error)
    name = "x\n   UserId=bob(2) GroupId=bob(2) MCS_label=N/A"
    assert "UserId could stand" in str(refusal(job("1", ALICE, sealed=False, name=name)))


def test_a_known_key_of_another_place_inside_a_text_is_text_when_it_is_elsewhere_too() -> None:
    comment = "x\n   JobState=FAILED"
    found = values(job("1", ALICE, sealed=False, comment=comment))
    assert found["Comment"] == comment
    assert found["JobState"] == "RUNNING"


def test_a_known_key_out_of_its_order_is_refused_until_vouched_for() -> None:
    text = job("1", ALICE, sealed=False, comment="x\n   MailUser=bob")
    error = refusal(text)
    assert "is out of order" in str(error)
    assert error.places


@pytest.mark.parametrize("key", ["JobName", "UserId", "JobState", "SubmitTime", "Partition"])
def test_a_record_without_a_mandatory_key_is_refused(key: str) -> None:
    text = job("1", ALICE, sealed=False).replace(f"{key}=", "Other=", 1)
    assert f"{key} is missing" in str(refusal(text))


def test_a_submit_time_without_the_seal_is_no_submit_time() -> None:
    assert values(sealed_job("1"), sealed=True)["SubmitTime"] == "2026-11-23T20:13:41+0000"
    unsealed = job("1", ALICE, sealed=False)
    assert "not in the order" in str(refusal(unsealed, sealed=True))


def test_a_seal_in_another_place_of_the_line_is_enough() -> None:
    # The witness of the whole record is a matter of framing.
    text = sealed_job("1")
    moved = text.replace(f"+0000{NUL} EligibleTime", "+0000 EligibleTime", 1)
    assert values(moved, sealed=True)["SubmitTime"] == "2026-11-23T20:13:41+0000"


@pytest.mark.parametrize("word", ["Unknown", "None", ""])
def test_a_time_that_there_is_not_bears_no_seal(word: str) -> None:
    text = sealed_job("1").replace(f"StartTime=2026-11-23T20:13:41+0000{NUL}", f"StartTime={word}")
    assert values(text, sealed=True)["StartTime"] == word


def test_an_interactive_job_has_no_stdout() -> None:
    text = job("1", ALICE, sealed=False).replace("\n   StdOut=/home/out", "")
    assert "StdOut" not in values(text.replace("BatchFlag=1", "BatchFlag=0"))


def test_a_heterogeneous_set_belongs_to_a_heterogeneous_job() -> None:
    text = job("1", ALICE, sealed=False).replace("\n   UserId", "\n   HetJobIdSet=1-2\n   UserId")
    assert "not heterogeneous" in str(refusal(text))
    whole = text.replace("JobId=1 ", "JobId=1 HetJobId=1 HetJobOffset=0 ", 1)
    assert values(whole)["HetJobIdSet"] == "1-2"


def test_a_word_ends_where_the_next_key_begins() -> None:
    for word in ("x", "X", "\t", "a, b", "a=b"):
        text = job("1", ALICE, sealed=False).replace("TimeLimit=03:00:00", f"TimeLimit=1 {word}")
        assert values(text)["TimeLimit"] == f"1 {word}"
    text = job("1", ALICE, sealed=False).replace("Partition=main", "Partition=main\nx")
    assert "Partition is followed by a line that holds no key" in str(refusal(text))


@pytest.mark.parametrize(
    "name", ["domain users", "CORP\\jane doe", "r&d (lab) staff", "x@corp.example.org", "a, b=c"]
)
@pytest.mark.parametrize("form", ["lines", "one line"])
def test_a_name_that_an_administrator_gave_is_read_whole(name: str, form: str) -> None:
    text = job("1", f"{name}(1001)", sealed=False)
    if form == "one line":
        text = one_line(text)
    found = values(text, one_line=form == "one line")
    assert found["UserId"] == found["GroupId"] == f"{name}(1001)"


def test_a_new_key_among_tokens_is_kept() -> None:
    text = job("1", ALICE, sealed=False).replace("Reboot=0 ", "Reboot=0 Future=1 ")
    assert values(text)["Future"] == "1"
    assert values(one_line(text), one_line=True)["Future"] == "1"
    text = job("1", ALICE, sealed=False).replace(
        "\n   NumNodes=", "\n   Future=some words\n   NumNodes="
    )
    assert values(text)["Future"] == "some words"


def test_a_new_key_behind_a_path_is_kept_and_behind_a_users_text_only_when_vouched_for() -> None:
    behind_path = job("1", ALICE, sealed=False).replace("\n   Power=", "\n   Future=1\n   Power=")
    assert values(behind_path)["Future"] == "1"
    behind_text = job("1", ALICE, sealed=False, comment="x\n   Future=1")
    assert refusal(behind_text).places == {("Comment", "Future")}
    assert values(behind_text, vouched={("Comment", "Future")})["Future"] == "1"
    assert refusal(behind_text, vouched={("StdOut", "Future")}).places
    behind_nothing = job("1", ALICE, sealed=False, comment="(null)\n   Future=1")
    assert values(behind_nothing)["Future"] == "1"


def test_a_new_key_inside_a_line_of_text_is_vouched_for_too() -> None:
    text = job("1", ALICE, sealed=False).replace(
        "Account=def-pomme ", "Account=def-pomme Future=1 "
    )
    assert refusal(text).places == {("Account", "Future")}
    assert values(text, vouched={("Account", "Future")})["Account"] == "def-pomme"


def test_all_new_keys_behind_a_vouched_one_are_kept() -> None:
    text = job("1", ALICE, sealed=False, comment="x\n   Future=1\n   Other=2")
    found = values(text, vouched={("Comment", "Future")})
    assert (found["Comment"], found["Future"], found["Other"]) == ("x", "1", "2")
    assert refusal(text, vouched={("Comment", "Other")}).places == {("Comment", "Future")}


def test_an_account_can_hold_spaces_and_lines() -> None:
    text = job("1", ALICE, sealed=False).replace("Account=def-pomme", "Account=acc ount\n   x")
    assert values(text)["Account"] == "acc ount\n   x"


def test_the_name_of_a_qos_can_hold_spaces_but_no_lines() -> None:
    text = job("1", ALICE, sealed=False).replace("QOS=normal", "QOS=very high")
    assert values(text)["QOS"] == "very high"
    text = text.replace("QOS=very high", "QOS=very\nhigh")
    assert "QOS is followed by a line that holds no key" in str(refusal(text))


def test_the_same_new_key_twice_is_refused() -> None:
    text = job("1", ALICE, sealed=False).replace("Reboot=0 ", "Reboot=0 Future=1 Future=2 ")
    assert "Future comes twice" in str(refusal(text))


@pytest.mark.parametrize("gres", ["GRES", "GRES_IDX"])
@pytest.mark.parametrize("indent", [5, 6])
def test_the_lines_of_details_repeat(gres: str, indent: int) -> None:
    lines = (f"Nodes=a CPU_IDs=0-1 Mem=10 {gres}=", f"Nodes=b CPU_IDs=2 Mem=5 {gres}=gpu:1")
    details = "".join(f"\n{' ' * indent}{line}" for line in lines)
    text = job("1", ALICE, sealed=False).replace("\n   MinCPUsNode", details + "\n   MinCPUsNode")
    raw = read(text)
    assert [pair.value for pair in raw.pairs if pair.key == "Nodes"] == ["a", "b"]
    assert [pair.value for pair in raw.pairs if pair.key == gres] == ["", "gpu:1"]
    assert raw.text() == text


def test_the_one_pair_with_a_colon() -> None:
    text = job("1", ALICE, sealed=False).replace("\n   Power=", "\n   Power=\n   NtasksPerTRES:0")
    raw = read(text)
    assert raw.pairs[-1][1:] == ("NtasksPerTRES", ":", "0")


def test_in_the_o_form_new_keys_are_kept_behind_the_last_path() -> None:
    text = one_line(job("1", ALICE, sealed=False)).replace(" Power=", " Future=1 Other=2")
    assert values(text, one_line=True)["Future"] == "1"
    text = one_line(job("1", ALICE, sealed=False, stdout="/home/a b")).replace(" Power=", "")
    assert values(text, one_line=True)["StdOut"] == "/home/a b"


def test_too_many_candidates_are_refused() -> None:
    text = job("1", ALICE, sealed=False, comment=" x\n   Nice=1" * MAX_TOKENS)
    assert "places look like keys" in str(refusal(text))


def test_what_is_no_record_is_refused() -> None:
    for text in ("", "x", "\nJobId=1", "JobName=1"):
        assert "does not start with JobId=" in str(refusal(text))


def test_a_nodes_reason_goes_on_over_lines_and_holds_keys() -> None:
    text = (
        "NodeName=a Arch=x86_64 CoresPerSocket=1 \n   OS=Linux 6.1 #1 SMP 2020 (x) \n"
        "   RealMemory=1 AllocMem=0\n   State=IDLE+DRAIN ThreadsPerCore=1\n   \n"
        "   Reason=bad disk=sda [user JobId=3] [root@2026-11-23T20:13:46]\n          State=odd\n\n"
    )
    raw = read(text, NODE)
    found = {pair.key: pair.value for pair in raw.pairs}
    assert raw.text() == text
    assert found["OS"] == "Linux 6.1 #1 SMP 2020 (x) "
    assert found["Reason"].startswith("bad disk=sda [user JobId=3]")
    assert found["State"] == "IDLE+DRAIN"


def test_a_nodes_keys_may_come_in_another_order() -> None:
    text = "NodeName=a\n   State=IDLE\n   RealMemory=1\n   Gres=(null)\n\n"
    raw = read(text, NODE)
    assert [pair.key for pair in raw.pairs] == ["NodeName", "State", "RealMemory", "Gres"]


# --- more than one reading ------------------------------------------------------------------------


def without_outputs(**texts: str) -> str:
    """A job without StdErr, StdIn, StdOut, as salloc makes it; Comment is its last key but one."""
    text = job("1", ALICE, sealed=False, **texts).replace("BatchFlag=1", "BatchFlag=0")
    for key, value in {"StdErr": "/home/err", "StdIn": "/dev/null", "StdOut": "/home/out"}.items():
        text = text.replace(f"\n   {key}={value}", "")
    return text.replace("\n   Power=", "")


def test_a_known_key_inside_a_line_can_not_open_a_line() -> None:
    command = "/r WorkDir=/y Comment=z"
    text = job("1", ALICE, sealed=False, command=command)
    assert values(text)["Command"] == command
    assert "WorkDir could stand" in str(refusal(one_line(text), one_line=True))


def test_a_submit_time_without_the_seal_is_text_of_its_value() -> None:
    name = "x\n   SubmitTime=2000-01-01T00:00:00"
    found = values(sealed_job("1", name=name), sealed=True)
    assert found["JobName"] == name
    assert found["SubmitTime"].startswith("2026-11-23")


def test_a_record_may_end_in_its_last_mandatory_key() -> None:
    text = without_outputs(command="/r JobState=x").replace("\n   Comment=hello", "")
    for form, is_one_line in ((text, False), (one_line(text), True)):
        found = values(form, one_line=is_one_line)
        assert found["Command"] == "/r JobState=x"
        assert found["WorkDir"] == "/home"


def test_two_keys_that_can_not_both_be_are_refused() -> None:
    text = job("1", ALICE, sealed=False, comment="x StdIn=/a StdErr=/b")
    for key in ("StdErr=/home/err", "StdIn=/dev/null"):
        text = text.replace(f"\n   {key}", "")
    error = refusal(one_line(text), one_line=True)
    assert str(error).startswith("a key could stand in more than one place: ")


def test_a_known_key_at_the_end_of_a_line_of_text_is_text() -> None:
    text = job("1", ALICE, sealed=False, comment="x Scheduler=Main")
    assert values(text)["Comment"] == "x Scheduler=Main"


def test_lines_in_another_order_are_read_once_all_their_places_are_vouched_for() -> None:
    text = job("1", ALICE, sealed=False)
    text = text.replace("\n   Comment=", "\n   Extra=y\n   AdminComment=z\n   Comment=")
    places = {("Extra", "AdminComment"), ("AdminComment", "Comment")}
    assert refusal(text).places == places
    assert refusal(text, vouched={("Extra", "AdminComment")}).places == places
    assert values(text, vouched=places)["AdminComment"] == "z"


def test_a_first_key_that_comes_twice_is_in_no_order() -> None:
    text = job("1", ALICE, sealed=False).replace("JobId=1 ", "JobId=1 JobId=2 ")
    assert "not in the order" in str(refusal(text))


def test_keys_out_of_order_are_refused_in_the_o_form_too() -> None:
    text = one_line(job("1", ALICE, sealed=False))
    moved = text.replace(" Partition=main", "", 1).replace(
        " Priority=", " Partition=main Priority="
    )
    error = refusal(moved, one_line=True)
    assert str(error) == "its keys are not in the order in which scontrol prints them"
    assert not error.places


@pytest.mark.parametrize(
    ("field", "key"), [("work_dir", "WorkDir"), ("comment", "Comment"), ("command", "Command")]
)
def test_in_the_o_form_a_new_key_inside_a_text_is_text(field: str, key: str) -> None:
    text = one_line(job("1", ALICE, sealed=False, **{field: "/home Future=1"}))
    assert values(text, one_line=True)[key] == "/home Future=1"


def test_in_the_o_form_spaces_behind_the_last_path_are_no_words() -> None:
    text = one_line(job("1", ALICE, sealed=False, stdout="/home/out ")).replace(
        " Power=", " Future=1"
    )
    found = values(text, one_line=True)
    assert (found["StdOut"], found["Future"]) == ("/home/out ", "1")


@pytest.mark.parametrize("stdout", ["/o Future=1 word", "/o a Future=1", "/o word Future=1 b=c"])
def test_in_the_o_form_a_last_path_with_words_is_text(stdout: str) -> None:
    text = one_line(job("1", ALICE, sealed=False, stdout=stdout)).replace(" Power=", "")
    assert values(text, one_line=True)["StdOut"] == stdout


def test_in_the_o_form_a_last_text_of_the_users_is_text() -> None:
    text = one_line(without_outputs(comment="x Future=1"))
    assert values(text, one_line=True)["Comment"] == "x Future=1"


def test_empty_lines_at_the_end_of_a_jobs_text_are_its_own() -> None:
    comment = "x\n\n"
    assert values(job("1", ALICE, sealed=False, comment=comment))["Comment"] == comment


def test_a_set_of_a_pack_belongs_to_a_pack() -> None:
    text = job("1", ALICE, sealed=False).replace("\n   UserId", "\n   PackJobIdSet=1-2\n   UserId")
    assert "not heterogeneous" in str(refusal(text))
    whole = text.replace("JobId=1 ", "JobId=1 PackJobId=1 PackJobOffset=0 ", 1)
    assert values(whole)["PackJobIdSet"] == "1-2"


def test_a_known_key_of_no_text_out_of_its_order_is_refused_with_the_text_it_stands_in() -> None:
    text = job("1", ALICE, sealed=False, comment="x\n   Scheduler=Main\n   JobState=y")
    assert str(refusal(text)) == ("Scheduler is out of order, perhaps inside the text of Comment")


def test_any_bytes_are_kept() -> None:
    assert values(job("1", ALICE, sealed=False, name="\udcff"))["JobName"] == "\udcff"


def test_a_forged_middle_without_the_seal_is_text_of_its_value() -> None:
    label = (
        "x\n   Priority=1\n   JobState=FAILED Reason=None\n   SubmitTime=2000-01-01T00:00:00"
        "\n   Partition=p\n   Command=/r"
    )
    found = values(sealed_job("1", label=label), sealed=True)
    assert found["MCS_label"] == label
    assert found["JobState"] == "RUNNING"
    assert "could stand in more than one place" in str(
        refusal(job("1", ALICE, sealed=False, label=label))
    )


def test_keys_behind_a_key_that_can_not_be_can_not_be_either() -> None:
    name = "x\n   Comment=a\n   StdErr=/b"
    assert values(job("1", ALICE, sealed=False, name=name))["JobName"] == name


def test_a_text_that_begins_with_an_empty_line_is_not_absent() -> None:
    text = job("1", ALICE, sealed=False)
    text = text.replace("\n   Power=", "\n   Power=\n   MailUser=\n Future=1 MailType=END")
    assert refusal(text).places == {("MailUser", "Future")}
    assert values(text, vouched={("MailUser", "Future")})["MailUser"] == "\n"


def test_a_blank_line_behind_a_word_is_no_part_of_its_value() -> None:
    text = job("1", ALICE, sealed=False)
    text = text.replace("\n   Power=", "\n   Switches=1@00:10:00\n\n   Power=")
    assert values(text)["Switches"] == "1@00:10:00"


@pytest.mark.parametrize("separator", ["", ",", " "])
def test_flags_on_one_line_are_keys_of_their_own(separator: str) -> None:
    flags = ("GresEnforceBind=Yes", "KillOInInvalidDependent=No", "SpreadJob=Yes")
    text = job("1", ALICE, sealed=False)
    text = text.replace("\n   Power=", f"\n   Power=\n   {separator.join(flags)}")
    found = values(text)
    assert [f"{key}={found[key]}" for key in list(found)[-3:]] == list(flags)


def test_which_places_behind_texts_a_record_shows() -> None:
    text = one_line(job("1", ALICE, sealed=False, comment="a Foo=1 b Bar=2", command="/r Baz=3"))
    form = Form(JOB, multi_line=False, sealed=False)
    words, found = form.split_line(text.strip(), first=True)
    texts, places, plain = shown_by(tokens_of((form.shape_of(words, found),), JOB))
    assert {"JobName", "Command", "WorkDir", "Comment", "StdOut"} <= texts
    assert places == {("Comment", "Foo"), ("Comment", "Bar"), ("Command", "Baz")}
    assert plain == places - {("Comment", "Foo")}
