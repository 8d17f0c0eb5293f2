"""Say in words why a job waits, in English and in French: the only place that has these words.

>>> why({"job_state": "PENDING", "reason": "BeginTime"}).sentence
'The time at which the job may begin is yet to come.'
"""

from collections.abc import Callable, Mapping
from typing import Any

from ingest.reasons.english import Explanation, explain
from ingest.reasons.french import explain_in_french

EXPLAIN: dict[str, Callable[[str | None], Explanation]] = {
    "en": explain,
    "fr": explain_in_french,
}
"""The words for the ``reason`` of a job, by language."""


def why(slurm: Mapping[str, Any], language: str = "en") -> Explanation | None:
    """Return why the job *slurm* waits; None for a job that does not wait."""
    if slurm.get("job_state") != "PENDING":
        return None
    return EXPLAIN[language](slurm.get("reason"))
