"""What holds for every record: read right or set aside, never wrong in silence."""

import re

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from config import ClusterSettings, SshSettings
from ingest.reading.pairs import RawPairs
from ingest.reading.records import NoAnswer, Record, SetAside, read_records
from ingest.slurm.grammar import JOB, NODE, Grammar
from ingest.slurm.kinds import JOBS, NODES, documents
from tests.ingest.reading.printing import (
    JOB_LAYOUTS,
    NODE_LAYOUTS,
    PATH_KEYS,
    SEAL,
    USER_KEYS,
    plain_texts,
    printed,
    texts,
)

CLUSTER = ClusterSettings(
    name="mila",
    timezone="America/Montreal",
    username_field="mila_cluster_username",
    ssh=SshSettings(host="nowhere"),
)
WITNESS = JOB_LAYOUTS[0]

job_layouts = st.sampled_from(JOB_LAYOUTS)
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(text: str, grammar: Grammar, seal: str = "") -> list[Record | SetAside]:
    return list(read_records([text.encode("utf-8", "surrogateescape")], grammar, seal=seal))


def values_of(raw: RawPairs) -> dict[str, str]:
    return {pair.key: pair.value for pair in raw.pairs}


def own_keys(raw: RawPairs, keys: list[str]) -> list[str]:
    held = values_of(raw)
    return [key for key in keys if key in held]


# Two texts are the same, byte for byte, as those of a job that has the keys they show, and nobody
# could tell (docs/forged_records.md): a key that Slurm prints only at times, where Slurm would
# print it, and a key that no release prints yet, behind "(null)".
_LINE_WITH_KEY = re.compile(r"\n {3,6}[A-Z]")


def shows_what_could_be_true(values: dict[str, str]) -> bool:
    at_times = [*PATH_KEYS, "BurstBuffer", "Container", "MailUser"]
    return any(
        _LINE_WITH_KEY.search(value)
        for key, value in values.items()
        if key in at_times
        or key.startswith(("Tres", "Cpus", "Mem"))
        or value.startswith("(null)\n   ")
    )


@slow
@given(job_layouts, st.data())
def test_any_text_is_read_whole_or_its_record_is_set_aside(
    layout: RawPairs, data: st.DataObject
) -> None:
    chosen = {key: data.draw(texts, label=key) for key in own_keys(layout, USER_KEYS + PATH_KEYS)}
    assume(not shows_what_could_be_true(chosen))
    if values_of(layout).get("BatchFlag") == "0":
        assume("\n   Std" not in chosen.get("Comment", ""))
    carrier = printed(layout, {**chosen, "JobId": "19"}, seal=SEAL)
    before, behind = (printed(WITNESS, {"JobId": name}, seal=SEAL) for name in ("18", "20"))
    output = (before + carrier + behind).encode("utf-8", "surrogateescape")
    found = list(read_records([output], JOB, seal=SEAL, listed=lambda: {"18", "19", "20"}))
    truth = {**values_of(layout), **chosen, "JobId": "19"}
    read_ids = []
    for item in found:
        if isinstance(item, Record):
            values = values_of(item.raw)
            read_ids.append(values["JobId"])
            if values["JobId"] == "19":
                assert values == {key: value.replace(SEAL, "") for key, value in truth.items()}
            else:
                assert values == {**values_of(WITNESS), "JobId": values["JobId"]}
    aside = {job_id for item in found if isinstance(item, SetAside) for job_id in item.ids}
    assert {"18", "20"} <= set(read_ids) <= {"18", "19", "20"}
    assert "19" in aside or "19" in read_ids


@slow
@given(job_layouts, st.data())
def test_text_of_one_line_is_always_read_whole(layout: RawPairs, data: st.DataObject) -> None:
    keys = own_keys(layout, ["JobName", "Command", "SubmitLine", "Comment", *PATH_KEYS])
    chosen = {key: data.draw(plain_texts, label=key) for key in keys}
    (item,) = read(printed(layout, chosen), JOB)
    assert isinstance(item, Record)
    assert values_of(item.raw) == {**values_of(layout), **chosen}


@slow
@given(job_layouts, st.data())
def test_in_the_o_form_text_is_read_whole_or_set_aside(
    layout: RawPairs, data: st.DataObject
) -> None:
    words = st.lists(st.sampled_from(["x", "a=b", "Foo=Bar", "JobState=F", "é", "--lr=0.1"]))
    keys = own_keys(layout, ["JobName", "Command", "Comment"])
    chosen = {key: data.draw(words.map(" ".join), label=key) for key in keys}
    (item,) = read(printed(layout, chosen, one_line=True), JOB)
    if isinstance(item, Record):
        assert values_of(item.raw) == {**values_of(layout), **chosen}


@given(job_layouts, st.sampled_from(["\n   FutureKey=7", "\n   FutureText=some words k=v"]))
def test_a_new_key_at_the_end_of_a_record_is_kept(layout: RawPairs, line: str) -> None:
    last = layout.pairs[-1]
    text = printed(layout, {last.key: last.value + line})
    (item,) = read(text, JOB)
    assume(isinstance(item, Record) or not JOB.keys[last.key].users_text)
    assert isinstance(item, Record)
    assert any(pair.key.startswith("Future") for pair in item.raw.pairs)


@slow
@given(st.sampled_from(NODE_LAYOUTS), st.data())
def test_a_nodes_texts_are_read_whole(layout: RawPairs, data: st.DataObject) -> None:
    keys = own_keys(layout, ["Reason", "Comment", "Extra", "OS"])
    chosen = {key: data.draw(plain_texts, label=key) for key in keys}
    (item,) = read(printed(layout, chosen), NODE)
    assert isinstance(item, Record)
    assert values_of(item.raw) == {**values_of(layout), **chosen}


@slow
@given(st.binary(max_size=400), st.sampled_from([(JOBS, b"JobId=1 "), (NODES, b"NodeName=a ")]))
def test_no_bytes_break_the_reader(noise: bytes, kind_and_start: tuple[object, bytes]) -> None:
    kind = JOBS if kind_and_start[0] is JOBS else NODES
    for text in (noise, kind_and_start[1] + noise, noise + b"\n\n" + kind_and_start[1] + noise):
        try:
            for record in read_records([text], kind.grammar):
                list(documents([record], kind, CLUSTER))
        except NoAnswer:
            pass


@slow
@given(job_layouts, st.data())
def test_a_record_and_its_text_are_the_same_bytes(layout: RawPairs, data: st.DataObject) -> None:
    chosen = {key: data.draw(texts, label=key) for key in own_keys(layout, USER_KEYS)}
    text = printed(layout, chosen)
    try:
        items = read(text, JOB)
    except NoAnswer:
        return
    again = [
        item.raw.text().encode("utf-8", "surrogateescape")
        if isinstance(item, Record)
        else item.text
        for item in items
    ]
    assert sorted(b"".join(again)) == sorted(text.encode("utf-8", "surrogateescape"))
