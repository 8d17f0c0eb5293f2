"""scontrol's values to plain Python values: durations, times, numbers, absent markers.

Every function takes a value as printed and is pure.  What a grammar does not cover is None or the
text itself, as each docstring says; nothing is guessed.
"""

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

ABSENT = frozenset({"", "(null)", "N/A", "None", "n/a", "n/s", '"None"'})
"""What scontrol prints for a value that there is none of."""

_DURATION = re.compile(r"(?:(\d{1,19})-)?(?:(?:(\d{1,19}):)?(\d{1,19}):)?(\d{1,19})", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-]\d{4})?", re.ASCII)
_EPOCH = re.compile(r"[1-9]\d{8,10}", re.ASCII)
_TASKS = re.compile(r"(\d{1,18})(?:-(\d{1,18})(?::(\d{1,18}))?)?", re.ASCII)
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,18})", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,15}\.\d{1,15}", re.ASCII)
_USER = re.compile(r"(.+)\((\d+)\)", re.ASCII | re.DOTALL)

INT64_MAX = 2**63 - 1
_DIGITS = len(str(INT64_MAX))

_HOURS = {f"{hours:02}": hours for hours in range(100)}
_CLOCKS = {
    f":{minutes:02}:{seconds:02}": 60 * minutes + seconds
    for minutes in range(60)
    for seconds in range(60)
}


def optional(value: str) -> str | None:
    """The value without the spaces around it; None for an absent marker."""
    value = value.strip(" ")
    return None if value in ABSENT else value


def duration(value: str) -> int | None:
    """Seconds of ``[days-][[hours:]minutes:]seconds``.

    None for UNLIMITED, Partition_Limit, INVALID and every other word.
    """
    clock = _CLOCKS.get(value[-6:])
    if clock is not None and (hours := _HOURS.get(value[:-6])) is not None:
        return hours * 3600 + clock  # as nearly all are
    match = _DURATION.fullmatch(value.strip(" "))
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return total if total <= INT64_MAX else None


def integer(value: str) -> int | str | None:
    """A whole number of at most 64 bits; otherwise as `optional`."""
    if value.isdecimal() and value.isascii() and value[0] != "0" and len(value) < _DIGITS:
        return int(value)  # as nearly all are
    value = value.strip(" ")
    if _INTEGER.fullmatch(value) and abs(number := int(value)) <= INT64_MAX:
        return number
    return optional(value)


def decimal(value: str) -> float | int | str | None:
    """A number with or without a fraction; otherwise as `optional`."""
    value = value.strip(" ")
    return float(value) if _DECIMAL.fullmatch(value) else integer(value)


def time(value: str, zone: ZoneInfo) -> str | None:
    """ISO 8601 with the offset of *zone* at that time: ``2021-11-13T00:56:47-05:00``.

    A printed offset (``…T05:56:47+0000``) settles which instant is meant.  Without one the time is
    *zone*'s own: the hour that comes twice in autumn is taken the first time round, and an hour
    that spring skips with the offset before it.  None for ``Unknown``, ``None``, ``N/A`` and all
    that is no time.
    """
    match = _TIME.fullmatch(value.strip(" "))
    return _iso(match[1], match[2], zone) if match else None


def epoch_time(value: str, zone: ZoneInfo) -> str | None:
    """ISO 8601 of seconds since 1970, as ``SLURM_TIME_FORMAT=%s`` prints them; otherwise None.

    Nine digits at least: times since March 1973.
    """
    if not is_epoch_time(value):
        return None
    return datetime.fromtimestamp(int(value), zone).isoformat(timespec="seconds")


def is_epoch_time(value: str) -> bool:
    """Whether *value* looks like seconds since 1970."""
    return _EPOCH.fullmatch(value.strip(" ")) is not None


@lru_cache(maxsize=1 << 12)
def _iso(local: str, printed_offset: str | None, zone: ZoneInfo) -> str | None:
    try:
        moment = datetime.fromisoformat(local)
        if printed_offset is None:
            moment = moment.replace(tzinfo=zone)
        else:
            hours, minutes = int(printed_offset[1:3]), int(printed_offset[3:])
            offset = timedelta(hours=hours, minutes=minutes)
            fixed = timezone(-offset if printed_offset[0] == "-" else offset)
            moment = moment.replace(tzinfo=fixed).astimezone(zone)
        return moment.isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return None


def moment(text: object) -> datetime | None:
    """Return a time of a document, ISO 8601 with an offset, in UTC; None for any other value."""
    return _in_utc(str(text))


@lru_cache(maxsize=1 << 12)
def _in_utc(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def is_no_time(value: str) -> bool:
    """Whether *value* is what scontrol prints where there is no time."""
    return value.strip(" ") in ABSENT | {"Unknown"}


def user(value: str) -> tuple[str, str] | None:
    """Name and number of ``alice(1001)``; None when it has another shape."""
    match = _USER.fullmatch(value.strip(" "))
    return (match[1], match[2]) if match else None


@lru_cache(maxsize=4096)
def snake_case(key: str) -> str:
    """A key of scontrol's in snake case: ``CPUs/Task`` is ``cpus_task``, ``QOS`` is ``qos``."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", key).replace("CPUs", "Cpus").replace("IDs", "Ids")
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).strip("_").lower()


def storable(value: str) -> str:
    r"""*value* as text that UTF-8 can hold: bytes that were not UTF-8 become ``\xff``."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def tasks_in(array_task_id: object) -> int:
    """Return how many tasks ``1-10:3,15%2`` stands for; 1 for a job that is no array.

    A list that Slurm cut short ends in ``...``, and counts as far as it goes.
    """
    text = str(array_task_id or "").partition("%")[0]
    count = 0
    for part in text.split(","):
        match = _TASKS.fullmatch(part.strip())
        if match is not None:
            first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
            count += max(0, last - first) // max(1, step) + 1
    return max(1, count)
