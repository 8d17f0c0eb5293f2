"""Cut long texts in documents, so that no user's text fills the database or everyone's lists.

Slurm accepts a script with a mebibyte of arguments.  A text of more than `LONGEST_TEXT` bytes in
UTF-8 is cut there and ends with a mark that says how many bytes are missing; ``slurm_cut`` names
the keys::

    {"command": "/home/alice/run.sh --list …[cut: 983040 bytes]", "slurm_cut": ["command"], ...}

``slurm_cut`` is absent where nothing is cut.
"""

from typing import Any

LONGEST_TEXT = 64 << 10
"""Bytes of UTF-8."""
CUT_KEY = "slurm_cut"


def cut_long_texts(slurm: dict[str, Any]) -> int:
    """Cut the long texts in *slurm*, in place. Return how many bytes were cut."""
    cut = {}
    total = 0
    for key, value in slurm.items():
        if isinstance(value, str) and len(value) * 4 > LONGEST_TEXT:
            whole = value.encode()
            if len(whole) > LONGEST_TEXT:
                kept = whole[:LONGEST_TEXT].decode(errors="ignore")
                missing = len(whole) - len(kept.encode())
                cut[key] = f"{kept}…[cut: {missing} bytes]"
                total += missing
    if cut:
        slurm |= {**cut, CUT_KEY: sorted(cut)}
    return total
