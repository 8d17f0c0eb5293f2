"""Long texts are cut where documents are made, with a mark that says so."""

from typing import Any

import pytest

from ingest.documents.long_texts import LONGEST_TEXT, cut_long_texts


@pytest.mark.parametrize("text", ["", "x" * LONGEST_TEXT, "é" * (LONGEST_TEXT // 2)])
def test_a_text_that_is_not_long_stays(text: str) -> None:
    slurm: dict[str, Any] = {"command": text, "priority": 1, "nodes": None}
    assert cut_long_texts(slurm) == 0
    assert slurm == {"command": text, "priority": 1, "nodes": None}


def test_long_texts_are_cut_and_named() -> None:
    slurm: dict[str, Any] = {"name": "y" * (LONGEST_TEXT + 1), "comment": "short"}
    slurm["command"] = "x" * 1_000_000
    assert cut_long_texts(slurm) == 1 + 1_000_000 - LONGEST_TEXT
    assert slurm == {
        "name": "y" * LONGEST_TEXT + "…[cut: 1 bytes]",
        "comment": "short",
        "command": "x" * LONGEST_TEXT + f"…[cut: {1_000_000 - LONGEST_TEXT} bytes]",
        "slurm_cut": ["command", "name"],
    }


def test_no_letter_is_cut_in_two() -> None:
    slurm = {"command": "x" + "é" * LONGEST_TEXT}
    missing = cut_long_texts(slurm)
    kept, _, mark = slurm["command"].partition("…")
    assert kept == "x" + "é" * (LONGEST_TEXT // 2 - 1)
    assert mark == f"[cut: {missing} bytes]"
    assert len(kept.encode()) + missing == 1 + 2 * LONGEST_TEXT
