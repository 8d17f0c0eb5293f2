"""The log: a line an event, for people or as JSON, whatever the event holds."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, Literal

import pytest

from clockwork.logs import HumanFormatter, JsonFormatter, set_up_logging
from config import LogSettings

HOSTILE = "\x1b[2Jgone\r\x07\u202e\u2028\x85\x00"


def event(message: str, *values: object, **extras: object) -> logging.LogRecord:
    record = logging.LogRecord(
        "scraper.cluster_round", logging.INFO, __file__, 1, message, values, None
    )
    record.created = 1795000000.25
    vars(record).update(extras)
    return record


def failure(text: str) -> logging.LogRecord:
    record = event("round failed")
    try:
        _fail(text)
    except ValueError:
        record.exc_info = sys.exc_info()
    return record


def _fail(text: str) -> None:
    raise ValueError(text)


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """What ``set_up_logging`` changes is as before afterwards."""
    root = logging.getLogger()
    changed = ("apscheduler", "paramiko", "pymongo", "api.app", "scraper.cluster_round")
    loggers = [root, *(logging.getLogger(name) for name in changed)]
    waitress = logging.getLogger("waitress")
    filters = waitress.filters[:]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    root.handlers = []  # or they would be closed
    yield
    root.handlers = handlers
    waitress.filters = filters
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


# --- for people -----------------------------------------------------------------------------------


def test_a_line_for_people() -> None:
    line = HumanFormatter().format(event("round", cluster="mila", kind="jobs", records=12))
    moment = datetime.fromtimestamp(1795000000.25).astimezone()
    assert line == f"{moment:%H:%M:%S} info    round cluster=mila kind=jobs records=12"


def test_values_that_would_run_into_one_another_are_quoted() -> None:
    line = HumanFormatter().format(event("set aside", reason="two records", ids=["1"], text=""))
    assert line.endswith("set aside reason='two records' ids=['1'] text=''")


def test_a_message_takes_its_values() -> None:
    assert HumanFormatter().format(event("%s: %d %%", "mila", 3)).endswith("mila: 3 %")


@pytest.mark.parametrize(
    "record", [event(HOSTILE), event("round", reason=HOSTILE), failure(HOSTILE)], ids=str
)
def test_control_characters_do_not_reach_the_terminal(record: logging.LogRecord) -> None:
    text = HumanFormatter().format(record)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert "\\x1b[2Jgone\\r\\x07\\u202e\\u2028\\x85\\x00" in text


@pytest.mark.parametrize(
    "record",
    [
        event("failed: %s", "x\n12:00:00 info    round cluster=mila"),
        event("failed", error="x\n12:00:00 info    round cluster=mila"),
        failure("x\n12:00:00 info    round cluster=mila"),
    ],
    ids=["message", "extra", "traceback"],
)
def test_a_line_break_cannot_begin_an_event(record: logging.LogRecord) -> None:
    first, *others = HumanFormatter().format(record).split("\n")
    assert first.split()[1] == "info"
    assert all(line.startswith("    ") for line in others)


def test_a_traceback_follows_its_event() -> None:
    first, *others = HumanFormatter().format(failure("no such thing")).split("\n")
    assert first.endswith("info    round failed")
    assert others[0] == "    Traceback (most recent call last):"
    assert others[-1] == "    ValueError: no such thing"


# --- for machines ---------------------------------------------------------------------------------


def test_a_line_of_json() -> None:
    line = JsonFormatter().format(event("round", cluster="mila", records=12, seconds=0.5))
    assert json.loads(line) == {
        "time": datetime.fromtimestamp(1795000000.25, timezone.utc).isoformat(),
        "level": "info",
        "logger": "scraper.cluster_round",
        "message": "round",
        "cluster": "mila",
        "records": 12,
        "seconds": 0.5,
    }


@pytest.mark.parametrize("record", [event(HOSTILE + "\n"), event("x", y=HOSTILE), failure(HOSTILE)])
def test_json_is_one_line_of_ascii(record: logging.LogRecord) -> None:
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert any(HOSTILE in value for value in json.loads(line).values())


def test_values_that_json_lacks_become_text() -> None:
    moment = datetime(2026, 11, 24, tzinfo=timezone.utc)
    said = json.loads(JsonFormatter().format(event("x", at=moment, text=b"\xff", lone="\udcff")))
    assert said["at"] == str(moment)
    assert said["text"] == "b'\\xff'"


def test_a_traceback_is_a_key_of_its_own() -> None:
    said = json.loads(JsonFormatter().format(failure("no such thing")))
    assert said["message"] == "round failed"
    assert said["traceback"].startswith("Traceback (most recent call last):\n")
    assert said["traceback"].endswith("ValueError: no such thing")


# --- which of the two, and from what on -----------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("chosen", "output", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("human", io.StringIO, False),
    ],
)
@pytest.mark.usefixtures("logging_put_back")
def test_the_format_that_the_settings_ask_for(
    chosen: Literal["auto", "human", "json"],
    output: Any,
    is_json: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = output()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging(LogSettings(format=chosen, level="info"))
    logging.getLogger("scraper.cluster_round").info("round", extra={"cluster": "mila"})
    assert written.getvalue().startswith("{") is is_json
    assert written.getvalue().count("\n") == 1


@pytest.mark.usefixtures("logging_put_back")
def test_the_level_that_the_settings_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging(LogSettings(format="json", level="info"))
    logging.getLogger("scraper.cluster_round").debug("not this")
    logging.getLogger("apscheduler.scheduler").info("nor this")
    logging.getLogger("pymongo.command").info("nor this, which holds documents")
    logging.getLogger("paramiko.transport").error("nor this: the round says it better")
    logging.getLogger("scraper.cluster_round").info("this")
    [line] = written.getvalue().splitlines()
    assert json.loads(line)["message"] == "this"


@pytest.mark.usefixtures("logging_put_back")
def test_notice_is_info_without_what_comes_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    for level in ("notice", "info"):
        set_up_logging(LogSettings(format="json", level=level))
        logging.getLogger("api.app").info("a request")
        logging.getLogger("scraper.cluster_round").info("a round")
        logging.getLogger("scraper.cluster_round").error("a round failed")
        logging.getLogger("clockwork.daemons.scraper").info("reloaded")
    told = [json.loads(line)["message"] for line in written.getvalue().splitlines()]
    often, seldom = ["a request", "a round"], ["a round failed", "reloaded"]
    assert told == [*seldom, *often, *seldom]


@pytest.mark.usefixtures("logging_put_back")
def test_clients_fill_the_log_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own lines, whatever a client puts into them."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging(LogSettings(format="json", level="info"))
    waitress = logging.getLogger("waitress")
    for number in range(100):
        waitress.info("Client disconnected while serving /%d" % number)  # noqa: UP031 - as waitress
    waitress.warning("another line")
    for seconds in (0, 1, 59, 61):
        left = waitress.makeRecord(waitress.name, logging.INFO, "channel.py", 1, "left", (), None)
        left.created += seconds
        waitress.handle(left)
    told = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["message"], line.get("times")) for line in told] == [
        ("Client disconnected while serving /0", None),
        ("another line", None),
        ("left", None),
        ("left", 3),
    ]
