"""The Grafana boards, the alert rules, and what they ask Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted((REPOSITORY / "docs/grafana").glob("*.json"))
]
PANELS: list[dict[str, Any]] = [panel for board in BOARDS for panel in board["panels"]]
VARIABLES: list[dict[str, Any]] = BOARDS[0]["templating"]["list"]
RULES = REPOSITORY / "docs/prometheus/clockwork.rules.yml"


def queries() -> list[str]:
    """Return all queries of the boards, and of the rules but for those of Prometheus' own."""
    asked = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
    asked += [each["definition"] for each in VARIABLES if each["type"] == "query"]
    rules = re.findall(r"^ +expr: (.*)$", RULES.read_text(), re.MULTILINE)
    assert len(rules) >= 8
    return asked + [rule for rule in rules if not rule.startswith("up{")]
