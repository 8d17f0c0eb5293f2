"""Every reason that a release of Slurm knows has words in French."""

import pytest

from ingest.reasons.english import explain
from ingest.reasons.french import explain_in_french
from tests.support.reasons import KNOWN_REASONS


@pytest.mark.parametrize("reason", [*KNOWN_REASONS, None, "launch_failed_requeued_held"])
def test_every_reason_has_words(reason: str | None) -> None:
    for english, french in zip(explain(reason), explain_in_french(reason), strict=True):
        assert french != english
        assert french[0].isupper()
        assert french.endswith(".")
        for word in ("scontrol", "JOBID", "launch failed requeued held"):
            assert (word in french) == (word in english)


def test_reasons_that_differ_in_english_differ_in_french() -> None:
    by_french: dict[str, set[str]] = {}
    for reason in KNOWN_REASONS:
        by_french.setdefault(explain_in_french(reason).sentence, set()).add(
            explain(reason).sentence
        )
    assert [each for each in by_french.values() if len(each) > 1] == []
