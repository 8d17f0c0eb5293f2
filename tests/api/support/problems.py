"""What every error of the API looks like."""

from tests.api.support.client import Answer


def assert_problem(answer: Answer, status: int) -> None:
    """Check that *answer* is a problem of RFC 9457 with this status."""
    assert answer.status == status
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.json.keys() - {"clusters"} == {"type", "title", "status", "detail"}
    assert answer.json["status"] == status
    assert answer.json["detail"]
