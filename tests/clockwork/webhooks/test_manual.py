"""docs/webhooks.md: its code checks our signatures, and its tables name what there is."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from clockwork.webhooks.message import Message
from config.webhooks import JobEvent, JobFilterName, NodeEvent, NodeFilterName, WebhookSettings
from tests.clockwork.webhooks.writing import NOW

MANUAL = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture
def is_genuine() -> Any:
    [code] = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the code of the manual
    return names["is_genuine"]


def test_the_code_of_the_manual_checks_signatures(is_genuine: Any) -> None:
    headers = Message("id", [], b"{}").headers(b"ABC" * 8, NOW)
    later = Message("id", [], b"{}").headers(b"ABC" * 8, NOW + timedelta(seconds=1))
    assert is_genuine(SECRET, headers, b"{}")
    assert not is_genuine(SECRET, headers, b"{ }")
    assert not is_genuine("whsec_" + "QUJE" * 8, headers, b"{}")
    timestamp = later["webhook-timestamp"]
    assert not is_genuine(SECRET, {**headers, "webhook-timestamp": timestamp}, b"{}")


def test_the_manual_names_every_key_event_and_filter() -> None:
    named = set(re.findall(r"`(\w+)`", MANUAL))
    keys = {*WebhookSettings.model_fields} - {"name"}
    values = (get_args(each) for each in (JobEvent, NodeEvent, JobFilterName, NodeFilterName))
    assert keys.union(*values) <= named
