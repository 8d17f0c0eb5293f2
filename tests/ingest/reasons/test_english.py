"""Every reason that a release of Slurm knows has a sentence and a remedy."""

import pytest

from ingest.reasons.english import explain, is_known, reason_name
from tests.support.reasons import KNOWN_REASONS


@pytest.mark.parametrize("reason", KNOWN_REASONS)
def test_every_reason_has_a_sentence_and_a_remedy(reason: str) -> None:
    assert is_known(reason)
    sentence, remedy = explain(reason)
    assert not sentence.startswith("Slurm says")
    for text in (sentence, remedy):
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text.split()) <= 45


def test_reasons_that_differ_have_sentences_that_differ() -> None:
    by_sentence: dict[str, set[str]] = {}
    for reason in KNOWN_REASONS:
        by_sentence.setdefault(explain(reason).sentence, set()).add(reason.replace("Memory", "Mem"))
    same = {frozenset(names) for names in by_sentence.values() if len(names) > 1}
    # A limit of minutes of the jobs that run reads as one of all minutes.
    assert all(
        len({name.replace("Run", "").replace("SubmitJobs", "Jobs") for name in names}) == 1
        for names in same
    )


@pytest.mark.parametrize(
    ("printed", "name", "sentence"),
    [
        ("ReqNodeNotAvail,_UnavailableNodes:cn-a[001-002]", "ReqNodeNotAvail", "Nodes that the"),
        (None, "None", "Slurm has not looked"),
        ("QOSMaxGRESPerUser", "QOSMaxGRESPerUser", "The jobs of this user hold as many GPUs"),
        ("launch_failed_requeued_held", "launch_failed_requeued_held", "Slurm says: launch failed"),
        ("NewReason2030", "NewReason2030", "Slurm says: NewReason2030."),
    ],
)
def test_what_stands_behind_a_name_and_texts_of_slurms_own(
    printed: str | None, name: str, sentence: str
) -> None:
    assert reason_name(printed) == name
    assert explain(printed).sentence.startswith(sentence)
