"""The reasons of pending jobs that Slurm knows."""

import json
from pathlib import Path

_FILE = Path(__file__).parents[1] / "ingest/reasons/reasons.json"

KNOWN_REASONS: dict[str, list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))["reasons"]
"""Each reason, with the first and the last release of Slurm that has it."""
