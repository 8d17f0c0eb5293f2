"""What a document can hold, as JSON."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from api.http.json_text import json_bytes

ID = ObjectId("0123456789ab0123456789ab")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            datetime(2021, 11, 14, 12, 0, 0, 123000, tzinfo=timezone.utc),
            "2021-11-14T12:00:00.123000Z",
        ),
        (datetime(2021, 11, 14, 12, 0, 0), "2021-11-14T12:00:00Z"),  # noqa: DTZ001
        (
            datetime(2021, 11, 14, 7, 0, 0, tzinfo=timezone(timedelta(hours=-5))),
            "2021-11-14T07:00:00-05:00",
        ),
        (float("nan"), None),
        (float("-inf"), None),
        (Int64(2**63 - 1), 2**63 - 1),
        (-(2**63), -(2**63)),
        (b"\xff\x00", "/wA="),
        (ID, "0123456789ab0123456789ab"),
        (Decimal128("1.50"), "1.50"),
        ("é\0\U0001f600", "é\0\U0001f600"),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    assert json.loads(json_bytes({"a": [value]})) == {"a": [expected]}
