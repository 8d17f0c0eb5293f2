"""Read what the scraper needs of ``scontrol show config``: the purge time, PrivateData, the boot.

The output is a line ``Key = value`` for every setting, in the format of Slurm 16.05 to 26.05::

    Configuration data as of 2026-11-29T20:01:39+0000
    BOOT_TIME               = 2026-11-29T20:01:39+0000
    MinJobAge               = 300 sec
    PrivateData             = accounts,jobs
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ingest.slurm.values import time

DEFAULT_PURGE_SECONDS = 300.0
"""MinJobAge where slurm.conf does not set it."""

_LINE = re.compile(r"([A-Za-z_]+) += ?(.*)")
_SECONDS = re.compile(r"([0-9]{1,10}) sec")


class ConfigurationUnreadable(ValueError):
    """``scontrol show config`` printed something else than Slurm's configuration."""


@dataclass(frozen=True)
class SlurmConfiguration:
    """What slurmctld's configuration says about the life and the visibility of jobs."""

    purge_seconds: float
    """MinJobAge: how long slurmctld remembers a finished job; infinite for ever."""
    private_data: frozenset[str]
    """Which records ordinary users do not see: ``jobs``, ``nodes`` and others; empty for none."""
    booted: datetime | None
    """When slurmctld was started; None where the output does not say."""


def read_configuration(output: bytes, zone: ZoneInfo) -> SlurmConfiguration:
    """Return what *output* of ``scontrol show config`` says; *zone* is that of its times.

    Raises `ConfigurationUnreadable` when *output* lacks MinJobAge.
    """
    text = output.decode("utf-8", "backslashreplace")
    lines = filter(None, map(_LINE.fullmatch, text.split("\n")))
    values = {line[1]: line[2].strip() for line in lines}
    age = _SECONDS.fullmatch(values.get("MinJobAge", ""))
    if age is None:
        raise ConfigurationUnreadable(f"expected MinJobAge in seconds, found {text[:200]!r}")
    private = values.get("PrivateData", "none")
    booted = time(values.get("BOOT_TIME", ""), zone)
    return SlurmConfiguration(
        purge_seconds=float(age[1]) or math.inf,
        private_data=frozenset() if private == "none" else frozenset(private.split(",")),
        booted=None if booted is None else datetime.fromisoformat(booted),
    )
